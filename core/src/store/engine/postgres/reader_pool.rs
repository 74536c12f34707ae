//! Pool of connections that read.
//!
//! Invariants: no more connections than permits, which organisations share. A connection is pooled only between statements, and used
//! only while its server is the current primary. When one is found dead, all idle ones are closed with it. A
//! connection with a canceled statement is pooled again once the server has answered the statement.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tokio::runtime::Handle;
use tokio_util::task::TaskTracker;

use super::primary_connection::PrimaryConnection;
use super::primary_tracker::PrimaryTracker;
use super::{ANSWER_TIMEOUT, CONNECT_TIMEOUT, with_timeout};
use crate::fair_bound::{FairBound, FairPermit, PermitHolder};

/// A connection that was idle longer is pinged before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// A connection that was idle longer is closed when another one comes back.
const IDLE_MAX: Duration = Duration::from_mins(10);
/// Maximum age of a connection: the server's memory for it grows.
const AGE_MAX: Duration = Duration::from_mins(30);

/// Pool of connections that read. Cheap to clone.
#[derive(Clone)]
pub(super) struct ReaderPool(Arc<PoolShared>);

struct PoolShared {
    tracker: PrimaryTracker,
    permits: Arc<FairBound>,
    is_closed: AtomicBool,
    /// Ordered by last use, the latest last.
    idle: Mutex<Vec<IdleReader>>,
    returning: TaskTracker,
}

struct IdleReader {
    connection: PrimaryConnection,
    opened: Instant,
    since: Instant,
}

impl ReaderPool {
    pub(super) fn new(tracker: PrimaryTracker, permits: Arc<FairBound>) -> Self {
        Self(Arc::new(PoolShared {
            tracker,
            permits,
            is_closed: AtomicBool::new(false),
            idle: Mutex::default(),
            returning: TaskTracker::new(),
        }))
    }

    /// Takes an idle connection, or opens one.
    pub(super) async fn acquire_reader(&self, holder: PermitHolder) -> Result<PooledReader, sqlx::Error> {
        let permit = tokio::time::timeout(CONNECT_TIMEOUT, self.0.permits.acquire(holder)).await;
        let permit = permit.ok().and_then(Result::ok).ok_or(sqlx::Error::PoolTimedOut)?;
        if self.is_closed() {
            return Err(sqlx::Error::PoolClosed);
        }
        let (connection, opened) = with_timeout(CONNECT_TIMEOUT, Box::pin(self.take_connection())).await?;
        Ok(PooledReader { lent: Some(LentReader { connection, opened, permit }), pool: self.clone() })
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::Acquire)
    }

    async fn take_connection(&self) -> Result<(PrimaryConnection, Instant), sqlx::Error> {
        loop {
            // After a loss this asks the hosts, and so rejects connections to another server.
            self.0.tracker.current_primary().await?;
            let Some(mut reader) = self.take_idle() else { break };
            if reader.since.elapsed() < TRUSTED_IDLE || reader.connection.ping_server().await.is_ok() {
                return Ok((reader.connection, reader.opened));
            }
            self.forget_idle();
        }
        Ok((PrimaryConnection::open(&self.0.tracker, std::convert::identity).await?, Instant::now()))
    }

    fn take_idle(&self) -> Option<IdleReader> {
        let mut idle = self.lock_idle();
        idle.retain(|reader| reader.connection.is_current() && reader.opened.elapsed() < AGE_MAX);
        idle.pop()
    }

    /// Closes the idle connections: the cause that ended one has mostly ended all.
    fn forget_idle(&self) {
        self.lock_idle().clear();
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<IdleReader>> {
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put_back(&self, lent: LentReader) {
        let LentReader { connection, opened, permit } = lent;
        if connection.is_current() && !self.is_closed() {
            let mut idle = self.lock_idle();
            idle.retain(|reader| reader.since.elapsed() < IDLE_MAX);
            idle.push(IdleReader { connection, opened, since: Instant::now() });
        }
        drop(permit);
    }

    /// Lends no more connections, and closes the idle ones.
    pub(super) async fn close_pool(&self) {
        self.0.is_closed.store(true, Ordering::Release);
        self.0.returning.close();
        // A server that does not answer is not waited for.
        let _silent = tokio::time::timeout(ANSWER_TIMEOUT, async {
            self.0.returning.wait().await;
            let idle = std::mem::take(&mut *self.lock_idle());
            for reader in idle {
                let _gone = reader.connection.close_connection().await;
            }
        })
        .await;
    }
}

struct LentReader {
    connection: PrimaryConnection,
    opened: Instant,
    permit: FairPermit,
}

/// A connection taken from the pool.
pub(super) struct PooledReader {
    lent: Option<LentReader>,
    pool: ReaderPool,
}

impl PooledReader {
    /// Returns the connection.
    pub(super) fn connection_mut(&mut self) -> Result<&mut PrimaryConnection, sqlx::Error> {
        self.lent.as_mut().map(|lent| &mut lent.connection).ok_or(sqlx::Error::PoolClosed)
    }

    /// Returns it to the pool; no statement must be in progress on it.
    pub(super) fn release_reader(mut self) {
        if let Some(lent) = self.lent.take() {
            self.pool.put_back(lent);
        }
    }

    /// Closes it without a message to the server, and frees its permit.
    pub(super) fn discard_reader(mut self) {
        drop(self.lent.take());
    }

    /// Discards a connection that was found dead, and all idle ones.
    pub(super) fn discard_dead(self) {
        self.pool.forget_idle();
        self.discard_reader();
    }
}

impl Drop for PooledReader {
    fn drop(&mut self) {
        // Its caller was dropped in mid-statement. Without a runtime the connection just closes.
        let (Some(mut lent), Ok(runtime)) = (self.lent.take(), Handle::try_current()) else { return };
        let pool = self.pool.clone();
        self.pool.0.returning.spawn_on(
            async move {
                if lent.connection.ping_server().await.is_ok() {
                    pool.put_back(lent);
                }
            },
            &runtime,
        );
    }
}
