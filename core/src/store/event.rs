//! The event log: its row, and every statement that reads or writes it.
//!
//! Invariant: an event holds its subject as the commit left it, in the subject's own row form, so that it can
//! be delivered again after the subject has changed. Events are never changed.

mod page;

use serde::Serialize;
use serde::de::DeserializeOwned;

use super::contact::ContactRow;
use super::conversation::{AssigneeCache, ConversationRow};
use super::dialect::{BulkStatement, ColumnKind, Dialect};
use super::engine::EngineRow;
use super::message::MessageRow;
use super::row::{RowPlace, instant_millis, json_array};
use super::{Store, StoreError};
use crate::domain::contact::Contact;
use crate::domain::conversation::Conversation;
use crate::domain::event::{Event, EventKind, EventType, EventTypes};
use crate::domain::message::Message;
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;
use crate::ids::EventId;

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

/// The subject's row.
#[derive(Debug, Serialize)]
#[serde(untagged)]
enum SubjectRow<'a> {
    Message(MessageRow<'a>),
    Conversation(ConversationRow<'a>),
    Contact(ContactRow<'a>),
}

/// A row of `events`.
#[derive(Debug, Serialize)]
pub(super) struct EventRow<'a> {
    account: i64,
    sequence: i64,
    id: String,
    kind: &'static str,
    created_at: i64,
    message_id: Option<String>,
    conversation_id: Option<String>,
    contact_id: Option<String>,
    previous_status: Option<&'static str>,
    occurred_at: Option<i64>,
    snapshot: SubjectRow<'a>,
}

impl<'a> EventRow<'a> {
    /// Creates the row of an event of this account.
    pub(super) fn from_event(account: i64, event: &'a Event) -> Self {
        let blank = |snapshot| Self {
            account,
            sequence: event.sequence,
            id: event.id.to_string(),
            kind: event.kind.as_str(),
            created_at: event.created_at.millis(),
            message_id: None,
            conversation_id: None,
            contact_id: None,
            previous_status: None,
            occurred_at: None,
            snapshot,
        };
        let of_message = |message: &'a Message| Self {
            message_id: Some(message.id.to_string()),
            conversation_id: Some(message.conversation_id.to_string()),
            contact_id: Some(message.contact_id.to_string()),
            ..blank(SubjectRow::Message(MessageRow::from_message(account, message)))
        };
        match &event.kind {
            EventKind::MessageReceived(message)
            | EventKind::MessageCreated(message)
            | EventKind::MessageSent(message) => of_message(message),
            EventKind::MessageStatus { message, previous, occurred_at } => Self {
                previous_status: Some(previous.as_str()),
                occurred_at: instant_millis(Some(*occurred_at)),
                ..of_message(message)
            },
            EventKind::ConversationCreated(conversation)
            | EventKind::ConversationAssigned(conversation)
            | EventKind::ConversationClosed(conversation)
            | EventKind::ConversationUpdated(conversation) => Self {
                conversation_id: Some(conversation.id.to_string()),
                contact_id: Some(conversation.contact.id.to_string()),
                ..blank(SubjectRow::Conversation(ConversationRow::from_conversation(account, conversation)))
            },
            EventKind::ContactCreated(contact) | EventKind::ContactUpdated(contact) => Self {
                contact_id: Some(contact.id.to_string()),
                ..blank(SubjectRow::Contact(ContactRow::from_contact(account, contact)))
            },
        }
    }
}

fn read_subject<T: DeserializeOwned>(at: RowPlace<'_>, snapshot: &str) -> Result<T, StoreError> {
    at.check_value("snapshot", serde_json::from_str(snapshot).ok())
}

fn read_message(at: RowPlace<'_>, snapshot: &str) -> Result<Message, StoreError> {
    read_subject::<MessageRow<'static>>(at, snapshot)?.into_message()
}

fn read_conversation(at: RowPlace<'_>, snapshot: &str) -> Result<Conversation, StoreError> {
    read_subject::<ConversationRow<'static>>(at, snapshot)?.into_conversation(&mut AssigneeCache::default())
}

fn read_contact(at: RowPlace<'_>, snapshot: &str) -> Result<Contact, StoreError> {
    read_subject::<ContactRow<'static>>(at, snapshot)?.into_contact()
}

fn read_event(row: &EngineRow) -> Result<Event, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    let (sequence, kind) = (fields.take_int()?, fields.take_text()?);
    let created_at = at.check_time("created_at", fields.take_int()?)?;
    let previous = fields.opt_text()?;
    let occurred_at = at.opt_time("occurred_at", fields.opt_int()?)?;
    let snapshot = fields.take_text()?;
    let kind = match kind.as_str() {
        "message.received" => EventKind::MessageReceived(read_message(at, &snapshot)?),
        "message.created" => EventKind::MessageCreated(read_message(at, &snapshot)?),
        "message.sent" => EventKind::MessageSent(read_message(at, &snapshot)?),
        "message.status" => EventKind::MessageStatus {
            message: read_message(at, &snapshot)?,
            previous: at
                .check_value("previous_status", previous.as_deref().and_then(MessageStatus::parse))?,
            occurred_at: at.check_value("occurred_at", occurred_at)?,
        },
        "conversation.created" => EventKind::ConversationCreated(read_conversation(at, &snapshot)?),
        "conversation.assigned" => EventKind::ConversationAssigned(read_conversation(at, &snapshot)?),
        "conversation.closed" => EventKind::ConversationClosed(read_conversation(at, &snapshot)?),
        "conversation.updated" => EventKind::ConversationUpdated(read_conversation(at, &snapshot)?),
        "contact.created" => EventKind::ContactCreated(read_contact(at, &snapshot)?),
        "contact.updated" => EventKind::ContactUpdated(read_contact(at, &snapshot)?),
        _ => return Err(at.corrupt_column("kind")),
    };
    Ok(Event { id: at.check_value("id", EventId::parse(&id).ok())?, sequence, created_at, kind })
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
        self.engine.fetch_rows(sql, args).await?.iter().map(read_event).collect()
    }

    /// Returns those of these events that are still kept, in no order.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_at(&self, account_number: i64, sequences: &[i64]) -> Result<Vec<Event>, StoreError> {
        let args = vec![account_number.into(), json_array(sequences)?.into()];
        let sql = events_at_statement(self.engine.dialect());
        self.engine.fetch_rows(sql, args).await?.iter().map(read_event).collect()
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
        self.engine.fetch_rows(sql, args).await?.first().map(read_event).transpose()
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
        self.engine.fetch_rows(sql, args).await?.iter().map(read_event).collect()
    }
}
