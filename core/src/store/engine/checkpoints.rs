//! Checkpoints of SQLite's write-ahead log, run beside the writer, so that commits do not wait for them.
//!
//! A commit that finds [`LOG_PAGES`] in the log checkpoints the rest itself, and the log is restarted once
//! all of it is in the file. So this task checkpoints early, and in smaller steps towards the end.
//! Invariants: it takes no lock that a reader or the writer waits for. If it fails, the log still stays
//! bounded and nothing is lost. It works only after commits.

use std::sync::Arc;
use std::time::Duration;

use sqlx::sqlite::{SqliteConnectOptions, SqliteConnection};
use sqlx::{ConnectOptions as _, Connection as _, Row as _};
use tokio::sync::Notify;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use super::sqlite_statement::run_statement;
use crate::surroundings;

/// 64 MiB in pages of 4 KiB: at a longer log a commit checkpoints the rest itself.
pub(super) const LOG_PAGES: i64 = 16_384;
/// Pages that justify a checkpoint.
const PASS_PAGES: i64 = 4096;
/// Pages that justify a checkpoint once the log is nearly full, so that the commit that fills it finds little
/// to do.
const LAST_PASS_PAGES: i64 = 256;
/// Shortest time between two looks at the log.
const PAUSE: Duration = Duration::from_millis(50);
/// Pause after an error, which the writer is about to meet too.
const RETRY: Duration = Duration::from_secs(1);

/// The task's handle. Cheap to clone.
#[derive(Clone)]
pub(super) struct CheckpointTask {
    written: Arc<Notify>,
    stop: CancellationToken,
    tasks: TaskTracker,
    /// Ends the task when the last handle of the store is dropped.
    _last: Arc<DropGuard>,
}

impl CheckpointTask {
    /// Starts the task; it connects when there is work.
    pub(super) fn start_task(options: SqliteConnectOptions) -> Self {
        let (written, stop, tasks) = (Arc::new(Notify::new()), CancellationToken::new(), TaskTracker::new());
        tasks.spawn(watch_log(options, written.clone(), stop.clone()));
        tasks.close();
        let last = Arc::new(stop.clone().drop_guard());
        Self { written, stop, tasks, _last: last }
    }

    /// Tells the task that a commit was written.
    pub(super) fn note_commit(&self) {
        self.written.notify_one();
    }

    /// Ends the task and its connection.
    pub(super) async fn close_task(&self) {
        self.stop.cancel();
        self.tasks.wait().await;
    }
}

async fn watch_log(options: SqliteConnectOptions, written: Arc<Notify>, stop: CancellationToken) {
    let mut connection = None;
    while stop.run_until_cancelled(written.notified()).await.is_some() {
        let mut pause = PAUSE;
        if let Err(error) = run_checkpoint(&options, &mut connection).await {
            tracing::warn!(%error, "the log was not moved into the database's file");
            connection = None;
            pause = RETRY;
            written.notify_one();
        }
        if stop.run_until_cancelled(surroundings::sleep(pause)).await.is_none() {
            break;
        }
    }
    if let Some(connection) = connection
        && let Err(error) = connection.close().await
    {
        tracing::warn!(%error, "a connection was not closed cleanly");
    }
}

/// Checkpoints the log, if it holds enough pages.
async fn run_checkpoint(
    options: &SqliteConnectOptions,
    connection: &mut Option<SqliteConnection>,
) -> Result<(), sqlx::Error> {
    let connection = match connection {
        Some(connection) => connection,
        None => connection.insert(options.connect().await?),
    };
    let rows = run_statement(connection, "PRAGMA wal_checkpoint(NOOP)".into(), Vec::new()).await?;
    let Some(row) = rows.first() else { return Ok(()) };
    let (log, moved): (i64, i64) = (row.try_get(1)?, row.try_get(2)?);
    let enough = if log >= LOG_PAGES / 4 * 3 { LAST_PASS_PAGES } else { PASS_PAGES };
    if log.saturating_sub(moved) >= enough {
        run_statement(connection, "PRAGMA wal_checkpoint(PASSIVE)".into(), Vec::new()).await?;
    }
    Ok(())
}
