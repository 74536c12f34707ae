//! A webhook subscription: an address that wants events, and the secrets that sign them.

use std::sync::Arc;

use super::account::Secret;
use super::event::EventTypes;
use super::row_version::RowVersion;
use super::time::Timestamp;
use crate::ids::{OrganisationId, SigningSecretId, SubscriptionId};

/// Deliveries given up in a row that disable a subscription (contract, section 11).
pub const DEAD_IN_ROW_MAX: u32 = 24;

/// Secrets that one subscription may have in force at a time.
pub const SIGNING_SECRETS_MAX: usize = 10;

/// Whether a subscription gets what it wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubscriptionStatus {
    /// It does.
    Active,
    /// Its events wait until the tenant, who stopped it, or its receiver, who answered 410, lets them go on.
    Paused,
    /// Its events wait, because too many in a row were given up.
    Disabled,
}

impl SubscriptionStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Active, Self::Paused, Self::Disabled];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Paused => "paused",
            Self::Disabled => "disabled",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// A secret of a subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SigningSecret {
    /// `sec_…`.
    pub id: SigningSecretId,
    /// `whsec_…`, whole: deliveries are signed with it.
    pub secret: Secret,
    /// When it was made.
    pub created_at: Timestamp,
    /// From then on it signs no more.
    pub expires_at: Option<Timestamp>,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// `wbs_…`.
    pub id: SubscriptionId,
    /// The tenant.
    pub organisation_id: OrganisationId,
    /// Where deliveries go.
    pub url: Arc<str>,
    /// What it wants.
    pub events: EventTypes,
    /// For a human.
    pub description: Option<Arc<str>>,
    /// Whether it gets it.
    pub status: SubscriptionStatus,
    /// Deliveries given up since the last one that was taken.
    pub dead_in_row: u32,
    /// Its secrets, oldest first.
    pub secrets: Vec<SigningSecret>,
    /// When it was made.
    pub created_at: Timestamp,
    /// When it changed last.
    pub updated_at: Timestamp,
    /// How often the row was written.
    pub row_version: RowVersion,
}

impl Subscription {
    /// The secrets that sign at this instant, newest first.
    pub fn signing_at(&self, now: Timestamp) -> impl Iterator<Item = &SigningSecret> {
        self.secrets.iter().rev().filter(move |one| one.expires_at.is_none_or(|at| now < at))
    }
}
