//! This server's place on its database: alone, or as one node of several.
//!
//! Invariants: a server that is alone keeps every other one off the database, and so goes on serving
//! from memory while the database is away. A node serves an account only while its lease runs: it
//! counts the lease from before it asked for it, and stops serving a tenth before the end, so the
//! database lets nobody take over what this node still answers for. What is lost is let go of before
//! anything is served again.

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use kabar_core::cause::cause;
use kabar_core::clock::Clock;
use kabar_core::ids::{NodeId, ulid};
use kabar_core::store::{Presence, Renewed, Stay, Store, StoreError};

/// How often a server that is alone makes sure that it still is.
const CHECK_EVERY: Duration = Duration::from_secs(1);
/// Renewals of a lease in its time: three may be lost before it ends.
const RENEWALS: u32 = 4;
/// How long a starting server waits for another one to go. PostgreSQL notices within this time that the
/// machine of the other has died.
const ENTRY_PATIENCE: Duration = Duration::from_secs(20);
/// The same for a file: the system lets go of its lock when the other process ends.
const ENTRY_PATIENCE_FILE: Duration = Duration::from_secs(2);
/// Pause between two looks at whether the other one has gone.
const ENTRY_EVERY: Duration = Duration::from_millis(100);
/// A standing that does not end.
const FOR_GOOD: u64 = u64::MAX;

/// How a server stands among others.
#[derive(Debug, Clone)]
pub struct ClusterOptions {
    /// Where other nodes reach this one, e.g. `http://10.0.0.5:8080`; `None`: it is alone.
    pub address: Option<Arc<str>>,
    /// How long the others wait before they take over from a node that has fallen silent.
    pub lease: Duration,
}

/// Why a server could not take its place.
#[derive(Debug, thiserror::Error)]
pub enum EntryError {
    /// Somebody else has the database, and would not go.
    #[error(
        "another kabar works on this database; to run several on one PostgreSQL, set cluster.address on each"
    )]
    Taken,
    /// A file cannot be shared.
    #[error("several nodes need PostgreSQL; remove cluster.address")]
    NotShared,
    /// The database does not answer.
    #[error("the database does not answer")]
    Storage(#[from] StoreError),
}

/// What a look at the database has shown.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Standing {
    /// Nothing is lost.
    Kept,
    /// Everything is lost: whatever is in memory belongs to nobody. Serve again after letting go of it.
    Lost,
}

struct State {
    store: Store,
    options: ClusterOptions,
    node: Mutex<NodeId>,
    /// Milliseconds after `began` at which this server stops serving; zero: it does not serve.
    serves_until_ms: AtomicU64,
    nodes: AtomicU32,
    began: Instant,
    seat: tokio::sync::Mutex<Seat>,
}

/// The place, and the one before it.
#[derive(Default)]
struct Seat {
    held: Option<Presence>,
    last: Option<Stay>,
}

/// What taking the place has come to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Occupied {
    /// Nobody was there since this server lost it.
    Again,
    /// Somebody may have been there before.
    Anew,
    /// Somebody is there.
    Not,
}

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct Cluster(Arc<State>);

fn fresh_id(clock: &Clock) -> NodeId {
    NodeId::from_bits(ulid(clock.now().millis(), rand::random()))
}

impl Cluster {
    /// Takes the place; waits a while for one who is about to go.
    ///
    /// # Errors
    /// [`EntryError`].
    pub async fn enter(store: Store, options: ClusterOptions, clock: &Clock) -> Result<Self, EntryError> {
        if options.address.is_some() && !store.is_shared() {
            return Err(EntryError::NotShared);
        }
        let state = State {
            store,
            options,
            node: Mutex::new(fresh_id(clock)),
            serves_until_ms: AtomicU64::new(0),
            nodes: AtomicU32::new(1),
            began: Instant::now(),
            seat: tokio::sync::Mutex::default(),
        };
        let cluster = Self(Arc::new(state));
        let patience = if cluster.0.store.is_shared() { ENTRY_PATIENCE } else { ENTRY_PATIENCE_FILE };
        let mut waiting = false;
        let mut occupied = false;
        loop {
            occupied = occupied || cluster.occupy().await? != Occupied::Not;
            if occupied && cluster.begin(clock).await? {
                return Ok(cluster);
            }
            if cluster.0.began.elapsed() > patience {
                return Err(EntryError::Taken);
            }
            if !waiting {
                tracing::warn!(patience_s = patience.as_secs(), "another kabar has the database; waiting");
            }
            waiting = true;
            tokio::time::sleep(ENTRY_EVERY).await;
        }
    }

    /// Whether other nodes may serve accounts of this database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.0.options.address.is_some()
    }

    /// Nodes alive when last looked, this one included.
    #[must_use]
    pub fn nodes(&self) -> u32 {
        self.0.nodes.load(Ordering::Relaxed)
    }

    /// Whether this server answers for its accounts at this moment.
    #[must_use]
    pub fn serves(&self) -> bool {
        let until = self.0.serves_until_ms.load(Ordering::Acquire);
        until == FOR_GOOD || self.now_ms() < until
    }

    pub(crate) fn node(&self) -> NodeId {
        *self.0.node.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How long to wait before the next [`Cluster::look`].
    pub(crate) fn look_every(&self) -> Duration {
        if self.is_shared() { self.0.options.lease / RENEWALS } else { CHECK_EVERY }
    }

    /// Milliseconds since this server began.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.began.elapsed().as_millis()).unwrap_or(FOR_GOOD)
    }

    /// Takes the place.
    async fn occupy(&self) -> Result<Occupied, StoreError> {
        let mut seat = self.0.seat.lock().await;
        seat.held = self.0.store.enter(!self.is_shared(), seat.last.as_ref()).await?;
        let Some(held) = &seat.held else { return Ok(Occupied::Not) };
        let stay = held.stay();
        let again = seat.last.as_ref().is_some_and(|last| held.follows(last));
        seat.last = Some(stay);
        Ok(if again { Occupied::Again } else { Occupied::Anew })
    }

    /// Starts serving, under a fresh id; `false` while this server would be alone, and a node that died
    /// or lost the database may serve still.
    async fn begin(&self, clock: &Clock) -> Result<bool, StoreError> {
        let node = fresh_id(clock);
        let asked_at = self.now_ms();
        match &self.0.options.address {
            Some(address) => self.0.store.join(node, address, self.0.options.lease).await?,
            None if self.0.store.has_nodes().await? => return Ok(false),
            None => {}
        }
        *self.0.node.lock().unwrap_or_else(PoisonError::into_inner) = node;
        self.serve_from(asked_at);
        Ok(true)
    }

    fn serve_from(&self, asked_at_ms: u64) {
        let lease = self.0.options.lease.saturating_sub(self.0.options.lease / 10);
        let lease_ms = u64::try_from(lease.as_millis()).unwrap_or(FOR_GOOD);
        let until = if self.is_shared() { asked_at_ms.saturating_add(lease_ms) } else { FOR_GOOD };
        self.0.serves_until_ms.store(until, Ordering::Release);
    }

    fn stop_serving(&self) {
        self.0.serves_until_ms.store(0, Ordering::Release);
    }

    /// Makes sure that this server still has its place, and as a node that its lease goes on.
    pub(crate) async fn look(&self) -> Standing {
        if !self.is_present().await {
            match self.occupy().await {
                Ok(Occupied::Again) => tracing::info!("back on the database"),
                // Nodes see by the lease what they have lost.
                Ok(Occupied::Anew) if self.is_shared() => tracing::info!("back on the database"),
                Ok(Occupied::Anew) => {
                    tracing::warn!("back on the database, where another kabar was; loading everything anew");
                    self.stop_serving();
                    return Standing::Lost;
                }
                Ok(Occupied::Not) => {
                    tracing::error!("another kabar has taken the database; serving nothing until it is gone");
                    self.stop_serving();
                    return Standing::Lost;
                }
                // Alone it goes on from memory; as a node, until its lease ends.
                Err(_away) => return Standing::Kept,
            }
        }
        if !self.is_shared() {
            return if self.serves() { Standing::Kept } else { Standing::Lost };
        }
        let asked_at = self.now_ms();
        match self.0.store.renew(self.node(), self.0.options.lease).await {
            Ok(Some(Renewed { nodes, .. })) => {
                self.0.nodes.store(nodes, Ordering::Relaxed);
                self.serve_from(asked_at);
                Standing::Kept
            }
            Ok(None) => {
                tracing::error!("this node was taken for dead; letting go of its accounts");
                self.stop_serving();
                Standing::Lost
            }
            Err(error) => {
                tracing::warn!(error = cause(&error), "lease not renewed");
                Standing::Kept
            }
        }
    }

    async fn is_present(&self) -> bool {
        let mut seat = self.0.seat.lock().await;
        let Some(held) = seat.held.as_mut() else { return false };
        match held.check().await {
            Ok(()) => true,
            Err(error) => {
                tracing::warn!(error = cause(&error), "the database has let go of this server");
                seat.held = None;
                false
            }
        }
    }

    /// Serves again after everything that was lost has been let go of; `false` when it cannot yet.
    pub(crate) async fn serve_again(&self, clock: &Clock) -> bool {
        if !self.is_present().await && !matches!(self.occupy().await, Ok(Occupied::Again | Occupied::Anew)) {
            return false;
        }
        match self.begin(clock).await {
            Ok(begun) => begun,
            Err(error) => {
                tracing::warn!(error = cause(&error), "could not take the place");
                false
            }
        }
    }

    /// Lets the others take over at once. To be called when nothing is served any more.
    pub async fn leave(&self) {
        self.stop_serving();
        if self.is_shared()
            && let Err(error) = self.0.store.leave(self.node()).await
        {
            tracing::warn!(error = cause(&error), "the others will notice only by the lease's end");
        }
        self.0.seat.lock().await.held = None;
    }
}
