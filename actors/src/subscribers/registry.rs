//! All subscribers in memory, and the writes of their rows.
//!
//! Invariants: readers see one consistent snapshot. A change is durable before it is visible, and visible before
//! it is acknowledged or told to the listener. Writers take turns. A change is written only over the row that it
//! was decided on.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kabar_core::clock::Clock;
use kabar_core::domain::plugin::Plugin;
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};
use kabar_core::domain::subscription::Subscription;
use kabar_core::ids::{MonotonicIds, OrganisationId, PluginId, SubscriptionId};
use kabar_core::store::{Store, StoreError};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::sync::{Mutex, MutexGuard};
use tokio_util::task::TaskTracker;

use super::listener::SubscriberListener;
use super::snapshot::SubscriberSnapshot;
use crate::audit::AuditedChanges;
use crate::error::AccountError;

pub(super) struct RegistryState {
    pub(super) store: Store,
    pub(super) clock: Arc<Clock>,
    pub(super) tasks: TaskTracker,
    snapshot: ArcSwap<SubscriberSnapshot>,
    /// Held by the task that writes a subscriber; the source of new ids.
    writing: Mutex<MonotonicIds<StdRng>>,
    listener: Arc<dyn SubscriberListener>,
}

/// Handle to all subscribers of this server. Cheap to clone.
#[derive(Clone)]
pub(crate) struct SubscriberRegistry(pub(super) Arc<RegistryState>);

impl AuditedChanges for SubscriberRegistry {
    fn clock_and_store(&self) -> (&Clock, &Store) {
        (&self.0.clock, &self.0.store)
    }
}

impl SubscriberRegistry {
    /// Loads the subscribers.
    pub(crate) async fn load_subscribers(
        store: Store,
        clock: Arc<Clock>,
        tasks: TaskTracker,
        listener: Arc<dyn SubscriberListener>,
    ) -> Result<Self, AccountError> {
        let rows = store.load_subscriptions().await;
        let rows = rows.map_err(|error| AccountError::from_store(&error, "subscriptions not read"))?;
        let plugins = store.load_plugins().await;
        let plugins = plugins.map_err(|error| AccountError::from_store(&error, "plugins not read"))?;
        let snapshot = SubscriberSnapshot::from_rows(rows, plugins, &clock.take_reading());
        Ok(Self(Arc::new(RegistryState {
            store,
            clock,
            tasks,
            snapshot: ArcSwap::from_pointee(snapshot),
            writing: Mutex::new(MonotonicIds::new(StdRng::from_rng(&mut rand::rng()))),
            listener,
        })))
    }

    pub(crate) fn current_snapshot(&self) -> Arc<SubscriberSnapshot> {
        self.0.snapshot.load_full()
    }

    /// Waits for this writer's turn, and returns the source of new ids.
    pub(crate) async fn lock_writing(&self) -> MutexGuard<'_, MonotonicIds<StdRng>> {
        self.0.writing.lock().await
    }

    /// Finds a tenant's webhook subscription.
    pub(crate) fn find_webhook(
        &self,
        organisation: OrganisationId,
        id: SubscriptionId,
    ) -> Option<Arc<Subscription>> {
        let found = self.current_snapshot().find_subscriber(SubscriberId::Webhook(id))?.get();
        subscription_of(&found).filter(|found| found.organisation_id == organisation)
    }

    /// Finds a plugin of any tenant.
    pub(crate) fn find_any_plugin(&self, id: PluginId) -> Option<Arc<Plugin>> {
        plugin_of(&self.current_snapshot().find_subscriber(SubscriberId::Hook(id))?.get())
    }

    /// Returns `true` when this is a subscriber of the tenant.
    pub(crate) fn has_subscriber(&self, organisation: OrganisationId, id: SubscriberId) -> bool {
        let snapshot = self.current_snapshot();
        snapshot.find_subscriber(id).is_some_and(|found| found.get().organisation_id() == organisation)
    }

    /// Shows changed subscribers to readers. The caller holds the writers' lock.
    pub(crate) fn publish_subscribers(&self, changed: impl IntoIterator<Item = Subscriber>) {
        let (mut next, now) =
            (SubscriberSnapshot::clone(&self.0.snapshot.load()), self.0.clock.take_reading());
        for subscriber in changed {
            next.put_subscriber(subscriber, &now);
        }
        self.0.snapshot.store(Arc::new(next));
    }

    /// Shows a changed webhook to readers. The caller holds the writers' lock.
    pub(super) fn publish_webhook(&self, row: &Arc<Subscription>) {
        self.publish_subscribers([Subscriber::Webhook(row.clone())]);
    }

    /// Shows a changed plugin to readers. The caller holds the writers' lock.
    pub(super) fn publish_plugin(&self, row: &Arc<Plugin>) {
        self.publish_subscribers([Subscriber::Hook(row.clone())]);
    }

    /// Tells the listener that a row has changed.
    pub(super) fn tell_change(&self, id: SubscriberId) {
        self.0.listener.note_change(id);
    }

    /// Removes a deleted subscriber from memory. The caller holds the writers' lock.
    pub(super) fn retire_subscriber(&self, id: SubscriberId) {
        let mut next = SubscriberSnapshot::clone(&self.0.snapshot.load());
        next.drop_subscriber(id, &self.0.clock.take_reading());
        self.0.snapshot.store(Arc::new(next));
        self.tell_change(id);
    }

    /// Removes the subscribers of a deleted tenant from memory.
    pub(crate) async fn retire_organisation(&self, id: OrganisationId) {
        let _turn = self.lock_writing().await;
        let ids: Vec<SubscriberId> =
            self.current_snapshot().of_organisation(id).map(|one| one.subscriber_id()).collect();
        for id in ids {
            self.retire_subscriber(id);
        }
    }

    /// Writes a changed subscription; `None` when another node has written it since it was read. The caller
    /// holds the writers' lock.
    pub(super) async fn write_webhook(
        &self,
        mut row: Subscription,
        store: &Store,
    ) -> Result<Option<Arc<Subscription>>, AccountError> {
        row.updated_at = self.0.clock.read_now().max(row.updated_at);
        let written = store.update_subscription(row).await;
        let written =
            written.map_err(|error| AccountError::from_store(&error, "subscription not written"))?;
        let Some(row) = written.map(Arc::new) else { return Ok(None) };
        self.publish_webhook(&row);
        self.tell_change(SubscriberId::Webhook(row.id));
        Ok(Some(row))
    }

    /// Reads a row again that another node has written, and publishes it; `None` when it was deleted. The
    /// caller holds the writers' lock.
    pub(super) async fn read_webhook(
        &self,
        id: SubscriptionId,
    ) -> Result<Option<Arc<Subscription>>, AccountError> {
        let found = self.0.store.find_subscription(id).await;
        let found = found.map_err(|error| AccountError::from_store(&error, "subscription not read"))?;
        let found = found.map(Arc::new);
        match &found {
            Some(row) => self.publish_webhook(row),
            None => self.retire_subscriber(SubscriberId::Webhook(id)),
        }
        Ok(found)
    }

    /// Reads a row again that another node has written, and publishes it; `None` when it was deleted. The
    /// caller holds the writers' lock.
    pub(super) async fn read_plugin(&self, id: PluginId) -> Result<Option<Arc<Plugin>>, AccountError> {
        let found = self.0.store.find_plugin(id).await;
        let found = found.map_err(|error| AccountError::from_store(&error, "plugins not read"))?;
        let found = found.map(Arc::new);
        match &found {
            Some(row) => self.publish_plugin(row),
            None => self.retire_subscriber(SubscriberId::Hook(id)),
        }
        Ok(found)
    }

    /// Reads the changes that other nodes have made after this revision of the directory. Returns the
    /// subscribers with delivery workers to be started or woken.
    pub(crate) async fn follow_changes(&self, after: i64) -> Result<Vec<SubscriberId>, StoreError> {
        let _turn = self.lock_writing().await;
        let (changed, deleted) = self.0.store.subscription_changes(after).await?;
        let changed: Vec<_> = changed.into_iter().map(|row| Subscriber::Webhook(Arc::new(row))).collect();
        let mut ids: Vec<_> = changed.iter().map(Subscriber::subscriber_id).collect();
        if !changed.is_empty() {
            self.publish_subscribers(changed);
        }
        let (plugins, uninstalled) = self.0.store.plugin_changes(after).await?;
        ids.extend(plugins.iter().map(|row| SubscriberId::Hook(row.id)));
        if !plugins.is_empty() {
            self.publish_subscribers(plugins.into_iter().map(|row| Subscriber::Hook(Arc::new(row))));
        }
        for id in &ids {
            self.tell_change(*id);
        }
        for id in deleted {
            self.retire_subscriber(SubscriberId::Webhook(id));
        }
        for id in uninstalled {
            self.retire_subscriber(SubscriberId::Hook(id));
        }
        Ok(ids)
    }
}

/// Returns the subscription of a webhook subscriber.
pub(super) fn subscription_of(subscriber: &Subscriber) -> Option<Arc<Subscription>> {
    match subscriber {
        Subscriber::Webhook(subscription) => Some(subscription.clone()),
        Subscriber::Hook(_) => None,
    }
}

/// Returns the plugin of a hook.
pub(super) fn plugin_of(subscriber: &Subscriber) -> Option<Arc<Plugin>> {
    match subscriber {
        Subscriber::Hook(plugin) => Some(plugin.clone()),
        Subscriber::Webhook(_) => None,
    }
}
