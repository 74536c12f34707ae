//! The only task that writes. It takes the queued jobs of all organisations in turn and puts them into one
//! transaction, so that one fsync serves many accounts.
//!
//! Invariants: a caller gets its answer only after COMMIT has returned. A job that the database refuses fails
//! alone. The task survives every error, and writes again once the database works. A caller that stopped
//! waiting changes nothing. The task decides nothing about rows.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio_util::task::TaskTracker;
use tracing::Instrument as _;

use super::commit_batch;
use super::commit_batch::{WriteOutcome, WriteWork};
use super::dialect::Dialect;
use super::engine::{
    Engine, EngineRow, Sql, SqlArg, WriteConnection, is_deadlock, is_lost, is_silence, refuses,
};
use super::write_queue::{WriteJob, WriteQueue};
use super::{AccountCommit, StoreError};
use crate::domain::audit::AuditEntry;
use crate::encryption::KeyRing;
use crate::fair_bound::{FairBound, PermitHolder};
use crate::surroundings::{AwaitKind, wait_for};

/// Handle of the writing task. Cheap to clone.
#[derive(Clone)]
pub(super) struct StoreWriter {
    queue: Arc<WriteQueue>,
    dialect: Dialect,
    /// Entry of the audit log that each job of this handle leaves.
    trail: Option<Arc<AuditEntry>>,
    failing: Arc<AtomicBool>,
    tasks: TaskTracker,
}

impl StoreWriter {
    /// Starts the task on this connection.
    pub(super) fn start_task(engine: Engine, connection: WriteConnection, keys: KeyRing) -> Self {
        let queue = WriteQueue::new();
        let failing = Arc::new(AtomicBool::new(false));
        let tasks = TaskTracker::new();
        let dialect = engine.dialect();
        let task = WriterTask { engine, connection: Some(connection), keys, failing: failing.clone() };
        tasks.spawn(task.run_task(queue.clone()));
        tasks.close();
        Self { queue, dialect, trail: None, failing, tasks }
    }

    /// Returns the bound of the jobs that are queued.
    pub(super) fn queued(&self) -> &Arc<FairBound> {
        self.queue.room()
    }

    /// Returns `true` when the last transaction failed because the database did not work.
    pub(super) fn is_failing(&self) -> bool {
        self.failing.load(Ordering::Relaxed)
    }

    /// Returns a handle whose jobs leave this entry in the audit log, each in its own transaction.
    pub(super) fn with_audit(&self, entry: AuditEntry) -> Self {
        Self { trail: Some(Arc::new(entry)), ..self.clone() }
    }

    /// Writes one statement durably and returns its rows.
    pub(super) async fn write_statement(
        &self,
        holder: PermitHolder,
        sql: impl Into<Sql>,
        args: Vec<SqlArg>,
    ) -> Result<Vec<EngineRow>, StoreError> {
        self.queue_job(holder, WriteWork::Statement { sql: sql.into(), args }).await
    }

    /// Writes several statements durably, together or not at all, and returns the rows of the statement at this index.
    pub(super) async fn write_script(
        &self,
        holder: PermitHolder,
        statements: Vec<(Sql, Vec<SqlArg>)>,
        answer: usize,
    ) -> Result<Vec<EngineRow>, StoreError> {
        self.queue_job(holder, WriteWork::Script { statements, answer, trail: None }).await
    }

    /// Writes one account's commit durably.
    pub(super) async fn write_commit(
        &self,
        holder: PermitHolder,
        commit: AccountCommit,
    ) -> Result<(), StoreError> {
        self.queue_job(holder, WriteWork::Commit(Box::new(commit))).await.map(drop)
    }

    async fn queue_job(&self, holder: PermitHolder, work: WriteWork) -> Result<Vec<EngineRow>, StoreError> {
        let work = match &self.trail {
            Some(entry) => work.with_audit(self.dialect, entry)?,
            None => work,
        };
        let closed = || StoreError::Unavailable(sqlx::Error::PoolClosed);
        wait_for(AwaitKind::Transaction, async {
            let outcome = self.queue.push_work(holder, work).await.ok_or_else(closed)?;
            outcome.await.unwrap_or_else(|_gone| Err(closed()))
        })
        .await
    }

    /// Takes no more jobs, finishes the queued ones, and closes the connection.
    pub(super) async fn close_task(&self) {
        self.queue.close_queue();
        self.tasks.wait().await;
    }
}

struct WriterTask {
    engine: Engine,
    /// `None` after an error, until the next transaction opens another.
    connection: Option<WriteConnection>,
    keys: KeyRing,
    failing: Arc<AtomicBool>,
}

impl WriterTask {
    async fn run_task(mut self, queue: Arc<WriteQueue>) {
        while let Some(jobs) = queue.next_batch().await {
            self.write_jobs(jobs).await;
        }
        let Some(connection) = self.connection.take() else { return };
        let closed = connection.close_connection().await;
        let scrubbed = async { self.engine.scrub_file().await };
        if let Err(error) = async { closed.and(scrubbed.await) }.await {
            // Nothing is lost: the log is replayed, or the file scrubbed, when it is closed the next time.
            tracing::warn!(%error, "the database was not closed cleanly");
        }
    }

    /// Writes all jobs, together if possible, and answers them.
    async fn write_jobs(&mut self, mut jobs: Vec<WriteJob>) {
        let works: Vec<&WriteWork> = jobs.iter().map(|job| &job.work).collect();
        let span = tracing::debug_span!("db.commit", jobs = works.len());
        match self.write_transaction(&works).instrument(span).await {
            Ok(outcomes) => {
                for (job, outcome) in jobs.into_iter().zip(outcomes) {
                    // A caller that stopped waiting gets no answer.
                    let _gone = job.reply.send(match outcome {
                        WriteOutcome::Written(rows) => Ok(rows),
                        WriteOutcome::Fenced => Err(StoreError::Fenced),
                    });
                }
            }
            Err(error) if (refuses(&error) || is_deadlock(&error)) && jobs.len() > 1 => {
                for job in jobs {
                    Box::pin(self.write_jobs(vec![job])).await;
                }
            }
            Err(error) if jobs.len() == 1 => {
                if let Some(job) = jobs.pop() {
                    let _gone = job.reply.send(Err(error.into()));
                }
            }
            Err(error) => {
                let shared = Arc::new(error);
                for job in jobs {
                    let copy = sqlx::Error::Io(std::io::Error::other(shared.clone()));
                    let _gone = job.reply.send(Err(StoreError::Unavailable(copy)));
                }
            }
        }
    }

    /// Writes the jobs in one transaction, or nothing.
    async fn write_transaction(&mut self, jobs: &[&WriteWork]) -> Result<Vec<WriteOutcome>, sqlx::Error> {
        if commit_batch::is_one_statement(self.engine.dialect(), jobs) {
            return self.one_statement(jobs).await;
        }
        let mut connection = match self.begin_transaction().await {
            Ok(connection) => connection,
            Err(error) => {
                self.note_fault(&error);
                return Err(error);
            }
        };
        match try_jobs(&mut connection, jobs, &self.keys).await {
            Ok(outcomes) => {
                self.failing.store(false, Ordering::Relaxed);
                self.connection = Some(connection);
                Ok(outcomes)
            }
            Err(error) => {
                let undone = !is_lost(&error) && connection.roll_back().await.is_ok();
                let well = is_well_after(&error);
                if !well {
                    self.note_fault(&error);
                }
                // After any other error the next transaction begins on a fresh connection.
                self.connection = (undone && well).then_some(connection);
                Err(error)
            }
        }
    }

    /// Writes commits with one statement, which is its own transaction.
    ///
    /// A connection that breaks may have died long ago, so the commits are written once more on a fresh one.
    /// If the first attempt was written after all, the fence passes none of them.
    async fn one_statement(&mut self, jobs: &[&WriteWork]) -> Result<Vec<WriteOutcome>, sqlx::Error> {
        let mut lost = None;
        loop {
            let written = match self.ready_connection().await {
                Ok(mut connection) => {
                    let written = commit_batch::apply_jobs(&mut connection, jobs, &self.keys).await;
                    if written.as_ref().map_or_else(is_well_after, |_| true) {
                        self.connection = Some(connection);
                    }
                    written
                }
                Err(error) => Err(error),
            };
            let fault = match (written, lost.take()) {
                (Ok(outcomes), Some(first)) if outcomes.iter().all(WriteOutcome::is_fenced) => first,
                (Ok(outcomes), _) => {
                    self.failing.store(false, Ordering::Relaxed);
                    return Ok(outcomes);
                }
                (Err(error), None) if is_lost(&error) && !is_silence(&error) => {
                    lost = Some(error);
                    continue;
                }
                (Err(error), None) => error,
                // Whatever the second error was: the first attempt may have been written.
                (Err(_), Some(first)) => first,
            };
            if !is_well_after(&fault) {
                self.note_fault(&fault);
            }
            return Err(fault);
        }
    }

    /// Returns the last connection or, when there is none, a fresh one.
    async fn ready_connection(&mut self) -> Result<WriteConnection, sqlx::Error> {
        match self.connection.take() {
            Some(connection) => Ok(connection),
            None => self.engine.open_writer().await,
        }
    }

    /// Returns a connection with an open transaction: the last one or, when there is none or it died while it
    /// was idle, a fresh one.
    async fn begin_transaction(&mut self) -> Result<WriteConnection, sqlx::Error> {
        if let Some(mut connection) = self.connection.take() {
            match connection.begin_transaction().await {
                Err(error) if is_lost(&error) => {}
                begun => return begun.map(|()| connection),
            }
        }
        let mut connection = self.engine.open_writer().await?;
        connection.begin_transaction().await?;
        Ok(connection)
    }

    fn note_fault(&self, error: &sqlx::Error) {
        self.failing.store(true, Ordering::Relaxed);
        tracing::error!(%error, "a write failed");
    }
}

/// Returns `true` when the connection can be used again. The caller logs a refusal, because only the caller
/// knows the rows.
fn is_well_after(error: &sqlx::Error) -> bool {
    refuses(error) || is_deadlock(error)
}

/// Writes the jobs into the open transaction, and ends it.
async fn try_jobs(
    connection: &mut WriteConnection,
    jobs: &[&WriteWork],
    keys: &KeyRing,
) -> Result<Vec<WriteOutcome>, sqlx::Error> {
    let outcomes = commit_batch::apply_jobs(connection, jobs, keys).await?;
    connection.commit_transaction().await?;
    Ok(outcomes)
}
