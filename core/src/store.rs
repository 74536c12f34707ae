//! The durable store: one `Store` over SQLite or PostgreSQL. The layers above do not know which.
//!
//! Invariants: acknowledged writes are fsynced. A commit moves its account's revision from the expected value
//! under the owner's epoch, or changes nothing. A reader sees whole commits only. The store decides nothing:
//! rules belong to the domain.
//!
//! One module per noun holds that noun's row and statements. Only `engine` knows sqlx's connections. `writer`
//! and `commit_batch` put the writes of all accounts into few transactions.

mod account;
mod audit;
mod commit_batch;
mod contact;
mod conversation;
mod credential_use;
mod delivery;
mod delivery_body;
mod delivery_work;
mod details_row;
mod dialect;
mod effect;
mod encrypted_column;
mod engine;
mod erasure;
mod event;
mod idempotency;
mod identifier;
mod identity_row;
mod key_rotation;
mod kv;
mod loaded_rows;
mod merge;
mod message;
mod message_progress;
mod node;
mod operator_token;
mod organisation;
mod owned_statements;
mod parked_item;
mod plugin;
mod principal_row;
mod profile_row;
mod purge;
mod raw_item;
mod recorded_body;
mod row;
mod run;
mod secrets;
mod send_queue;
mod statement_owner;
mod subscription;
mod template;
#[cfg(test)]
mod tests;
mod write_queue;
mod writer;

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

pub use self::delivery_work::{DeliveryCursor, DeliveryWork, Intake};
pub use self::engine::{DatabaseLock, DatabaseTenure};
pub use self::erasure::{ExpiredMessage, MarkSearch, PERSONAL_TABLES, PendingErasure, PersonalTable};
pub use self::key_rotation::{KeyRotation, NodeWithoutKey, RotationPhase};
pub use self::node::{LeaseRenewal, NodeEntry, NodePeer};
pub use self::organisation::DirectoryChanges;
pub use self::purge::PurgeAges;
pub use self::recorded_body::RecordedBody;
pub use self::run::{ReopenedRuns, RunBatch, RunRecord};
pub use self::secrets::ServerSecrets;
pub use self::subscription::NotedDeaths;

use self::engine::EngineTimeouts;
use crate::domain::account::Account;
use crate::domain::audit::AuditEntry;
use crate::domain::conversation::Conversation;
use crate::domain::draft::AccountChanges;
use crate::domain::event::Event;
use crate::domain::operator_token::OperatorToken;
use crate::domain::organisation::{ApiKey, Organisation, User};
use crate::domain::time::Timestamp;
use crate::encryption::{KeyError, KeyRing, KeySource};
use crate::fair_bound::FairBound;
use crate::ids::{ContactId, ConversationId, NodeId, OrganisationId};

/// Reason for which the store did not carry out a call. The caller may try again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is unreachable, full, locked, or broken: nothing was written.
    #[error("storage is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// The database works and refuses these rows themselves: a defect of the caller. Another try with the
    /// same rows fails too. Nothing was written.
    #[error("the database refuses the rows")]
    Refused(#[source] sqlx::Error),
    /// Another owner committed for this account: the caller's state is outdated, and it must reload.
    #[error("another writer owns the account")]
    Fenced,
    /// Another node serves the account.
    #[error("another node serves the account")]
    Elsewhere(NodePeer),
    /// This node's row is gone, so it may own nothing: other nodes may own the accounts in its memory.
    #[error("this node's lease is over")]
    LeaseLost,
    /// A row that this server would not have written: a defect, or a file that was tampered with.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
    /// The keys of the secrets are missing, or others than those of the database.
    #[error(transparent)]
    Keys(#[from] KeyError),
}

impl From<sqlx::Error> for StoreError {
    fn from(error: sqlx::Error) -> Self {
        if engine::refuses(&error) { Self::Refused(error) } else { Self::Unavailable(error) }
    }
}

/// Initial state of an account's actor.
#[derive(Debug, Clone)]
#[expect(clippy::struct_excessive_bools, reason = "each says what one table has")]
pub struct AccountActivation {
    /// The account's own row.
    pub account: Arc<Account>,
    /// Commits so far.
    pub revision: i64,
    /// Number of the last event.
    pub sequence: i64,
    /// The fence under which the new owner commits.
    pub epoch: i64,
    /// Highest commit seen by this process, if the database has lost commits.
    pub lost_commits: Option<CommitFloor>,
    /// Instant of the last commit.
    pub last_commit_at: Timestamp,
    /// The newest conversations by (`updated_at`, id), at most as many as requested, newest first.
    pub conversations: Vec<Arc<Conversation>>,
    /// `true` when there are templates.
    pub has_templates: bool,
    /// `true` when these are all conversations.
    pub complete: bool,
    /// `true` when messages wait to be sent.
    pub has_pending: bool,
    /// `true` when parked items wait for their messages.
    pub has_parked: bool,
    /// Conversations that were deleted, and whose messages are being erased; `None` when nothing of the account was
    /// erased lately.
    pub erasing: Option<BTreeSet<ConversationId>>,
}

/// The newest commit of an account that this process has seen acknowledged.
///
/// A failover of PostgreSQL to a standby that lagged behind loses commits. Numbers that were given out are
/// not reused: an account that is loaded again begins above this.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct CommitFloor {
    /// Revision of the commit.
    pub revision: i64,
    /// Number of the last event that it wrote.
    pub sequence: i64,
    /// Instant of the commit.
    pub at: Timestamp,
}

impl CommitFloor {
    /// Lower than every commit.
    pub const NONE: Self = Self { revision: 0, sequence: 0, at: Timestamp::EPOCH };

    /// Returns the higher value of the two for each field.
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
    /// The revision before this commit; the commit increments it.
    pub revision: i64,
    /// Number of the last event after this commit.
    pub sequence: i64,
    /// Instant of the commit.
    pub at: Timestamp,
    /// Changed rows.
    pub changes: AccountChanges,
    /// The draft's events, numbered; `changes.events` is ignored.
    pub events: Vec<Event>,
    /// Answers to be stored in the same transaction.
    pub records: Vec<IdempotencyRecord>,
    /// Entries of the audit log about these changes.
    pub audit: Vec<AuditEntry>,
}

/// An answer stored under an `Idempotency-Key`, for 24 hours.
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
    pub body: RecordedBody,
    /// Time at which it was given.
    pub created_at: Timestamp,
    /// The node that claimed the key before it ran the call. `None` for a server that runs alone, which
    /// claims nothing.
    pub claimed_by: Option<NodeId>,
    /// The contact that the answer shows.
    pub contact_id: Option<ContactId>,
}

impl IdempotencyRecord {
    /// Time for which an answer is kept (contract, section 3).
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

/// Rows that authentication and routing need, read once at start.
#[derive(Debug, Clone, Default)]
pub struct DirectoryRows {
    /// Every tenant.
    pub organisations: Vec<Organisation>,
    /// Every key that was not revoked.
    pub api_keys: Vec<ApiKey>,
    /// Every token of the operator that was not revoked.
    pub operator_tokens: Vec<OperatorToken>,
    /// Every assignee.
    pub users: Vec<User>,
    /// Every account.
    pub accounts: Vec<Account>,
}

/// Result of connecting a number.
#[derive(Debug, Clone, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "one at a time, and almost always the large one")]
pub enum InsertedAccount {
    /// The account, with its `number` filled in.
    Inserted(Account),
    /// Its `phone_number_id` is connected already, in this or another tenant.
    AlreadyConnected,
}

/// Options for opening a store.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreOptions {
    /// Connections that read.
    pub readers: u32,
    /// Keys of the secrets.
    pub keys: KeySource,
}

impl StoreOptions {
    /// Eight readers, and these keys.
    #[must_use]
    pub const fn with_keys(keys: KeySource) -> Self {
        Self { readers: 8, keys }
    }
}

/// A handle of the open database. Cheap to clone. The modules of the nouns implement most of its methods.
#[derive(Clone)]
pub struct Store {
    engine: engine::Engine,
    writer: writer::StoreWriter,
    /// Organisations of accounts and subscribers, for the shares of statements.
    owners: statement_owner::OwnerTable,
    secrets: Arc<ServerSecrets>,
    keys: KeyRing,
    parked_dropped: Arc<AtomicU64>,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("statements_executed", &self.statements_executed()).finish()
    }
}

impl Store {
    /// Opens `sqlite://path/to/file.db` or `postgres://user:password@host/database`. The file and its folder
    /// are created if they are missing; the PostgreSQL database must exist. Migrates the schema, and creates
    /// the server's secrets on the first start, and its own file of keys.
    ///
    /// Must be called inside a tokio runtime, on which the writing task then lives.
    ///
    /// # Errors
    /// [`StoreError::Unavailable`] when it cannot be opened, or its schema is not ours;
    /// [`StoreError::Keys`] when its secrets are encrypted under other keys; [`StoreError::Corrupt`] when they
    /// cannot be read.
    pub async fn open(url: &str, options: StoreOptions) -> Result<Self, StoreError> {
        Self::open_within(url, options, EngineTimeouts::default()).await
    }

    async fn open_within(
        url: &str,
        options: StoreOptions,
        timeouts: EngineTimeouts,
    ) -> Result<Self, StoreError> {
        let engine = engine::Engine::open_url(url, options.readers, timeouts).await?;
        let keys = KeyRing::open(options.keys, ServerSecrets::are_missing(&engine).await?)?;
        let mut connection = engine.open_writer().await?;
        let secrets = Arc::new(ServerSecrets::load_secrets(&engine, &mut connection, &keys).await?);
        let writer = writer::StoreWriter::start_task(engine.clone(), connection, keys.clone());
        let owners = statement_owner::OwnerTable::default();
        Ok(Self { engine, writer, owners, secrets, keys, parked_dropped: Arc::default() })
    }

    /// Finishes the queued writes, and closes every connection. Later calls return
    /// [`StoreError::Unavailable`].
    pub async fn close(&self) {
        // The writer last: it can checkpoint the log once no reader uses it.
        self.engine.close_readers().await;
        self.writer.close_task().await;
    }

    /// Checks that the database answers and, if its last write failed, that it accepts writes again.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.read_for_server().fetch_rows("SELECT 1", Vec::new()).await?;
        if self.writer.is_failing() {
            self.write_for_server()
                .write_statement("UPDATE probes SET written = written + 1 WHERE id = 1", Vec::new())
                .await?;
        }
        Ok(())
    }

    /// Returns the bounds that organisations share here, for the metrics.
    pub fn shared_bounds(&self) -> impl Iterator<Item = Arc<FairBound>> {
        [self.engine.readers(), self.writer.queued()].into_iter().cloned()
    }

    /// Returns the server's own keys.
    #[must_use]
    pub fn secrets(&self) -> &ServerSecrets {
        &self.secrets
    }

    /// Returns the keys under which secrets are stored.
    #[must_use]
    pub const fn keys(&self) -> &KeyRing {
        &self.keys
    }

    /// Returns the number of SQL statements run so far, reads and writes. Tests use it to prove that an
    /// operation needs none.
    #[must_use]
    pub fn statements_executed(&self) -> u64 {
        self.engine.count_executed()
    }

    /// Reads the rows that authentication and routing need.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn directory(&self) -> Result<DirectoryRows, StoreError> {
        Ok(DirectoryRows {
            organisations: self.load_organisations().await?,
            api_keys: self.live_api_keys().await?,
            operator_tokens: self.live_operator_tokens().await?,
            users: self.load_users().await?,
            accounts: self.load_accounts().await?,
        })
    }

    /// Writes one account's commit. On return it is on the disk, and every reader sees it.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the account has moved on under another owner;
    /// [`StoreError::Refused`] when the rows break a rule of the schema. Nothing is written then.
    pub async fn commit(&self, commit: AccountCommit) -> Result<(), StoreError> {
        self.write_for(commit.account_number).write_commit(commit).await
    }
}
