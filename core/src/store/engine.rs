//! The one room that knows sqlx's pools, connections and rows, and SQLite's settings.
//!
//! Invariant: everything that runs here is counted; whatever comes out of a row is checked, so that
//! a bad file is an error and never a panic. It knows no table: statements belong to the nouns.

use std::borrow::Cow;
use std::path::Path;
use std::str::FromStr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use sqlx::sqlite::{
    SqliteConnectOptions, SqliteJournalMode, SqlitePool, SqlitePoolOptions, SqliteRow, SqliteSynchronous,
};
use sqlx::{AssertSqlSafe, Column as _, ConnectOptions as _, Connection as _, Row as _};

use super::StoreError;

/// How long a reader waits for a free connection.
const ACQUIRE_TIMEOUT: Duration = Duration::from_secs(5);
/// More than there are combinations of filters, so that no page is ever prepared twice.
const STATEMENTS_CACHED: usize = 256;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/sqlite");

/// A statement: fixed, or composed of fixed fragments.
pub(super) type Sql = Cow<'static, str>;

/// A bound value.
#[derive(Debug, Clone)]
pub(super) enum Arg {
    /// An integer, or null.
    Int(Option<i64>),
    /// A text, or null.
    Text(Option<String>),
}

impl From<i64> for Arg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for Arg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<String> for Arg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<&str> for Arg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<&str>> for Arg {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}

/// One row of an answer.
pub(super) struct Row(SqliteRow);

impl Row {
    /// Reads the columns of this row of `table` from the first to the last.
    pub(super) const fn fields(&self, table: &'static str) -> Fields<'_> {
        Fields { row: self, table, next: 0 }
    }
}

/// The columns of one row, taken in order.
pub(super) struct Fields<'r> {
    row: &'r Row,
    table: &'static str,
    next: usize,
}

impl Fields<'_> {
    fn take<T>(&mut self) -> Result<T, StoreError>
    where
        T: for<'a> sqlx::Decode<'a, sqlx::Sqlite> + sqlx::Type<sqlx::Sqlite>,
    {
        let index = self.next;
        self.next += 1;
        self.row.0.try_get(index).map_err(|error| {
            let column = self.row.0.columns().get(index).map_or("?", |column| column.name());
            let id: String = self.row.0.try_get(0).unwrap_or_default();
            StoreError::Corrupt(format!("{}.{column} of {id:?}: {error}", self.table))
        })
    }

    /// The next column: a text.
    pub(super) fn text(&mut self) -> Result<String, StoreError> {
        self.take()
    }

    /// The next column: a text or null.
    pub(super) fn opt_text(&mut self) -> Result<Option<String>, StoreError> {
        self.take()
    }

    /// The next column: an integer.
    pub(super) fn int(&mut self) -> Result<i64, StoreError> {
        self.take()
    }

    /// The next column: an integer or null.
    pub(super) fn opt_int(&mut self) -> Result<Option<i64>, StoreError> {
        self.take()
    }
}

/// Runs one statement and collects its rows.
async fn run(
    connection: &mut sqlx::SqliteConnection,
    executed: &AtomicU64,
    sql: Sql,
    args: Vec<Arg>,
) -> Result<Vec<Row>, sqlx::Error> {
    executed.fetch_add(1, Ordering::Relaxed);
    // Composed of this floor's own fragments only; whatever a client gave is bound.
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for arg in args {
        query = match arg {
            Arg::Int(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
        };
    }
    let rows = query.fetch_all(connection).await?;
    Ok(rows.into_iter().map(Row).collect())
}

/// An open database.
#[derive(Clone)]
pub(super) struct Engine {
    readers: SqlitePool,
    writing: SqliteConnectOptions,
    executed: Arc<AtomicU64>,
}

impl Engine {
    /// Opens the file that `url` names, makes it if it is missing, and brings its schema up.
    /// `patience` is how long a statement waits for a lock that another process holds.
    pub(super) async fn open(url: &str, readers: u32, patience: Duration) -> Result<Self, StoreError> {
        let unusable = |why: &'static str| Err(sqlx::Error::Configuration(why.into()).into());
        if !url.starts_with("sqlite:") {
            return unusable("the URL of the database must begin with sqlite:");
        }
        if url.contains(":memory:") || url.contains("mode=memory") {
            return unusable("readers cannot see a database in memory; name a file");
        }
        let named = SqliteConnectOptions::from_str(url)?;
        create(named.get_filename()).await.map_err(sqlx::Error::Io)?;
        let shared = named
            .busy_timeout(patience)
            .foreign_keys(false)
            .statement_cache_capacity(STATEMENTS_CACHED)
            .row_buffer_size(128)
            .create_if_missing(false)
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        // A checkpoint each 16 MiB of log; the log is cut back to 64 MiB after a burst.
        let writing = shared
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", "-65536")
            .pragma("wal_autocheckpoint", "4096")
            .pragma("journal_size_limit", "67108864");
        let mut first = writing.connect().await?;
        MIGRATIONS.run(&mut first).await.map_err(sqlx::Error::from)?;
        first.close().await?;
        let readers = SqlitePoolOptions::new()
            .max_connections(readers.max(1))
            .acquire_timeout(ACQUIRE_TIMEOUT)
            .idle_timeout(None)
            .max_lifetime(None)
            // A ping before each statement would double what the statement costs.
            .test_before_acquire(false)
            .connect_lazy_with(shared.read_only(true).pragma("cache_size", "-16384"));
        Ok(Self { readers, writing, executed: Arc::default() })
    }

    /// Statements run so far.
    pub(super) fn executed(&self) -> u64 {
        self.executed.load(Ordering::Relaxed)
    }

    /// Reads with one statement.
    pub(super) async fn fetch(&self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Vec<Row>, StoreError> {
        let mut reader = self.readers.acquire().await?;
        Ok(run(&mut reader, &self.executed, sql.into(), args).await?)
    }

    /// Begins several reads that must see the same commits.
    pub(super) async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        self.executed.fetch_add(1, Ordering::Relaxed);
        Ok(Snapshot { transaction: self.readers.begin().await?, executed: self.executed.clone() })
    }

    /// Opens the connection that writes. There must be one at a time.
    pub(super) async fn writer(&self) -> Result<WriteConnection, sqlx::Error> {
        Ok(WriteConnection { connection: self.writing.connect().await?, executed: self.executed.clone() })
    }

    /// Closes the readers.
    pub(super) async fn close(&self) {
        self.readers.close().await;
    }
}

/// Makes the file, and the folder that it lies in, readable by their owner only: it holds tokens.
async fn create(file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(file).await.map(drop)
}

/// Reads that see the same commits. Dropping it ends them.
pub(super) struct Snapshot {
    transaction: sqlx::Transaction<'static, sqlx::Sqlite>,
    executed: Arc<AtomicU64>,
}

impl Snapshot {
    /// Reads with one statement.
    pub(super) async fn fetch(
        &mut self,
        sql: impl Into<Sql>,
        args: Vec<Arg>,
    ) -> Result<Vec<Row>, StoreError> {
        Ok(run(&mut self.transaction, &self.executed, sql.into(), args).await?)
    }
}

/// The connection that writes.
pub(super) struct WriteConnection {
    connection: sqlx::SqliteConnection,
    executed: Arc<AtomicU64>,
}

impl WriteConnection {
    /// Runs one statement.
    pub(super) async fn run(&mut self, sql: impl Into<Sql>, args: Vec<Arg>) -> Result<Vec<Row>, sqlx::Error> {
        run(&mut self.connection, &self.executed, sql.into(), args).await
    }

    /// Begins a transaction that writes.
    pub(super) async fn begin(&mut self) -> Result<(), sqlx::Error> {
        // IMMEDIATE: wait for the lock here, under the busy timeout, and not halfway through.
        self.run("BEGIN IMMEDIATE", Vec::new()).await.map(drop)
    }

    /// Ends the transaction; on return it is on the disk.
    pub(super) async fn commit(&mut self) -> Result<(), sqlx::Error> {
        self.run("COMMIT", Vec::new()).await.map(drop)
    }

    /// Undoes the transaction. An error means that the connection is of no more use.
    pub(super) async fn rollback(&mut self) -> Result<(), sqlx::Error> {
        self.run("ROLLBACK", Vec::new()).await.map(drop)
    }

    /// Moves the log into the file and closes.
    pub(super) async fn close(mut self) -> Result<(), sqlx::Error> {
        self.run("PRAGMA wal_checkpoint(TRUNCATE)", Vec::new()).await?;
        self.connection.close().await
    }
}

/// Whether the database is well and refuses this statement for its own sake, as opposed to being
/// away, full, locked or broken.
pub(super) fn refuses(error: &sqlx::Error) -> bool {
    // https://www.sqlite.org/rescode.html: the low byte is the kind.
    // 1 ERROR, 18 TOOBIG, 19 CONSTRAINT, 20 MISMATCH.
    error
        .as_database_error()
        .and_then(sqlx::error::DatabaseError::code)
        .and_then(|code| code.parse::<u32>().ok())
        .is_some_and(|code| matches!(code & 0xff, 1 | 18 | 19 | 20))
}
