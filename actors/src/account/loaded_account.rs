//! The reader's side of a loaded account: its published view, and the reference to its actor.
//!
//! Invariant: reads go to the view and never to the actor's mailbox.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use kabar_core::domain::monotonic::MonotonicInstant;
use ractor::ActorRef;
use tokio::sync::{Semaphore, watch};

use super::message::AccountMessage;
use crate::cluster::lease::NodeLease;
use crate::view::AccountView;

/// A loaded account: the view that readers use, and counters.
pub(crate) struct LoadedAccount {
    /// Lease of the generation that loaded it.
    lease: Arc<NodeLease>,
    view: ArcSwap<AccountView>,
    /// Reference to the actor; set before the account can be found.
    actor: OnceLock<ActorRef<AccountMessage>>,
    /// Rises when a commit begins, and when it is published or refused: odd while the database may be ahead of
    /// the view.
    commits: AtomicU64,
    /// Counts publications; long polls wait on it.
    published: watch::Sender<u64>,
    /// Commands that may wait for the actor.
    pub(crate) permits: Arc<Semaphore>,
    /// Set while every permit is held, so nothing is queued. A caller that finds no permit looks up the account
    /// again.
    retired: AtomicBool,
    /// Time of the last query or command, in milliseconds.
    last_used_ms: AtomicU64,
    /// Long polls that wait on this account.
    pub(crate) waiting: AtomicUsize,
    /// Streams of events that wait on this account.
    pub(crate) streaming: AtomicUsize,
    /// Conversations with messages to send, as far as the sender keeps them.
    pub(crate) sending: AtomicUsize,
    /// Pages served from cache.
    pub(crate) hits: AtomicU64,
    /// Pages rendered.
    pub(crate) misses: AtomicU64,
    /// Commits since activation.
    pub(crate) cycles: AtomicU64,
    /// Time at which it was first loaded.
    pub(crate) activated_at: MonotonicInstant,
    /// Time of the last loading, in milliseconds: the first, or one after a failed commit.
    loaded_at_ms: AtomicU64,
}

impl std::fmt::Debug for LoadedAccount {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LoadedAccount").field("revision", &self.view.load().revision).finish_non_exhaustive()
    }
}

impl LoadedAccount {
    pub(crate) fn new(
        lease: Arc<NodeLease>,
        view: AccountView,
        queued_max: usize,
        now: MonotonicInstant,
    ) -> Self {
        Self {
            lease,
            view: ArcSwap::from_pointee(view),
            actor: OnceLock::new(),
            commits: AtomicU64::new(0),
            published: watch::Sender::new(0),
            permits: Arc::new(Semaphore::new(queued_max)),
            retired: AtomicBool::new(false),
            last_used_ms: AtomicU64::new(now.millis()),
            waiting: AtomicUsize::new(0),
            streaming: AtomicUsize::new(0),
            sending: AtomicUsize::new(0),
            hits: AtomicU64::new(0),
            misses: AtomicU64::new(0),
            cycles: AtomicU64::new(0),
            activated_at: now,
            loaded_at_ms: AtomicU64::new(now.millis()),
        }
    }

    /// Returns the lease under which it was loaded, and without which it is not served.
    pub(crate) const fn node_lease(&self) -> &Arc<NodeLease> {
        &self.lease
    }

    /// Sets the actor of the account.
    pub(crate) fn set_actor(&self, actor: ActorRef<AccountMessage>) {
        // Only activation calls this, once.
        let _set_before = self.actor.set(actor);
    }

    pub(crate) fn actor_ref(&self) -> Option<&ActorRef<AccountMessage>> {
        self.actor.get()
    }

    /// Returns the current view.
    pub(crate) fn current_view(&self) -> Arc<AccountView> {
        self.view.load_full()
    }

    /// Marks a commit as under way. To be called before it is handed to the store.
    pub(crate) fn begin_commit(&self) {
        // Still odd after a failed commit: its result is known when the account is loaded.
        self.commits.fetch_or(1, Ordering::SeqCst);
    }

    /// Ends a commit that the database refused: nothing was written, and the view stays.
    pub(crate) fn end_refused_commit(&self) {
        self.advance_commits();
    }

    /// Moves to the next even number, from an odd one as from an even one.
    fn advance_commits(&self) {
        let next = |commits: u64| Some((commits | 1).wrapping_add(1));
        let _always = self.commits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
    }

    /// Returns `true` while the database may be ahead of the view.
    pub(crate) fn is_in_doubt(&self) -> bool {
        !self.commits.load(Ordering::SeqCst).is_multiple_of(2)
    }

    /// Returns a number while the database is exactly at this revision. The same number later means that it has
    /// been there all the time. `None` while a commit is under way, or at a later revision.
    pub(crate) fn quiet_at(&self, revision: i64) -> Option<u64> {
        let commits = self.commits.load(Ordering::SeqCst);
        let quiet = commits.is_multiple_of(2) && self.view.load().revision == revision;
        (quiet && self.commits.load(Ordering::SeqCst) == commits).then_some(commits)
    }

    /// Replaces the view by the one that the database holds, and wakes long polls.
    pub(crate) fn publish_view(&self, view: AccountView) {
        self.view.store(Arc::new(view));
        self.advance_commits();
        self.wake_waiters();
    }

    /// Wakes long polls, which then read again.
    pub(crate) fn wake_waiters(&self) {
        self.published.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// Subscribes to publications. To be called *before* the view is read, so that no publication is missed.
    pub(crate) fn watch_publications(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// Returns the time at which the account was last loaded. Before that its rows may not have been readable,
    /// so WhatsApp's reports may not have been applied.
    pub(crate) fn loaded_at(&self) -> MonotonicInstant {
        MonotonicInstant::from_millis(self.loaded_at_ms.load(Ordering::SeqCst))
    }

    /// Records that the account was loaded again.
    pub(crate) fn note_load(&self, now: MonotonicInstant) {
        self.loaded_at_ms.store(now.millis(), Ordering::SeqCst);
    }

    pub(crate) fn mark_used(&self, now: MonotonicInstant) {
        self.last_used_ms.store(now.millis(), Ordering::Relaxed);
    }

    pub(crate) fn last_used(&self) -> MonotonicInstant {
        MonotonicInstant::from_millis(self.last_used_ms.load(Ordering::Relaxed))
    }

    pub(crate) fn retire_account(&self) {
        self.retired.store(true, Ordering::Release);
    }

    pub(crate) fn is_retired(&self) -> bool {
        self.retired.load(Ordering::Acquire)
    }
}
