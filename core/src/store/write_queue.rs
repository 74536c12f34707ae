//! Queue of the writer: jobs of all organisations, taken in rotation.
//!
//! Invariants: a batch takes one job of each organisation in turn, so that a job waits for at most the batch under
//! way and a turn. Jobs of one organisation keep their order. A batch is bounded in jobs and in rows, and has at most
//! one commit of an account. Room in the queue is shared by organisations too.

use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};

use super::StoreError;
use super::commit_batch::WriteWork;
use super::engine::EngineRow;
use crate::fair_bound::{FairBound, FairPermit, PermitHolder};

/// Jobs that may be queued; further callers wait.
const QUEUE_JOBS: usize = 4096;
/// Jobs of one transaction, at most.
const BATCH_JOBS: usize = 512;
/// Rows of one transaction, about; a job beyond begins the next one. A transaction of so many takes some ten
/// milliseconds, of which its flush to the disk is a small part.
const BATCH_ROWS: usize = 2048;

/// A job of the writer.
pub(super) struct WriteJob {
    /// The writes.
    pub(super) work: WriteWork,
    /// Gets the outcome.
    pub(super) reply: oneshot::Sender<Result<Vec<EngineRow>, StoreError>>,
    /// Its room in the queue.
    pub(super) _permit: FairPermit,
}

#[derive(Default)]
struct QueuedJobs {
    /// Holders with jobs, the longest unserved first.
    rotation: VecDeque<PermitHolder>,
    jobs: HashMap<PermitHolder, VecDeque<WriteJob>>,
    is_closed: bool,
}

/// The queue.
pub(super) struct WriteQueue {
    queued: Mutex<QueuedJobs>,
    arrived: Notify,
    room: Arc<FairBound>,
}

impl WriteQueue {
    pub(super) fn new() -> Arc<Self> {
        let room = FairBound::new("queued_writes", QUEUE_JOBS);
        Arc::new(Self { queued: Mutex::default(), arrived: Notify::new(), room })
    }

    /// Returns the bound of the jobs that are queued.
    pub(super) const fn room(&self) -> &Arc<FairBound> {
        &self.room
    }

    fn lock_jobs(&self) -> MutexGuard<'_, QueuedJobs> {
        // No code panics in the middle of a change of it.
        self.queued.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a job, once there is room. Returns where its outcome comes, or `None` when the queue is closed.
    pub(super) async fn push_work(
        &self,
        holder: PermitHolder,
        work: WriteWork,
    ) -> Option<oneshot::Receiver<Result<Vec<EngineRow>, StoreError>>> {
        let permit = self.room.acquire(holder).await.ok()?;
        let (reply, outcome) = oneshot::channel();
        let mut queued = self.lock_jobs();
        if queued.is_closed {
            return None;
        }
        queued.push_job(holder, WriteJob { work, reply, _permit: permit });
        drop(queued);
        self.arrived.notify_one();
        Some(outcome)
    }

    /// Returns the jobs of the next transaction, once there are any; `None` when the queue is closed and empty.
    pub(super) async fn next_batch(&self) -> Option<Vec<WriteJob>> {
        loop {
            let (batch, is_closed) = {
                let mut queued = self.lock_jobs();
                (queued.take_batch(), queued.is_closed)
            };
            if !batch.is_empty() {
                return Some(batch);
            }
            if is_closed {
                return None;
            }
            // A job that came since is remembered: the task is the only one that waits here.
            self.arrived.notified().await;
        }
    }

    /// Takes no more jobs.
    pub(super) fn close_queue(&self) {
        self.lock_jobs().is_closed = true;
        self.arrived.notify_one();
    }
}

impl QueuedJobs {
    fn push_job(&mut self, holder: PermitHolder, job: WriteJob) {
        let own = self.jobs.entry(holder).or_default();
        if own.is_empty() {
            self.rotation.push_back(holder);
        }
        own.push_back(job);
    }

    fn take_batch(&mut self) -> Vec<WriteJob> {
        let (mut batch, mut rows, mut accounts) = (Vec::new(), 0_usize, HashSet::new());
        let mut held_back = VecDeque::new();
        while batch.len() < BATCH_JOBS
            && let Some(holder) = self.rotation.pop_front()
        {
            let Some(own) = self.jobs.get_mut(&holder) else { continue };
            let Some(next) = own.front() else { continue };
            if next.work.account_number().is_some_and(|number| accounts.contains(&number)) {
                held_back.push_back(holder);
                continue;
            }
            let with_next = rows.saturating_add(next.work.count_rows());
            if with_next > BATCH_ROWS && !batch.is_empty() {
                self.rotation.push_front(holder);
                break;
            }
            rows = with_next;
            accounts.extend(next.work.account_number());
            batch.extend(own.pop_front());
            if own.is_empty() {
                self.jobs.remove(&holder);
            } else {
                self.rotation.push_back(holder);
            }
        }
        held_back.append(&mut self.rotation);
        self.rotation = held_back;
        batch
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::draft::AccountChanges;
    use crate::domain::time::Timestamp;
    use crate::ids::OrganisationId;
    use crate::store::AccountCommit;

    async fn push(queue: &WriteQueue, tenant: u128, work: WriteWork) {
        queue.push_work(OrganisationId::from_bits(tenant).into(), work).await.unwrap();
    }

    fn statement(name: &'static str, bytes: usize) -> WriteWork {
        WriteWork::Statement { sql: name.into(), args: vec!["x".repeat(bytes).into()] }
    }

    fn commit(account_number: i64) -> WriteWork {
        WriteWork::Commit(Box::new(AccountCommit {
            account_number,
            epoch: 1,
            revision: 1,
            sequence: 0,
            at: Timestamp::EPOCH,
            changes: AccountChanges::default(),
            events: Vec::new(),
            records: Vec::new(),
            audit: Vec::new(),
        }))
    }

    async fn names(queue: &WriteQueue) -> Vec<String> {
        let batch = queue.next_batch().await.unwrap();
        batch.iter().map(|job| name_of(&job.work)).collect()
    }

    fn name_of(work: &WriteWork) -> String {
        match work {
            WriteWork::Statement { sql, .. } => sql.to_string(),
            WriteWork::Commit(commit) => commit.account_number.to_string(),
            WriteWork::Script { .. } => String::new(),
        }
    }

    #[tokio::test]
    async fn a_batch_takes_one_job_of_each_tenant_in_turn() {
        let queue = WriteQueue::new();
        for name in ["a1", "a2", "a3"] {
            push(&queue, 1, statement(name, 1)).await;
        }
        push(&queue, 2, statement("b1", 1)).await;
        assert_eq!(names(&queue).await, ["a1", "b1", "a2", "a3"]);
        assert_eq!(queue.room().usage().held, 0, "jobs that are done leave their room");
    }

    #[tokio::test]
    async fn a_batch_is_bounded_and_the_next_one_begins_with_the_others() {
        let queue = WriteQueue::new();
        let large = BATCH_ROWS * 256 / 2;
        for name in ["a1", "a2", "a3"] {
            push(&queue, 1, statement(name, large)).await;
        }
        push(&queue, 2, statement("b1", 1)).await;
        assert_eq!(names(&queue).await, ["a1", "b1"]);
        push(&queue, 3, statement("c1", 1)).await;
        assert_eq!(names(&queue).await, ["a2", "c1"]);
        assert_eq!(names(&queue).await, ["a3"], "one that is beyond the bound alone goes alone");
    }

    #[tokio::test]
    async fn a_second_commit_of_an_account_waits_and_holds_up_no_other_tenant() {
        let queue = WriteQueue::new();
        push(&queue, 1, commit(7)).await;
        push(&queue, 1, commit(7)).await;
        push(&queue, 1, statement("a", 1)).await;
        push(&queue, 2, commit(8)).await;
        assert_eq!(names(&queue).await, ["7", "8"]);
        assert_eq!(names(&queue).await, ["7", "a"], "in the order of their tenant");
    }

    #[tokio::test]
    async fn a_closed_queue_gives_out_what_it_has() {
        let queue = WriteQueue::new();
        push(&queue, 1, statement("a", 1)).await;
        queue.close_queue();
        assert!(queue.push_work(PermitHolder::Server, statement("b", 1)).await.is_none());
        assert_eq!(names(&queue).await, ["a"]);
        assert!(queue.next_batch().await.is_none());
    }
}
