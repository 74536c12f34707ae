//! Who is calling: the organization, the key, and the budgets in force.

use kabar_core::domain::organisation::{ApiKey, Organisation, Tier};
use poem_openapi::{Enum, Object};

/// A price tier.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "Tier", rename_all = "lowercase")]
pub enum TierWord {
    /// 60 writes and 600 reads a minute.
    Free,
    /// 600 writes and 6000 reads a minute.
    Pro,
    /// As agreed.
    Enterprise,
}

impl From<Tier> for TierWord {
    fn from(tier: Tier) -> Self {
        match tier {
            Tier::Free => Self::Free,
            Tier::Pro => Self::Pro,
            Tier::Enterprise => Self::Enterprise,
        }
    }
}

/// The caller.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Me")]
pub struct MeBody {
    /// The tenant that the key opens.
    pub organization: MeOrganization,
    /// The key that was used.
    pub api_key: MeApiKey,
    /// The budgets in force.
    pub rate_limits: MeRateLimits,
}

/// The caller's organization.
#[derive(Debug, Clone, Object)]
pub struct MeOrganization {
    /// `org_…`.
    pub id: String,
    /// Always `organization`.
    pub object: String,
    /// Its name.
    pub name: String,
}

/// The caller's key, without its secret.
#[derive(Debug, Clone, Object)]
pub struct MeApiKey {
    /// `key_…`.
    pub id: String,
    /// Always `api_key`.
    pub object: String,
    /// What the operator calls it.
    pub label: String,
    /// The last four characters of the secret.
    pub last4: String,
}

/// Capacities of the caller's two budgets.
#[derive(Debug, Clone, Object)]
pub struct MeRateLimits {
    /// The price tier.
    pub tier: TierWord,
    /// POST, PUT, PATCH and DELETE a minute.
    pub write_per_minute: u32,
    /// GET and HEAD a minute.
    pub read_per_minute: u32,
}

impl MeBody {
    /// What a key and its organization show of themselves.
    #[must_use]
    pub fn of(key: &ApiKey, organisation: &Organisation) -> Self {
        Self {
            organization: MeOrganization {
                id: organisation.id.to_string(),
                object: "organization".to_owned(),
                name: organisation.name.to_string(),
            },
            api_key: MeApiKey {
                id: key.id.to_string(),
                object: "api_key".to_owned(),
                label: key.label.to_string(),
                last4: key.last4.to_string(),
            },
            rate_limits: MeRateLimits {
                tier: organisation.tier.into(),
                write_per_minute: organisation.limits.write_per_minute,
                read_per_minute: organisation.limits.read_per_minute,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use poem_openapi::types::ToJSON;

    use super::*;

    #[test]
    fn tier_words_are_the_domains() {
        for tier in Tier::ALL {
            assert_eq!(TierWord::from(tier).to_json(), Some(tier.as_str().into()));
        }
    }
}
