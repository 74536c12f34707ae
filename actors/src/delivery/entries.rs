//! Entries of the delivery workers that run here.
//!
//! Invariants: a subscriber and an account have at most one entry. A notification is set under the lock of the
//! entries, and an entry is closed under it, so a worker that ends has missed none.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use kabar_core::domain::subscriber::SubscriberId;
use ractor::{ActorCell, ActorRef, Message};

use crate::subscribers::SubscriberListener;

/// The subscriber and the account's number of a delivery worker.
pub(super) type WorkerKey = (SubscriberId, i64);

/// Way to a delivery worker that has started.
pub(super) struct WorkerHandle {
    cell: ActorCell,
    wake: Box<dyn Fn() + Send + Sync>,
}

impl WorkerHandle {
    /// Makes the handle of an actor that is woken by the message of `wake`.
    pub(super) fn new<M: Message>(actor: &ActorRef<M>, wake: fn() -> M) -> Self {
        let (cell, actor) = (actor.get_cell(), actor.clone());
        let wake = Box::new(move || {
            // A worker that has died is noticed and started again.
            let _gone = actor.cast(wake());
        });
        Self { cell, wake }
    }
}

/// Entry of one delivery worker. It lives as long as the worker.
pub(super) struct WorkerEntry {
    /// Set once it has started.
    worker: OnceLock<WorkerHandle>,
    /// Sequence number of the last event that is known to be committed.
    pub(super) head: AtomicI64,
    /// Set when there may be new events since the delivery worker last looked.
    pub(super) rung: AtomicBool,
    /// Set when the delivery worker must read log and rows again: they may have changed, and not by `head`
    /// alone.
    pub(super) reread: AtomicBool,
    /// Set when data was erased from events that the delivery worker may have in memory.
    pub(super) erased: AtomicBool,
    /// Events that it still has to deliver or to look at.
    pub(super) waiting: AtomicI64,
}

impl WorkerEntry {
    fn starting_at(head: Option<i64>) -> Self {
        Self {
            worker: OnceLock::new(),
            head: AtomicI64::new(head.unwrap_or(0)),
            rung: AtomicBool::new(true),
            reread: AtomicBool::new(false),
            erased: AtomicBool::new(false),
            waiting: AtomicI64::new(0),
        }
    }

    /// Sets the worker, which is woken from now on.
    pub(super) fn set_worker(&self, worker: WorkerHandle) {
        // Only its start calls this, once.
        let _set_before = self.worker.set(worker);
    }

    /// Wakes the delivery worker: for events up to `head`, or to read everything again. Only under the lock of
    /// the entries.
    fn ring_worker(&self, head: Option<i64>) {
        match head {
            Some(head) => drop(self.head.fetch_max(head, Ordering::AcqRel)),
            None => self.reread.store(true, Ordering::Release),
        }
        if !self.rung.swap(true, Ordering::AcqRel)
            && let Some(worker) = self.worker.get()
        {
            (worker.wake)();
        }
    }
}

/// Entries of all delivery workers of this server.
#[derive(Default)]
pub(crate) struct WorkerEntries(Mutex<HashMap<WorkerKey, Arc<WorkerEntry>>>);

impl WorkerEntries {
    fn lock_entries(&self) -> MutexGuard<'_, HashMap<WorkerKey, Arc<WorkerEntry>>> {
        // No thread panics half-way through a change of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes a delivery worker, for events up to `head`, or to read everything again. Returns a new entry if it
    /// is not running and may be started.
    pub(super) fn ring_or_insert(
        &self,
        key: WorkerKey,
        head: Option<i64>,
        may_start: impl FnOnce() -> bool,
    ) -> Option<Arc<WorkerEntry>> {
        let mut entries = self.lock_entries();
        if let Some(entry) = entries.get(&key) {
            entry.ring_worker(head);
            return None;
        }
        if !may_start() {
            return None;
        }
        let entry = Arc::new(WorkerEntry::starting_at(head));
        entries.insert(key, entry.clone());
        Some(entry)
    }

    /// Returns `true` while this is the worker's entry.
    pub(super) fn has_entry(&self, key: &WorkerKey, entry: &Arc<WorkerEntry>) -> bool {
        self.lock_entries().get(key).is_some_and(|found| Arc::ptr_eq(found, entry))
    }

    /// Removes the entry; `false` when another has replaced it, or it was removed before.
    pub(super) fn remove_entry(&self, key: &WorkerKey, entry: &Arc<WorkerEntry>) -> bool {
        let mut entries = self.lock_entries();
        let found = entries.get(key).is_some_and(|found| Arc::ptr_eq(found, entry));
        if found {
            entries.remove(key);
        }
        found
    }

    /// Removes the entry of a worker that ends; `false` when it has been notified since it last looked.
    pub(super) fn close_entry(&self, key: &WorkerKey, entry: &Arc<WorkerEntry>) -> bool {
        let mut entries = self.lock_entries();
        if entry.rung.load(Ordering::Acquire) {
            return false;
        }
        if entries.get(key).is_some_and(|found| Arc::ptr_eq(found, entry)) {
            entries.remove(key);
        }
        true
    }

    /// Has the delivery workers of an account drop the events that they have in memory.
    pub(super) fn forget_events(&self, account: i64) {
        let entries = self.lock_entries();
        for (_, entry) in entries.iter().filter(|((_, of), _)| *of == account) {
            entry.erased.store(true, Ordering::Release);
            entry.ring_worker(None);
        }
    }

    /// Ends every delivery worker.
    pub(super) fn stop_all(&self) {
        let entries = std::mem::take(&mut *self.lock_entries());
        for entry in entries.values() {
            if let Some(worker) = entry.worker.get() {
                worker.cell.stop(None);
            }
        }
    }

    /// Counts the workers, and the events that they still have to deliver or to look at.
    pub(super) fn count_backlog(&self) -> (usize, i64) {
        let entries = self.lock_entries();
        (entries.len(), entries.values().map(|entry| entry.waiting.load(Ordering::Relaxed)).sum())
    }

    /// Returns `true` when a worker has been notified since it last looked.
    #[cfg(test)]
    pub(super) fn is_any_rung(&self) -> bool {
        self.lock_entries().values().any(|entry| entry.rung.load(Ordering::Acquire))
    }
}

impl SubscriberListener for WorkerEntries {
    /// Has a subscriber's delivery workers read its current row.
    fn note_change(&self, subscriber: SubscriberId) {
        let entries = self.lock_entries();
        for (_, entry) in entries.iter().filter(|((of, _), _)| *of == subscriber) {
            entry.ring_worker(None);
        }
    }
}
