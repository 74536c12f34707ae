//! One consistent version of all subscribers.

use std::sync::Arc;

use imbl::{HashMap, OrdMap};
use kabar_core::clock::ClockReading;
use kabar_core::domain::plugin::Plugin;
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};
use kabar_core::domain::subscription::{Subscription, SubscriptionStatus};
use kabar_core::ids::{OrganisationId, SubscriptionId};

use super::subscriber::SubscriberState;

/// One version of the subscriber registry. Cheap to clone.
#[derive(Clone, Default)]
pub(crate) struct SubscriberSnapshot {
    states: OrdMap<(OrganisationId, SubscriberId), Arc<SubscriberState>>,
    organisations: HashMap<SubscriberId, OrganisationId>,
}

impl SubscriberSnapshot {
    pub(super) fn from_rows(
        subscriptions: Vec<Subscription>,
        plugins: Vec<Plugin>,
        now: &ClockReading,
    ) -> Self {
        let mut snapshot = Self::default();
        for row in subscriptions {
            snapshot.put_subscriber(Subscriber::Webhook(Arc::new(row)), now);
        }
        for row in plugins {
            snapshot.put_subscriber(Subscriber::Hook(Arc::new(row)), now);
        }
        snapshot
    }

    pub(super) fn put_subscriber(&mut self, subscriber: Subscriber, now: &ClockReading) {
        if let Some(known) = self.find_subscriber(subscriber.subscriber_id()) {
            known.set_subscriber(subscriber, now);
        } else {
            let (organisation, id) = (subscriber.organisation_id(), subscriber.subscriber_id());
            self.organisations.insert(id, organisation);
            self.states.insert((organisation, id), Arc::new(SubscriberState::new(subscriber, now)));
        }
    }

    /// Removes a subscriber; its delivery workers find it stopped, and end.
    pub(super) fn drop_subscriber(&mut self, id: SubscriberId, now: &ClockReading) {
        let Some(organisation) = self.organisations.remove(&id) else { return };
        if let Some(state) = self.states.remove(&(organisation, id)) {
            state.set_subscriber(stopped_subscriber(&state.get()), now);
        }
    }

    pub(crate) fn find_subscriber(&self, id: SubscriberId) -> Option<&Arc<SubscriberState>> {
        self.states.get(&(*self.organisations.get(&id)?, id))
    }

    pub(crate) fn all_subscribers(&self) -> impl Iterator<Item = &Arc<SubscriberState>> {
        self.states.values()
    }

    pub(crate) fn of_organisation(&self, id: OrganisationId) -> impl Iterator<Item = &Arc<SubscriberState>> {
        let first = (id, SubscriberId::Webhook(SubscriptionId::from_bits(0)));
        self.states.range(first..).take_while(move |((of, _), _)| *of == id).map(|(_, one)| one)
    }
}

/// Returns a deleted subscriber as inactive, so that its delivery workers stop.
fn stopped_subscriber(subscriber: &Subscriber) -> Subscriber {
    match subscriber {
        Subscriber::Webhook(row) => Subscriber::Webhook(Arc::new(Subscription {
            status: SubscriptionStatus::Disabled,
            ..Subscription::clone(row)
        })),
        Subscriber::Hook(row) => Subscriber::Hook(Arc::new(Plugin { enabled: false, ..Plugin::clone(row) })),
    }
}
