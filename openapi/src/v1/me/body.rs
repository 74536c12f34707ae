//! Body of the caller's identity.

use std::sync::Arc;

use kabar_core::domain::organisation::{ApiKey, Organisation, PriceTier};
use kabar_core::domain::scopes::KeyScope;
use kabar_core::ids::{ApiKeyId, OrganisationId};
use poem_openapi::Object;
use poem_openapi::types::Example;

use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of an organization.
    OrganizationNoun = "organization";
    /// `object` of an API key.
    ApiKeyNoun = "api_key";
}

/// The caller.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Me", example)]
pub(crate) struct MeBody {
    /// The key's tenant.
    pub(crate) organization: MeOrganization,
    /// The key that was used.
    pub(crate) api_key: MeApiKey,
    /// The budgets in force.
    pub(crate) rate_limits: MeRateLimits,
}

/// The caller's organization.
#[derive(Debug, Clone, Object)]
pub(crate) struct MeOrganization {
    /// `org_…`.
    pub(crate) id: TextValue<OrganisationId>,
    /// Always `organization`.
    pub(crate) object: TextValue<OrganizationNoun>,
    /// The name.
    pub(crate) name: TextValue<Arc<str>>,
}

/// The caller's key, without its secret.
#[derive(Debug, Clone, Object)]
pub(crate) struct MeApiKey {
    /// `key_…`.
    pub(crate) id: TextValue<ApiKeyId>,
    /// Always `api_key`.
    pub(crate) object: TextValue<ApiKeyNoun>,
    /// The operator's name for the key.
    pub(crate) label: TextValue<Arc<str>>,
    /// The last four characters of the secret.
    pub(crate) last4: TextValue<Arc<str>>,
    /// Operations that it admits to.
    pub(crate) scopes: Vec<TextValue<KeyScope>>,
}

/// Capacities of the caller's two budgets.
#[derive(Debug, Clone, Object)]
pub(crate) struct MeRateLimits {
    /// The price tier.
    pub(crate) tier: TextValue<PriceTier>,
    /// POST, PUT, PATCH and DELETE a minute.
    pub(crate) write_per_minute: u32,
    /// GET and HEAD a minute.
    pub(crate) read_per_minute: u32,
}

impl MeBody {
    /// Builds the body of a key and its organization.
    #[must_use]
    pub(crate) fn from_key(key: &ApiKey, organisation: &Organisation) -> Self {
        Self {
            organization: MeOrganization {
                id: TextValue(organisation.id),
                object: TextValue(OrganizationNoun),
                name: TextValue(organisation.name.clone()),
            },
            api_key: MeApiKey {
                id: TextValue(key.id),
                object: TextValue(ApiKeyNoun),
                label: TextValue(key.label.clone()),
                last4: TextValue(key.last4.clone()),
                scopes: key.scopes.iter().map(TextValue).collect(),
            },
            rate_limits: MeRateLimits {
                tier: TextValue(organisation.tier),
                write_per_minute: organisation.limits.write_per_minute,
                read_per_minute: organisation.limits.read_per_minute,
            },
        }
    }
}

impl Example for MeBody {
    fn example() -> Self {
        Self::from_key(
            &crate::spec::example_rows::api_key(),
            &crate::spec::example_rows::example_organisation(),
        )
    }
}
