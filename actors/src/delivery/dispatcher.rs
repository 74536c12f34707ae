//! Facade of the delivery workers: wakes the delivery workers that have something to deliver, and starts those
//! that are not running.
//!
//! Invariants: a subscriber and an account have at most one delivery worker here. A notification only wakes it.
//! A delivery worker that died is started again. A subscriber with nothing to deliver costs its row in memory
//! and no more.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use futures_util::future::BoxFuture;
use kabar_core::cause::cause;
use kabar_core::domain::event::EventTypes;
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};
use kabar_core::ids::PluginId;
use kabar_core::ports::EventSink;
use kabar_core::store::{DeliveryWork, StoreError};
use ractor::ActorCell;

use super::context::DeliveryContext;
use super::entries::WorkerEntries;
use super::run_recorder::RunRecorder;
use super::supervisor::supervise_worker;
use super::worker::DeliveryWorkerParts;
use crate::account::{AccountEntry, CommitListener, LookQueue};
use crate::cluster::Cluster;
use crate::context::Context;
use crate::subscribers::{SubscriberRegistry, SubscriberState, WorkStarter};
use crate::tenants::TenantDirectory;

pub(super) struct DispatcherState {
    pub(super) context: Arc<DeliveryContext>,
    pub(super) directory: TenantDirectory,
    supervisor: ActorCell,
    /// The recorder of each plugin with delivery workers; the workers own it.
    recorders: Mutex<HashMap<PluginId, Weak<RunRecorder>>>,
}

/// Dependencies of [`DeliveryDispatcher::new`].
pub(crate) struct DeliveryDispatcherParts {
    pub(crate) context: Arc<Context>,
    pub(crate) directory: TenantDirectory,
    pub(crate) cluster: Cluster,
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) subscribers: SubscriberRegistry,
    /// The listener of `subscribers`.
    pub(crate) entries: Arc<WorkerEntries>,
    pub(crate) effects: LookQueue,
}

/// Handle to the delivery workers of this server. Cheap to clone.
#[derive(Clone)]
pub struct DeliveryDispatcher(pub(super) Arc<DispatcherState>);

impl DeliveryDispatcher {
    /// Makes a dispatcher without workers. Nothing is delivered before the first notification.
    pub(crate) fn new(parts: DeliveryDispatcherParts) -> Self {
        let DeliveryDispatcherParts { context, directory, cluster, sink, subscribers, entries, effects } =
            parts;
        let supervisor = context.supervisor.clone();
        let context = Arc::new(DeliveryContext {
            store: context.store.clone(),
            clock: context.clock.clone(),
            metrics: context.metrics.clone(),
            tasks: context.tasks.clone(),
            stopping: context.stopping.clone(),
            cluster,
            sink,
            subscribers,
            entries,
            public_url: context.options.public_url.clone(),
            effects,
        });
        Self(Arc::new(DispatcherState { context, directory, supervisor, recorders: Mutex::default() }))
    }

    /// Returns `true` when an active subscriber of the account's tenant exists, and the tenant is not suspended.
    pub(crate) fn is_wanted(&self, account_entry: &AccountEntry) -> bool {
        let subscribers = self.0.context.subscribers.current_snapshot();
        let mut wanting = subscribers.of_organisation(account_entry.current_account().organisation_id);
        !account_entry.is_suspended() && wanting.any(|subscriber_state| subscriber_state.get().is_active())
    }

    /// Returns `true` when the account's tenant has a plugin.
    pub(crate) fn has_plugins(&self, account_entry: &AccountEntry) -> bool {
        let subscribers = self.0.context.subscribers.current_snapshot();
        let mut found = subscribers.of_organisation(account_entry.current_account().organisation_id);
        found.any(|subscriber_state| matches!(subscriber_state.get(), Subscriber::Hook(_)))
    }

    /// Finds the subscribers with open deliveries, and the short numbers of the accounts.
    pub(crate) async fn find_work(&self, work: DeliveryWork) -> Result<Vec<(SubscriberId, i64)>, StoreError> {
        self.0.context.store.delivery_work(work).await
    }

    /// Wakes the delivery worker of this subscriber and account, and starts it if need be. It reads log and
    /// rows again, because it was not notified of events that were committed while the subscriber did not want
    /// them.
    pub(crate) fn take_up(&self, subscriber: SubscriberId, account_entry: &Arc<AccountEntry>) {
        let found = self.0.context.subscribers.current_snapshot().find_subscriber(subscriber).cloned();
        let wants = |one: &Subscriber| one.is_active() && one.hears_event(&account_entry.current_account());
        if account_entry.is_suspended() {
            return;
        }
        if let Some(subscriber_state) = found.filter(|found| wants(&found.get())) {
            self.summon_worker(&subscriber_state, account_entry, None);
        }
    }

    /// Wakes or starts the delivery workers with open deliveries, of accounts that are served here. What cannot
    /// be read is logged.
    pub(crate) async fn take_up_all(&self, work: DeliveryWork) {
        match self.find_work(work).await {
            Ok(found) => found.into_iter().for_each(|(id, account)| self.take_up_number(id, account)),
            Err(error) => tracing::error!(error = cause(&error), "delivery workers not started"),
        }
    }

    /// Does the same as [`DeliveryDispatcher::take_up`], if the worker may run here.
    pub(super) fn take_up_number(&self, subscriber: SubscriberId, account: i64) {
        if let Some(account_entry) = self.0.directory.account_of_row(account)
            && self.may_serve(&account_entry)
        {
            self.take_up(subscriber, &account_entry);
        }
    }

    /// Returns `true` when delivery workers of this account may run here. Where there are other nodes, the
    /// account must be in memory. Any other node that serves it reads the changes of the directory itself.
    fn may_serve(&self, account_entry: &AccountEntry) -> bool {
        !self.0.context.cluster.is_shared() || account_entry.loaded_account().is_some()
    }

    /// Wakes or starts a delivery worker: for events up to `head`, or to read everything again.
    fn summon_worker(
        &self,
        subscriber_state: &Arc<SubscriberState>,
        account_entry: &Arc<AccountEntry>,
        head: Option<i64>,
    ) {
        let context = &self.0.context;
        let key = (subscriber_state.subscriber_id(), account_entry.current_account().number);
        let may_start = || {
            !context.stopping.is_cancelled() && context.cluster.is_serving() && self.may_serve(account_entry)
        };
        let Some(entry) = context.entries.ring_or_insert(key, head, may_start) else { return };
        let parts = DeliveryWorkerParts {
            context: context.clone(),
            subscriber_state: subscriber_state.clone(),
            account_entry: account_entry.clone(),
            recorder: self.recorder_of(key.0),
            entry,
        };
        let (dispatcher, account_entry) = (self.clone(), account_entry.clone());
        context.tasks.spawn(async move {
            let DispatcherState { context, supervisor, .. } = &*dispatcher.0;
            if supervise_worker(context.clone(), supervisor.clone(), parts).await {
                dispatcher.take_up(key.0, &account_entry);
            }
        });
    }

    /// Returns the recorder of a plugin's runs; `None` for a webhook. All delivery workers of a plugin share it.
    fn recorder_of(&self, subscriber: SubscriberId) -> Option<Arc<RunRecorder>> {
        let SubscriberId::Hook(plugin) = subscriber else { return None };
        let mut recorders = self.0.recorders.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(found) = recorders.get(&plugin).and_then(Weak::upgrade) {
            return Some(found);
        }
        recorders.retain(|_, recorder| recorder.strong_count() > 0);
        let recorder = Arc::new(RunRecorder::new(self.0.context.clone(), plugin));
        recorders.insert(plugin, Arc::downgrade(&recorder));
        Some(recorder)
    }

    /// Has the delivery workers of an account drop the events that they have in memory, because data was erased.
    pub(crate) fn forget_events(&self, account: i64) {
        self.0.context.entries.forget_events(account);
    }

    /// Ends every delivery worker: this server does not serve their accounts any more.
    pub(crate) fn stop_workers(&self) {
        self.0.context.entries.stop_all();
    }

    /// Updates the delivery workers' gauges.
    pub(crate) fn refresh_gauges(&self) {
        let DeliveryContext { metrics, subscribers, entries, .. } = &*self.0.context;
        let (workers, backlog) = entries.count_backlog();
        let snapshot = subscribers.current_snapshot();
        let open = snapshot.all_subscribers().filter(|one| !one.lock_health().is_closed()).count();
        metrics.delivery_workers.set(i64::try_from(workers).unwrap_or(i64::MAX));
        metrics.delivery_backlog.set(backlog);
        metrics.open_breakers.set(i64::try_from(open).unwrap_or(i64::MAX));
    }
}

impl CommitListener for DeliveryDispatcher {
    /// Notifies the subscribers that an account has committed events of these types, the last of this number.
    fn note_events(&self, account_entry: &Arc<AccountEntry>, sequence: i64, types: EventTypes) {
        if account_entry.is_suspended() {
            return;
        }
        let subscribers = self.0.context.subscribers.current_snapshot();
        let account = account_entry.current_account();
        for subscriber_state in subscribers.of_organisation(account.organisation_id) {
            let subscriber = subscriber_state.get();
            if subscriber.is_active()
                && subscriber.event_types().intersects_with(types)
                && subscriber.hears_event(&account)
            {
                self.summon_worker(subscriber_state, account_entry, Some(sequence));
            }
        }
    }
}

impl WorkStarter for DeliveryDispatcher {
    fn start_work(&self, work: DeliveryWork) -> BoxFuture<'_, ()> {
        Box::pin(self.take_up_all(work))
    }

    fn reload_worker(&self, subscriber: SubscriberId, account: i64) {
        self.take_up_number(subscriber, account);
    }
}

impl std::fmt::Debug for DeliveryDispatcher {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (workers, _) = self.0.context.entries.count_backlog();
        f.debug_struct("DeliveryDispatcher").field("workers", &workers).finish_non_exhaustive()
    }
}
