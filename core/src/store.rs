//! The durable side: one `Store` over SQLite, built so that PostgreSQL is a second arm.
//!
//! Invariants: what a call acknowledged is fsynced; a commit moves its account's revision from the
//! expected value under the owner's epoch, or changes nothing; a reader sees whole commits only.
//! It does not decide anything: rules are the domain's.

use std::sync::Arc;

use crate::domain::account::Account;
use crate::domain::conversation::Conversation;
use crate::domain::draft::Changes;
use crate::domain::event::Event;
use crate::domain::organisation::{ApiKey, Organisation, User};
use crate::domain::time::Timestamp;
use crate::ids::OrganisationId;

/// Why the store did not do what it was asked. Whoever asked may try again.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// The database is away, full, locked, or broken: nothing was written.
    #[error("storage is unavailable")]
    Unavailable(#[source] sqlx::Error),
    /// Somebody else committed for this account: the caller's picture is old, and it must reload.
    #[error("another writer owns the account")]
    Fenced,
    /// A row that this server did not write so: a defect, or a file that was tampered with.
    #[error("a stored row cannot be read: {0}")]
    Corrupt(String),
}

/// What an account's actor starts from.
#[derive(Debug, Clone)]
pub struct Activation {
    /// The account's own row.
    pub account: Arc<Account>,
    /// Commits so far.
    pub revision: i64,
    /// Number of the last event.
    pub sequence: i64,
    /// The fence under which the new owner commits.
    pub epoch: i64,
    /// Instant of the last commit.
    pub last_commit_at: Timestamp,
    /// The newest conversations by (`updated_at`, id), at most as many as asked for, newest first.
    pub conversations: Vec<Arc<Conversation>>,
    /// Whether these are all of them.
    pub complete: bool,
    /// Whether messages wait to be sent.
    pub has_pending: bool,
}

/// One account's commit.
#[derive(Debug, Clone)]
pub struct CycleCommit {
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
    pub changes: Changes,
    /// `changes.events`, numbered.
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
