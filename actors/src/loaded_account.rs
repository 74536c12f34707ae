//! The reader's side of a resident account: its published view, and the door to its actor.
//!
//! Invariant: reads go to the view and never to the actor's mailbox.

use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use kabar_core::domain::monotonic::MonotonicInstant;
use ractor::ActorRef;
use tokio::sync::{Semaphore, watch};

use crate::account::AccountMessage;
use crate::cluster::lease::NodeLease;
use crate::view::AccountView;

/// See the module.
pub(crate) struct LoadedAccount {
    /// Of the generation that loaded it.
    lease: Arc<NodeLease>,
    view: ArcSwap<AccountView>,
    /// The actor's address; set before anybody can find the resident.
    door: OnceLock<ActorRef<AccountMessage>>,
    /// Rises when a commit begins, and when it is published or refused: odd while the database may be ahead of
    /// the view.
    commits: AtomicU64,
    /// Counts publications; long polls wait on it.
    published: watch::Sender<u64>,
    /// Commands that may wait for the actor.
    pub(crate) permits: Arc<Semaphore>,
    /// Set while every permit is held, so nothing is queued: whoever finds no permit looks anew.
    retired: AtomicBool,
    /// Milliseconds of the last question or command.
    last_used_ms: AtomicU64,
    /// Long polls that wait on this account.
    pub(crate) waiting: AtomicUsize,
    /// Streams of events that wait on this account.
    pub(crate) streaming: AtomicUsize,
    /// Conversations that have something to be sent, as far as the sender keeps them.
    pub(crate) sending: AtomicUsize,
    /// Pages given from cache.
    pub(crate) hits: AtomicU64,
    /// Pages rendered.
    pub(crate) misses: AtomicU64,
    /// Commits since activation.
    pub(crate) cycles: AtomicU64,
    /// When it was first loaded.
    pub(crate) activated_at: MonotonicInstant,
    /// Milliseconds of the last loading: the first, or one after a failed commit.
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
            door: OnceLock::new(),
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

    /// The lease under which it was loaded, and without which it is not served.
    pub(crate) const fn node_lease(&self) -> &Arc<NodeLease> {
        &self.lease
    }

    /// Gives the resident its actor.
    pub(crate) fn open_door(&self, door: ActorRef<AccountMessage>) {
        // Only activation calls this, once.
        let _set_before = self.door.set(door);
    }

    pub(crate) fn actor_ref(&self) -> Option<&ActorRef<AccountMessage>> {
        self.door.get()
    }

    /// The current picture.
    pub(crate) fn current_view(&self) -> Arc<AccountView> {
        self.view.load_full()
    }

    /// To be called before a commit is handed to the store.
    pub(crate) fn begin_commit(&self) {
        // Still odd after one that failed: whether it is durable is known when the account is loaded.
        self.commits.fetch_or(1, Ordering::SeqCst);
    }

    /// Ends a commit that the database refused: nothing was written, and the picture stands.
    pub(crate) fn end_refused_commit(&self) {
        self.advance_commits();
    }

    /// Moves to the next even number, from an odd one as from an even one.
    fn advance_commits(&self) {
        let next = |commits: u64| Some((commits | 1).wrapping_add(1));
        let _always = self.commits.fetch_update(Ordering::SeqCst, Ordering::SeqCst, next);
    }

    /// Whether the database may be ahead of the picture.
    pub(crate) fn is_in_doubt(&self) -> bool {
        !self.commits.load(Ordering::SeqCst).is_multiple_of(2)
    }

    /// A number while the database is exactly at this revision; the same number later means that it has
    /// been there all the time. `None` while a commit is under way, or beyond.
    pub(crate) fn quiet_at(&self, revision: i64) -> Option<u64> {
        let commits = self.commits.load(Ordering::SeqCst);
        let quiet = commits.is_multiple_of(2) && self.view.load().revision == revision;
        (quiet && self.commits.load(Ordering::SeqCst) == commits).then_some(commits)
    }

    /// Replaces the picture by the one that the database holds, and wakes long polls.
    pub(crate) fn publish_view(&self, view: AccountView) {
        self.view.store(Arc::new(view));
        self.advance_commits();
        self.wake_waiters();
    }

    /// Wakes long polls, which then look again.
    pub(crate) fn wake_waiters(&self) {
        self.published.send_modify(|count| *count = count.wrapping_add(1));
    }

    /// To be taken *before* the view is looked at, so that no publication is missed.
    pub(crate) fn watch_publications(&self) -> watch::Receiver<u64> {
        self.published.subscribe()
    }

    /// When the account was last loaded. Before that its rows may have been out of reach, and with them
    /// whatever WhatsApp had to report.
    pub(crate) fn loaded_at(&self) -> MonotonicInstant {
        MonotonicInstant::from_millis(self.loaded_at_ms.load(Ordering::SeqCst))
    }

    /// The account was loaded again.
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
