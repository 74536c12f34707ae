//! PostgreSQL: a pool of connections that read, and connections that write, all to the current primary.
//!
//! Invariants: COMMIT returns after the server has flushed it, whatever the server's own default is. No call
//! waits for a silent server longer than [`ANSWER_TIMEOUT`], and a connection without an answer in time is
//! never used again. A connection that died while it was idle fails no caller. A server that is no longer the
//! primary is neither read from nor written to (`postgres/primary_tracker.rs`).

mod lock_tenure;
mod primary_connection;
mod primary_tracker;
mod reader_pool;
mod server_role;
mod start_check;

use std::future::Future;
use std::str::FromStr;
use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _};

pub(super) use self::lock_tenure::{LockTenure, PostgresLock};
pub(super) use self::primary_connection::PrimaryConnection;
use self::primary_tracker::{DatabaseHost, PrimaryTracker};
use self::reader_pool::{PooledReader, ReaderPool};
use super::{EngineTimeouts, STATEMENTS_CACHED, Sql, SqlArg, unusable_value};
use crate::fair_bound::{FairBound, PermitHolder};
use crate::postgres_url::PostgresUrl;
use crate::store::StoreError;

/// A server that has not answered a statement by then counts as dead. Longer than a statement may take, so
/// that a slow server can report itself what is slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// Time for opening a connection, with all that was tried before it.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The server ends a transaction of a silent client after this time, so that its locks are released.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// Dead connections after which a read gives up: an idle one, and those of the moment of a failover.
const DEAD_MAX: u32 = 2;
/// The first half of the key of kabar's advisory locks: `kaba` in ASCII.
const LOCK_CLASS: i32 = 0x6b61_6261;
/// `server_version_num` of PostgreSQL 15.
const OLDEST_VERSION: i64 = 150_000;

/// An open database.
#[derive(Clone)]
pub(super) struct PostgresDatabase {
    tracker: PrimaryTracker,
    readers: ReaderPool,
}

impl PostgresDatabase {
    /// Connects to the database that `url` names and migrates its schema.
    pub(super) async fn open_database(
        url: &str,
        readers: Arc<FairBound>,
        timeouts: EngineTimeouts,
    ) -> Result<Self, StoreError> {
        let tracker = PrimaryTracker::new(database_hosts(url, timeouts)?);
        start_check::check_server(&tracker).await?;
        Ok(Self { readers: ReaderPool::new(tracker.clone(), readers), tracker })
    }

    /// Reads with one statement.
    ///
    /// A restart of the server kills all idle connections, and the first one that is found dead removes them
    /// all from the pool.
    pub(super) async fn fetch_rows(
        &self,
        holder: PermitHolder,
        sql: Sql,
        args: Vec<SqlArg>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut dead = 0;
        loop {
            let mut reader = self.readers.acquire_reader(holder).await?;
            match reader.connection_mut()?.run_statement(sql.clone(), args.clone()).await {
                Err(error) if is_lost(&error) => {
                    reader.discard_dead();
                    if is_silence(&error) || dead == DEAD_MAX {
                        return Err(error);
                    }
                    dead += 1;
                }
                done => {
                    reader.release_reader();
                    return done;
                }
            }
        }
    }

    /// Begins several reads that see the same commits.
    pub(super) async fn begin_snapshot(&self, holder: PermitHolder) -> Result<PostgresSnapshot, sqlx::Error> {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        let mut dead = 0;
        loop {
            let mut snapshot = PostgresSnapshot(Some(self.readers.acquire_reader(holder).await?));
            match snapshot.fetch_rows(BEGIN.into(), Vec::new()).await {
                Err(error) if is_lost(&error) && !is_silence(&error) && dead < DEAD_MAX => dead += 1,
                begun => return begun.map(|_nothing| snapshot),
            }
        }
    }

    /// Opens a connection that writes.
    pub(super) async fn open_writer(&self) -> Result<PrimaryConnection, sqlx::Error> {
        // Written rows are found by their keys; but the planner cannot know how few rows an array holds, and
        // would scan every account to find one.
        PrimaryConnection::open(&self.tracker, |options| options.options([("enable_seqscan", "off")])).await
    }

    /// Takes the lock of a server; see [`PostgresLock::take_lock`].
    pub(super) async fn lock_database(
        &self,
        alone: bool,
        last: Option<&LockTenure>,
    ) -> Result<Option<PostgresLock>, sqlx::Error> {
        PostgresLock::take_lock(&self.tracker, alone, last).await
    }

    /// Closes the connections that read.
    pub(super) async fn close_readers(&self) {
        self.readers.close_pool().await;
    }
}

/// Reads that see the same commits. Dropping it ends them.
pub(super) struct PostgresSnapshot(Option<PooledReader>);

impl PostgresSnapshot {
    /// Reads with one statement.
    pub(super) async fn fetch_rows(
        &mut self,
        sql: Sql,
        args: Vec<SqlArg>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        let reader = self.0.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let read = reader.connection_mut()?.run_statement(sql, args).await;
        if let Err(error) = &read
            && is_lost(error)
            && let Some(reader) = self.0.take()
        {
            reader.discard_dead();
        }
        read
    }

    /// Ends the reads, and returns the connection to the pool.
    pub(super) async fn end_reads(mut self) -> Result<(), sqlx::Error> {
        self.fetch_rows("COMMIT".into(), Vec::new()).await?;
        // Still present, because the statement succeeded; dropping `self` afterwards does nothing.
        if let Some(reader) = self.0.take() {
            reader.release_reader();
        }
        Ok(())
    }
}

impl Drop for PostgresSnapshot {
    fn drop(&mut self) {
        // Its transaction is still open: the server ends it with the connection.
        if let Some(reader) = self.0.take() {
            reader.discard_reader();
        }
    }
}

/// Runs one statement and collects its rows.
async fn run_statement(
    connection: &mut PgConnection,
    sql: Sql,
    args: Vec<SqlArg>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    // Composed of fixed fragments of this layer only; values from clients are bound.
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for arg in args {
        query = match arg {
            SqlArg::Int(value) => query.bind(value),
            SqlArg::Text(value) => query.bind(value),
            SqlArg::Bytes(value) => query.bind(Vec::from(value)),
            SqlArg::Late(text) => query.bind(text.compose()?),
        };
    }
    within_answer_timeout(query.fetch_all(connection)).await
}

/// Returns `true` when this SQLSTATE blames the statement, and not the database.
pub(super) fn refuses(state: &str) -> bool {
    // https://www.postgresql.org/docs/15/errcodes-appendix.html: the first two characters are the
    // class. 22 data exception, 23 constraint violation, 42 syntax error or access rule.
    matches!(state.get(..2), Some("22" | "23" | "42"))
}

/// Returns `true` when the connection is gone, as opposed to a server that answers with an error.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    // 57Pxx: the server shuts down or ends the session, and closes the connection after saying so. 25006,
    // read_only_sql_transaction: it is no longer the primary, and nothing was written.
    let ends = |state: &str| {
        state == "25006" || state.starts_with("57P") || state.get(..2).is_some_and(|it| it == "08")
    };
    match error.as_database_error() {
        Some(error) => error.code().is_some_and(|state| ends(&state)),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)),
    }
}

/// Returns `true` when the server did not answer in time: another try would wait again.
pub(super) fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// Awaits the answer of a reachable server for at most [`ANSWER_TIMEOUT`].
async fn within_answer_timeout<T>(
    question: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    with_timeout(ANSWER_TIMEOUT, question).await
}

async fn with_timeout<T>(
    limit: Duration,
    question: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = || std::io::Error::new(std::io::ErrorKind::TimedOut, "PostgreSQL does not answer");
    tokio::time::timeout(limit, question).await.unwrap_or_else(|_late| Err(sqlx::Error::Io(silent())))
}

/// Returns the hosts that `url` names, with the settings of kabar's sessions.
fn database_hosts(url: &str, timeouts: EngineTimeouts) -> Result<Vec<DatabaseHost>, sqlx::Error> {
    let list = PostgresUrl::parse(url).map_err(|reason| sqlx::Error::Configuration(reason.into()))?;
    let names = list.host_list().map(str::to_owned);
    let hosts = names
        .zip(list.single_urls())
        .map(|(name, url)| Ok(DatabaseHost { name, options: connect_options(&url, timeouts)? }));
    hosts.collect()
}

fn connect_options(url: &str, timeouts: EngineTimeouts) -> Result<PgConnectOptions, sqlx::Error> {
    let ms = |limit: Duration| limit.as_millis().to_string();
    let named = PgConnectOptions::from_str(url)?;
    // A resolver takes an IPv6 address without the brackets that it has in a URL.
    let bare = named.get_host().strip_prefix('[').and_then(|host| host.strip_suffix(']')).map(str::to_owned);
    let named = if let Some(bare) = bare { named.host(&bare) } else { named };
    let named = if named.get_application_name().is_some() { named } else { named.application_name("kabar") };
    Ok(named
        .options([
            ("statement_timeout", ms(timeouts.statement)),
            ("lock_timeout", ms(timeouts.lock)),
            ("idle_in_transaction_session_timeout", ms(SILENCE_TIMEOUT)),
            ("synchronous_commit", "on".to_owned()),
            // Plans cost more to compile than these statements take to run.
            ("jit", "off".to_owned()),
        ])
        .statement_cache_capacity(STATEMENTS_CACHED)
        .disable_statement_logging())
}
