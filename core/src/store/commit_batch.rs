//! One transaction for many jobs: the fence first, then one statement per table that has rows. On PostgreSQL
//! the fence and all tables are one statement, because each would be a round trip.
//!
//! Invariant: a commit that did not pass the fence leaves no row behind, and does not affect the other
//! commits. Tables without rows cost no statement.

use std::collections::HashSet;

use serde::Serialize;

use super::account::{self, AccountRow, FenceRow};
use super::audit::{self, AuditRow};
use super::contact::{self, ContactRow};
use super::conversation::{self, ConversationRow};
use super::delivery_body;
use super::dialect::{BulkStatement, Dialect};
use super::effect::{self, SettledRow};
use super::engine::{EngineRow, Sql, SqlArg, WriteConnection, refuses};
use super::erasure::{self, DeletedRow, EndedRow, ErasedKeyRow, FreedRow, RemovedRow};
use super::event::{self, ErasedEventRow, EventRow};
use super::idempotency::{self, RecordRow};
use super::identifier::{self, IdentifierRow};
use super::merge::{self, MergeRow};
use super::message::{self, MessageRow};
use super::message_progress::{self, ProgressRow};
use super::parked_item::{self, ParkedRow, UnparkedRow};
use super::raw_item::{self, ErasedRawRow, RawRow};
use super::row::json_array;
use super::template::{self, RemovedTemplateRow, TemplateRow};
use super::{AccountCommit, StoreError};
use crate::domain::audit::AuditEntry;
use crate::encryption::KeyRing;

/// Bytes of a row in the JSON array of a statement, about.
const ROW_BYTES: usize = 256;

/// The writes of a job.
pub(super) enum WriteWork {
    /// One account's commit.
    Commit(Box<AccountCommit>),
    /// One statement.
    Statement {
        /// SQL text.
        sql: Sql,
        /// Bound values.
        args: Vec<SqlArg>,
    },
    /// Statements that are written together or not at all.
    Script {
        /// Statements, in order.
        statements: Vec<(Sql, Vec<SqlArg>)>,
        /// Index of the statement with the rows to return.
        answer: usize,
        /// Statement that appends an entry to the audit log, run after the others if they have changed anything.
        trail: Option<(Sql, Vec<SqlArg>)>,
    },
}

impl WriteWork {
    /// Returns the same writes with an entry in the audit log.
    pub(super) fn with_audit(self, dialect: Dialect, entry: &AuditEntry) -> Result<Self, StoreError> {
        let trail = Some(audit::insert_statement(dialect, entry)?);
        Ok(match self {
            Self::Commit(mut commit) => {
                commit.audit.push(entry.clone());
                Self::Commit(commit)
            }
            Self::Statement { sql, args } => Self::Script { statements: vec![(sql, args)], answer: 0, trail },
            Self::Script { statements, answer, .. } => Self::Script { statements, answer, trail },
        })
    }

    /// Returns the number of the account that a commit is of.
    pub(super) fn account_number(&self) -> Option<i64> {
        match self {
            Self::Commit(commit) => Some(commit.account_number),
            Self::Statement { .. } | Self::Script { .. } => None,
        }
    }

    /// Returns the number of rows that it writes, about: of statements it is taken from the bytes of their values.
    pub(super) fn count_rows(&self) -> usize {
        match self {
            Self::Commit(commit) => {
                let changes = &commit.changes;
                let rows = [
                    changes.contacts.len(),
                    changes.conversations.len(),
                    changes.messages.len(),
                    changes.identifiers.len(),
                    changes.raw.len(),
                    changes.parked.len(),
                    changes.erased.len(),
                    changes.effects.len(),
                    changes.templates.len(),
                    commit.events.len(),
                    commit.records.len(),
                    commit.audit.len(),
                ];
                rows.iter().sum::<usize>() + 1
            }
            Self::Statement { args, .. } => rows_of(args),
            Self::Script { statements, trail, .. } => {
                statements.iter().chain(trail).map(|(_, args)| rows_of(args)).sum()
            }
        }
    }
}

fn rows_of(args: &[SqlArg]) -> usize {
    args.iter().map(SqlArg::len).sum::<usize>() / ROW_BYTES + 1
}

/// Outcome of a job inside a transaction that commits.
pub(super) enum WriteOutcome {
    /// Written, with the rows that the statement, or the chosen one of a script, returned.
    Written(Vec<EngineRow>),
    /// Left out, because another owner has committed for the account.
    Fenced,
}

impl WriteOutcome {
    /// Returns `true` when it was left out.
    pub(super) const fn is_fenced(&self) -> bool {
        matches!(self, Self::Fenced)
    }
}

/// Rows of all commits of a batch, by table.
#[derive(Default)]
struct BatchRows<'a> {
    accounts: Vec<AccountRow<'a>>,
    deleted: Vec<DeletedRow<'a>>,
    freed: Vec<FreedRow>,
    removed: Vec<RemovedRow>,
    erased_keys: Vec<ErasedKeyRow>,
    ended_erasures: Vec<EndedRow>,
    contacts: Vec<ContactRow<'a>>,
    identifiers: Vec<IdentifierRow>,
    conversations: Vec<ConversationRow<'a>>,
    merges: Vec<MergeRow>,
    messages: Vec<MessageRow<'a>>,
    progress: Vec<ProgressRow<'a>>,
    unparked: Vec<UnparkedRow<'a>>,
    parked: Vec<ParkedRow<'a>>,
    erased_raw: Vec<ErasedRawRow<'a>>,
    raw: Vec<RawRow<'a>>,
    erased_events: Vec<ErasedEventRow>,
    events: Vec<EventRow<'a>>,
    records: Vec<RecordRow<'a>>,
    effects: Vec<SettledRow>,
    removed_templates: Vec<RemovedTemplateRow>,
    templates: Vec<TemplateRow<'a>>,
    audit: Vec<AuditRow<'a>>,
}

impl<'a> BatchRows<'a> {
    fn from_commits(
        commits: impl IntoIterator<Item = &'a AccountCommit>,
        keys: &KeyRing,
    ) -> Result<Self, sqlx::Error> {
        let mut rows = Self::default();
        commits.into_iter().try_for_each(|commit| rows.add_commit(commit, keys))?;
        Ok(rows)
    }

    fn add_commit(&mut self, commit: &'a AccountCommit, keys: &KeyRing) -> Result<(), sqlx::Error> {
        let number = commit.account_number;
        let changes = &commit.changes;
        if let Some(row) = &changes.account {
            self.accounts.push(AccountRow::from_account(number, row, keys)?);
        }
        self.deleted.extend(DeletedRow::from_commit(commit));
        self.freed.extend(FreedRow::from_changes(number, changes));
        self.removed.extend(RemovedRow::from_changes(number, changes));
        let (erased, erased_at) = (changes.erased_keys.iter(), commit.at.millis());
        self.erased_keys.extend(erased.map(|key| ErasedKeyRow::from_key(number, key, erased_at)));
        self.ended_erasures.extend(EndedRow::from_changes(number, changes));
        self.contacts.extend(changes.contacts.values().map(|row| ContactRow::with_search(number, row)));
        self.conversations.extend(
            changes.conversations.values().map(|row| ConversationRow::from_conversation(number, row)),
        );
        let identifiers = changes.identifiers.iter();
        self.identifiers.extend(identifiers.map(|(key, id)| IdentifierRow::from_key(number, key, *id)));
        self.merges.extend(MergeRow::from_commit(commit));
        for message in changes.messages.values() {
            match ProgressRow::from_changes(number, changes, message) {
                Some(row) => self.progress.push(row),
                None => self.messages.push(MessageRow::with_key(number, message)),
            }
        }
        self.unparked.extend(UnparkedRow::from_changes(number, changes));
        self.parked.extend(changes.parked.iter().map(|row| ParkedRow::from_item(number, commit.at, row)));
        self.erased_raw.extend(ErasedRawRow::from_changes(number, changes));
        let raw = changes.raw.iter().enumerate();
        self.raw.extend(raw.map(|row| RawRow::from_item(number, commit.at, row)));
        self.erased_events
            .extend(changes.erased.iter().map(|row| ErasedEventRow::from_message(number, row.id)));
        self.events.extend(commit.events.iter().map(|row| EventRow::from_event(number, row)));
        for row in &commit.records {
            self.records.push(RecordRow::from_record(number, row, keys)?);
        }
        self.effects.extend(changes.effects.iter().map(|row| SettledRow::from_effect(number, row)));
        self.removed_templates.extend(RemovedTemplateRow::from_changes(number, changes));
        self.templates.extend(changes.templates.values().map(|row| TemplateRow::with_key(number, row)));
        for entry in &commit.audit {
            self.audit.push(AuditRow::from_entry(Some(number), entry)?);
        }
        Ok(())
    }

    /// Returns the statements of the tables that have rows, with their rows, in an order in which what is erased
    /// or moved goes before what is inserted. No two of them write the same row, because PostgreSQL runs them as
    /// one, in which none sees the writes of the others. The accounts' own rows are left
    /// out, because the fence writes to them too.
    fn to_statements(&self, dialect: Dialect) -> Result<Vec<(&'static BulkStatement, String)>, sqlx::Error> {
        let each = [
            bulk_rows(&erasure::DELETE_CONTACTS, &self.deleted),
            bulk_rows(&erasure::DELETE_CONVERSATIONS, &self.deleted),
            bulk_rows(erasure::hold_messages(dialect), &self.deleted),
            bulk_rows(&erasure::INSERT, &self.deleted),
            bulk_rows(&erasure::DELETE_IDENTIFIERS, &self.freed),
            bulk_rows(&erasure::DELETE_MESSAGES, &self.removed),
            bulk_rows(&erasure::INSERT_KEYS, &self.erased_keys),
            bulk_rows(&erasure::END, &self.ended_erasures),
            bulk_rows(&contact::UPSERT, &self.contacts),
            bulk_rows(&identifier::UPSERT, &self.identifiers),
            bulk_rows(&conversation::UPSERT, &self.conversations),
            bulk_rows(&merge::MOVE, &self.merges),
            bulk_rows(&message::UPSERT, &self.messages),
            bulk_rows(&message_progress::UPDATE, &self.progress),
            bulk_rows(&parked_item::DELETE, &self.unparked),
            bulk_rows(&parked_item::UPSERT, &self.parked),
            bulk_rows(&raw_item::ERASE, &self.erased_raw),
            bulk_rows(&raw_item::INSERT, &self.raw),
            bulk_rows(&event::ERASE, &self.erased_events),
            bulk_rows(&delivery_body::ERASE, &self.erased_events),
            bulk_rows(&event::INSERT, &self.events),
            bulk_rows(&idempotency::UPSERT, &self.records),
            bulk_rows(&effect::SETTLE, &self.effects),
            bulk_rows(&template::DELETE, &self.removed_templates),
            bulk_rows(&template::UPSERT, &self.templates),
            bulk_rows(&audit::INSERT, &self.audit),
        ];
        each.into_iter().filter_map(Result::transpose).collect()
    }

    async fn write_accounts(&self, writer: &mut WriteConnection) -> Result<(), sqlx::Error> {
        match bulk_rows(&account::UPDATE, &self.accounts)? {
            Some((statement, rows)) => writer.run_bulk(statement, rows).await.map(drop),
            None => Ok(()),
        }
    }
}

fn bulk_rows<T: Serialize>(
    statement: &'static BulkStatement,
    rows: &[T],
) -> Result<Option<(&'static BulkStatement, String)>, sqlx::Error> {
    Ok(if rows.is_empty() { None } else { Some((statement, json_array(rows)?)) })
}

/// Writes the commits; returns the numbers of the accounts with a commit that passed the fence.
async fn write_commits(
    writer: &mut WriteConnection,
    commits: &[&AccountCommit],
    keys: &KeyRing,
) -> Result<HashSet<i64>, sqlx::Error> {
    if commits.is_empty() {
        return Ok(HashSet::new());
    }
    let fence: Vec<FenceRow> = commits.iter().map(|commit| FenceRow::from(*commit)).collect();
    if writer.dialect() == Dialect::Postgres {
        let rows = BatchRows::from_commits(commits.iter().copied(), keys)?;
        let (statements, rows): (Vec<_>, Vec<_>) = rows.to_statements(Dialect::Postgres)?.into_iter().unzip();
        let passed = read_account_numbers(
            &writer.run_fenced(&account::FENCE, &statements, json_array(&fence)?, rows).await?,
        )?;
        BatchRows::from_commits(passing_commits(commits, &passed), keys)?.write_accounts(writer).await?;
        return Ok(passed);
    }
    if write_at_once(writer, commits, json_array(&fence)?, keys).await? {
        return Ok(commits.iter().map(|commit| commit.account_number).collect());
    }
    let passed = read_account_numbers(&writer.run_bulk(&account::FENCE, json_array(&fence)?).await?)?;
    let rows = BatchRows::from_commits(passing_commits(commits, &passed), keys)?;
    for (statement, rows) in rows.to_statements(Dialect::Sqlite)? {
        writer.run_bulk(statement, rows).await?;
    }
    rows.write_accounts(writer).await?;
    Ok(passed)
}

/// Writes the commits with one text, which spares a change of threads per statement, in SQLite's dialect. `false`, with
/// nothing written and the transaction begun anew, when one does not pass the fence or the database refuses one.
async fn write_at_once(
    writer: &mut WriteConnection,
    commits: &[&AccountCommit],
    fence: String,
    keys: &KeyRing,
) -> Result<bool, sqlx::Error> {
    let rows = BatchRows::from_commits(commits.iter().copied(), keys)?;
    let mut statements = rows.to_statements(Dialect::Sqlite)?;
    statements.extend(bulk_rows(&account::UPDATE, &rows.accounts)?);
    let (statements, rows): (Vec<_>, Vec<_>) = statements.into_iter().unzip();
    match writer.run_fenced(&account::FENCE, &statements, fence, rows).await {
        Ok(passed) if passed.len() == commits.len() => Ok(true),
        Err(error) if !refuses(&error) => Err(error),
        Ok(_) | Err(_) => {
            writer.roll_back().await?;
            writer.begin_transaction().await?;
            Ok(false)
        }
    }
}

fn passing_commits<'a>(
    commits: &[&'a AccountCommit],
    passed: &HashSet<i64>,
) -> impl Iterator<Item = &'a AccountCommit> {
    commits.iter().copied().filter(|commit| passed.contains(&commit.account_number))
}

fn read_account_numbers(rows: &[EngineRow]) -> Result<HashSet<i64>, sqlx::Error> {
    account::numbers_of(rows).map_err(|error: StoreError| sqlx::Error::Decode(error.into()))
}

/// Returns `true` when these jobs are commits that [`apply_jobs`] writes with a single statement, which needs
/// no transaction around it.
pub(super) fn is_one_statement(dialect: Dialect, jobs: &[&WriteWork]) -> bool {
    let alone = |work: &&WriteWork| match work {
        WriteWork::Commit(commit) => commit.changes.account.is_none(),
        WriteWork::Statement { .. } | WriteWork::Script { .. } => false,
    };
    dialect == Dialect::Postgres && jobs.iter().all(alone)
}

/// Writes the jobs into the open transaction, or with one statement. No account may occur twice. Commits go
/// first, so that an activation queued behind its predecessor's commit reads it.
pub(super) async fn apply_jobs(
    writer: &mut WriteConnection,
    jobs: &[&WriteWork],
    keys: &KeyRing,
) -> Result<Vec<WriteOutcome>, sqlx::Error> {
    let commits: Vec<&AccountCommit> = jobs
        .iter()
        .filter_map(|work| match work {
            WriteWork::Commit(commit) => Some(&**commit),
            WriteWork::Statement { .. } | WriteWork::Script { .. } => None,
        })
        .collect();
    let passed = write_commits(writer, &commits, keys).await?;
    let mut outcomes = Vec::with_capacity(jobs.len());
    for work in jobs {
        outcomes.push(match work {
            WriteWork::Commit(commit) if passed.contains(&commit.account_number) => {
                WriteOutcome::Written(Vec::new())
            }
            WriteWork::Commit(_) => WriteOutcome::Fenced,
            WriteWork::Statement { sql, args } => {
                WriteOutcome::Written(writer.run_statement(sql.clone(), args.clone()).await?)
            }
            WriteWork::Script { statements, answer, trail } => {
                let rows = run_all(writer, statements, *answer).await?;
                if let Some((sql, args)) = trail
                    && has_changed(statements.get(*answer), &rows)
                {
                    writer.run_statement(sql.clone(), args.clone()).await?;
                }
                WriteOutcome::Written(rows)
            }
        });
    }
    Ok(outcomes)
}

/// Returns `false` for a statement that reports the rows that it has changed, and reports none.
fn has_changed(statement: Option<&(Sql, Vec<SqlArg>)>, rows: &[EngineRow]) -> bool {
    !rows.is_empty() || statement.is_none_or(|(sql, _)| !sql.contains(" RETURNING "))
}

async fn run_all(
    writer: &mut WriteConnection,
    statements: &[(Sql, Vec<SqlArg>)],
    answer: usize,
) -> Result<Vec<EngineRow>, sqlx::Error> {
    let mut wanted = Vec::new();
    for (place, (sql, args)) in statements.iter().enumerate() {
        let rows = writer.run_statement(sql.clone(), args.clone()).await?;
        if place == answer {
            wanted = rows;
        }
    }
    Ok(wanted)
}
