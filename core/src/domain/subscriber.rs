//! Subscribers: webhook subscriptions and plugins that receive events. Delivery workers use only what both
//! share.

use std::fmt;
use std::sync::Arc;

use super::account::Account;
use super::event::{EventType, EventTypes};
use super::plugin::Plugin;
use super::subscription::{Subscription, SubscriptionStatus};
use crate::ids::{OrganisationId, PluginId, SubscriptionId};
use crate::policy::retry_schedule::RetrySchedule;

/// Id of a subscriber.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum SubscriberId {
    /// A webhook subscription.
    Webhook(SubscriptionId),
    /// A plugin.
    Hook(PluginId),
}

impl SubscriberId {
    /// Returns the subscription's id, or `None` for a plugin.
    #[must_use]
    pub const fn for_webhook(self) -> Option<SubscriptionId> {
        match self {
            Self::Webhook(id) => Some(id),
            Self::Hook(_) => None,
        }
    }

    /// Reads `wbs_…` or `plg_…`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let webhook = SubscriptionId::parse(text).ok().map(Self::Webhook);
        webhook.or_else(|| PluginId::parse(text).ok().map(Self::Hook))
    }
}

impl fmt::Display for SubscriberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Webhook(id) => id.fmt(f),
            Self::Hook(id) => id.fmt(f),
        }
    }
}

/// A receiver of a tenant's events.
#[derive(Debug, Clone)]
pub enum Subscriber {
    /// A webhook subscription.
    Webhook(Arc<Subscription>),
    /// A plugin.
    Hook(Arc<Plugin>),
}

impl Subscriber {
    /// Returns its id.
    #[must_use]
    pub fn subscriber_id(&self) -> SubscriberId {
        match self {
            Self::Webhook(subscription) => SubscriberId::Webhook(subscription.id),
            Self::Hook(plugin) => SubscriberId::Hook(plugin.id),
        }
    }

    /// Returns its tenant.
    #[must_use]
    pub fn organisation_id(&self) -> OrganisationId {
        match self {
            Self::Webhook(subscription) => subscription.organisation_id,
            Self::Hook(plugin) => plugin.organisation_id,
        }
    }

    /// Returns the event types that it receives.
    #[must_use]
    pub fn event_types(&self) -> EventTypes {
        match self {
            Self::Webhook(subscription) => subscription.read_types(),
            Self::Hook(plugin) => plugin.events,
        }
    }

    /// Returns the type under which it knows events of this type.
    #[must_use]
    pub fn told_type(&self, one: EventType) -> EventType {
        match self {
            Self::Webhook(subscription) => subscription.told_type(one),
            Self::Hook(_) => one,
        }
    }

    /// Returns `true` when it receives events of this account of its tenant.
    #[must_use]
    pub fn hears_event(&self, account: &Account) -> bool {
        match self {
            Self::Webhook(_) => true,
            Self::Hook(plugin) => plugin.hears_event(&account.phone_number_id),
        }
    }

    /// Returns `true` when deliveries to it may be attempted now.
    #[must_use]
    pub fn is_active(&self) -> bool {
        match self {
            Self::Webhook(subscription) => subscription.status == SubscriptionStatus::Active,
            Self::Hook(plugin) => plugin.is_running(),
        }
    }

    /// Returns the schedule of its delivery attempts.
    #[must_use]
    pub const fn retry_schedule(&self) -> RetrySchedule {
        match self {
            Self::Webhook(_) => RetrySchedule::WEBHOOK,
            Self::Hook(_) => RetrySchedule::HOOK,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_say_what_kind_they_are() {
        for id in
            [SubscriberId::Webhook(SubscriptionId::from_bits(7)), SubscriberId::Hook(PluginId::from_bits(7))]
        {
            assert_eq!(SubscriberId::parse(&id.to_string()), Some(id));
        }
        assert_eq!(SubscriberId::parse("run_0000000000000000000000000A"), None);
    }
}
