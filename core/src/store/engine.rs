//! The only module that knows sqlx's pools, connections and rows, and which engine is in use.
//!
//! Invariant: every statement is counted, and has a span with its name and none of its values. The engine
//! knows no table: statements belong to the nouns.

mod checkpoints;
mod database_lock;
mod engine_row;
mod migrations;
mod page_scrub;
mod postgres;
mod sql_arg;
mod sqlite;
mod sqlite_statement;
mod statement_name;
mod timed_connection;

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tracing::Instrument as _;

use self::checkpoints::CheckpointTask;
pub use self::database_lock::{DatabaseLock, DatabaseTenure};
pub(super) use self::engine_row::{EngineRow, RowFields};
pub(super) use self::page_scrub::NOTE_REMNANTS;
pub(super) use self::sql_arg::{LateText, SqlArg};
use self::statement_name::StatementName;
use super::StoreError;
use super::dialect::{BulkStatement, Dialect};
use crate::fair_bound::{FairBound, PermitHolder};
use crate::surroundings::{AwaitKind, wait_for};

/// More than there are combinations of filters, so that no page is ever prepared twice.
const STATEMENTS_CACHED: usize = 256;

/// Readers that may wait for a permit, of one organisation.
const WAITING_READERS: usize = 1024;

/// Times that a statement may take.
#[derive(Debug, Clone, Copy)]
pub(super) struct EngineTimeouts {
    /// Wait for a lock of another process. A command may meet it three times (its commit, the one before it, the
    /// reload between), and WhatsApp gives up on a webhook after some ten seconds.
    pub(super) lock: Duration,
    /// The statement itself.
    pub(super) statement: Duration,
}

impl Default for EngineTimeouts {
    fn default() -> Self {
        Self { lock: Duration::from_secs(2), statement: Duration::from_secs(3) }
    }
}

/// A statement: fixed, or composed of fixed fragments.
pub(super) type Sql = Cow<'static, str>;

/// An open database.
#[derive(Clone)]
pub(super) struct Engine {
    database: EngineDatabase,
    readers: Arc<FairBound>,
    executed: Arc<AtomicU64>,
}

#[derive(Clone)]
enum EngineDatabase {
    Sqlite(Box<sqlite::SqliteDatabase>),
    Postgres(postgres::PostgresDatabase),
}

impl Engine {
    /// Opens the database that `url` names, and migrates its schema.
    pub(super) async fn open_url(
        url: &str,
        readers: u32,
        timeouts: EngineTimeouts,
    ) -> Result<Self, StoreError> {
        let readers = usize::try_from(readers.max(1)).unwrap_or(1);
        let readers = FairBound::with_maxima("database_readers", readers, usize::MAX, WAITING_READERS);
        let database = if url.starts_with("sqlite:") {
            EngineDatabase::Sqlite(Box::new(
                sqlite::SqliteDatabase::open_file(url, readers.clone(), timeouts).await?,
            ))
        } else if url.starts_with("postgres://") || url.starts_with("postgresql://") {
            EngineDatabase::Postgres(
                postgres::PostgresDatabase::open_database(url, readers.clone(), timeouts).await?,
            )
        } else {
            return Err(unusable_value("the URL of the database must begin with sqlite: or postgres:"));
        };
        Ok(Self { database, readers, executed: Arc::default() })
    }

    /// Returns the bound of the connections that read.
    pub(super) const fn readers(&self) -> &Arc<FairBound> {
        &self.readers
    }

    /// Returns its SQL dialect.
    pub(super) const fn dialect(&self) -> Dialect {
        match self.database {
            EngineDatabase::Sqlite(_) => Dialect::Sqlite,
            EngineDatabase::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Returns the number of statements run so far.
    pub(super) fn count_executed(&self) -> u64 {
        self.executed.load(Ordering::Relaxed)
    }

    /// Reads with one statement.
    pub(super) async fn fetch_rows(
        &self,
        holder: PermitHolder,
        sql: impl Into<Sql>,
        args: Vec<SqlArg>,
    ) -> Result<Vec<EngineRow>, StoreError> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        let sql = sql.into();
        let span = tracing::debug_span!("db.read", statement = %StatementName(&sql));
        wait_for(AwaitKind::Read, async {
            Ok(match &self.database {
                EngineDatabase::Sqlite(db) => {
                    to_rows(db.fetch_rows(holder, sql, args).await?, EngineRow::Sqlite)
                }
                EngineDatabase::Postgres(db) => {
                    to_rows(db.fetch_rows(holder, sql, args).await?, EngineRow::Postgres)
                }
            })
        })
        .instrument(span)
        .await
    }

    /// Begins several reads that must see the same commits.
    pub(super) async fn begin_snapshot(&self, holder: PermitHolder) -> Result<ReadSnapshot, StoreError> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        let span = tracing::debug_span!("db.read", statement = "BEGIN");
        let reads = wait_for(AwaitKind::Read, async {
            Ok::<_, StoreError>(match &self.database {
                EngineDatabase::Sqlite(db) => ReadTransaction::Sqlite(db.begin_snapshot(holder).await?),
                EngineDatabase::Postgres(db) => ReadTransaction::Postgres(db.begin_snapshot(holder).await?),
            })
        });
        let reads = reads.instrument(span).await?;
        Ok(ReadSnapshot { reads, executed: self.executed.clone() })
    }

    /// Locks the database for this server; see [`Store::lock_database`](super::Store::lock_database).
    pub(super) async fn lock_database(
        &self,
        alone: bool,
        last: Option<&DatabaseTenure>,
    ) -> Result<Option<DatabaseLock>, StoreError> {
        wait_for(AwaitKind::Read, async {
            Ok(match &self.database {
                EngineDatabase::Sqlite(db) => db.lock_database()?.map(DatabaseLock::from_sqlite),
                EngineDatabase::Postgres(database) => {
                    let last = last.and_then(DatabaseTenure::postgres);
                    database.lock_database(alone, last).await?.map(DatabaseLock::from_postgres)
                }
            })
        })
        .await
    }

    /// Opens the connection that writes. There must be only one at a time.
    pub(super) async fn open_writer(&self) -> Result<WriteConnection, sqlx::Error> {
        let connection = match &self.database {
            EngineDatabase::Sqlite(database) => {
                EngineConnection::Sqlite(database.open_writer().await?, database.checkpoints.clone())
            }
            EngineDatabase::Postgres(db) => EngineConnection::Postgres(db.open_writer().await?),
        };
        Ok(WriteConnection { connection, executed: self.executed.clone() })
    }

    /// Removes what erasures have left in the file. To be called when every connection is closed.
    pub(super) async fn scrub_file(&self) -> Result<(), sqlx::Error> {
        match &self.database {
            EngineDatabase::Sqlite(db) => db.scrub_file().await,
            EngineDatabase::Postgres(_) => Ok(()),
        }
    }

    /// Closes the connections that read.
    pub(super) async fn close_readers(&self) {
        match &self.database {
            EngineDatabase::Sqlite(db) => db.close_readers().await,
            EngineDatabase::Postgres(db) => db.close_readers().await,
        }
    }
}

fn to_rows<R>(rows: Vec<R>, row: impl Fn(R) -> EngineRow) -> Vec<EngineRow> {
    rows.into_iter().map(row).collect()
}

fn unusable_value(why: &'static str) -> StoreError {
    StoreError::Unavailable(sqlx::Error::Configuration(why.into()))
}

/// Reads that see the same commits. Dropping it ends them.
pub(super) struct ReadSnapshot {
    reads: ReadTransaction,
    executed: Arc<AtomicU64>,
}

enum ReadTransaction {
    Sqlite(sqlite::SqliteSnapshot),
    Postgres(postgres::PostgresSnapshot),
}

impl ReadSnapshot {
    /// Reads with one statement.
    pub(super) async fn fetch_rows(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<SqlArg>,
    ) -> Result<Vec<EngineRow>, StoreError> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        let sql = sql.into();
        let span = tracing::debug_span!("db.read", statement = %StatementName(&sql));
        wait_for(AwaitKind::Read, async {
            Ok(match &mut self.reads {
                ReadTransaction::Sqlite(reads) => {
                    to_rows(reads.fetch_rows(sql, args).await?, EngineRow::Sqlite)
                }
                ReadTransaction::Postgres(reads) => {
                    to_rows(reads.fetch_rows(sql, args).await?, EngineRow::Postgres)
                }
            })
        })
        .instrument(span)
        .await
    }

    /// Ends the reads cleanly, which keeps their connection in the pool.
    pub(super) async fn end_reads(self) -> Result<(), StoreError> {
        match self.reads {
            ReadTransaction::Sqlite(reads) => reads.end_reads().await?,
            ReadTransaction::Postgres(reads) => reads.end_reads().await?,
        }
        Ok(())
    }
}

/// The connection that writes.
pub(super) struct WriteConnection {
    connection: EngineConnection,
    executed: Arc<AtomicU64>,
}

enum EngineConnection {
    Sqlite(timed_connection::TimedConnection, CheckpointTask),
    Postgres(postgres::PrimaryConnection),
}

impl WriteConnection {
    /// Runs one statement.
    pub(super) async fn run_statement(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<SqlArg>,
    ) -> Result<Vec<EngineRow>, sqlx::Error> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        let sql = sql.into();
        let span = tracing::debug_span!("db.write", statement = %StatementName(&sql));
        wait_for(AwaitKind::Transaction, async {
            Ok(match &mut self.connection {
                EngineConnection::Sqlite(it, _) => {
                    to_rows(it.run_statement(sql, args).await?, EngineRow::Sqlite)
                }
                EngineConnection::Postgres(it) => {
                    to_rows(it.run_statement(sql, args).await?, EngineRow::Postgres)
                }
            })
        })
        .instrument(span)
        .await
    }

    /// Returns its SQL dialect.
    pub(super) const fn dialect(&self) -> Dialect {
        match self.connection {
            EngineConnection::Sqlite(..) => Dialect::Sqlite,
            EngineConnection::Postgres(_) => Dialect::Postgres,
        }
    }

    /// Runs one statement over the rows of a JSON array.
    pub(super) async fn run_bulk(
        &mut self,
        bulk: &BulkStatement,
        array: String,
    ) -> Result<Vec<EngineRow>, sqlx::Error> {
        self.run_statement(self.dialect().bulk_text(bulk), vec![array.into()]).await
    }

    /// Runs a fence and its dependent statements with one text, each over the rows of its own JSON array; see
    /// [`Dialect::fenced_text`].
    pub(super) async fn run_fenced(
        &mut self,
        fence: &BulkStatement,
        others: &[&BulkStatement],
        passing: String,
        arrays: Vec<String>,
    ) -> Result<Vec<EngineRow>, sqlx::Error> {
        let args = std::iter::once(passing).chain(arrays).map(SqlArg::from).collect();
        self.run_statement(self.dialect().fenced_text(fence, others), args).await
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin_transaction(&mut self) -> Result<(), sqlx::Error> {
        let sql = match self.connection {
            // IMMEDIATE: wait for the lock here, under the busy timeout, and not in the middle of the
            // transaction.
            EngineConnection::Sqlite(..) => "BEGIN IMMEDIATE",
            EngineConnection::Postgres(_) => "BEGIN",
        };
        self.run_statement(sql, Vec::new()).await.map(drop)
    }

    /// Commits the transaction; on return it is on the disk.
    pub(super) async fn commit_transaction(&mut self) -> Result<(), sqlx::Error> {
        self.run_statement("COMMIT", Vec::new()).await?;
        if let EngineConnection::Sqlite(_, checkpoints) = &self.connection {
            checkpoints.note_commit();
        }
        Ok(())
    }

    /// Rolls the transaction back. After an error the connection must not be used again.
    pub(super) async fn roll_back(&mut self) -> Result<(), sqlx::Error> {
        self.run_statement("ROLLBACK", Vec::new()).await.map(drop)
    }

    /// Closes the connection cleanly.
    pub(super) async fn close_connection(self) -> Result<(), sqlx::Error> {
        match self.connection {
            EngineConnection::Sqlite(connection, _) => sqlite::close_writer(connection).await,
            EngineConnection::Postgres(connection) => connection.close_connection().await,
        }
    }
}

/// Returns `true` when the database works and refuses this statement itself, as opposed to being unreachable,
/// full, locked or broken.
pub(super) fn refuses(error: &sqlx::Error) -> bool {
    let Some(error) = error.as_database_error() else { return false };
    let Some(code) = error.code() else { return false };
    if error.try_downcast_ref::<sqlx::postgres::PgDatabaseError>().is_some() {
        postgres::refuses(&code)
    } else {
        sqlite::refuses(&code)
    }
}

/// Returns `true` when the database has ended the transaction because of a deadlock. Another try, or a try
/// job by job, succeeds.
pub(super) fn is_deadlock(error: &sqlx::Error) -> bool {
    // https://www.postgresql.org/docs/15/errcodes-appendix.html: class 40, transaction rollback.
    let state = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    state.is_some_and(|state| matches!(&*state, "40001" | "40P01"))
}

/// Returns `true` when the connection is gone, as opposed to a database that answers with an error.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    postgres::is_lost(error)
}

/// Returns `true` when the database did not answer in time: another try would wait again.
pub(super) fn is_silence(error: &sqlx::Error) -> bool {
    postgres::is_silence(error)
}
