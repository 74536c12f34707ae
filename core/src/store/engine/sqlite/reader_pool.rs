//! Pool of connections that read a file.
//!
//! Invariants: no more connections than permits, which organisations share. A connection is pooled only between
//! statements. A connection whose caller was dropped in mid-statement is closed, and its statement interrupted.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use tokio_util::task::TaskTracker;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::super::timed_connection::TimedConnection;
use super::super::{Sql, SqlArg};
use crate::fair_bound::{FairBound, FairPermit, PermitHolder};

/// Time that a reader waits for a permit.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);

/// Pool of connections that read. Cheap to clone.
#[derive(Clone)]
pub(super) struct SqliteReaderPool(Arc<SqlitePoolState>);

struct SqlitePoolState {
    options: SqliteConnectOptions,
    statement_timeout: Duration,
    permits: Arc<FairBound>,
    idle: Mutex<Vec<TimedConnection>>,
    is_closed: AtomicBool,
    /// Connections that are lent.
    lent: TaskTracker,
}

impl SqliteReaderPool {
    pub(super) fn new(
        options: SqliteConnectOptions,
        statement_timeout: Duration,
        permits: Arc<FairBound>,
    ) -> Self {
        Self(Arc::new(SqlitePoolState {
            options,
            statement_timeout,
            permits,
            idle: Mutex::default(),
            is_closed: AtomicBool::new(false),
            lent: TaskTracker::new(),
        }))
    }

    fn lock_idle(&self) -> MutexGuard<'_, Vec<TimedConnection>> {
        // No code panics in the middle of a change of it.
        self.0.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed.load(Ordering::Acquire)
    }

    /// Takes an idle connection, or opens one.
    async fn acquire_reader(&self, holder: PermitHolder) -> Result<SqliteReader, sqlx::Error> {
        let permit = tokio::time::timeout(ACQUIRE_TIMEOUT, self.0.permits.acquire(holder)).await;
        let permit = permit.ok().and_then(Result::ok).ok_or(sqlx::Error::PoolTimedOut)?;
        let token = self.0.lent.token();
        if self.is_closed() {
            return Err(sqlx::Error::PoolClosed);
        }
        let idle = self.lock_idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => TimedConnection::open(&self.0.options, self.0.statement_timeout).await?,
        };
        Ok(SqliteReader { connection: Some(connection), pool: self.clone(), _permit: permit, _token: token })
    }

    /// Reads with one statement.
    pub(super) async fn fetch_rows(
        &self,
        holder: PermitHolder,
        sql: Sql,
        args: Vec<SqlArg>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let mut reader = self.acquire_reader(holder).await?;
        let rows = reader.run_statement(sql, args).await;
        reader.release_reader();
        rows
    }

    /// Begins several reads that see the same commits.
    pub(super) async fn begin_snapshot(&self, holder: PermitHolder) -> Result<SqliteSnapshot, sqlx::Error> {
        let mut snapshot = SqliteSnapshot(self.acquire_reader(holder).await?);
        snapshot.fetch_rows("BEGIN".into(), Vec::new()).await?;
        Ok(snapshot)
    }

    /// Lends no more connections, waits for those that are lent, and closes them all.
    pub(super) async fn close_pool(&self) {
        self.0.is_closed.store(true, Ordering::Release);
        self.0.lent.close();
        self.0.lent.wait().await;
        let idle = std::mem::take(&mut *self.lock_idle());
        for connection in idle {
            let _gone = connection.close_connection().await;
        }
    }
}

/// A connection taken from the pool. Dropping it closes the connection.
struct SqliteReader {
    /// `None` once it was given back.
    connection: Option<TimedConnection>,
    pool: SqliteReaderPool,
    _permit: FairPermit,
    _token: TaskTrackerToken,
}

impl SqliteReader {
    async fn run_statement(&mut self, sql: Sql, args: Vec<SqlArg>) -> Result<Vec<SqliteRow>, sqlx::Error> {
        let connection = self.connection.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        connection.run_statement(sql, args).await
    }

    /// Returns it to the pool; no statement and no transaction must be in progress on it.
    fn release_reader(mut self) {
        if let Some(connection) = self.connection.take() {
            self.pool.lock_idle().push(connection);
        }
    }
}

impl Drop for SqliteReader {
    fn drop(&mut self) {
        // Its caller was dropped in mid-statement: what it runs is for no one any more.
        if let Some(connection) = self.connection.take() {
            connection.interrupt();
        }
    }
}

/// Reads that see the same commits. Dropping it ends them.
pub(in super::super) struct SqliteSnapshot(SqliteReader);

impl SqliteSnapshot {
    /// Reads with one statement.
    pub(in super::super) async fn fetch_rows(
        &mut self,
        sql: Sql,
        args: Vec<SqlArg>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        self.0.run_statement(sql, args).await
    }

    /// Ends the reads, and returns the connection to the pool.
    pub(in super::super) async fn end_reads(mut self) -> Result<(), sqlx::Error> {
        self.fetch_rows("ROLLBACK".into(), Vec::new()).await?;
        self.0.release_reader();
        Ok(())
    }
}
