//! Conversations: their row, and every statement that reads or writes it.
//!
//! Invariant: `recency` is the domain's sort key. The contact and the assignee of a conversation are joined
//! on reading, and never copied into the table. A snapshot in the event log does keep a copy, of that moment. A
//! conversation that was merged into another one is found by its id, and is in no list.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dialect::{BulkStatement, ColumnKind};
use super::engine::{EngineRow, SqlArg};
use super::identity_row::IdentityRow;
use super::organisation::UserRow;
use super::row::{RowPlace, RowText, instant_millis};
use super::{Store, StoreError};
use crate::domain::contact::ContactRef;
use crate::domain::conversation::{Conversation, ConversationStatus};
use crate::domain::identity::ContactKind;
use crate::domain::organisation::User;
use crate::domain::page::{ConversationOrder, ConversationQuery, RowPage};
use crate::ids::{ContactId, ConversationId, UserId};

/// Name of the table.
pub(super) const TABLE: &str = "conversations";

/// The SELECT of every read. Outer joins, although a contact always exists: they fix the order of the loops,
/// so that the scan of the page's own index decides the order of the rows.
pub(super) const SELECT: &str = "\
SELECT c.id, c.account, c.status, c.contact_id, k.kind, k.identity, k.name, u.id, u.organisation_id, u.name, \
    u.email, u.created_at, c.unread_count, c.last_message_at, c.last_inbound_at, c.number_named_at, \
    c.merged_into, c.created_at, c.updated_at \
FROM conversations c \
LEFT JOIN contacts k ON k.account = c.account AND k.id = c.contact_id \
LEFT JOIN users u ON u.id = c.assignee_id";

/// Inserts and updates all rows of an array.
pub(super) const UPSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO conversations (account, id, status, contact_id, assignee_id, unread_count, recency, \
    last_message_at, last_inbound_at, number_named_at, merged_into, created_at, updated_at) \
SELECT r.account, r.id, r.status, r.contact_id, r.assignee->>'id', r.unread_count, r.recency, \
    r.last_message_at, r.last_inbound_at, r.number_named_at, r.merged_into, r.created_at, r.updated_at \
FROM {rows} WHERE true \
ON CONFLICT (account, id) DO UPDATE SET status = excluded.status, assignee_id = excluded.assignee_id, \
    unread_count = excluded.unread_count, recency = excluded.recency, \
    last_message_at = excluded.last_message_at, last_inbound_at = excluded.last_inbound_at, \
    number_named_at = excluded.number_named_at, merged_into = excluded.merged_into, \
    updated_at = excluded.updated_at",
    columns: &[
        ("account", ColumnKind::Int),
        ("id", ColumnKind::Text),
        ("status", ColumnKind::Text),
        ("contact_id", ColumnKind::Text),
        ("assignee", ColumnKind::Json),
        ("unread_count", ColumnKind::Int),
        ("recency", ColumnKind::Int),
        ("last_message_at", ColumnKind::Int),
        ("last_inbound_at", ColumnKind::Int),
        ("number_named_at", ColumnKind::Int),
        ("merged_into", ColumnKind::Text),
        ("created_at", ColumnKind::Int),
        ("updated_at", ColumnKind::Int),
    ],
};

/// A row of `conversations` with its joined columns; also its snapshot in the event log.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ConversationRow<'a> {
    account: i64,
    id: String,
    status: RowText<'a>,
    contact_id: String,
    contact_kind: RowText<'a>,
    contact_identity: IdentityRow<'a>,
    contact_name: Option<RowText<'a>>,
    assignee: Option<UserRow<'a>>,
    unread_count: i64,
    recency: i64,
    last_message_at: Option<i64>,
    last_inbound_at: Option<i64>,
    number_named_at: Option<i64>,
    merged_into: Option<String>,
    created_at: i64,
    updated_at: i64,
}

/// Assignees found while rows are read: many conversations share few of them.
#[derive(Default)]
pub(super) struct AssigneeCache(HashMap<UserId, Arc<User>>);

impl AssigneeCache {
    fn shared_user(&mut self, user: User) -> Arc<User> {
        self.0.entry(user.id).or_insert_with(|| Arc::new(user)).clone()
    }
}

impl<'a> ConversationRow<'a> {
    /// Creates the row of a conversation of this account.
    pub(super) fn from_conversation(account: i64, conversation: &'a Conversation) -> Self {
        Self {
            account,
            id: conversation.id.to_string(),
            status: conversation.status.as_str().into(),
            contact_id: conversation.contact.id.to_string(),
            contact_kind: conversation.contact.kind.as_str().into(),
            contact_identity: IdentityRow::from_identity(&conversation.contact.identity),
            contact_name: conversation.contact.name.as_deref().map(RowText::Borrowed),
            assignee: conversation.assignee.as_deref().map(UserRow::from_user),
            unread_count: conversation.unread_count.into(),
            recency: conversation.recency_key(),
            last_message_at: instant_millis(conversation.last_message_at),
            last_inbound_at: instant_millis(conversation.last_inbound_at),
            number_named_at: instant_millis(conversation.number_named_at),
            merged_into: conversation.merged_into.map(|id| id.to_string()),
            created_at: conversation.created_at.millis(),
            updated_at: conversation.updated_at.millis(),
        }
    }

    /// Reads the columns of [`SELECT`].
    fn read_row(row: &EngineRow) -> Result<Self, StoreError> {
        let mut fields = row.read_fields(TABLE);
        let id = fields.take_text()?;
        let account = fields.take_int()?;
        let status = fields.take_text()?.into();
        let contact_id = fields.take_text()?;
        let place = RowPlace { table: TABLE, id: &id };
        // Null when the contact's row is missing.
        let contact_kind = place.check_value("contact_id", fields.opt_text()?)?.into();
        let contact_identity = IdentityRow::read_text(place, &fields.take_text()?)?;
        let contact_name = fields.opt_text()?.map(RowText::Owned);
        let assignee = UserRow::read_joined(&mut fields)?;
        let unread_count = fields.take_int()?;
        let last_message_at = fields.opt_int()?;
        Ok(Self {
            account,
            status,
            contact_id,
            contact_kind,
            contact_identity,
            contact_name,
            assignee,
            unread_count,
            recency: last_message_at.unwrap_or(crate::domain::conversation::NEVER),
            last_message_at,
            last_inbound_at: fields.opt_int()?,
            number_named_at: fields.opt_int()?,
            merged_into: fields.opt_text()?,
            created_at: fields.take_int()?,
            updated_at: fields.take_int()?,
            id,
        })
    }

    /// Converts the row into a conversation.
    pub(super) fn into_conversation(self, assignees: &mut AssigneeCache) -> Result<Conversation, StoreError> {
        let at = RowPlace { table: TABLE, id: &self.id };
        let assignee = self.assignee.map(UserRow::into_user).transpose()?;
        Ok(Conversation {
            id: at.check_value("id", ConversationId::parse(&self.id).ok())?,
            status: at.check_value("status", ConversationStatus::parse(&self.status))?,
            contact: ContactRef {
                id: at.check_value("contact_id", ContactId::parse(&self.contact_id).ok())?,
                kind: at.check_value("contact_kind", ContactKind::parse(&self.contact_kind))?,
                identity: self.contact_identity.into_identity(at)?,
                name: self.contact_name.map(Arc::from),
            },
            assignee: assignee.map(|user| assignees.shared_user(user)),
            unread_count: at.check_count("unread_count", self.unread_count)?,
            last_message_at: at.opt_time("last_message_at", self.last_message_at)?,
            last_inbound_at: at.opt_time("last_inbound_at", self.last_inbound_at)?,
            number_named_at: at.opt_time("number_named_at", self.number_named_at)?,
            merged_into: self
                .merged_into
                .map(|id| at.check_value("merged_into", ConversationId::parse(&id).ok()))
                .transpose()?,
            created_at: at.check_time("created_at", self.created_at)?,
            updated_at: at.check_time("updated_at", self.updated_at)?,
        })
    }
}

/// Reads conversations from rows with the columns of [`SELECT`].
pub(super) fn read_all(rows: &[EngineRow]) -> Result<Vec<Arc<Conversation>>, StoreError> {
    let mut assignees = AssigneeCache::default();
    rows.iter()
        .map(|row| Ok(Arc::new(ConversationRow::read_row(row)?.into_conversation(&mut assignees)?)))
        .collect()
}

/// Returns the statement and the values of one page, one row longer than the page.
pub(super) fn page_statement(account: i64, query: &ConversationQuery) -> (String, Vec<SqlArg>) {
    let mut sql = format!("{SELECT} WHERE c.account = $1 AND c.merged_into IS NULL");
    let mut args = vec![SqlArg::from(account)];
    if let Some(status) = query.status {
        args.push(status.as_str().into());
        sql = format!("{sql} AND c.status = ${}", args.len());
    }
    if let Some(id) = query.contact_id {
        args.push(id.to_string().into());
        sql = format!("{sql} AND c.contact_id = ${}", args.len());
    }
    if let Some(since) = query.updated_since {
        args.push(since.millis().into());
        sql = format!("{sql} AND c.updated_at > ${}", args.len());
    }
    let key = match query.order() {
        ConversationOrder::Recency => "c.recency",
        ConversationOrder::Updated => "c.updated_at",
    };
    if let Some(after) = query.after {
        args.push(after.key.into());
        args.push(ConversationId::from_bits(after.id).to_string().into());
        sql = format!("{sql} AND ({key}, c.id) < (${}, ${})", args.len() - 1, args.len());
    }
    args.push(SqlArg::from(i64::try_from(query.limit.rows() + 1).ok()));
    let sql = format!("{sql} ORDER BY {key} DESC, c.id DESC LIMIT ${}", args.len());
    (sql, args)
}

/// Returns the statement for the conversations that changed last.
pub(super) fn newest_statement() -> String {
    format!(
        "{SELECT} WHERE c.account = $1 AND c.merged_into IS NULL \
         ORDER BY c.updated_at DESC, c.id DESC LIMIT $2"
    )
}

impl Store {
    /// Returns a page of conversations, in the order that the query implies.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page_conversations(
        &self,
        account_number: i64,
        query: &ConversationQuery,
    ) -> Result<RowPage<Arc<Conversation>>, StoreError> {
        let (sql, args) = page_statement(account_number, query);
        let rows = self.read_for(account_number).fetch_rows(sql, args).await?;
        Ok(RowPage::cut_to(read_all(&rows)?, query.limit))
    }

    /// Finds a conversation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_conversation(
        &self,
        account_number: i64,
        id: ConversationId,
    ) -> Result<Option<Arc<Conversation>>, StoreError> {
        let sql = format!("{SELECT} WHERE c.account = $1 AND c.id = $2");
        let rows = self
            .read_for(account_number)
            .fetch_rows(sql, vec![account_number.into(), id.to_string().into()])
            .await?;
        Ok(read_all(&rows)?.pop())
    }
}
