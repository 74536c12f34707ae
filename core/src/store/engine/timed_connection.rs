//! Connection to a SQLite file on which each statement has a deadline, as on PostgreSQL.
//!
//! Invariants: a statement that computes for longer than its time fails with `SQLITE_INTERRUPT`, and changes nothing.
//! Only the CPU time of the connection's thread counts, looked at every [`STEPS`] steps of SQLite's virtual machine:
//! a busy or halted machine, a slow disk or a held lock fails no statement.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};
use sqlx::sqlite::{SqliteConnectOptions, SqliteRow};
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use super::sqlite_statement::run_statement;
use super::{Sql, SqlArg};

/// Steps of SQLite's virtual machine between two looks at the time: some ten microseconds.
const STEPS: i32 = 1000;
/// Number that stands for no statement, or for one without a deadline.
const UNTIMED: u64 = 0;
/// Number that stands for a statement to be interrupted.
const INTERRUPTED: u64 = u64::MAX;

/// Watch over the statement under way, run by the connection's own thread.
struct StatementWatch {
    /// Number of the statement under way, set by its caller.
    current: Arc<AtomicU64>,
    timeout: Duration,
    /// The statement that was seen last, and the thread's CPU time then.
    seen: (u64, Duration),
}

impl StatementWatch {
    /// Returns `true` when the statement under way may go on.
    fn has_time(&mut self) -> bool {
        let current = self.current.load(Ordering::Relaxed);
        if current == UNTIMED || current == INTERRUPTED {
            return current == UNTIMED;
        }
        let used = thread_cpu_time();
        if self.seen.0 != current {
            self.seen = (current, used);
        }
        used.saturating_sub(self.seen.1) < self.timeout
    }
}

fn thread_cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ThreadCPUTime)).unwrap_or_default()
}

/// A connection whose statements have a deadline.
pub(super) struct TimedConnection {
    connection: SqliteConnection,
    /// Number of the statement under way.
    current: Arc<AtomicU64>,
    /// Statements run so far.
    statements: u64,
}

impl TimedConnection {
    /// Opens a connection whose statements may compute for `timeout`.
    pub(super) async fn open(options: &SqliteConnectOptions, timeout: Duration) -> Result<Self, sqlx::Error> {
        let mut connection = options.connect().await?;
        let current = Arc::new(AtomicU64::new(UNTIMED));
        let mut watch = StatementWatch { current: current.clone(), timeout, seen: (UNTIMED, Duration::ZERO) };
        connection.lock_handle().await?.set_progress_handler(STEPS, move || watch.has_time());
        Ok(Self { connection, current, statements: UNTIMED })
    }

    /// Runs one statement and collects its rows.
    pub(super) async fn run_statement(
        &mut self,
        sql: Sql,
        args: Vec<SqlArg>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        self.statements += 1;
        self.current.store(self.statements, Ordering::Relaxed);
        let rows = run_statement(&mut self.connection, sql, args).await;
        self.current.store(UNTIMED, Ordering::Relaxed);
        rows
    }

    /// Runs one statement however long it takes.
    pub(super) async fn run_untimed(&mut self, sql: Sql) -> Result<Vec<SqliteRow>, sqlx::Error> {
        run_statement(&mut self.connection, sql, Vec::new()).await
    }

    /// Interrupts the statement under way, and closes the connection behind it.
    pub(super) fn interrupt(self) {
        self.current.store(INTERRUPTED, Ordering::Relaxed);
    }

    /// Closes the connection cleanly.
    pub(super) async fn close_connection(self) -> Result<(), sqlx::Error> {
        self.connection.close().await
    }
}
