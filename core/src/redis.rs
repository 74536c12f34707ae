//! The memory that nodes share: Redis. Budgets that hold over all nodes, and pages that were read once.
//!
//! The only room that speaks with Redis. Invariants: nothing here is needed for a right answer, only for
//! budgets to hold over *several* nodes; nobody waits for Redis longer than [`RedisConnection`]'s limit, and once it
//! failed nobody waits at all until it is back; what Redis holds may vanish or be nonsense at any time.
//! Every key begins with `kabar:` and the identity of the installation, so that several can share one
//! Redis.

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

/// How often leases that nobody draws on are looked for.
const SWEEP_EVERY: Duration = Duration::from_millis(500);
/// How long giving back everything may take when the node stops.
const CLOSE_TIME: Duration = Duration::from_secs(1);

/// How it goes with the Redis cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RedisState {
    /// There is none: this node keeps to its own.
    Absent,
    /// It answers.
    Up,
    /// It does not: this node keeps to its own until it does.
    Away,
}

struct CacheInner {
    link: Option<RedisConnection>,
    /// Names this run of this node among those that draw on a budget.
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

/// See the module. Cheap to clone.
#[derive(Clone)]
pub struct RedisCache(Arc<CacheInner>);

impl std::fmt::Debug for RedisCache {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisCache").field("state", &self.state()).finish_non_exhaustive()
    }
}

impl RedisCache {
    /// No memory but the node's own.
    #[must_use]
    pub fn none(clock: Arc<Clock>, metrics: Arc<Metrics>) -> Self {
        let (pages, _nobody_puts) = PageWriter::new(&[0; 32]);
        Self::of(None, pages, &[0; 32], clock, metrics)
    }

    /// The memory at this address. Returns at once; Redis may come later. `key` is the installation's
    /// own secret.
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
        // The key itself shall not be read off the names.
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

    /// How it goes.
    #[must_use]
    pub fn state(&self) -> RedisState {
        match &self.0.link {
            None => RedisState::Absent,
            Some(link) if link.is_up() => RedisState::Up,
            Some(_) => RedisState::Away,
        }
    }

    /// Tells how many nodes serve this installation, this one included. It decides what part of a
    /// budget is this node's while Redis is away.
    pub fn set_nodes(&self, nodes: u32) {
        self.0.nodes.store(nodes.max(1), Ordering::Relaxed);
    }

    fn nodes(&self) -> u32 {
        self.0.nodes.load(Ordering::Relaxed)
    }

    /// A budget over all nodes, of this name and of `capacity` tokens a minute to begin with. One node
    /// asks for each name once.
    #[must_use]
    pub fn budget(&self, name: &str, capacity: u32) -> Arc<RedisBudget> {
        let key = format!("{}budget:{name}", self.0.prefix);
        Arc::new(RedisBudget::new(self.clone(), key, capacity, self.0.clock.read_now()))
    }

    /// Remembers that a budget holds tokens, so that they go back when nobody draws on it.
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

    /// Gives every lease back and lets go of Redis. To be called when no request is under way any more.
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
