//! The event log: its row, and every statement that reads or writes it.
//!
//! Invariant: an event holds its subject as the commit left it, in the subject's own row form, so that it can
//! be delivered again after the subject has changed. Events are never changed, except that the content of a
//! message that its author took back goes from all of them, and that an erasure leaves only number, id and type.

mod event_row;
mod page;
mod subjects;

use serde::Serialize;

use super::dialect::{BulkStatement, ColumnKind, Dialect};
use super::row::json_array;
use super::{Store, StoreError};
use crate::domain::event::{Event, EventType, EventTypes};
use crate::domain::time::Timestamp;
use crate::ids::{EventId, MessageId};

pub(super) use event_row::EventRow;
use event_row::read_event;
#[cfg(test)]
pub(super) use page::oldest_statement;

const TABLE: &str = "events";
/// More than a commit ever has.
const EVENTS_OF_ONE_COMMIT: i64 = 10_000;

/// Appends all rows of an array.
pub(super) const INSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO events (account, sequence, id, kind, created_at, message_id, conversation_id, contact_id, \
    previous_status, occurred_at, snapshot) \
SELECT r.account, r.sequence, r.id, r.kind, r.created_at, r.message_id, r.conversation_id, r.contact_id, \
    r.previous_status, r.occurred_at, r.snapshot \
FROM {rows} WHERE true",
    columns: &[
        ("account", ColumnKind::Int),
        ("sequence", ColumnKind::Int),
        ("id", ColumnKind::Text),
        ("kind", ColumnKind::Text),
        ("created_at", ColumnKind::Int),
        ("message_id", ColumnKind::Text),
        ("conversation_id", ColumnKind::Text),
        ("contact_id", ColumnKind::Text),
        ("previous_status", ColumnKind::Text),
        ("occurred_at", ColumnKind::Int),
        ("snapshot", ColumnKind::Text),
    ],
};

/// Removes the content of all messages of an array from their events.
pub(super) const ERASE: BulkStatement = BulkStatement {
    text: "\
UPDATE events SET snapshot = {erased events.snapshot} FROM {rows} \
WHERE events.account = r.account AND {same events.message_id = r.message_id}",
    columns: &[("account", ColumnKind::Int), ("message_id", ColumnKind::Text)],
};

/// A message that was taken back.
#[derive(Debug, Serialize)]
pub(super) struct ErasedEventRow {
    account: i64,
    message_id: String,
}

impl ErasedEventRow {
    /// Creates the row of a message of this account.
    pub(super) fn from_message(account: i64, id: MessageId) -> Self {
        Self { account, message_id: id.to_string() }
    }
}

const COLUMNS: &str = "id, sequence, kind, created_at, previous_status, occurred_at, snapshot";

/// Returns the statement of [`Store::events_of`].
pub(super) fn events_of_statement(dialect: Dialect) -> String {
    let wanted = dialect.in_texts(4);
    format!(
        "SELECT {COLUMNS} FROM events WHERE account = $1 AND sequence > $2 AND sequence <= $3 \
         AND kind {wanted} ORDER BY sequence LIMIT $5"
    )
}

/// Returns the statement of [`Store::events_at`].
pub(super) fn events_at_statement(dialect: Dialect) -> String {
    let numbers = dialect.in_numbers(2);
    format!("SELECT {COLUMNS} FROM events WHERE account = $1 AND sequence {numbers}")
}

impl Store {
    /// Returns events of some types after the first number up to the second, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_of(
        &self,
        account_number: i64,
        (after, to): (i64, i64),
        types: EventTypes,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let words: Vec<&str> = types.iter().map(EventType::as_str).collect();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let args =
            vec![account_number.into(), after.into(), to.into(), json_array(&words)?.into(), limit.into()];
        let sql = events_of_statement(self.engine.dialect());
        self.read_for(account_number).fetch_rows(sql, args).await?.iter().map(read_event).collect()
    }

    /// Returns those of these events that are still kept, in no order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_at(&self, account_number: i64, sequences: &[i64]) -> Result<Vec<Event>, StoreError> {
        let args = vec![account_number.into(), json_array(sequences)?.into()];
        let sql = events_at_statement(self.engine.dialect());
        self.read_for(account_number).fetch_rows(sql, args).await?.iter().map(read_event).collect()
    }

    /// Finds an event by its id. The time in the id gives the position in the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_event(&self, account_number: i64, id: EventId) -> Result<Option<Event>, StoreError> {
        let made_at = Timestamp::from_millis(id.made_at_ms());
        let first = self.first_event_since(account_number, made_at).await?;
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE account = $1 AND sequence >= $2 AND sequence < $3 AND id = $4"
        );
        let beyond = first.saturating_add(EVENTS_OF_ONE_COMMIT);
        let args = vec![account_number.into(), first.into(), beyond.into(), id.to_string().into()];
        self.read_for(account_number).fetch_rows(sql, args).await?.first().map(read_event).transpose()
    }

    /// Returns events of an account after this number, in order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_after(
        &self,
        account_number: i64,
        after_sequence: i64,
        limit: usize,
    ) -> Result<Vec<Event>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM events WHERE account = $1 AND sequence > $2 ORDER BY sequence LIMIT $3"
        );
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let args = vec![account_number.into(), after_sequence.into(), limit.into()];
        self.read_for(account_number).fetch_rows(sql, args).await?.iter().map(read_event).collect()
    }
}
