//! Messages: their row, and every statement that reads or writes it.
//!
//! Invariant: `created_at` is the time inside the id, so bounds on it are bounds on the id and "newest first"
//! is "id descending". Direction, sender, recipient and `created_at` of a message never change; its content does
//! when its author edits it or takes it back, and its conversation does in a merge. `wamid_key` is equal for all
//! forms of one id of WhatsApp's, and a message is found by it. A pending message without `next_attempt_at` is
//! held by WhatsApp, and waits for nothing here.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::details_row::{ContextRow, DetailsRow};
use super::dialect::{BulkStatement, ColumnKind, Dialect};
use super::engine::{EngineRow, SqlArg};
use super::message_progress::history_row;
use super::row::{RowPlace, RowText, instant_millis, json_array};
use super::{Store, StoreError};
use crate::domain::address::Address;
use crate::domain::due_time::DueTime;
use crate::domain::message::{Direction, Message, MessageError, MessageKind};
use crate::domain::page::{MessageQuery, RowPage};
use crate::domain::status::{MessageStatus, StatusSighting};
use crate::domain::time::Timestamp;
use crate::domain::wamid::wamid_key;
use crate::ids::{ContactId, ConversationId, MessageId, ulid};

/// Name of the table.
pub(super) const TABLE: &str = "messages";

/// Columns of every read, in the order in which [`MessageRow::read_row`] takes them.
pub(super) const COLUMNS: &str = "id, account, direction, status, kind, conversation_id, contact_id, \
     sender, recipient, wamid, content, payload, context, details, error_code, error_message, \
     provider_code, history, attempts, next_attempt_at, created_at, updated_at";

/// Inserts and updates all rows of an array.
pub(super) const UPSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO messages (account, id, direction, status, kind, conversation_id, contact_id, sender, \
    recipient, wamid, wamid_key, content, payload, context, details, error_code, error_message, \
    provider_code, history, attempts, next_attempt_at, created_at, updated_at) \
SELECT r.account, r.id, r.direction, r.status, r.kind, r.conversation_id, r.contact_id, r.sender, \
    r.recipient, r.wamid, r.wamid_key, r.content, r.payload, r.context, r.details, r.error_code, \
    r.error_message, r.provider_code, r.history, r.attempts, r.next_attempt_at, r.created_at, r.updated_at \
FROM {rows} WHERE true \
ON CONFLICT (account, id) DO UPDATE SET status = excluded.status, kind = excluded.kind, \
    conversation_id = excluded.conversation_id, contact_id = excluded.contact_id, wamid = excluded.wamid, \
    wamid_key = excluded.wamid_key, content = excluded.content, payload = excluded.payload, \
    context = excluded.context, details = excluded.details, \
    error_code = excluded.error_code, error_message = excluded.error_message, \
    provider_code = excluded.provider_code, history = excluded.history, \
    attempts = excluded.attempts, next_attempt_at = excluded.next_attempt_at, \
    updated_at = excluded.updated_at",
    columns: &[
        ("account", ColumnKind::Int),
        ("id", ColumnKind::Text),
        ("direction", ColumnKind::Text),
        ("status", ColumnKind::Text),
        ("kind", ColumnKind::Text),
        ("conversation_id", ColumnKind::Text),
        ("contact_id", ColumnKind::Text),
        ("sender", ColumnKind::Text),
        ("recipient", ColumnKind::Text),
        ("wamid", ColumnKind::Text),
        ("wamid_key", ColumnKind::Text),
        ("content", ColumnKind::Text),
        ("payload", ColumnKind::Text),
        ("context", ColumnKind::Text),
        ("details", ColumnKind::Text),
        ("error_code", ColumnKind::Text),
        ("error_message", ColumnKind::Text),
        ("provider_code", ColumnKind::Int),
        ("history", ColumnKind::Text),
        ("attempts", ColumnKind::Int),
        ("next_attempt_at", ColumnKind::Int),
        ("created_at", ColumnKind::Int),
        ("updated_at", ColumnKind::Int),
    ],
};

/// A row of `messages`; also the snapshot of a message in the event log.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct MessageRow<'a> {
    account: i64,
    id: String,
    direction: RowText<'a>,
    status: RowText<'a>,
    kind: RowText<'a>,
    conversation_id: String,
    contact_id: String,
    sender: RowText<'a>,
    recipient: RowText<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wamid: Option<RowText<'a>>,
    /// Written, never read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    wamid_key: Option<Arc<str>>,
    content: RowText<'a>,
    /// Content before the edit; only in the event of an edit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    previous_content: Option<RowText<'a>>,
    payload: RowText<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    context: Option<ContextRow<'a>>,
    details: DetailsRow<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_code: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error_message: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    provider_code: Option<i64>,
    history: Vec<(RowText<'a>, i64, bool)>,
    attempts: i64,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    next_attempt_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
}

impl<'a> MessageRow<'a> {
    /// Creates the row as the table stores it.
    pub(super) fn with_key(account: i64, message: &'a Message) -> Self {
        let wamid_key = message.wamid.as_deref().map(wamid_key);
        Self { wamid_key, ..Self::from_message(account, message) }
    }

    /// Creates the snapshot of a message, with the content before the edit that the event tells.
    pub(super) fn of_event(account: i64, message: &'a Message, previous: Option<&'a str>) -> Self {
        let previous_content = previous.map(RowText::Borrowed);
        Self { previous_content, ..Self::from_message(account, message) }
    }

    /// Takes the content before the edit.
    pub(super) fn take_previous(&mut self) -> Option<Arc<str>> {
        self.previous_content.take().map(Arc::from)
    }

    /// Creates the row of a message of this account, without the key of WhatsApp's id.
    fn from_message(account: i64, message: &'a Message) -> Self {
        let error = message.error.as_ref();
        Self {
            account,
            id: message.id.to_string(),
            direction: message.direction.as_str().into(),
            status: message.status.as_str().into(),
            kind: message.kind.as_str().into(),
            conversation_id: message.conversation_id.to_string(),
            contact_id: message.contact_id.to_string(),
            sender: message.from.as_str().into(),
            recipient: message.to.as_str().into(),
            wamid: message.wamid.as_deref().map(RowText::Borrowed),
            wamid_key: None,
            content: RowText::Borrowed(&message.content),
            previous_content: None,
            payload: RowText::Borrowed(&message.payload),
            context: message.context.as_ref().map(ContextRow::from_context),
            details: DetailsRow::from_details(&message.details),
            error_code: error.map(|error| RowText::Borrowed(&*error.code)),
            error_message: error.map(|error| RowText::Borrowed(&*error.message)),
            provider_code: error.and_then(|error| error.provider_code),
            history: history_row(message),
            attempts: message.attempts.into(),
            next_attempt_at: instant_millis(message.next_attempt_at.map(DueTime::to_row)),
            created_at: message.created_at.millis(),
            updated_at: message.updated_at.millis(),
        }
    }

    /// Reads [`COLUMNS`].
    fn read_row(row: &EngineRow) -> Result<Self, StoreError> {
        let mut fields = row.read_fields(TABLE);
        let id = fields.take_text()?;
        let place = RowPlace { table: TABLE, id: &id };
        Ok(Self {
            account: fields.take_int()?,
            direction: fields.take_text()?.into(),
            status: fields.take_text()?.into(),
            kind: fields.take_text()?.into(),
            conversation_id: fields.take_text()?,
            contact_id: fields.take_text()?,
            sender: fields.take_text()?.into(),
            recipient: fields.take_text()?.into(),
            wamid: fields.opt_text()?.map(RowText::Owned),
            wamid_key: None,
            content: fields.take_text()?.into(),
            previous_content: None,
            payload: fields.take_text()?.into(),
            context: fields
                .opt_text()?
                .map(|text| place.check_value("context", serde_json::from_str(&text).ok()))
                .transpose()?,
            details: read_details(place, &fields.take_text()?)?,
            error_code: fields.opt_text()?.map(RowText::Owned),
            error_message: fields.opt_text()?.map(RowText::Owned),
            provider_code: fields.opt_int()?,
            history: place.check_value("history", serde_json::from_str(&fields.take_text()?).ok())?,
            attempts: fields.take_int()?,
            next_attempt_at: fields.opt_int()?,
            created_at: fields.take_int()?,
            updated_at: fields.take_int()?,
            id,
        })
    }

    /// Converts the row into a message.
    pub(super) fn into_message(self) -> Result<Message, StoreError> {
        let at = RowPlace { table: TABLE, id: &self.id };
        let error = match (self.error_code, self.error_message) {
            (Some(code), Some(message)) => Some(MessageError {
                code: code.into(),
                message: message.into(),
                provider_code: self.provider_code,
            }),
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(at.corrupt_column("error_code")),
        };
        let sighting = |(status, ms, reported): (RowText<'_>, i64, bool)| {
            let status = at.check_value("history", MessageStatus::parse_sighted(&status))?;
            Ok(StatusSighting { status, at: at.check_time("history", ms)?, reported })
        };
        Ok(Message {
            id: at.check_value("id", MessageId::parse(&self.id).ok())?,
            direction: at.check_value("direction", Direction::parse(&self.direction))?,
            status: at.check_value("status", MessageStatus::parse(&self.status))?,
            kind: at.check_value("kind", MessageKind::parse(&self.kind))?,
            conversation_id: at
                .check_value("conversation_id", ConversationId::parse(&self.conversation_id).ok())?,
            contact_id: at.check_value("contact_id", ContactId::parse(&self.contact_id).ok())?,
            from: at.check_value("sender", Address::parse(&self.sender))?,
            to: at.check_value("recipient", Address::parse(&self.recipient))?,
            wamid: self.wamid.map(Arc::from),
            content: self.content.into(),
            payload: self.payload.into(),
            context: self.context.map(ContextRow::into_context),
            details: self.details.into_details(at)?,
            error,
            history: self.history.into_iter().map(sighting).collect::<Result<_, StoreError>>()?,
            attempts: at.check_count("attempts", self.attempts)?,
            next_attempt_at: at.opt_due_time("next_attempt_at", self.next_attempt_at)?,
            created_at: at.check_time("created_at", self.created_at)?,
            updated_at: at.check_time("updated_at", self.updated_at)?,
        })
    }
}

/// Reads the column's text. Most messages have none.
fn read_details(at: RowPlace<'_>, text: &str) -> Result<DetailsRow<'static>, StoreError> {
    if text == "{}" {
        return Ok(DetailsRow::default());
    }
    at.check_value("details", serde_json::from_str(text).ok())
}

/// Reads messages from rows that hold [`COLUMNS`].
pub(super) fn read_all(rows: &[EngineRow]) -> Result<Vec<Arc<Message>>, StoreError> {
    rows.iter().map(|row| Ok(Arc::new(MessageRow::read_row(row)?.into_message()?))).collect()
}

/// Returns the statement and the values of one page, one row longer than the page. Messages of the conversations
/// `erasing` are left out.
pub(super) fn page_statement(
    dialect: Dialect,
    account: i64,
    query: &MessageQuery,
    erasing: &BTreeSet<ConversationId>,
) -> Result<(String, Vec<SqlArg>), StoreError> {
    let mut sql = format!("SELECT {COLUMNS} FROM messages WHERE account = $1");
    let mut args = vec![SqlArg::from(account)];
    let mut narrow = |condition: &str, value: SqlArg| {
        args.push(value);
        sql = format!("{sql} AND {condition} ${}", args.len());
    };
    if let Some(id) = query.conversation_id {
        narrow("conversation_id =", id.to_string().into());
    }
    if let Some(direction) = query.direction {
        narrow("direction =", direction.as_str().into());
    }
    if let Some(status) = query.status {
        narrow("status =", status.as_str().into());
    }
    let first_of = |at: Timestamp| MessageId::from_bits(ulid(at.millis(), 0));
    if let Some(after) = query.created_after {
        narrow("id >=", first_of(after.next()).to_string().into());
    }
    let before = query.created_before.map(first_of);
    if let Some(bound) = before.into_iter().chain(query.after).min() {
        narrow("id <", bound.to_string().into());
    }
    if !erasing.is_empty() {
        let names: Vec<String> = erasing.iter().map(ToString::to_string).collect();
        args.push(json_array(&names)?.into());
        sql = format!("{sql} AND NOT (conversation_id {})", dialect.in_texts(args.len()));
    }
    args.push(SqlArg::from(i64::try_from(query.limit.rows() + 1).ok()));
    let sql = format!("{sql} ORDER BY id DESC LIMIT ${}", args.len());
    Ok((sql, args))
}

impl Store {
    /// Returns a page of messages, newest first, without those of the conversations `erasing`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page_messages(
        &self,
        account_number: i64,
        query: &MessageQuery,
        erasing: &BTreeSet<ConversationId>,
    ) -> Result<RowPage<Arc<Message>>, StoreError> {
        let (sql, args) = page_statement(self.engine.dialect(), account_number, query, erasing)?;
        let rows = self.read_for(account_number).fetch_rows(sql, args).await?;
        Ok(RowPage::cut_to(read_all(&rows)?, query.limit))
    }

    /// Finds a message.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_message(
        &self,
        account_number: i64,
        id: MessageId,
    ) -> Result<Option<Arc<Message>>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM messages WHERE account = $1 AND id = $2");
        let rows = self
            .read_for(account_number)
            .fetch_rows(sql, vec![account_number.into(), id.to_string().into()])
            .await?;
        Ok(read_all(&rows)?.pop())
    }
}
