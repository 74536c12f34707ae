//! Somebody who wants events, whatever kind of somebody it is: couriers know no more than this.

use std::fmt;
use std::sync::Arc;

use super::delivery::Ladder;
use super::event::EventTypes;
use super::subscription::{Subscription, SubscriptionStatus};
use crate::ids::{OrganisationId, SubscriptionId};

/// Which subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubscriberId {
    /// A webhook subscription.
    Webhook(SubscriptionId),
}

impl fmt::Display for SubscriberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(id) => id.fmt(f),
        }
    }
}

/// See the module.
#[derive(Debug, Clone)]
pub enum Subscriber {
    /// A webhook subscription.
    Webhook(Arc<Subscription>),
}

impl Subscriber {
    /// Which one.
    #[must_use]
    pub fn id(&self) -> SubscriberId {
        match self {
            Self::Webhook(subscription) => SubscriberId::Webhook(subscription.id),
        }
    }

    /// Whose.
    #[must_use]
    pub fn organisation_id(&self) -> OrganisationId {
        match self {
            Self::Webhook(subscription) => subscription.organisation_id,
        }
    }

    /// What it wants.
    #[must_use]
    pub fn events(&self) -> EventTypes {
        match self {
            Self::Webhook(subscription) => subscription.events,
        }
    }

    /// Whether it is to be brought anything now.
    #[must_use]
    pub fn is_active(&self) -> bool {
        match self {
            Self::Webhook(subscription) => subscription.status == SubscriptionStatus::Active,
        }
    }

    /// How often, and after which pauses, it is tried.
    #[must_use]
    pub const fn ladder(&self) -> Ladder {
        match self {
            Self::Webhook(_) => Ladder::WEBHOOK,
        }
    }
}
