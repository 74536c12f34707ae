//! The tenant: an organisation, its tier, its API keys and its users.

use std::sync::Arc;

use super::principal::{Principal, PrincipalKind};
use super::row_version::RowVersion;
use super::scopes::KeyScopes;
use super::time::Timestamp;
use crate::ids::{ApiKeyId, OrganisationId, UserId};

/// A price tier; it fixes the budgets of `free` and `pro`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PriceTier {
    /// 60 writes and 600 reads a minute.
    Free,
    /// 600 writes and 6000 reads a minute.
    Pro,
    /// As configured for the organisation.
    Enterprise,
}

impl PriceTier {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Free, Self::Pro, Self::Enterprise];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Free => "free",
            Self::Pro => "pro",
            Self::Enterprise => "enterprise",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }

    /// Writes and reads a minute; for `enterprise` the limits that hold until it is configured.
    #[must_use]
    pub const fn default_limits(self) -> RateLimits {
        match self {
            Self::Free => RateLimits { write_per_minute: 60, read_per_minute: 600 },
            Self::Pro => RateLimits { write_per_minute: 600, read_per_minute: 6000 },
            Self::Enterprise => RateLimits { write_per_minute: 6000, read_per_minute: 60_000 },
        }
    }
}

/// Capacities of an organisation's two budgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RateLimits {
    /// POST, PUT, PATCH and DELETE a minute.
    pub write_per_minute: u32,
    /// GET and HEAD a minute.
    pub read_per_minute: u32,
}

/// A tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Organisation {
    /// `org_…`.
    pub id: OrganisationId,
    /// 1 to 200 characters.
    pub name: Arc<str>,
    /// Price tier.
    pub tier: PriceTier,
    /// Budgets in force.
    pub limits: RateLimits,
    /// Keys of a sandbox begin with `kdv_test_`, and its events say `livemode: false`.
    pub sandbox: bool,
    /// Every call of a suspended organisation is refused with 403.
    pub suspended: bool,
    /// Time at which it was created.
    pub created_at: Timestamp,
    /// Number of writes of the row.
    pub row_version: RowVersion,
}

/// An API key, without its secret: only the secret's SHA-256 is kept.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiKey {
    /// `key_…`.
    pub id: ApiKeyId,
    /// The tenant that it authenticates.
    pub organisation_id: OrganisationId,
    /// Name given by the operator.
    pub label: Arc<str>,
    /// The last four characters of the secret.
    pub last4: Arc<str>,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// Operations that it admits to.
    pub scopes: KeyScopes,
    /// From this time on it answers 401 `expired_api_key`.
    pub expires_at: Option<Timestamp>,
    /// Time at which it was created.
    pub created_at: Timestamp,
    /// Its creator.
    pub created_by: Principal,
}

/// A person that conversations are assigned to. Users never change once created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    /// `usr_…`.
    pub id: UserId,
    /// The tenant.
    pub organisation_id: OrganisationId,
    /// 1 to 200 characters.
    pub name: Arc<str>,
    /// May be absent.
    pub email: Option<Arc<str>>,
    /// Time at which it was created.
    pub created_at: Timestamp,
}

impl Principal {
    /// Creates the principal of an API key.
    #[must_use]
    pub fn from_api_key(key: &ApiKey) -> Self {
        let id = key.id.to_string().into();
        Self { kind: PrincipalKind::ApiKey, id: Some(id), name: Some(key.label.clone()) }
    }

    /// Creates the principal of a user.
    #[must_use]
    pub fn from_user(user: &User) -> Self {
        let id = user.id.to_string().into();
        Self { kind: PrincipalKind::User, id: Some(id), name: Some(user.name.clone()) }
    }
}
