//! Progress of messages: the statement that writes what a status, or an attempt to send, changes in a row.
//!
//! Invariant: it writes no column that an index needs but `status` and `next_attempt_at`. A whole row would
//! be written to every index again, although nothing there has changed, and its text read once more.

use serde::Serialize;

use super::details_row::DetailsRow;
use super::dialect::{BulkStatement, ColumnKind};
use super::row::{RowText, instant_millis};
use crate::domain::draft::AccountChanges;
use crate::domain::due_time::DueTime;
use crate::domain::message::Message;

/// Updates the messages of all rows of an array.
pub(super) const UPDATE: BulkStatement = BulkStatement {
    text: "\
UPDATE messages SET status = r.status, details = r.details, error_code = r.error_code, \
    error_message = r.error_message, provider_code = r.provider_code, history = r.history, \
    attempts = r.attempts, next_attempt_at = r.next_attempt_at, updated_at = r.updated_at \
FROM {rows} WHERE {same messages.account = r.account} AND {same messages.id = r.id}",
    columns: &[
        ("account", ColumnKind::Int),
        ("id", ColumnKind::Text),
        ("status", ColumnKind::Text),
        ("details", ColumnKind::Text),
        ("error_code", ColumnKind::Text),
        ("error_message", ColumnKind::Text),
        ("provider_code", ColumnKind::Int),
        ("history", ColumnKind::Text),
        ("attempts", ColumnKind::Int),
        ("next_attempt_at", ColumnKind::Int),
        ("updated_at", ColumnKind::Int),
    ],
};

/// The columns of a message that its progress changes.
#[derive(Debug, Serialize)]
pub(super) struct ProgressRow<'a> {
    account: i64,
    id: String,
    status: &'static str,
    details: DetailsRow<'a>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_code: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error_message: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<i64>,
    history: Vec<(RowText<'a>, i64, bool)>,
    attempts: i64,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<i64>,
    updated_at: i64,
}

impl<'a> ProgressRow<'a> {
    /// Creates the row of a message that a commit changes, if the message has moved and is otherwise as it
    /// was. `None` in a merge, which moves rows of messages by another statement.
    pub(super) fn from_changes(
        account: i64,
        changes: &'a AccountChanges,
        message: &'a Message,
    ) -> Option<Self> {
        let earlier = changes.earlier_messages.get(&message.id)?;
        if !changes.merges.is_empty() || !is_progress(earlier, message) {
            return None;
        }
        let error = message.error.as_ref();
        Some(Self {
            account,
            id: message.id.to_string(),
            status: message.status.as_str(),
            details: DetailsRow::from_details(&message.details),
            error_code: error.map(|error| &*error.code),
            error_message: error.map(|error| &*error.message),
            provider_code: error.and_then(|error| error.provider_code),
            history: history_row(message),
            attempts: message.attempts.into(),
            next_attempt_at: instant_millis(message.next_attempt_at.map(DueTime::to_row)),
            updated_at: message.updated_at.millis(),
        })
    }
}

/// Returns the sightings of a message as its row keeps them: status, time, whether WhatsApp reported it.
pub(super) fn history_row(message: &Message) -> Vec<(RowText<'_>, i64, bool)> {
    message
        .history
        .iter()
        .map(|seen| (seen.status.as_str().into(), seen.at.millis(), seen.reported))
        .collect()
}

/// Returns `true` when all columns that [`UPDATE`] does not write are as they were.
fn is_progress(earlier: &Message, message: &Message) -> bool {
    // By name, so that a new field must be sorted in.
    let Message {
        id,
        direction,
        status: _,
        kind,
        conversation_id,
        contact_id,
        from,
        to,
        wamid,
        content,
        payload,
        context,
        details: _,
        error: _,
        history: _,
        attempts: _,
        next_attempt_at: _,
        created_at,
        updated_at: _,
    } = earlier;
    *id == message.id
        && *direction == message.direction
        && *kind == message.kind
        && *conversation_id == message.conversation_id
        && *contact_id == message.contact_id
        && *from == message.from
        && *to == message.to
        && *wamid == message.wamid
        && *content == message.content
        && *payload == message.payload
        && *context == message.context
        && *created_at == message.created_at
}
