//! One transaction for many jobs: the fence first, then one statement per table that has rows.
//!
//! Invariant: a commit that the fence did not let through leaves no row behind, and its neighbours
//! are none the worse. Tables without rows cost no statement.

use std::collections::HashSet;

use serde::Serialize;

use super::account::{self, AccountRow, FenceRow};
use super::contact::{self, ContactRow};
use super::conversation::{self, ConversationRow};
use super::dialect::Bulk;
use super::effect::{self, SettledRow};
use super::engine::{Arg, Row, Sql, WriteConnection};
use super::event::{self, EventRow};
use super::idempotency::{self, RecordRow};
use super::message::{self, MessageRow};
use super::parked::{self, ParkedRow, UnparkedRow};
use super::row::array;
use super::{CycleCommit, StoreError};

/// What a job wants written.
pub(super) enum Work {
    /// One account's commit.
    Commit(Box<CycleCommit>),
    /// One statement.
    Statement {
        /// Its text.
        sql: Sql,
        /// Its values.
        args: Vec<Arg>,
    },
    /// Statements that are written together or not at all.
    Script {
        /// In order.
        statements: Vec<(Sql, Vec<Arg>)>,
        /// Place of the one whose rows are wanted.
        answer: usize,
    },
}

/// What became of a job inside a transaction that commits.
pub(super) enum Outcome {
    /// Written; with the rows that the statement returned, or the wanted one of a script.
    Written(Vec<Row>),
    /// Left out, because the account has moved on.
    Fenced,
}

/// Rows of all commits of a batch, by table.
#[derive(Default)]
struct Rows<'a> {
    accounts: Vec<AccountRow<'a>>,
    contacts: Vec<ContactRow<'a>>,
    conversations: Vec<ConversationRow<'a>>,
    messages: Vec<MessageRow<'a>>,
    unparked: Vec<UnparkedRow<'a>>,
    parked: Vec<ParkedRow<'a>>,
    events: Vec<EventRow<'a>>,
    records: Vec<RecordRow<'a>>,
    effects: Vec<SettledRow>,
}

impl<'a> Rows<'a> {
    fn add(&mut self, commit: &'a CycleCommit) {
        let number = commit.account_number;
        let changes = &commit.changes;
        self.accounts.extend(changes.account.iter().map(|row| AccountRow::of(number, row)));
        self.contacts.extend(changes.contacts.values().map(|row| ContactRow::searchable(number, row)));
        self.conversations.extend(changes.conversations.values().map(|row| ConversationRow::of(number, row)));
        self.messages.extend(changes.messages.values().map(|row| MessageRow::of(number, row)));
        self.unparked.extend(changes.unparked.iter().map(|wamid| UnparkedRow { account: number, wamid }));
        self.parked.extend(changes.parked.iter().map(|row| ParkedRow::of(number, commit.at, row)));
        self.events.extend(commit.events.iter().map(|row| EventRow::of(number, row)));
        self.records.extend(commit.records.iter().map(RecordRow::from));
        self.effects.extend(changes.effects.iter().map(SettledRow::from));
    }

    async fn write(&self, writer: &mut WriteConnection) -> Result<(), sqlx::Error> {
        bulk(writer, &contact::UPSERT, &self.contacts).await?;
        bulk(writer, &conversation::UPSERT, &self.conversations).await?;
        bulk(writer, &message::UPSERT, &self.messages).await?;
        bulk(writer, &parked::DELETE, &self.unparked).await?;
        bulk(writer, &parked::INSERT, &self.parked).await?;
        bulk(writer, &event::INSERT, &self.events).await?;
        bulk(writer, &idempotency::UPSERT, &self.records).await?;
        bulk(writer, &effect::SETTLE, &self.effects).await?;
        bulk(writer, &account::UPDATE, &self.accounts).await
    }
}

async fn bulk<T: Serialize + Sync>(
    writer: &mut WriteConnection,
    statement: &Bulk,
    rows: &[T],
) -> Result<(), sqlx::Error> {
    if rows.is_empty() {
        return Ok(());
    }
    writer.run_bulk(statement, array(rows)?).await.map(drop)
}

/// Numbers of the accounts whose commits may go on.
async fn fence(writer: &mut WriteConnection, commits: &[&CycleCommit]) -> Result<HashSet<i64>, sqlx::Error> {
    if commits.is_empty() {
        return Ok(HashSet::new());
    }
    let rows: Vec<FenceRow> = commits.iter().map(|commit| FenceRow::from(*commit)).collect();
    let passed = writer.run_bulk(&account::FENCE, array(&rows)?).await?;
    account::numbers_of(&passed).map_err(|error: StoreError| sqlx::Error::Decode(error.into()))
}

/// Writes the jobs into the transaction that is open. No account may occur twice. Commits go
/// first, so that an activation queued behind its predecessor's commit reads it.
pub(super) async fn apply(writer: &mut WriteConnection, jobs: &[&Work]) -> Result<Vec<Outcome>, sqlx::Error> {
    let commits: Vec<&CycleCommit> = jobs
        .iter()
        .filter_map(|work| match work {
            Work::Commit(commit) => Some(&**commit),
            Work::Statement { .. } | Work::Script { .. } => None,
        })
        .collect();
    let passed = fence(writer, &commits).await?;
    let mut rows = Rows::default();
    for commit in commits.iter().filter(|commit| passed.contains(&commit.account_number)) {
        rows.add(commit);
    }
    rows.write(writer).await?;

    let mut outcomes = Vec::with_capacity(jobs.len());
    for work in jobs {
        outcomes.push(match work {
            Work::Commit(commit) if passed.contains(&commit.account_number) => Outcome::Written(Vec::new()),
            Work::Commit(_) => Outcome::Fenced,
            Work::Statement { sql, args } => Outcome::Written(writer.run(sql.clone(), args.clone()).await?),
            Work::Script { statements, answer } => {
                Outcome::Written(run_all(writer, statements, *answer).await?)
            }
        });
    }
    Ok(outcomes)
}

async fn run_all(
    writer: &mut WriteConnection,
    statements: &[(Sql, Vec<Arg>)],
    answer: usize,
) -> Result<Vec<Row>, sqlx::Error> {
    let mut wanted = Vec::new();
    for (place, (sql, args)) in statements.iter().enumerate() {
        let rows = writer.run(sql.clone(), args.clone()).await?;
        if place == answer {
            wanted = rows;
        }
    }
    Ok(wanted)
}
