//! Directory entry of an account: its row, and its actor while it is loaded.

use std::sync::{Arc, Mutex as Lock, MutexGuard, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use kabar_core::domain::account::Account;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::policy::send_pace::SendPace;
use kabar_core::store::{CommitFloor, NodePeer};
use tokio::sync::Mutex;

use super::loaded_account::LoadedAccount;
use super::message::AccountMessage;
use crate::standing::TenantStanding;

/// Time for which an entry remembers the node that serves an account. A wrong entry costs one detour: that node
/// answers that it does not serve it.
pub(crate) const REMEMBERED: Duration = Duration::from_secs(2);

/// One account that this server knows. There is one entry per account, as long as the server runs.
#[derive(Debug)]
pub struct AccountEntry {
    account: ArcSwap<Account>,
    loaded: ArcSwapOption<LoadedAccount>,
    /// The node that was last seen to serve it, and the time of that.
    elsewhere: ArcSwapOption<(NodePeer, MonotonicInstant)>,
    /// The newest commit of it that was seen here. Outlives its actors, because clients remember its numbers.
    floor: Lock<CommitFloor>,
    /// Send rate. Outlives its actors, because WhatsApp counts across them.
    pace: Lock<SendPace>,
    standing: Arc<TenantStanding>,
    /// Held while the account is being loaded, so that it is loaded once.
    pub(crate) activating: Mutex<()>,
    /// Held while WhatsApp's list of its templates is read, so that two readings do not undo each other.
    pub(crate) listing_templates: Mutex<()>,
}

impl AccountEntry {
    pub(crate) fn new(account: Arc<Account>, standing: Arc<TenantStanding>) -> Self {
        Self {
            account: ArcSwap::new(account),
            loaded: ArcSwapOption::empty(),
            elsewhere: ArcSwapOption::empty(),
            floor: Lock::new(CommitFloor::NONE),
            pace: Lock::default(),
            standing,
            activating: Mutex::new(()),
            listing_templates: Mutex::new(()),
        }
    }

    /// The account as of its last commit.
    #[must_use]
    pub fn current_account(&self) -> Arc<Account> {
        self.account.load_full()
    }

    /// Returns `true` while the account's tenant is suspended: its sends, deliveries and effects stand still.
    pub(crate) fn is_suspended(&self) -> bool {
        self.standing.is_suspended()
    }

    /// Returns once the account's tenant is suspended.
    pub(crate) async fn until_suspended(&self) {
        self.standing.until_suspended().await;
    }

    pub(crate) fn set_account(&self, account: Arc<Account>) {
        self.account.store(account);
    }

    /// Locks the account's send rate; to be held for a moment.
    pub(crate) fn lock_pace(&self) -> MutexGuard<'_, SendPace> {
        // No thread panics half-way through a change of it.
        self.pace.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the account in memory, if the lease under which it was loaded is running. An account that
    /// outlived its lease cannot be served.
    pub(crate) fn loaded_account(&self) -> Option<Arc<LoadedAccount>> {
        self.find_loaded().filter(|loaded| loaded.node_lease().is_running())
    }

    /// Returns the account in memory under any lease; to be released, never to be served from.
    pub(crate) fn find_loaded(&self) -> Option<Arc<LoadedAccount>> {
        self.loaded.load_full()
    }

    /// Returns the newest commit that was seen here.
    pub(crate) fn commit_floor(&self) -> CommitFloor {
        *self.floor.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records that a commit was seen.
    pub(crate) fn raise_floor(&self, seen: CommitFloor) {
        let mut floor = self.floor.lock().unwrap_or_else(PoisonError::into_inner);
        *floor = floor.max(seen);
    }

    /// Returns the node that served it at most [`REMEMBERED`] ago.
    pub(crate) fn find_recent_owner(&self, now: MonotonicInstant) -> Option<NodePeer> {
        let seen = self.elsewhere.load();
        let (peer, at) = &**seen.as_ref()?;
        (now < at.saturating_plus(REMEMBERED)).then(|| peer.clone())
    }

    pub(crate) fn set_elsewhere(&self, peer: NodePeer, now: MonotonicInstant) {
        self.elsewhere.store(Some(Arc::new((peer, now))));
    }

    /// Forgets which node serves it, because that node answers that it does not.
    pub fn forget_elsewhere(&self) {
        self.elsewhere.store(None);
    }

    pub(crate) fn put_loaded(&self, loaded: Arc<LoadedAccount>) {
        self.forget_elsewhere();
        self.loaded.store(Some(loaded));
    }

    /// Takes the account out of memory. Queued commands are finished; later ones find a successor.
    pub(crate) fn release_account(&self, loaded: &Arc<LoadedAccount>) {
        loaded.retire_account();
        loaded.permits.close();
        self.evict_account(loaded);
        if let Some(actor) = loaded.actor_ref() {
            // An actor that has stopped already does not need the message.
            let _gone = actor.cast(AccountMessage::Retire);
        }
    }

    /// Removes this loaded account, unless another one has replaced it; wakes the tasks that wait on it.
    pub(crate) fn evict_account(&self, loaded: &Arc<LoadedAccount>) -> bool {
        let before = self.loaded.compare_and_swap(loaded, None);
        let evicted = before.as_ref().is_some_and(|before| Arc::ptr_eq(before, loaded));
        if evicted {
            loaded.wake_waiters();
        }
        evicted
    }
}
