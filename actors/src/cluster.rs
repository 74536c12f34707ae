//! Membership of this server on its database: alone, or as one node of several.
//!
//! Invariants:
//!
//! - A server serves an account only under the lease under which it was loaded, and only while that lease runs
//!   ([`lease`]).
//! - A lease is counted from before the database was asked for it, and is given up a tenth before its end. So
//!   the database lets no other server take over what this one still serves.
//! - A server that is alone has a longer lease. Within it, the server goes on serving from memory while the
//!   database cannot be reached.
//! - What is lost is released before anything is served again, under a new node id.

mod database_clock;
mod entry;
pub(crate) mod lease;
mod peers;

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::ArcSwap;
use kabar_core::cause::cause;
use kabar_core::clock::Clock;
use kabar_core::ids::{NodeId, ulid};
use kabar_core::process_identity::current_process;
use kabar_core::store::{DatabaseLock, DatabaseTenure, LeaseRenewal, NodeEntry, NodePeer, Store, StoreError};
use tokio_util::sync::CancellationToken;

pub use entry::{ClusterOptions, EntryError};
use kabar_core::surroundings;
use lease::{NodeLease, now_ms};
use peers::PeerTable;

/// Interval at which a server that is alone checks that it still holds the database lock.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Renewals within the length of a lease: three may fail before it ends.
const RENEWALS: u32 = 4;
/// Wait of a starting server for another one to stop, beyond the lease that may keep it off. PostgreSQL notices
/// within this time that the machine of the other has died.
const ENTRY_TIME: Duration = Duration::from_secs(20);
/// The same for a file: the operating system releases its lock when the other process ends.
const ENTRY_TIME_FILE: Duration = Duration::from_secs(2);
/// Pause between two attempts while another server holds the database.
const ENTRY_EVERY: Duration = Duration::from_millis(100);
/// The shortest pause before a lease is checked again.
const LOOK_MIN: Duration = Duration::from_millis(50);

/// Result of a renewal.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LeaseState {
    /// Nothing is lost.
    Kept,
    /// Everything is lost: no lease covers what is in memory. Release it before serving again.
    Lost,
}

struct ClusterState {
    store: Store,
    options: ClusterOptions,
    /// Lease of this generation.
    lease: ArcSwap<NodeLease>,
    peers: PeerTable,
    nodes: AtomicU32,
    /// The database's clock at its last answer, and the leases' clock then; both in milliseconds.
    database_clock: Mutex<Option<(i64, u64)>>,
    /// Set while accounts are handed over: none is loaded any more.
    leaving: AtomicBool,
    /// Cancelled once the others may take over.
    left: CancellationToken,
    /// Cancelled when the lease need not go on.
    renewal_ended: CancellationToken,
    /// Held while the database lock is taken, checked or given up.
    lock_history: tokio::sync::Mutex<LockHistory>,
}

/// The database lock that is held, and the tenure of the last one.
#[derive(Default)]
struct LockHistory {
    held: Option<DatabaseLock>,
    last: Option<DatabaseTenure>,
}

/// Result of taking the database lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DatabaseEntry {
    /// Taken again: no other server held it since this one lost it.
    Again,
    /// Taken anew: another server may have held it before.
    Anew,
    /// Another server holds it.
    Not,
}

/// Handle to this server's membership. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<ClusterState>);

fn fresh_id(clock: &Clock) -> NodeId {
    NodeId::from_bits(ulid(clock.read_now().millis(), rand::random()))
}

impl Cluster {
    /// Takes the database lock and registers this node. Waits a while for a server that is about to stop, and
    /// for the end of the lease of one that stopped without giving it up.
    ///
    /// # Errors
    /// [`EntryError`].
    pub async fn join_cluster(
        store: Store,
        options: ClusterOptions,
        clock: &Clock,
    ) -> Result<Self, EntryError> {
        if options.address.is_some() && !store.is_shared() {
            return Err(EntryError::NotShared);
        }
        let state = ClusterState {
            store,
            options,
            lease: ArcSwap::from_pointee(NodeLease::new(fresh_id(clock))),
            peers: PeerTable::default(),
            nodes: AtomicU32::new(1),
            database_clock: Mutex::default(),
            leaving: AtomicBool::new(false),
            left: CancellationToken::new(),
            renewal_ended: CancellationToken::new(),
            lock_history: tokio::sync::Mutex::default(),
        };
        let cluster = Self(Arc::new(state));
        let longest = cluster.entry_time();
        let began = now_ms();
        let mut waiting = false;
        let mut occupied = false;
        loop {
            occupied = occupied || cluster.lock_database().await? != DatabaseEntry::Not;
            if occupied && cluster.register_node(clock).await? {
                if cluster.is_shared() {
                    // Shows the other nodes, and the database's clock. Another failure is met at the next renewal.
                    let _kept_or_lost = cluster.renew_lease().await;
                }
                return Ok(cluster);
            }
            if Duration::from_millis(now_ms().saturating_sub(began)) > longest {
                let shared = occupied && cluster.is_shared();
                return Err(if shared { EntryError::AddressTaken } else { EntryError::Taken });
            }
            if !waiting {
                tracing::warn!(at_most_s = longest.as_secs(), "another kabar has the database; waiting");
            }
            waiting = true;
            surroundings::sleep(ENTRY_EVERY).await;
        }
    }

    fn entry_time(&self) -> Duration {
        let options = &self.0.options;
        if self.0.store.is_shared() {
            ENTRY_TIME.saturating_add(options.lease.max(options.alone_lease))
        } else {
            ENTRY_TIME_FILE
        }
    }

    /// Returns `true` when other nodes may serve accounts of this database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.options.address.is_some()
    }

    /// Returns the number of nodes alive at the last renewal, this one included.
    #[must_use]
    pub fn count_nodes(&self) -> u32 {
        self.0.nodes.load(Ordering::Relaxed)
    }

    /// Returns `true` while this server may answer for its accounts.
    #[must_use]
    pub fn is_serving(&self) -> bool {
        self.0.lease.load().is_running()
    }

    /// Returns the lease under which an account may be loaded now; `None` while none is running, and once
    /// accounts are handed over.
    pub(crate) fn lease_to_load(&self) -> Option<Arc<NodeLease>> {
        let lease = self.0.lease.load_full();
        (lease.is_running() && !self.is_leaving()).then_some(lease)
    }

    pub(crate) fn node_id(&self) -> NodeId {
        self.0.lease.load().node_id()
    }

    /// Returns another node that takes requests.
    pub(crate) fn any_peer(&self) -> Option<NodePeer> {
        self.0.peers.any_peer()
    }

    /// Returns a token that is cancelled when this node is gone: what it owned can be taken.
    pub(crate) fn peer_gone(&self, peer: &NodePeer) -> CancellationToken {
        self.0.peers.peer_gone(peer, self.0.options.lease)
    }

    /// Returns the pause before the next [`Cluster::renew_lease`].
    pub(crate) fn look_every(&self) -> Duration {
        if !self.is_shared() {
            return CHECK_EVERY;
        }
        let every = self.0.options.lease / RENEWALS;
        // Not later than the possible end of a peer's lease.
        self.0.peers.next_end().map_or(every, |end| every.min(end.max(LOOK_MIN)))
    }

    /// Takes the database lock.
    async fn lock_database(&self) -> Result<DatabaseEntry, StoreError> {
        let mut lock_history = self.0.lock_history.lock().await;
        lock_history.held = self.0.store.lock_database(!self.is_shared(), lock_history.last.as_ref()).await?;
        let Some(held) = &lock_history.held else { return Ok(DatabaseEntry::Not) };
        let stay = held.current_tenure();
        let again = lock_history.last.as_ref().is_some_and(|last| held.follows_directly(last));
        lock_history.last = Some(stay);
        Ok(if again { DatabaseEntry::Again } else { DatabaseEntry::Anew })
    }

    /// Starts serving, under a new id and a lease of its own. Returns `false` while the lease of another server
    /// is in the way. For a server that is alone that is any lease, else the lease of one that is alone or has
    /// the same address.
    async fn register_node(&self, clock: &Clock) -> Result<bool, StoreError> {
        let next = NodeLease::new(fresh_id(clock));
        if self.0.store.is_shared() {
            let address = self.0.options.address.as_deref().unwrap_or_default();
            let asked_at = now_ms();
            let process = current_process();
            match self.0.store.insert_node(next.node_id(), address, &process, self.lease_length()).await? {
                NodeEntry::Entered => next.extend_until(asked_at, self.serving_time()),
                NodeEntry::Blocked { process, id } => {
                    self.0.store.remove_ended_node(&process, id).await?;
                    return Ok(false);
                }
            }
        } else {
            next.extend_without_end();
        }
        self.0.lease.swap(Arc::new(next)).end_lease();
        Ok(true)
    }

    fn lease_length(&self) -> Duration {
        if self.is_shared() { self.0.options.lease } else { self.0.options.alone_lease }
    }

    /// Returns the serving time of a lease: it is given up a tenth before the database lets others take over.
    fn serving_time(&self) -> Duration {
        let lease = self.lease_length();
        lease.saturating_sub(lease / 10)
    }

    fn stop_serving(&self) {
        self.0.lease.load().end_lease();
    }

    /// Checks that this server still holds the database lock, and renews its lease.
    pub(crate) async fn renew_lease(&self) -> LeaseState {
        if self.0.left.is_cancelled() {
            // It reads no more of the others' leases, and forwards requests to them until it ends.
            return LeaseState::Kept;
        }
        let standing = self.renew_node().await;
        self.0.peers.expire_peers();
        standing
    }

    async fn renew_node(&self) -> LeaseState {
        if !self.is_present().await {
            match self.lock_database().await {
                Ok(DatabaseEntry::Again) => tracing::info!("back on the database"),
                // Nodes learn from the lease what they have lost.
                Ok(DatabaseEntry::Anew) if self.is_shared() => tracing::info!("back on the database"),
                Ok(DatabaseEntry::Anew) => {
                    tracing::warn!("back on the database, where another kabar was; loading everything anew");
                    self.stop_serving();
                    return LeaseState::Lost;
                }
                Ok(DatabaseEntry::Not) => {
                    tracing::error!("another kabar has taken the database; serving nothing until it is gone");
                    self.stop_serving();
                    return LeaseState::Lost;
                }
                // It goes on from memory until its lease ends.
                Err(_away) => return LeaseState::Kept,
            }
        }
        let lease = self.0.lease.load_full();
        if lease.is_ended() {
            return LeaseState::Lost;
        }
        if !self.0.store.is_shared() {
            return LeaseState::Kept;
        }
        let asked_at = now_ms();
        match self.0.store.renew_node(lease.node_id(), self.lease_length()).await {
            Ok(Some(LeaseRenewal { peers, database_ms })) => {
                *self.0.database_clock.lock().unwrap_or_else(PoisonError::into_inner) =
                    Some((database_ms, now_ms()));
                self.0.nodes.store(u32::try_from(peers.len() + 1).unwrap_or(u32::MAX), Ordering::Relaxed);
                self.0.peers.replace_peers(peers, asked_at);
                lease.extend_until(asked_at, self.serving_time());
                LeaseState::Kept
            }
            Ok(None) => {
                tracing::error!("this node was taken for dead; letting go of its accounts");
                lease.end_lease();
                LeaseState::Lost
            }
            Err(error) => {
                tracing::warn!(error = cause(&error), "lease not renewed");
                LeaseState::Kept
            }
        }
    }

    async fn is_present(&self) -> bool {
        let mut lock_history = self.0.lock_history.lock().await;
        let Some(held) = lock_history.held.as_mut() else { return false };
        match held.check_held().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = cause(&error), "the database has let go of this server");
                lock_history.held = None;
                false
            }
        }
    }

    /// Serves again after everything that was lost has been released; `false` when it cannot yet.
    pub(crate) async fn serve_again(&self, clock: &Clock) -> bool {
        if !self.is_present().await
            && !matches!(self.lock_database().await, Ok(DatabaseEntry::Again | DatabaseEntry::Anew))
        {
            return false;
        }
        match self.register_node(clock).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(error = cause(&error), "could not take the place");
                false
            }
        }
    }

    /// Stops the loading of accounts, because they are about to be handed over.
    pub(crate) fn begin_leaving(&self) {
        self.0.leaving.store(true, Ordering::Release);
    }

    pub(crate) fn is_leaving(&self) -> bool {
        self.0.leaving.load(Ordering::Acquire)
    }

    /// Returns once the others may take over what was served here, or will learn of it by the lease's end.
    pub(crate) async fn wait_released(&self) {
        self.0.left.cancelled().await;
    }

    /// Notes that the lease need not go on any more.
    pub fn end_renewal(&self) {
        self.0.renewal_ended.cancel();
    }

    /// Returns when the lease need not go on any more.
    pub(crate) async fn renewal_ended(&self) {
        self.0.renewal_ended.cancelled().await;
    }

    /// Lets the others take over at once. To be called when nothing is served under the lease any more.
    pub async fn leave_cluster(&self) {
        self.begin_leaving();
        self.stop_serving();
        if self.0.store.is_shared()
            && !self.0.left.is_cancelled()
            && let Err(error) = self.0.store.remove_node(self.node_id()).await
        {
            tracing::warn!(error = cause(&error), "the others will notice only by the lease's end");
        }
        self.0.left.cancel();
    }

    /// Gives up the database lock. To be called last.
    pub async fn unlock_database(&self) {
        self.0.lock_history.lock().await.held = None;
    }
}
