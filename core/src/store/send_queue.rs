//! The send queue: the pending messages with a time of their next attempt, of which the oldest of each
//! conversation may be sent. A pending message without one is held by WhatsApp, which has it already: it is not
//! sent, and no other one waits for it.
//!
//! Invariant: every query returns at most one message of a conversation, its oldest pending one. The queue
//! has no table of its own, so it cannot disagree with the messages.

use super::dialect::Dialect;
use super::engine::{EngineRow, SqlArg};
use super::message::TABLE;
use super::row::{RowPlace, json_array};
use super::{Store, StoreError};
use crate::domain::due_time::DueTime;
use crate::domain::message::WaitingMessage;
use crate::domain::time::Timestamp;
use crate::ids::{ConversationId, MessageId};

/// The condition of a message that waits to be sent, as the indices of the queue have it.
const IS_WAITING: &str = "status = 'pending' AND next_attempt_at IS NOT NULL";

const COLUMNS: &str = "id, conversation_id, attempts, next_attempt_at";

/// A conversation's messages leave in order: only its oldest pending one may be sent.
const IS_NEXT_OF_ITS_CONVERSATION: &str = "NOT EXISTS (SELECT 1 FROM messages AS older \
    WHERE older.account = messages.account AND older.conversation_id = messages.conversation_id \
    AND older.status = 'pending' AND older.next_attempt_at IS NOT NULL AND older.id < messages.id)";

/// Returns the statement for the oldest messages that may be sent: those due by $2, and those due after $3, a
/// time beyond any schedule that only another clock can have written. The sum keeps the planner on the index
/// in the order of ids, where the limit ends the scan; the other index would sort the whole backlog.
pub(super) fn queue_statement() -> String {
    format!(
        "SELECT {COLUMNS} FROM messages WHERE account = $1 AND {IS_WAITING} \
         AND (next_attempt_at + 0 <= $2 OR next_attempt_at + 0 > $3) AND {IS_NEXT_OF_ITS_CONVERSATION} \
         ORDER BY id LIMIT $4"
    )
}

/// Returns the statement for the next message of each of these conversations. On PostgreSQL each is looked up
/// by itself, as in [`loaded_rows`](super::loaded_rows).
pub(super) fn next_of_statement(dialect: Dialect) -> String {
    let waiting = format!("SELECT {COLUMNS} FROM messages WHERE account = $1 AND {IS_WAITING}");
    match dialect {
        Dialect::Sqlite => {
            let listed = dialect.in_texts(2);
            format!("{waiting} AND conversation_id {listed} AND {IS_NEXT_OF_ITS_CONVERSATION}")
        }
        Dialect::Postgres => format!(
            "SELECT f.* FROM json_array_elements_text($2::json) AS w(wanted) \
             CROSS JOIN LATERAL ({waiting} AND conversation_id = w.wanted ORDER BY id LIMIT 1) AS f"
        ),
    }
}

/// Returns the statement for the earliest due time. The bound, which always holds, makes the planner use the
/// index in this order.
pub(super) fn next_due_statement() -> String {
    format!(
        "SELECT next_attempt_at FROM messages WHERE account = $1 AND {IS_WAITING} \
         AND next_attempt_at >= 0 AND {IS_NEXT_OF_ITS_CONVERSATION} ORDER BY next_attempt_at LIMIT 1"
    )
}

fn read_waiting(row: &EngineRow) -> Result<WaitingMessage, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    Ok(WaitingMessage {
        id: at.check_value("id", MessageId::parse(&id).ok())?,
        conversation_id: at
            .check_value("conversation_id", ConversationId::parse(&fields.take_text()?).ok())?,
        attempts: at.check_count("attempts", fields.take_int()?)?,
        next_attempt_at: DueTime::from_row(at.check_time("next_attempt_at", fields.take_int()?)?),
    })
}

impl Store {
    /// Returns the next message of each conversation, if it is due by `due_by` or, by another clock, after
    /// `beyond`; oldest first, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_queue(
        &self,
        account_number: i64,
        due_by: Timestamp,
        beyond: Timestamp,
        limit: usize,
    ) -> Result<Vec<WaitingMessage>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let args = vec![account_number.into(), due_by.millis().into(), beyond.millis().into(), limit.into()];
        self.read_for(account_number)
            .fetch_rows(queue_statement(), args)
            .await?
            .iter()
            .map(read_waiting)
            .collect()
    }

    /// Returns the next message of each of these conversations that has one, due or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_of(
        &self,
        account_number: i64,
        conversations: &[ConversationId],
    ) -> Result<Vec<WaitingMessage>, StoreError> {
        let names: Vec<String> = conversations.iter().map(ToString::to_string).collect();
        let listed = json_array(&names).map_err(StoreError::from)?;
        let args: Vec<SqlArg> = vec![account_number.into(), listed.into()];
        let sql = next_of_statement(self.engine.dialect());
        self.read_for(account_number).fetch_rows(sql, args).await?.iter().map(read_waiting).collect()
    }

    /// Returns the earliest due time of a message that may be sent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_due(&self, account_number: i64) -> Result<Option<DueTime>, StoreError> {
        let rows = self
            .read_for(account_number)
            .fetch_rows(next_due_statement(), vec![account_number.into()])
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        RowPlace { table: TABLE, id: "" }.opt_due_time("next_attempt_at", row.read_fields(TABLE).opt_int()?)
    }
}
