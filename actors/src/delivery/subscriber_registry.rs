//! Subscribers to events, and their changes.
//!
//! Invariants: readers see one consistent subscriber registry. A change is durable before it is visible, and
//! visible before it is acknowledged. Writers take turns.

mod changes;

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use imbl::{HashMap, OrdMap};
use kabar_core::cause::cause;
use kabar_core::clock::ClockReading;
use kabar_core::domain::account::Secret;
use kabar_core::domain::delivery::{Delivery, DeliveryStatus};
use kabar_core::domain::event::EventTypes;
use kabar_core::domain::plugin::Plugin;
use kabar_core::domain::row_version::RowVersion;
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};
use kabar_core::domain::subscription::{SigningSecret, Subscription, SubscriptionStatus};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{IdSource, OrganisationId, SigningSecretId, SubscriptionId};
use kabar_core::store::{DeliveryWork, StoreError};
use rand::RngExt as _;

use super::subscriber_state::SubscriberState;
use super::{DeliveryDispatcher, subscription_of};
use crate::accounts::AccountError;
use crate::idempotency::KeyClaim;

/// Random bytes of a signing secret; 32 characters of base64url.
const SECRET_BYTES: usize = 24;

/// A subscription to be created.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// Target URL of the deliveries; validated already.
    pub url: Arc<str>,
    /// At least one type.
    pub events: EventTypes,
    /// Description for a person.
    pub description: Option<Arc<str>>,
}

/// Changes of a subscription; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionPatch {
    /// New URL; validated already.
    pub url: Option<Arc<str>>,
    /// New types; they also hold for committed events that are not deliveries yet.
    pub events: Option<EventTypes>,
    /// New description, or none.
    pub description: Option<Option<Arc<str>>>,
    /// Stop (`Paused`), or resume (`Active`) with all events that were committed meanwhile.
    pub status: Option<SubscriptionStatus>,
}

/// One version of the subscriber registry. Cheap to clone.
#[derive(Clone, Default)]
pub(super) struct SubscriberRegistry {
    recipients: OrdMap<(OrganisationId, SubscriberId), Arc<SubscriberState>>,
    organisations: HashMap<SubscriberId, OrganisationId>,
}

impl SubscriberRegistry {
    pub(super) fn for_account(
        subscriptions: Vec<Subscription>,
        plugins: Vec<Plugin>,
        now: &ClockReading,
    ) -> Self {
        let mut registry = Self::default();
        for row in subscriptions {
            registry.put_subscriber(Subscriber::Webhook(Arc::new(row)), now);
        }
        for row in plugins {
            registry.put_subscriber(Subscriber::Hook(Arc::new(row)), now);
        }
        registry
    }

    pub(super) fn put_subscriber(&mut self, subscriber: Subscriber, now: &ClockReading) {
        if let Some(recipient) = self.find_subscriber(subscriber.subscriber_id()) {
            recipient.set_subscriber(subscriber, now);
        } else {
            let (organisation, id) = (subscriber.organisation_id(), subscriber.subscriber_id());
            self.organisations.insert(id, organisation);
            self.recipients.insert((organisation, id), Arc::new(SubscriberState::new(subscriber, now)));
        }
    }

    pub(super) fn drop(&mut self, id: SubscriberId) -> Option<Arc<SubscriberState>> {
        let organisation = self.organisations.remove(&id)?;
        self.recipients.remove(&(organisation, id))
    }

    pub(super) fn find_subscriber(&self, id: SubscriberId) -> Option<&Arc<SubscriberState>> {
        self.recipients.get(&(*self.organisations.get(&id)?, id))
    }

    pub(super) fn all_subscribers(&self) -> impl Iterator<Item = &Arc<SubscriberState>> {
        self.recipients.values()
    }

    pub(super) fn of_organisation(&self, id: OrganisationId) -> impl Iterator<Item = &Arc<SubscriberState>> {
        let first = (id, SubscriberId::Webhook(SubscriptionId::from_bits(0)));
        self.recipients.range(first..).take_while(move |((of, _), _)| *of == id).map(|(_, one)| one)
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

fn unwritten(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "subscription not written")
}

fn fresh_secret(ids: &mut dyn IdSource, now: Timestamp) -> SigningSecret {
    let entropy: [u8; SECRET_BYTES] = rand::rng().random();
    SigningSecret {
        id: SigningSecretId::from_bits(ids.next_bits(now.millis())),
        secret: Secret::new(&format!("whsec_{}", URL_SAFE_NO_PAD.encode(entropy))),
        created_at: now,
        expires_at: None,
    }
}

impl DeliveryDispatcher {
    pub(super) fn publish_registry(&self, change: impl FnOnce(&mut SubscriberRegistry)) {
        let mut next = SubscriberRegistry::clone(&self.0.registry.load());
        change(&mut next);
        self.0.registry.store(Arc::new(next));
    }

    /// Lists a tenant's subscriptions, newest first.
    #[must_use]
    pub fn subscriptions_of(&self, organisation: OrganisationId) -> Vec<Arc<Subscription>> {
        let registry = self.0.registry.load();
        let rows = registry.of_organisation(organisation).filter_map(|one| subscription_of(&one.get()));
        let mut rows: Vec<_> = rows.collect();
        rows.reverse();
        rows
    }

    /// Finds a tenant's subscription.
    #[must_use]
    pub fn find_subscription(
        &self,
        organisation: OrganisationId,
        id: SubscriptionId,
    ) -> Option<Arc<Subscription>> {
        let registry = self.0.registry.load();
        let found = registry.find_subscriber(SubscriberId::Webhook(id))?.get();
        subscription_of(&found).filter(|found| found.organisation_id == organisation)
    }

    /// Returns `true` when this is a subscriber of the tenant.
    pub(super) fn has_subscriber(&self, organisation: OrganisationId, id: SubscriberId) -> bool {
        self.0
            .registry
            .load()
            .find_subscriber(id)
            .is_some_and(|found| found.get().organisation_id() == organisation)
    }

    fn put_subscriber(&self, next: &mut SubscriberRegistry, row: &Subscription) {
        next.put_subscriber(Subscriber::Webhook(Arc::new(row.clone())), &self.0.clock.take_reading());
    }

    /// Creates a subscription, which begins with the next event of each account. It contains its first signing
    /// secret. `None` when the tenant has the largest allowed number.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn create_subscription(
        &self,
        organisation_id: OrganisationId,
        new: NewSubscription,
        claim: Option<KeyClaim<Arc<Subscription>>>,
    ) -> Result<Option<Arc<Subscription>>, AccountError> {
        let mut ids = self.0.writing.lock().await;
        if self.subscriptions_of(organisation_id).len() >= self.0.tenant_subscriptions {
            return Ok(None);
        }
        let now = self.0.clock.read_now();
        let subscription = Subscription {
            id: SubscriptionId::from_bits(ids.next_bits(now.millis())),
            organisation_id,
            url: new.url,
            events: new.events,
            description: new.description,
            status: SubscriptionStatus::Active,
            dead_in_row: 0,
            secrets: vec![fresh_secret(&mut *ids, now)],
            created_at: now,
            updated_at: now,
            row_version: RowVersion::FIRST,
        };
        let subscription = Arc::new(subscription);
        let answer = claim.as_ref().map(|claim| claim.build_record(&subscription, now));
        let inserted = self.0.store.insert_subscription(&subscription, answer.as_ref()).await;
        inserted.map_err(|error| unwritten(&error))?;
        if let Some(claim) = &claim {
            claim.note_answered();
        }
        self.publish_registry(|next| self.put_subscriber(next, &subscription));
        let id = SubscriberId::Webhook(subscription.id);
        // Commits between the cursor and this moment have notified no delivery worker of it.
        self.take_up_all(DeliveryWork::Of(id)).await;
        Ok(Some(subscription))
    }

    /// Deletes a subscription; `false` when the tenant has none of this id.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn delete_subscription(
        &self,
        organisation: OrganisationId,
        id: SubscriptionId,
    ) -> Result<bool, AccountError> {
        let _turn = self.0.writing.lock().await;
        if self.find_subscription(organisation, id).is_none() {
            return Ok(false);
        }
        let deleted = self.0.store.delete_subscription(id, self.0.clock.read_now()).await;
        deleted.map_err(|error| unwritten(&error))?;
        self.retire_subscriber(SubscriberId::Webhook(id));
        Ok(true)
    }

    /// Removes a subscriber from the registry; its delivery workers find it stopped, and end.
    pub(super) fn retire_subscriber(&self, id: SubscriberId) {
        self.publish_registry(|next| {
            if let Some(recipient) = next.drop(id) {
                recipient.set_subscriber(stopped_subscriber(&recipient.get()), &self.0.clock.take_reading());
            }
        });
        self.look_all(id);
    }

    /// Reads the changes that other nodes have made after this revision of the directory. Returns the
    /// subscribers with delivery workers to be started or woken.
    pub(crate) async fn follow_changes(&self, after: i64) -> Result<Vec<SubscriberId>, StoreError> {
        let _turn = self.0.writing.lock().await;
        let (changed, deleted) = self.0.store.subscription_changes(after).await?;
        let mut ids: Vec<_> = changed.iter().map(|row| SubscriberId::Webhook(row.id)).collect();
        if !changed.is_empty() {
            self.publish_registry(|next| changed.iter().for_each(|row| self.put_subscriber(next, row)));
        }
        let (plugins, uninstalled) = self.0.store.plugin_changes(after).await?;
        ids.extend(plugins.iter().map(|row| SubscriberId::Hook(row.id)));
        if !plugins.is_empty() {
            let now = self.0.clock.take_reading();
            self.publish_registry(|next| {
                for row in plugins {
                    next.put_subscriber(Subscriber::Hook(Arc::new(row)), &now);
                }
            });
        }
        for id in &ids {
            self.look_all(*id);
        }
        for id in deleted {
            self.retire_subscriber(SubscriberId::Webhook(id));
        }
        for id in uninstalled {
            self.retire_subscriber(SubscriberId::Hook(id));
        }
        Ok(ids)
    }

    /// Counts these outcomes for a subscriber's health; too many failures stop the subscriber.
    pub(super) async fn note_health(&self, recipient: &SubscriberState, ended: &[Delivery]) {
        let (mut taken, mut deaths) = (false, 0_u32);
        for delivery in ended {
            match delivery.status {
                DeliveryStatus::Delivered => (taken, deaths) = (true, 0),
                DeliveryStatus::Dead => deaths = deaths.saturating_add(1),
                DeliveryStatus::Pending | DeliveryStatus::Failed => {}
            }
        }
        let Some(known) = subscription_of(&recipient.get()) else { return };
        let gone = recipient.take_gone();
        if deaths == 0 && !gone && (!taken || known.dead_in_row == 0) {
            return;
        }
        let _turn = self.0.writing.lock().await;
        let noted = match self.0.store.note_deaths(known.id, taken, deaths).await {
            Ok(Some(noted)) => noted,
            Ok(None) => return,
            Err(error) => {
                return tracing::error!(error = cause(&error), "health of a subscription not noted");
            }
        };
        let Some(row) = self.noted(&known, &noted).await else { return };
        if gone && row.status == SubscriptionStatus::Active {
            // The error is logged; the next 410 tries again.
            let paused = Subscription { status: SubscriptionStatus::Paused, ..Subscription::clone(&row) };
            let _unavailable = self.rewrite_registry(paused).await;
            tracing::warn!(subscription = %known.id, "the receiver is gone; subscription paused");
            return;
        }
        if row.status != known.status {
            tracing::warn!(subscription = %known.id, status = row.status.as_str(), "subscription stopped");
            self.look_all(SubscriberId::Webhook(row.id));
        }
    }
}
