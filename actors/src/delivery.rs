//! Facade of the delivery workers: knows the subscribers, wakes the delivery workers that have something to
//! deliver, and starts those that are not running.
//!
//! Invariants: a subscriber and an account have at most one delivery worker here. A notification only wakes it.
//! A delivery worker that died is started again. A subscriber with nothing to deliver costs its row in memory
//! and no more.

mod attempt;
mod lanes;
mod plugins;
mod replay;
mod run_recorder;
mod subscriber_health;
mod subscriber_registry;
mod subscriber_state;
#[cfg(test)]
mod tests;
mod worker;

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use kabar_core::cause::cause;
use kabar_core::clock::Clock;
use kabar_core::domain::event::EventTypes;
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};
use kabar_core::domain::subscription::Subscription;
use kabar_core::ids::MonotonicIds;
use kabar_core::metrics::Metrics;
use kabar_core::ports::EventSink;
use kabar_core::store::{DeliveryWork, Store, StoreError};
use ractor::{Actor, ActorCell, ActorRef};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account_entry::AccountEntry;
use crate::accounts::AccountError;
use crate::cluster::Cluster;
use crate::tenants::TenantDirectory;
pub use plugins::{NewPlugin, PluginPatch, PluginRefusal, ReplayFrom, ReplayedRuns};
pub use replay::{ReplayedDeliveries, ReplayedLog};
use subscriber_registry::SubscriberRegistry;
pub use subscriber_registry::{NewSubscription, SubscriptionPatch};
use subscriber_state::SubscriberState;
use worker::{DeliveryWorker, DeliveryWorkerActor, DeliveryWorkerMessage};

/// Pause before a delivery worker that died is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Entry of one delivery worker in the dispatcher. It lives as long as the worker.
struct WorkerEntry {
    /// Set once it has started.
    worker: OnceLock<ActorRef<DeliveryWorkerMessage>>,
    /// Sequence number of the last event that is known to be committed.
    head: AtomicI64,
    /// Set when there may be new events since the delivery worker last looked.
    rung: AtomicBool,
    /// Set when the delivery worker must read log and rows again: they may have changed, and not by `head`
    /// alone.
    reread: AtomicBool,
    /// Events that it still has to deliver or to look at.
    waiting: AtomicI64,
}

impl WorkerEntry {
    /// Wakes the delivery worker: for events up to `head`, or to read everything again. Only under the lock of
    /// the entries.
    fn ring(&self, head: Option<i64>) {
        match head {
            Some(head) => drop(self.head.fetch_max(head, Ordering::AcqRel)),
            None => self.reread.store(true, Ordering::Release),
        }
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Some(worker) = self.worker.get()
        {
            // A worker that has died is noticed and started again.
            let _gone = worker.cast(DeliveryWorkerMessage::Look);
        }
    }
}

type WorkerEntries = HashMap<(SubscriberId, i64), Arc<WorkerEntry>>;

pub(crate) struct DispatcherState {
    store: Store,
    directory: TenantDirectory,
    cluster: Cluster,
    clock: Arc<Clock>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    stopping: CancellationToken,
    supervisor: ActorCell,
    sink: Arc<dyn EventSink>,
    /// Most subscriptions of one tenant.
    tenant_subscriptions: usize,
    registry: ArcSwap<SubscriberRegistry>,
    /// Held by the task that changes the subscriber registry; the source of its new ids.
    writing: tokio::sync::Mutex<MonotonicIds<StdRng>>,
    entries: Mutex<WorkerEntries>,
    /// Has accounts carry out the effects that hooks request.
    effects: OnceLock<EffectNotifier>,
}

/// Callback that makes an account look for waiting effects.
pub(crate) type EffectNotifier = Box<dyn Fn(&Arc<AccountEntry>) + Send + Sync>;

/// Dependencies of [`DeliveryDispatcher::open`].
pub(crate) struct DeliveryDispatcherParts {
    pub(crate) store: Store,
    pub(crate) directory: TenantDirectory,
    pub(crate) cluster: Cluster,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    pub(crate) supervisor: ActorCell,
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) tenant_subscriptions: usize,
}

/// Handle to the subscribers and delivery workers of this server. Cheap to clone.
#[derive(Clone)]
pub struct DeliveryDispatcher(Arc<DispatcherState>);

impl DeliveryDispatcher {
    /// Loads the subscribers. Nothing is delivered before the first notification.
    pub(crate) async fn open(parts: DeliveryDispatcherParts) -> Result<Self, AccountError> {
        let rows = parts.store.load_subscriptions().await;
        let rows = rows.map_err(|error| AccountError::from_store(&error, "subscriptions not read"))?;
        let plugins = parts.store.load_plugins().await;
        let plugins = plugins.map_err(|error| AccountError::from_store(&error, "plugins not read"))?;
        let registry = SubscriberRegistry::for_account(rows, plugins, &parts.clock.take_reading());
        Ok(Self(Arc::new(DispatcherState {
            store: parts.store,
            directory: parts.directory,
            cluster: parts.cluster,
            clock: parts.clock,
            metrics: parts.metrics,
            tasks: parts.tasks,
            stopping: parts.stopping,
            supervisor: parts.supervisor,
            sink: parts.sink,
            tenant_subscriptions: parts.tenant_subscriptions,
            registry: ArcSwap::from_pointee(registry),
            writing: tokio::sync::Mutex::new(MonotonicIds::new(StdRng::from_rng(&mut rand::rng()))),
            entries: Mutex::default(),
            effects: OnceLock::new(),
        })))
    }

    /// Completes a write even if its caller does not wait for it any more.
    ///
    /// # Errors
    /// The errors of `work`, and [`AccountError::Crashed`].
    pub async fn to_the_end<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, AccountError>> + Send + 'static,
    ) -> Result<T, AccountError> {
        self.0.tasks.spawn(work).await.unwrap_or(Err(AccountError::Crashed))
    }

    /// Sets the callback that carries out the effects of hooks.
    pub(crate) fn open_effects(&self, carry_out: EffectNotifier) {
        let _set_before = self.0.effects.set(carry_out);
    }

    fn carry_out(&self, slot: &Arc<AccountEntry>) {
        if let Some(carry_out) = self.0.effects.get() {
            carry_out(slot);
        }
    }

    /// Notifies the subscribers that an account has committed events of these types, the last of this number.
    pub(crate) fn ring(&self, slot: &Arc<AccountEntry>, sequence: i64, types: EventTypes) {
        let (registry, account) = (self.0.registry.load(), slot.current_account());
        for recipient in registry.of_organisation(account.organisation_id) {
            let subscriber = recipient.get();
            if subscriber.is_active()
                && subscriber.event_types().intersects_with(types)
                && subscriber.hears_event(&account)
            {
                self.summon(recipient, slot, Some(sequence));
            }
        }
    }

    /// Returns `true` when an active subscriber of the account's tenant exists.
    pub(crate) fn is_wanted(&self, slot: &AccountEntry) -> bool {
        let registry = self.0.registry.load();
        let mut wanting = registry.of_organisation(slot.current_account().organisation_id);
        wanting.any(|recipient| recipient.get().is_active())
    }

    /// Returns `true` when the account's tenant has a plugin.
    pub(crate) fn has_plugins(&self, slot: &AccountEntry) -> bool {
        let registry = self.0.registry.load();
        registry
            .of_organisation(slot.current_account().organisation_id)
            .any(|one| one.run_recorder().is_some())
    }

    /// Finds the subscribers with open deliveries, and the short numbers of the accounts.
    pub(crate) async fn work(&self, work: DeliveryWork) -> Result<Vec<(SubscriberId, i64)>, StoreError> {
        self.0.store.delivery_work(work).await
    }

    /// Wakes the delivery worker of this subscriber and account, and starts it if need be. It reads log and
    /// rows again, because it was not notified of events that were committed while the subscriber did not want
    /// them.
    pub(crate) fn take_up(&self, subscriber: SubscriberId, slot: &Arc<AccountEntry>) {
        let recipient = self.0.registry.load().find_subscriber(subscriber).cloned();
        let wants = |one: &Subscriber| one.is_active() && one.hears_event(&slot.current_account());
        if let Some(recipient) = recipient.filter(|recipient| wants(&recipient.get())) {
            self.summon(&recipient, slot, None);
        }
    }

    /// Wakes or starts the delivery workers with open deliveries, of accounts that are served here. What cannot
    /// be read is logged.
    pub(crate) async fn take_up_all(&self, work: DeliveryWork) {
        match self.work(work).await {
            Ok(found) => {
                for (subscriber, account) in found {
                    if let Some(slot) = self.0.directory.account_of_row(account)
                        && self.serves(&slot)
                    {
                        self.take_up(subscriber, &slot);
                    }
                }
            }
            Err(error) => tracing::error!(error = cause(&error), "delivery workers not started"),
        }
    }

    /// Returns `true` when delivery workers of this account may run here. Where there are other nodes, the
    /// account must be in memory. Any other node that serves it reads the changes of the directory itself.
    fn serves(&self, slot: &AccountEntry) -> bool {
        !self.0.cluster.is_shared() || slot.loaded_account().is_some()
    }

    fn entries(&self) -> std::sync::MutexGuard<'_, WorkerEntries> {
        // No thread panics half-way through a change of it.
        self.0.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes or starts a delivery worker: for events up to `head`, or to read everything again.
    fn summon(&self, recipient: &Arc<SubscriberState>, slot: &Arc<AccountEntry>, head: Option<i64>) {
        let key = (recipient.subscriber_id(), slot.current_account().number);
        let mut entries = self.entries();
        if let Some(entry) = entries.get(&key) {
            return entry.ring(head);
        }
        if self.0.stopping.is_cancelled() || !self.0.cluster.is_serving() || !self.serves(slot) {
            return;
        }
        let entry = Arc::new(WorkerEntry {
            worker: OnceLock::new(),
            head: AtomicI64::new(head.unwrap_or(0)),
            rung: AtomicBool::new(true),
            reread: AtomicBool::new(false),
            waiting: AtomicI64::new(0),
        });
        entries.insert(key, entry.clone());
        drop(entries);
        let (dispatcher, recipient, slot) = (self.clone(), recipient.clone(), slot.clone());
        self.0.tasks.spawn(async move { dispatcher.employ(recipient, slot, entry).await });
    }

    /// Starts a delivery worker and waits until it ends.
    async fn employ(self, recipient: Arc<SubscriberState>, slot: Arc<AccountEntry>, entry: Arc<WorkerEntry>) {
        let key = (recipient.subscriber_id(), slot.current_account().number);
        let worker = DeliveryWorker::new(self.clone(), recipient.clone(), slot.clone(), entry.clone());
        let supervisor = self.0.supervisor.clone();
        match Actor::spawn_linked(None, DeliveryWorkerActor, worker, supervisor).await {
            Ok((worker, ended)) => {
                let _set_before = entry.worker.set(worker.clone());
                if !self.has(&key, &entry) {
                    worker.stop(None);
                }
                let _just_started = worker.cast(DeliveryWorkerMessage::Look);
                tokio::select! {
                    _ended = ended => {}
                    () = self.0.stopping.cancelled() => return,
                }
            }
            Err(error) => tracing::error!(error = cause(&error), "delivery worker not started"),
        }
        if !self.has(&key, &entry) {
            // It closed its entry, or was released.
            return;
        }
        self.0.metrics.delivery_worker_crashes.inc();
        tracing::error!(subscriber = %key.0, account = %slot.current_account().id, "delivery worker died; starting it again");
        tokio::select! {
            () = self.0.clock.sleep_for(RESTART_AFTER) => {}
            () = self.0.stopping.cancelled() => return,
        }
        if self.remove(&key, &entry) {
            self.take_up(key.0, &slot);
        }
    }

    fn has(&self, key: &(SubscriberId, i64), entry: &Arc<WorkerEntry>) -> bool {
        self.entries().get(key).is_some_and(|found| Arc::ptr_eq(found, entry))
    }

    fn remove(&self, key: &(SubscriberId, i64), entry: &Arc<WorkerEntry>) -> bool {
        let mut entries = self.entries();
        let found = entries.get(key).is_some_and(|found| Arc::ptr_eq(found, entry));
        if found {
            entries.remove(key);
        }
        found
    }

    /// Removes a delivery worker's entry; `false` when it has been notified since it last looked.
    fn close(&self, subscriber: &SubscriberId, account: i64, entry: &Arc<WorkerEntry>) -> bool {
        let mut entries = self.entries();
        // Notifications are set under this lock, so none is missed.
        if entry.rung.load(Ordering::Acquire) {
            return false;
        }
        let key = (*subscriber, account);
        if entries.get(&key).is_some_and(|found| Arc::ptr_eq(found, entry)) {
            entries.remove(&key);
        }
        if matches!(subscriber, SubscriberId::Hook(_))
            && !entries.keys().any(|(other, _)| other == subscriber)
            && let Some(recipient) = self.0.registry.load().find_subscriber(*subscriber)
            && let Some(recorder) = recipient.run_recorder()
        {
            recorder.forget_values();
        }
        true
    }

    /// Has a subscriber's delivery workers read its current row.
    fn look_all(&self, subscriber: SubscriberId) {
        for entry in self.entries().iter().filter(|((of, _), _)| *of == subscriber).map(|(_, entry)| entry) {
            entry.ring(None);
        }
    }

    /// Ends every delivery worker: this server does not serve their accounts any more.
    pub(crate) fn let_go(&self) {
        let entries = std::mem::take(&mut *self.entries());
        for entry in entries.values() {
            if let Some(worker) = entry.worker.get() {
                worker.stop(None);
            }
        }
    }

    /// Updates the delivery workers' gauges.
    pub(crate) fn refresh_gauges(&self) {
        let (workers, backlog) = {
            let entries = self.entries();
            (entries.len(), entries.values().map(|entry| entry.waiting.load(Ordering::Relaxed)).sum())
        };
        let open =
            self.0.registry.load().all_subscribers().filter(|one| !one.lock_health().is_closed()).count();
        self.0.metrics.delivery_workers.set(i64::try_from(workers).unwrap_or(i64::MAX));
        self.0.metrics.delivery_backlog.set(backlog);
        self.0.metrics.open_breakers.set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}

impl std::fmt::Debug for DeliveryDispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("DeliveryDispatcher").field("workers", &self.entries().len()).finish_non_exhaustive()
    }
}

/// Returns the subscription of a webhook subscriber.
fn subscription_of(subscriber: &Subscriber) -> Option<Arc<Subscription>> {
    match subscriber {
        Subscriber::Webhook(subscription) => Some(subscription.clone()),
        Subscriber::Hook(_) => None,
    }
}
