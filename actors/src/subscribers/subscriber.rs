//! Shared state of one subscriber's delivery workers: its row and its health.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use kabar_core::clock::ClockReading;
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};

use super::health::SubscriberHealth;

/// State of one subscriber. There is one per subscriber as long as it is known here.
pub(crate) struct SubscriberState {
    row: ArcSwap<Subscriber>,
    breaker: Mutex<SubscriberHealth>,
    /// Set when the receiver has answered 410, which is not stored yet.
    gone: AtomicBool,
}

impl SubscriberState {
    pub(crate) fn new(row: Subscriber, now: &ClockReading) -> Self {
        Self {
            breaker: Mutex::new(SubscriberHealth::from_subscriber(&row, now)),
            row: ArcSwap::from_pointee(row),
            gone: AtomicBool::new(false),
        }
    }

    pub(crate) fn get(&self) -> Subscriber {
        Subscriber::clone(&self.row.load())
    }

    pub(crate) fn subscriber_id(&self) -> SubscriberId {
        self.row.load().subscriber_id()
    }

    pub(crate) fn set_subscriber(&self, row: Subscriber, now: &ClockReading) {
        self.lock_health().follow_change(&row, now);
        self.row.store(Arc::new(row));
    }

    /// Locks its health; to be held for a moment.
    pub(crate) fn lock_health(&self) -> MutexGuard<'_, SubscriberHealth> {
        // No thread panics half-way through a change of it.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn note_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub(crate) fn take_gone(&self) -> bool {
        self.gone.swap(false, Ordering::AcqRel)
    }
}
