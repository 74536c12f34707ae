//! Accounts that are to be looked at: for effects that hooks have requested, or for the properties of their number.
//!
//! Invariants: an account waits in a queue at most once, which bounds the queue by the number of accounts. One look at
//! an account is under way at a time. What is requested during a look gets another one.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::mpsc;

use super::entry::AccountEntry;

/// Accounts that are to be looked at.
pub(crate) type LookRequests = mpsc::UnboundedReceiver<Arc<AccountEntry>>;

struct QueueShared {
    /// Accounts that wait for a look or have one under way, and a flag for one more look.
    looks: Mutex<HashMap<i64, bool>>,
    requests: mpsc::UnboundedSender<Arc<AccountEntry>>,
}

/// Handle to the queue. Cheap to clone.
#[derive(Clone)]
pub(crate) struct LookQueue(Arc<QueueShared>);

impl LookQueue {
    /// Opens a queue, and returns its other end.
    pub(crate) fn open() -> (Self, LookRequests) {
        let (requests, requested) = mpsc::unbounded_channel();
        (Self(Arc::new(QueueShared { looks: Mutex::default(), requests })), requested)
    }

    fn lock_looks(&self) -> MutexGuard<'_, HashMap<i64, bool>> {
        // No thread panics half-way through a change of it.
        self.0.looks.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Asks for a look at an account; for one more if one is under way.
    pub(crate) fn request_look(&self, account: &Arc<AccountEntry>) {
        let is_first = self.lock_looks().insert(account.current_account().number, true).is_none();
        if is_first {
            // The other end is gone when the server stops.
            let _stopping = self.0.requests.send(account.clone());
        }
    }

    /// Clears the flag before a look: what is requested from now on needs another one.
    pub(crate) fn note_look(&self, account: i64) {
        self.lock_looks().insert(account, false);
    }

    /// Ends a look; `true` when no further one is requested.
    pub(crate) fn end_look(&self, account: i64) -> bool {
        let mut looks = self.lock_looks();
        let done = looks.get(&account).is_none_or(|again| !again);
        if done {
            looks.remove(&account);
        }
        done
    }

    /// Removes the account without a further look.
    pub(crate) fn abandon_look(&self, account: i64) {
        self.lock_looks().remove(&account);
    }
}
