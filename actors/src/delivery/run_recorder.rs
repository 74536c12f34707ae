//! Records the runs of a hook, with their changes of the plugin's keys and values, and with their effects.
//!
//! Invariants: one batch of a plugin is under way at a time, and holds all runs that have ended meanwhile. A
//! run is recorded only if everything that it read is unchanged. Otherwise it is returned to be made again, and
//! the attempt does not count. No run sees a change before it is durable. The plugin's keys and values are in
//! memory while the plugin has a delivery worker here: the workers own the recorder.

use std::collections::{BTreeSet, HashMap};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kabar_core::cause::cause;
use kabar_core::domain::key_values::{KeyValues, KvChanges};
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::ids::{PluginId, ulid};
use kabar_core::store::{RunBatch, RunRecord, StoreError};
use ractor::ActorRef;

use super::attempt;
use super::attempt::{FinishedAttempt, SettledAttempt};
use super::context::DeliveryContext;
use super::lanes::QueuedDelivery;
use super::worker_message::{DeliveryWorkerMessage, RecordedRuns};
use crate::account::AccountEntry;
use crate::retry::pause_for_retry;
use crate::subscribers::SubscriberState;

/// Runs of one batch.
const BATCH_MAX: usize = 256;
/// Runs of a plugin that may be under way in one delivery worker when none of them was given back lately.
pub(super) const WIDTH_MAX: usize = 32;

/// A run that has ended and is not recorded yet.
pub(super) struct RecorderJob {
    pub(super) ended: FinishedAttempt,
    pub(super) account_entry: Arc<AccountEntry>,
    pub(super) worker: ActorRef<DeliveryWorkerMessage>,
}

#[derive(Default)]
struct RecorderInbox {
    jobs: Vec<RecorderJob>,
    busy: bool,
}

/// Recorder of one plugin's runs.
pub(super) struct RunRecorder {
    context: Arc<DeliveryContext>,
    plugin: PluginId,
    /// The plugin's keys and values, and their revision; `None` until they are read.
    kept: Mutex<Option<(KeyValues, i64)>>,
    inbox: Mutex<RecorderInbox>,
    width: AtomicUsize,
}

fn lock_inbox<T>(what: &Mutex<T>) -> MutexGuard<'_, T> {
    // No thread panics half-way through a change of it.
    what.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A run with a settled outcome, to be written to the store.
struct RecorderEntry {
    record: RunRecord,
    settled: SettledAttempt,
    account_entry: Arc<AccountEntry>,
    worker: ActorRef<DeliveryWorkerMessage>,
}

impl RecorderEntry {
    fn touches_kv(&self) -> bool {
        self.settled
            .report
            .as_ref()
            .is_some_and(|report| !report.reads.is_empty() || !report.writes.is_empty())
    }
}

impl RunRecorder {
    pub(super) fn new(context: Arc<DeliveryContext>, plugin: PluginId) -> Self {
        let width = AtomicUsize::new(WIDTH_MAX);
        Self { context, plugin, kept: Mutex::default(), inbox: Mutex::default(), width }
    }

    /// Returns the most runs that a delivery worker may have under way.
    pub(super) fn runs_max(&self) -> usize {
        self.width.load(Ordering::Relaxed)
    }

    /// Returns the plugin's keys and values, if they have been read.
    pub(super) fn known_values(&self) -> Option<KeyValues> {
        lock_inbox(&self.kept).as_ref().map(|(kv, _)| kv.clone())
    }

    /// Reads the plugin's keys and values, unless they are in memory.
    pub(super) async fn load_values(&self) -> Result<(), StoreError> {
        if lock_inbox(&self.kept).is_none() {
            self.read_values().await?;
        }
        Ok(())
    }

    async fn read_values(&self) -> Result<(), StoreError> {
        let kept = self.context.store.plugin_kv(self.plugin).await?;
        // For a plugin that was deleted nothing is ever recorded.
        *lock_inbox(&self.kept) = Some(kept.unwrap_or_default());
        Ok(())
    }

    /// Accepts a run that has ended, and starts a task to record it if none is running.
    pub(super) fn submit_run(self: &Arc<Self>, subscriber_state: &Arc<SubscriberState>, job: RecorderJob) {
        let mut inbox = lock_inbox(&self.inbox);
        inbox.jobs.push(job);
        if take_once(&mut inbox.busy) {
            drop(inbox);
            let (recorder, subscriber_state) = (self.clone(), subscriber_state.clone());
            self.context.tasks.spawn(async move { recorder.record_inbox(&subscriber_state).await });
        }
    }

    async fn record_inbox(&self, subscriber_state: &SubscriberState) {
        loop {
            let jobs = {
                let mut inbox = lock_inbox(&self.inbox);
                if inbox.jobs.is_empty() {
                    inbox.busy = false;
                    return;
                }
                let most = inbox.jobs.len().min(BATCH_MAX);
                inbox.jobs.drain(..most).collect()
            };
            self.record_batch(subscriber_state, jobs).await;
        }
    }

    /// Records the runs that can be recorded, and notifies the delivery workers.
    async fn record_batch(&self, subscriber_state: &SubscriberState, jobs: Vec<RecorderJob>) {
        let mut notifications = RunNotifications::default();
        let mut entries = Vec::with_capacity(jobs.len());
        let mut conflicts = 0;
        for job in jobs {
            let RecorderJob { ended, account_entry, worker } = job;
            let (before, event) = (ended.delivery.clone(), ended.event.clone());
            // It may be made again at once, because that is not another attempt.
            let not_before = MonotonicInstant::START;
            let Some(settled) = attempt::settle_delivery(&self.context, subscriber_state, ended) else {
                // Not tried to the end, because the server stops or the tenant was suspended.
                notifications.note_for_worker(&worker, |written| written.lost.push(before));
                continue;
            };
            let record = settled.run_record(self.context.clock.read_now());
            entries.push((
                QueuedDelivery { delivery: before, not_before, event, body: None },
                RecorderEntry { record, settled, account_entry, worker },
            ));
        }
        let mut waiting = entries;
        let mut alone = false;
        while !waiting.is_empty() {
            let rest = if alone { waiting.split_off(1) } else { Vec::new() };
            let whole = waiting.len();
            let (batch, refused) = self.split_valid(waiting);
            conflicts += refused.len();
            for (load, entry) in refused {
                self.context.metrics.hook_conflicts.inc();
                notifications.note_for_worker(&entry.worker, |written| written.again.push(load));
            }
            waiting = rest;
            let Some(batch) = batch else { continue };
            match self.write_batch(&batch).await {
                Some(BatchWrite::Whole) => batch.entries.into_iter().for_each(|(_, entry)| {
                    notifications.note_done(&self.context, entry);
                }),
                Some(BatchWrite::Not) if whole > 1 => {
                    // One of them prevents the others: write them one by one, each on the current values.
                    alone = true;
                    waiting.splice(0..0, batch.entries);
                }
                Some(BatchWrite::Not) => {
                    for (_, entry) in batch.entries {
                        notifications.note_for_worker(&entry.worker, |written| {
                            written.lost.push(entry.record.delivery.clone());
                        });
                    }
                }
                Some(BatchWrite::Moved) => waiting.splice(0..0, batch.entries).for_each(drop),
                // The server stops.
                None => return,
            }
        }
        self.adapt_width(conflicts);
        notifications.notify_workers();
    }

    /// Halves the concurrent runs after conflicts; otherwise allows one more.
    fn adapt_width(&self, conflicts: usize) {
        let width = self.runs_max();
        let next = if conflicts > 0 { width / 2 } else { width.saturating_add(1) };
        self.width.store(next.clamp(1, WIDTH_MAX), Ordering::Relaxed);
    }

    /// Separates the runs that may be recorded together, one after another, from those that are to be made
    /// again.
    fn split_valid(
        &self,
        entries: Vec<(QueuedDelivery, RecorderEntry)>,
    ) -> (Option<RecorderBatch>, Vec<(QueuedDelivery, RecorderEntry)>) {
        let (mut kv, revision) = lock_inbox(&self.kept).clone().unwrap_or_default();
        let (mut fit, mut refused, mut changed, mut touched) =
            (Vec::new(), Vec::new(), BTreeSet::new(), false);
        for (load, entry) in entries {
            if !entry.touches_kv() {
                fit.push((load, entry));
                continue;
            }
            let report = entry.settled.report.as_deref();
            let taken = report.and_then(|report| kv.take_writes(&report.seen, &report.reads, &report.writes));
            match taken {
                None => refused.push((load, entry)),
                Some(keys) => {
                    touched = true;
                    changed.extend(keys);
                    fit.push((load, entry));
                }
            }
        }
        if fit.is_empty() {
            return (None, refused);
        }
        let changes = changed.into_iter().map(|key| {
            let value = kv.as_map().get(&key).cloned();
            (key, value)
        });
        (
            Some(RecorderBatch {
                entries: fit,
                changes: changes.collect(),
                kv,
                revision: touched.then_some(revision),
            }),
            refused,
        )
    }

    /// Writes a batch until it is durable or refused; `None` when the server stops before that.
    async fn write_batch(&self, batch: &RecorderBatch) -> Option<BatchWrite> {
        let token = format!("{:032x}", ulid(self.context.clock.read_now().millis(), rand::random()));
        let runs: Vec<RunRecord> = batch.entries.iter().map(|(_, entry)| entry.record.clone()).collect();
        let wanted = RunBatch {
            plugin: self.plugin,
            token: &token,
            kv_revision: batch.revision,
            kv: batch.changes.clone(),
            runs: &runs,
        };
        loop {
            let written = match self.context.store.record_runs(&wanted).await {
                Ok(Some(revision)) if batch.revision.is_some() => {
                    *lock_inbox(&self.kept) = Some((batch.kv.clone(), revision));
                    Ok(BatchWrite::Whole)
                }
                Ok(Some(_)) => Ok(BatchWrite::Whole),
                Ok(None) => {
                    let before = lock_inbox(&self.kept).as_ref().map(|(_, revision)| *revision);
                    self.read_values().await.map(|()| {
                        let now = lock_inbox(&self.kept).as_ref().map(|(_, revision)| *revision);
                        let moved = batch.revision.is_some() && before != now && batch.entries.len() == 1;
                        if moved { BatchWrite::Moved } else { BatchWrite::Not }
                    })
                }
                Err(error) => Err(error),
            };
            match written {
                Ok(passed) => return Some(passed),
                Err(error) => {
                    tracing::error!(plugin = %self.plugin, error = cause(&error), "runs not recorded");
                    if !pause_for_retry(&self.context.clock, &self.context.stopping).await {
                        return None;
                    }
                }
            }
        }
    }
}

/// Result of a batch write.
enum BatchWrite {
    /// All of it was written.
    Whole,
    /// Nothing was written.
    Not,
    /// Nothing was written: another node has changed the plugin's values. On the new values it may succeed.
    Moved,
}

struct RecorderBatch {
    entries: Vec<(QueuedDelivery, RecorderEntry)>,
    /// The values as the batch leaves them.
    kv: KeyValues,
    changes: KvChanges,
    revision: Option<i64>,
}

/// Notifications for the delivery workers, one message each.
#[derive(Default)]
struct RunNotifications(HashMap<ractor::ActorId, (ActorRef<DeliveryWorkerMessage>, RecordedRuns)>);

impl RunNotifications {
    fn note_for_worker(
        &mut self,
        worker: &ActorRef<DeliveryWorkerMessage>,
        note: impl FnOnce(&mut RecordedRuns),
    ) {
        let place =
            self.0.entry(worker.get_id()).or_insert_with(|| (worker.clone(), RecordedRuns::default()));
        note(&mut place.1);
    }

    fn note_done(&mut self, context: &DeliveryContext, entry: RecorderEntry) {
        if !entry.record.effects.is_empty() {
            context.effects.request_look(&entry.account_entry);
        }
        self.note_for_worker(&entry.worker, |written| written.recorded.push(entry.record.delivery));
    }

    fn notify_workers(self) {
        for (worker, written) in self.0.into_values() {
            // A delivery worker that has ended leaves its rows, and its successor reads them.
            let _gone = worker.cast(DeliveryWorkerMessage::Written(Box::new(written)));
        }
    }
}

/// Sets a flag. Returns `true` when it was not set.
fn take_once(flag: &mut bool) -> bool {
    !std::mem::replace(flag, true)
}
