//! A webhook subscription: a URL that receives events, and the secrets that sign them.

use std::sync::Arc;

use super::account::Secret;
use super::event::{EventType, EventTypes};
use super::principal::Principal;
use super::row_version::RowVersion;
use super::time::Timestamp;
use crate::ids::{OrganisationId, SigningSecretId, SubscriptionId};

/// Consecutive deliveries given up that disable a subscription (contract, section 11).
pub const DEAD_IN_ROW_MAX: u32 = 24;

/// Secrets in force at a time for one subscription, at most.
pub const SIGNING_SECRETS_MAX: usize = 10;

/// State of a subscription.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum SubscriptionStatus {
    /// Its events are delivered.
    Active,
    /// Its events wait until the tenant resumes it. It was paused by the tenant, or by its receiver with
    /// status 410.
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

/// Form of the requests of a subscription.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum WebhookFormat {
    /// Events as the log shows them.
    #[default]
    Kabar,
    /// Messages and statuses in the form of Meta's own webhooks, everything else in Kirimdev's.
    Meta,
}

impl WebhookFormat {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Kabar, Self::Meta];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Kabar => "kabar",
            Self::Meta => "meta",
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
    /// `whsec_…` in full: deliveries are signed with it.
    pub secret: Secret,
    /// Time at which it was created.
    pub created_at: Timestamp,
    /// Its creator.
    pub created_by: Principal,
    /// From this time on it no longer signs.
    pub expires_at: Option<Timestamp>,
}

/// A subscription.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Subscription {
    /// `wbs_…`.
    pub id: SubscriptionId,
    /// The tenant.
    pub organisation_id: OrganisationId,
    /// URL that deliveries are sent to.
    pub url: Arc<str>,
    /// Event types that it receives.
    pub events: EventTypes,
    /// Form of its requests.
    pub format: WebhookFormat,
    /// Description, in readable form.
    pub description: Option<Arc<str>>,
    /// State.
    pub status: SubscriptionStatus,
    /// Deliveries given up since the last one that was accepted.
    pub dead_in_row: u32,
    /// Its secrets, oldest first.
    pub secrets: Vec<SigningSecret>,
    /// Time at which it was created.
    pub created_at: Timestamp,
    /// Its creator.
    pub created_by: Principal,
    /// Time of its last change.
    pub updated_at: Timestamp,
    /// Number of writes of the row.
    pub row_version: RowVersion,
}

impl Subscription {
    /// Returns the event types that its requests are made of. In Meta's form `message.status` stands for all that
    /// WhatsApp reports.
    #[must_use]
    pub fn read_types(&self) -> EventTypes {
        let adds = self.format == WebhookFormat::Meta && self.events.contains_type(EventType::MessageStatus);
        self.events.iter().chain(adds.then_some(EventType::MessageStatusReported)).collect()
    }

    /// Returns the type under which it knows events of this type.
    #[must_use]
    pub const fn told_type(&self, one: EventType) -> EventType {
        match (self.format, one) {
            (WebhookFormat::Meta, EventType::MessageStatusReported) => EventType::MessageStatus,
            (WebhookFormat::Meta | WebhookFormat::Kabar, _) => one,
        }
    }

    /// Returns the secrets that sign at this instant, newest first.
    pub fn signing_at(&self, now: Timestamp) -> impl Iterator<Item = &SigningSecret> {
        self.secrets.iter().rev().filter(move |one| one.expires_at.is_none_or(|at| now < at))
    }
}
