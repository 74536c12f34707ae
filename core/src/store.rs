//! The durable side: one `Store` over SQLite or PostgreSQL. Nothing above knows which.
//!
//! Invariants: what a call acknowledged is fsynced; a commit moves its account's revision from the
//! expected value under the owner's epoch, or changes nothing; a reader sees whole commits only.
//! It does not decide anything: rules are the domain's.
//!
//! One room per noun holds that noun's row and statements; `engine` is the only one that knows
//! sqlx's connections; `writer` and `batch` put the writes of all accounts into few transactions.

mod account;
mod commit_batch;
mod contact;
mod conversation;
mod delivery;
mod delivery_work;
mod dialect;
mod effect;
mod engine;
mod event;
mod idempotency;
mod kv;
mod loaded_rows;
mod message;
mod node;
mod organisation;
mod parked_status;
mod plugin;
mod purge;
mod row;
mod run;
mod secrets;
mod send_queue;
mod subscription;
#[cfg(test)]
mod tests;
mod writer;

use std::sync::Arc;
use std::time::Duration;

pub use self::delivery_work::{DeliveryCursor, DeliveryWork, Intake};
pub use self::engine::{DatabaseLock, DatabaseTenure};
pub use self::node::{LeaseRenewal, NodeEntry, NodePeer};
pub use self::organisation::DirectoryChanges;
pub use self::purge::PurgeAges;
pub use self::run::{ReopenedRuns, RunBatch, RunRecord};
pub use self::secrets::ServerSecrets;
pub use self::subscription::NotedDeaths;

use crate::domain::account::Account;
use crate::domain::conversation::Conversation;
use crate::domain::draft::AccountChanges;
use crate::domain::event::Event;
use crate::domain::organisation::{ApiKey, Organisation, User};
use crate::domain::time::Timestamp;
use crate::ids::{NodeId, OrganisationId};

/// How long a statement waits for a lock that another process holds. A command may meet it three
/// times (its commit, the one before it, the reload between), and WhatsApp gives up on a webhook
/// after some ten seconds.
const BUSY_TIMEOUT: Duration = Duration::from_secs(2);

/// Why the store did not do what it was asked. Whoever asked may try again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, full, locked, or broken: nothing was written.
    #[error("storage is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The database is well and refuses these rows for their own sake: a defect of the caller, for
    /// whom trying the same again is of no use. Nothing was written.
    #[error("the database refuses the rows")]
    Refused(#[source] sqlx::Error),
    /// Somebody else committed for this account: the caller's picture is old, and it must reload.
    #[error("another writer owns the account")]
    Fenced,
    /// Another node serves the account: ask there.
    #[error("another node serves the account")]
    Elsewhere(NodePeer),
    /// This node's row is gone, so that it may own nothing: what it has in memory belongs to others.
    #[error("this node's lease is over")]
    LeaseLost,
    /// A row that this server did not write so: a defect, or a file that was tampered with.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if engine::refuses(&error) { Self::Refused(error) } else { Self::Unavailable(error) }
    }
}

/// What an account's actor starts from.
#[derive(Debug, Clone)]
pub struct AccountActivation {
    /// The account's own row.
    pub account: Arc<Account>,
    /// Commits so far.
    pub revision: i64,
    /// Number of the last event.
    pub sequence: i64,
    /// The fence under which the new owner commits.
    pub epoch: i64,
    /// What had been seen before, where the database has lost some of it.
    pub lost_commits: Option<CommitFloor>,
    /// Instant of the last commit.
    pub last_commit_at: Timestamp,
    /// The newest conversations by (`updated_at`, id), at most as many as asked for, newest first.
    pub conversations: Vec<Arc<Conversation>>,
    /// Whether these are all of them.
    pub complete: bool,
    /// Whether messages wait to be sent.
    pub has_pending: bool,
    /// Whether statuses wait for their messages.
    pub has_parked: bool,
}

/// The newest commit of an account that this process has seen acknowledged.
///
/// A failover of PostgreSQL to a standby that lagged behind loses commits. Numbers that were given out are
/// not given out again: an account that is loaded afresh begins above this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitFloor {
    /// Its revision.
    pub revision: i64,
    /// Number of the last event that it wrote.
    pub sequence: i64,
    /// Its instant.
    pub at: Timestamp,
}

impl CommitFloor {
    /// Below every commit.
    pub const NONE: Self = Self { revision: 0, sequence: 0, at: Timestamp::EPOCH };

    /// The higher of two in every part.
    #[must_use]
    pub fn max(self, other: Self) -> Self {
        Self {
            revision: self.revision.max(other.revision),
            sequence: self.sequence.max(other.sequence),
            at: self.at.max(other.at),
        }
    }
}

/// One account's commit.
#[derive(Debug, Clone)]
pub struct AccountCommit {
    /// The account's short number.
    pub account_number: i64,
    /// The owner's fence.
    pub epoch: i64,
    /// The revision that this commit moves from; it moves to the next.
    pub revision: i64,
    /// Number of the last event once this is committed.
    pub sequence: i64,
    /// Instant of the commit.
    pub at: Timestamp,
    /// Rows.
    pub changes: AccountChanges,
    /// The draft's events, numbered; `changes.events` is not looked at.
    pub events: Vec<Event>,
    /// Answers to be remembered with the write.
    pub records: Vec<IdempotencyRecord>,
}

/// An answer remembered under an `Idempotency-Key`, for 24 hours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct IdempotencyRecord {
    /// Scope of the key.
    pub organisation_id: OrganisationId,
    /// As the client sent it.
    pub key: Arc<str>,
    /// Digest of method, path and canonical body.
    pub fingerprint: [u8; 32],
    /// HTTP status of the answer.
    pub status: u16,
    /// The answer's JSON without its request id.
    pub body: Arc<str>,
    /// When it was given.
    pub created_at: Timestamp,
    /// The node that claimed the key before it ran the call; `None`: a server that was alone, which claims
    /// nothing.
    pub claimed_by: Option<NodeId>,
}

impl IdempotencyRecord {
    /// How long an answer is kept (contract, section 3).
    pub const KEPT: Duration = Duration::from_hours(24);
}

/// The state of an `Idempotency-Key`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum KeyState {
    /// No call has it.
    Free,
    /// This node runs its call, or did so when it died.
    Claimed(NodeId),
    /// Its call has ended with this answer.
    Answered(IdempotencyRecord),
}

/// Everything that authentication and routing need, read once at start.
#[derive(Debug, Clone, Default)]
pub struct DirectoryRows {
    /// Every tenant.
    pub organisations: Vec<Organisation>,
    /// Every key that was not revoked.
    pub api_keys: Vec<ApiKey>,
    /// Every assignee.
    pub users: Vec<User>,
    /// Every account.
    pub accounts: Vec<Account>,
}

/// Whether a number could be connected.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InsertedAccount {
    /// The account, with its `number` filled in.
    Inserted(Account),
    /// Its `phone_number_id` is connected already, here or elsewhere.
    AlreadyConnected,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StoreOptions {
    /// Connections that read.
    pub readers: u32,
}

impl Default for StoreOptions {
    fn default() -> Self {
        Self { readers: 8 }
    }
}

/// A handle of the open database. Cheap to clone; the nouns' rooms hold most of what it can do.
#[derive(Clone)]
pub struct Store {
    engine: engine::Engine,
    writer: writer::StoreWriter,
    secrets: Arc<ServerSecrets>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("statements_executed", &self.statements_executed()).finish()
    }
}

impl Store {
    /// Opens `sqlite://path/to/file.db`, whose file and folder are made if they are missing, or
    /// `postgres://user:password@host/database`, which must exist. Brings the schema up, and makes the
    /// server's secrets on the first start.
    ///
    /// Must be called inside a tokio runtime, on which the writing task then lives.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be opened, or its schema is not ours;
    /// [`StoreError::Corrupt`] when the secrets cannot be read.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_within(url, options, BUSY_TIMEOUT).await
    }

    async fn open_within(url: &str, options: StoreOptions, timeout: Duration) -> Result<Self, StoreError> {
        let engine = engine::Engine::open_url(url, options.readers, timeout).await?;
        let mut connection = engine.open_writer().await?;
        let secrets = Arc::new(ServerSecrets::load_secrets(&engine, &mut connection).await?);
        let writer = writer::StoreWriter::start_task(engine.clone(), connection);
        Ok(Self { engine, writer, secrets })
    }

    /// Finishes the writes that wait, and closes every connection. Whatever is asked afterwards is
    /// answered with [`StoreError::Unavailable`].
    pub async fn close(&self) {
        // The writer last: it can move the log into the file once nobody reads from it.
        self.engine.close_readers().await;
        self.writer.close_task().await;
    }

    /// Whether the database answers and, if its last write failed, whether it takes writes again.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.engine.fetch_rows("SELECT 1", Vec::new()).await?;
        if self.writer.is_failing() {
            self.writer
                .write_statement("UPDATE probes SET written = written + 1 WHERE id = 1", Vec::new())
                .await?;
        }
        Ok(())
    }

    /// The server's own keys.
    #[must_use]
    pub fn secrets(&self) -> &ServerSecrets {
        &self.secrets
    }

    /// SQL statements run so far, reads and writes; tests prove with it what costs none.
    #[must_use]
    pub fn statements_executed(&self) -> u64 {
        self.engine.count_executed()
    }

    /// Everything that authentication and routing need.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn directory(&self) -> Result<DirectoryRows, StoreError> {
        Ok(DirectoryRows {
            organisations: self.load_organisations().await?,
            api_keys: self.live_api_keys().await?,
            users: self.load_users().await?,
            accounts: self.load_accounts().await?,
        })
    }

    /// Writes one account's commit: on return it is on the disk, and every reader sees it.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the account has moved on under another owner;
    /// [`StoreError::Refused`] when the rows break a rule of the schema. Nothing is written then.
    pub async fn commit(&self, commit: AccountCommit) -> Result<(), StoreError> {
        self.writer.write_commit(commit).await
    }
}
