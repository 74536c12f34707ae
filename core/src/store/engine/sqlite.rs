//! SQLite: one file, one connection that writes, several that read.
//!
//! Invariant: write-ahead log with `synchronous=FULL`, so a commit is on the disk when COMMIT returns.

mod reader_pool;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::sync::Arc;

use sqlx::sqlite::{SqliteConnectOptions, SqliteJournalMode, SqliteRow, SqliteSynchronous};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};

use super::checkpoints::{CheckpointTask, LOG_PAGES};
use super::migrations::sqlite_migrations;
use super::page_scrub::{CLEAR_NOTE, READ_NOTE, scrub_pages};
use super::timed_connection::TimedConnection;
use super::{EngineTimeouts, STATEMENTS_CACHED, Sql, SqlArg, unusable_value};
use crate::fair_bound::{FairBound, PermitHolder};
use crate::store::StoreError;

use self::reader_pool::SqliteReaderPool;
pub(super) use self::reader_pool::SqliteSnapshot;

/// An open file.
#[derive(Clone)]
pub(super) struct SqliteDatabase {
    readers: SqliteReaderPool,
    writing: SqliteConnectOptions,
    timeouts: EngineTimeouts,
    pub(super) checkpoints: CheckpointTask,
}

impl SqliteDatabase {
    /// Opens the file that `url` names, creates it if it is missing, and migrates its schema.
    pub(super) async fn open_file(
        url: &str,
        readers: Arc<FairBound>,
        timeouts: EngineTimeouts,
    ) -> Result<Self, StoreError> {
        if url.contains(":memory:") || url.contains("mode=memory") {
            return Err(unusable_value("readers cannot see a database in memory; name a file"));
        }
        let named = SqliteConnectOptions::from_str(url)?;
        create_file(named.get_filename()).await.map_err(sqlx::Error::Io)?;
        let shared = named
            .busy_timeout(timeouts.lock)
            .foreign_keys(false)
            .statement_cache_capacity(STATEMENTS_CACHED)
            .row_buffer_size(128)
            .create_if_missing(false)
            .pragma("temp_store", "MEMORY")
            .disable_statement_logging();
        // The log is truncated to 64 MiB after a burst.
        let writing = shared
            .clone()
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .pragma("cache_size", "-65536")
            // Not FAST, which leaves the content of pages that become free.
            .pragma("secure_delete", "ON")
            .pragma("wal_autocheckpoint", LOG_PAGES.to_string())
            .pragma("journal_size_limit", "67108864");
        let mut first = writing.connect().await?;
        sqlite_migrations().run(&mut first).await.map_err(sqlx::Error::from)?;
        first.close().await?;
        let checkpoints = CheckpointTask::start_task(writing.clone().pragma("cache_size", "-256"));
        let reading = shared.read_only(true).pragma("cache_size", "-16384");
        let readers = SqliteReaderPool::new(reading, timeouts.statement, readers);
        Ok(Self { readers, writing, timeouts, checkpoints })
    }

    /// Reads with one statement.
    pub(super) async fn fetch_rows(
        &self,
        holder: PermitHolder,
        sql: Sql,
        args: Vec<SqlArg>,
    ) -> Result<Vec<SqliteRow>, sqlx::Error> {
        self.readers.fetch_rows(holder, sql, args).await
    }

    /// Begins several reads that see the same commits.
    pub(super) async fn begin_snapshot(&self, holder: PermitHolder) -> Result<SqliteSnapshot, sqlx::Error> {
        self.readers.begin_snapshot(holder).await
    }

    /// Opens the connection that writes.
    pub(super) async fn open_writer(&self) -> Result<TimedConnection, sqlx::Error> {
        TimedConnection::open(&self.writing, self.timeouts.statement).await
    }

    /// Locks the file against other servers; `None` when another server holds the lock.
    pub(super) fn lock_database(&self) -> Result<Option<SqliteLock>, sqlx::Error> {
        let mut name = self.writing.get_filename().as_os_str().to_owned();
        name.push(".lock");
        let mut options = File::options();
        options.write(true).create(true).truncate(false);
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let file = options.open(PathBuf::from(name)).map_err(sqlx::Error::Io)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(SqliteLock(file))),
            Err(TryLockError::WouldBlock) => Ok(None),
            Err(TryLockError::Error(error)) => Err(sqlx::Error::Io(error)),
        }
    }

    /// Removes what erasures have left in unused parts of pages, if there were any since it was last done. No
    /// connection may be open.
    pub(super) async fn scrub_file(&self) -> Result<(), sqlx::Error> {
        let mut connection = self.open_writer().await?;
        let rows = connection.run_untimed(READ_NOTE.into()).await?;
        let noted = rows.first().map_or(Ok(0), |row| row.try_get::<i64, _>(0))? != 0;
        close_writer(connection).await?;
        if noted {
            let file = self.writing.get_filename().to_path_buf();
            let scrubbed = tokio::task::spawn_blocking(move || scrub_pages(&file)).await;
            scrubbed.map_err(std::io::Error::other).flatten().map_err(sqlx::Error::Io)?;
            let mut connection = self.open_writer().await?;
            connection.run_untimed(CLEAR_NOTE.into()).await?;
            close_writer(connection).await?;
        }
        Ok(())
    }

    /// Closes all connections but the one that writes.
    pub(super) async fn close_readers(&self) {
        self.checkpoints.close_task().await;
        self.readers.close_pool().await;
    }
}

/// A lock on a file beside the database; the system releases it when the process ends.
pub(super) struct SqliteLock(File);

impl SqliteLock {
    /// The lock lasts as long as the file is open.
    pub(super) const fn check_alive(&self) {
        let Self(_open) = self;
    }
}

/// Checkpoints the log and closes.
pub(super) async fn close_writer(mut connection: TimedConnection) -> Result<(), sqlx::Error> {
    connection.run_untimed("PRAGMA wal_checkpoint(TRUNCATE)".into()).await?;
    connection.close_connection().await
}

/// Returns `true` when this code blames the statement, and not the database.
pub(super) fn refuses(code: &str) -> bool {
    // https://www.sqlite.org/rescode.html: the low byte is the kind.
    // 1 ERROR, 18 TOOBIG, 19 CONSTRAINT, 20 MISMATCH.
    code.parse::<u32>().is_ok_and(|code| matches!(code & 0xff, 1 | 18 | 19 | 20))
}

/// Makes the file and its folder readable by their owner only: the file holds tokens.
async fn create_file(file: &Path) -> std::io::Result<()> {
    if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
        tokio::fs::create_dir_all(folder).await?;
    }
    let mut options = tokio::fs::OpenOptions::new();
    options.write(true).create(true).truncate(false);
    #[cfg(unix)]
    options.mode(0o600);
    options.open(file).await.map(drop)
}
