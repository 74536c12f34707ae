//! Redis cache that the nodes share: budgets over all nodes, and rendered pages.
//!
//! The only module that talks to Redis. Invariants: no response needs Redis to be right; it is needed only
//! for budgets over *several* nodes. No request waits for Redis longer than `RedisConnection`'s limit.
//! After a failure no request waits at all until Redis is back. The content of Redis may vanish or be corrupt
//! at any time. Every key begins with `kabar:` and the identity of the installation, so that several
//! installations can share one Redis.

mod connection;
mod redis_budget;
mod shared_pages;

#[cfg(test)]
mod tests;

use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::Duration;

use sha2::{Digest as _, Sha256};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use connection::AddressRefused;
use connection::RedisConnection;
pub use redis_budget::RedisBudget;
use shared_pages::PageWriter;
pub use shared_pages::{RedisPage, RedisPageKey};

use crate::clock::Clock;
use crate::metrics::Metrics;

/// Interval at which idle leases are looked for.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// Time for giving back all leases when the node stops.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// State of the Redis cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisState {
    /// Not configured: this node uses its own memory only.
    Absent,
    /// Redis answers.
    Up,
    /// Redis does not answer: this node uses its own memory only until it does.
    Away,
}

struct CacheInner {
    link: Option<RedisConnection>,
    /// Id of this run of this node among the nodes that draw on a budget.
    node: String,
    prefix: String,
    nodes: AtomicU32,
    pages: PageWriter,
    /// Budgets that hold tokens.
    lent: Mutex<Vec<Weak<RedisBudget>>>,
    clock: Arc<Clock>,
    metrics: Arc<Metrics>,
    tasks: TaskTracker,
    closing: CancellationToken,
}

/// Client of the shared Redis cache. Cheap to clone.
#[derive(Clone)]
pub struct RedisCache(Arc<CacheInner>);

impl std::fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisCache").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl RedisCache {
    /// Creates a cache without Redis.
    #[must_use]
    pub fn none(clock: Arc<Clock>, metrics: Arc<Metrics>) -> Self {
        let (pages, _nobody_puts) = PageWriter::new(&[0; 32]);
        Self::of(None, pages, &[0; 32], clock, metrics)
    }

    /// Creates a cache on the Redis at this address. Returns at once; the connection is made in the
    /// background. `key` is the installation's own secret.
    ///
    /// # Errors
    /// [`AddressRefused`].
    pub fn open(
        address: &str,
        key: &[u8; 32],
        clock: Arc<Clock>,
        metrics: Arc<Metrics>,
    ) -> Result<Self, AddressRefused> {
        let link = RedisConnection::new(address, metrics.clone())?;
        let (pages, puts) = PageWriter::new(key);
        let memory = Self::of(Some(link), pages, key, clock, metrics);
        let (keeper, sweeper, putter) = (memory.clone(), memory.clone(), memory.clone());
        memory.0.tasks.spawn(async move {
            if let Some(link) = &keeper.0.link {
                link.keep_connected(&keeper.0.closing).await;
            }
        });
        memory.0.tasks.spawn(async move { sweeper.sweep().await });
        memory.0.tasks.spawn(async move { putter.put_pages(puts).await });
        Ok(memory)
    }

    fn of(
        link: Option<RedisConnection>,
        pages: PageWriter,
        key: &[u8; 32],
        clock: Arc<Clock>,
        metrics: Arc<Metrics>,
    ) -> Self {
        // The key itself must not be readable from the names.
        let digest = Sha256::new().chain_update("kabar names in shared memory").chain_update(key).finalize();
        let identity: [u8; 8] = std::array::from_fn(|nth| digest.get(nth).copied().unwrap_or_default());
        Self(Arc::new(CacheInner {
            link,
            node: format!("{:032x}", rand::random::<u128>()),
            prefix: format!("kabar:{}:", hex::encode(identity)),
            nodes: AtomicU32::new(1),
            pages,
            lent: Mutex::default(),
            clock,
            metrics,
            tasks: TaskTracker::new(),
            closing: CancellationToken::new(),
        }))
    }

    /// Returns the state.
    #[must_use]
    pub fn state(&self) -> RedisState {
        match &self.0.link {
            None => RedisState::Absent,
            Some(link) if link.is_up() => RedisState::Up,
            Some(_) => RedisState::Away,
        }
    }

    /// Sets the number of nodes of this installation, this one included. It determines this node's share of a
    /// budget while Redis is away.
    pub fn set_nodes(&self, nodes: u32) {
        self.0.nodes.store(nodes.max(1), Ordering::Relaxed);
    }

    fn nodes(&self) -> u32 {
        self.0.nodes.load(Ordering::Relaxed)
    }

    /// Returns a budget over all nodes with this name and, at first, `capacity` tokens a minute. A node
    /// requests each name once.
    #[must_use]
    pub fn budget(&self, name: &str, capacity: u32) -> Arc<RedisBudget> {
        let key = format!("{}budget:{name}", self.0.prefix);
        Arc::new(RedisBudget::new(self.clone(), key, capacity, self.0.clock.read_now()))
    }

    /// Registers a budget that holds tokens, so that they are given back when it is idle.
    fn lend(&self, budget: &Arc<RedisBudget>) {
        self.lent().push(Arc::downgrade(budget));
    }

    fn lent(&self) -> std::sync::MutexGuard<'_, Vec<Weak<RedisBudget>>> {
        self.0.lent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Gives idle leases back, until the node stops.
    async fn sweep(&self) {
        let mut began = self.0.clock.monotonic_now();
        loop {
            tokio::select! {
                () = self.0.clock.wait_until(began.saturating_plus(SWEEP_EVERY)) => {}
                () = self.0.closing.cancelled() => return,
            }
            began = self.0.clock.monotonic_now();
            let lent = std::mem::take(&mut *self.lent());
            for budget in lent.iter().filter_map(Weak::upgrade) {
                budget.return_idle().await;
            }
        }
    }

    /// Gives every lease back and disconnects from Redis. To be called when no request is in progress any
    /// more.
    pub async fn close(&self) {
        let lent = std::mem::take(&mut *self.lent());
        let give_back = async {
            for budget in lent.iter().filter_map(Weak::upgrade) {
                budget.return_all().await;
            }
        };
        if tokio::time::timeout(CLOSE_TIME, give_back).await.is_err() {
            tracing::debug!("not every lease was given back; they count as spent");
        }
        self.0.closing.cancel();
        self.0.tasks.close();
        self.0.tasks.wait().await;
    }
}
