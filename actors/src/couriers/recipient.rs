//! A subscriber as its couriers share it: its row, and its breaker.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwap;
use kabar_core::domain::breaker::Breaker;
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};

/// See the module. There is one per subscriber for as long as it is known here.
pub(super) struct Recipient {
    row: ArcSwap<Subscriber>,
    breaker: Mutex<Breaker>,
    /// It has said that it wants nothing any more, and that is not written down yet.
    gone: AtomicBool,
}

impl Recipient {
    pub(super) fn new(row: Subscriber) -> Self {
        Self { row: ArcSwap::from_pointee(row), breaker: Mutex::default(), gone: AtomicBool::new(false) }
    }

    pub(super) fn get(&self) -> Subscriber {
        Subscriber::clone(&self.row.load())
    }

    pub(super) fn id(&self) -> SubscriberId {
        self.row.load().id()
    }

    pub(super) fn set(&self, row: Subscriber) {
        self.row.store(Arc::new(row));
    }

    /// Its breaker; to be held for a moment.
    pub(super) fn breaker(&self) -> MutexGuard<'_, Breaker> {
        // Nobody panics half-way through a change of it.
        self.breaker.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn note_gone(&self) {
        self.gone.store(true, Ordering::Release);
    }

    pub(super) fn take_gone(&self) -> bool {
        self.gone.swap(false, Ordering::AcqRel)
    }
}
