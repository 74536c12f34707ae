//! Shared state of one subscriber's delivery workers: its row, its health, and the run recorder of a hook.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use kabar_core::clock::ClockReading;
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};

use super::run_recorder::RunRecorder;
use super::subscriber_health::SubscriberHealth;

/// State of one subscriber. There is one per subscriber as long as it is known here.
pub(super) struct SubscriberState {
    row: ArcSwap<Subscriber>,
    breaker: Mutex<SubscriberHealth>,
    /// Set when the receiver has answered 410, which is not stored yet.
    gone: AtomicBool,
    recorder: Option<Arc<RunRecorder>>,
}

impl SubscriberState {
    pub(super) fn new(row: Subscriber, now: &ClockReading) -> Self {
        let recorder = match &row {
            Subscriber::Webhook(_) => None,
            Subscriber::Hook(plugin) => Some(Arc::new(RunRecorder::new(plugin.id))),
        };
        Self {
            breaker: Mutex::new(SubscriberHealth::from_subscriber(&row, now)),
            row: ArcSwap::from_pointee(row),
            gone: AtomicBool::new(false),
            recorder,
        }
    }

    pub(super) fn get(&self) -> Subscriber {
        Subscriber::clone(&self.row.load())
    }

    pub(super) fn subscriber_id(&self) -> SubscriberId {
        self.row.load().subscriber_id()
    }

    pub(super) fn set_subscriber(&self, row: Subscriber, now: &ClockReading) {
        self.lock_health().follow_change(&row, now);
        self.row.store(Arc::new(row));
    }

    /// Locks its health; to be held for a moment.
    pub(super) fn lock_health(&self) -> MutexGuard<'_, SubscriberHealth> {
        // No thread panics half-way through a change of it.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the recorder of its runs, if it is a hook.
    pub(super) const fn run_recorder(&self) -> Option<&Arc<RunRecorder>> {
        self.recorder.as_ref()
    }

    pub(super) fn note_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub(super) fn take_gone(&self) -> bool {
        self.gone.swap(false, Ordering::AcqRel)
    }
}
