//! Erasure: the statements by which a commit deletes a contact, the rows that say what is still to be erased, and the
//! steps that erase it.
//!
//! Invariants: a contact that was deleted has a row in `erasures` until nothing that shows it is left in any table of
//! [`PERSONAL_TABLES`]. Each step removes a bounded number of rows, in one transaction, and may be repeated.

mod messages;
mod organisation;
mod personal_tables;
#[cfg(test)]
mod plans;
mod remnants;
mod steps;

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;
use sha2::{Digest as _, Sha256};

use super::dialect::{BulkStatement, ColumnKind, Dialect};
use super::engine::EngineRow;
use super::row::{RowPlace, json_array};
use super::{AccountCommit, Store, StoreError};
use crate::domain::draft::AccountChanges;
use crate::domain::erasure::DeletedContact;
use crate::ids::{ContactId, ConversationId, NodeId};

pub use self::messages::ExpiredMessage;
pub use self::personal_tables::{PERSONAL_TABLES, PersonalTable};
#[cfg(test)]
pub(super) use self::plans::erasure_statements;
pub use self::remnants::MarkSearch;

const TABLE: &str = "erasures";

/// Inserts the erasures of an array.
pub(super) const INSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO erasures (account, contact_id, conversation_id, marks, begun_at) \
SELECT r.account, r.contact_id, r.conversation_id, r.marks, r.begun_at FROM {rows} WHERE true \
ON CONFLICT (account, contact_id) DO NOTHING",
    columns: &[
        ("account", ColumnKind::Int),
        ("contact_id", ColumnKind::Text),
        ("conversation_id", ColumnKind::Text),
        ("marks", ColumnKind::Text),
        ("begun_at", ColumnKind::Int),
    ],
};

/// Deletes the contacts of an array.
pub(super) const DELETE_CONTACTS: BulkStatement = BulkStatement {
    text: "\
DELETE FROM contacts WHERE {listed contacts.id = r.contact_id} \
AND (account, id) IN (SELECT r.account, r.contact_id FROM {rows})",
    columns: INSERT.columns,
};

/// Deletes the conversations of an array.
pub(super) const DELETE_CONVERSATIONS: BulkStatement = BulkStatement {
    text: "\
DELETE FROM conversations WHERE {listed conversations.id = r.conversation_id} \
AND (account, id) IN (SELECT r.account, r.conversation_id FROM {rows} \
    WHERE r.conversation_id IS NOT NULL)",
    columns: INSERT.columns,
};

/// Takes the waiting messages of the conversations of an array out of the send queue. On PostgreSQL each
/// conversation is looked up by itself, because the whole queue would be compared with a list.
pub(super) fn hold_messages(dialect: Dialect) -> &'static BulkStatement {
    match dialect {
        Dialect::Sqlite => {
            const {
                &BulkStatement {
                    text: "\
UPDATE messages SET next_attempt_at = NULL WHERE status = 'pending' AND next_attempt_at IS NOT NULL \
AND (account, conversation_id) IN (SELECT r.account, r.conversation_id FROM {rows} \
    WHERE r.conversation_id IS NOT NULL)",
                    columns: INSERT.columns,
                }
            }
        }
        Dialect::Postgres => {
            const {
                &BulkStatement {
                    text: "\
UPDATE messages SET next_attempt_at = NULL FROM {rows} CROSS JOIN LATERAL \
    (SELECT waiting.id FROM messages AS waiting \
     WHERE waiting.account = r.account AND waiting.conversation_id = r.conversation_id \
     AND waiting.status = 'pending' AND waiting.next_attempt_at IS NOT NULL ORDER BY waiting.id OFFSET 0) AS w \
WHERE messages.account = r.account AND messages.id = w.id",
                    columns: INSERT.columns,
                }
            }
        }
    }
}

/// Ends the erasures of an array.
pub(super) const END: BulkStatement = BulkStatement {
    text: "DELETE FROM erasures WHERE (account, contact_id) IN (SELECT r.account, r.contact_id FROM {rows})",
    columns: &[("account", ColumnKind::Int), ("contact_id", ColumnKind::Text)],
};

/// Deletes the identifiers of an array.
pub(super) const DELETE_IDENTIFIERS: BulkStatement = BulkStatement {
    text: "\
DELETE FROM contact_identifiers WHERE {listed contact_identifiers.identifier = r.identifier} \
AND (account, identifier) IN (SELECT r.account, r.identifier FROM {rows})",
    columns: &[("account", ColumnKind::Int), ("identifier", ColumnKind::Text)],
};

/// Deletes the messages of an array.
pub(super) const DELETE_MESSAGES: BulkStatement = BulkStatement {
    text: "\
DELETE FROM messages WHERE {listed messages.id = r.id} \
AND (account, id) IN (SELECT r.account, r.id FROM {rows})",
    columns: &[("account", ColumnKind::Int), ("id", ColumnKind::Text)],
};

/// Remembers the keys of an array.
pub(super) const INSERT_KEYS: BulkStatement = BulkStatement {
    text: "\
INSERT INTO erased_keys (account, digest, erased_at) \
SELECT r.account, r.digest, r.erased_at FROM {rows} WHERE true ON CONFLICT (account, digest) DO NOTHING",
    columns: &[("account", ColumnKind::Int), ("digest", ColumnKind::Text), ("erased_at", ColumnKind::Int)],
};

/// A contact that a commit deletes.
#[derive(Debug, Serialize)]
pub(super) struct DeletedRow<'a> {
    account: i64,
    contact_id: String,
    conversation_id: Option<String>,
    marks: &'a [Arc<str>],
    begun_at: i64,
}

impl<'a> DeletedRow<'a> {
    /// Creates the rows of a commit.
    pub(super) fn from_commit(commit: &'a AccountCommit) -> impl Iterator<Item = Self> + 'a {
        commit.changes.deleted.iter().map(|one| Self {
            account: commit.account_number,
            contact_id: one.contact.to_string(),
            conversation_id: one.conversation.map(|id| id.to_string()),
            marks: &one.marks,
            begun_at: commit.at.millis(),
        })
    }
}

/// An erasure that has ended.
#[derive(Debug, Serialize)]
pub(super) struct EndedRow {
    account: i64,
    contact_id: String,
}

impl EndedRow {
    /// Creates the rows of the changes of this account.
    pub(super) fn from_changes(account: i64, changes: &AccountChanges) -> impl Iterator<Item = Self> {
        changes.ended_erasures.iter().map(move |(id, _)| Self { account, contact_id: id.to_string() })
    }
}

/// An identifier of a contact that a commit deletes.
#[derive(Debug, Serialize)]
pub(super) struct FreedRow {
    account: i64,
    identifier: String,
}

impl FreedRow {
    /// Creates the rows of the changes of this account, but for identifiers that another contact gets.
    pub(super) fn from_changes(account: i64, changes: &AccountChanges) -> impl Iterator<Item = Self> {
        let freed = changes.deleted.iter().flat_map(|one: &DeletedContact| &one.identifiers);
        freed
            .filter(|key| !changes.identifiers.contains_key(*key))
            .map(move |key| Self { account, identifier: key.to_row() })
    }
}

/// A message that is removed.
#[derive(Debug, Serialize)]
pub(super) struct RemovedRow {
    account: i64,
    id: String,
}

impl RemovedRow {
    /// Creates the rows of the changes of this account.
    pub(super) fn from_changes(account: i64, changes: &AccountChanges) -> impl Iterator<Item = Self> {
        changes.removed.iter().map(move |id| Self { account, id: id.to_string() })
    }
}

/// A key of what was erased.
#[derive(Debug, Serialize)]
pub(super) struct ErasedKeyRow {
    account: i64,
    digest: String,
    erased_at: i64,
}

impl ErasedKeyRow {
    /// Creates the row of a key of this account.
    pub(super) fn from_key(account: i64, key: &str, erased_at: i64) -> Self {
        Self { account, digest: key_digest(key), erased_at }
    }
}

/// Returns the digest under which a key is kept. A key may contain a number, its digest does not.
pub(super) fn key_digest(key: &str) -> String {
    let digest = Sha256::digest(key.as_bytes());
    hex::encode(digest.get(..16).unwrap_or_default())
}

/// Returns the statement for the digests of an array that are known.
pub(super) fn known_keys_statement(dialect: Dialect) -> String {
    format!("SELECT digest FROM erased_keys WHERE account = $1 AND digest {}", dialect.in_texts(2))
}

/// Contacts that were merged into $2 of the account $1, directly or through others.
pub(super) const MERGED: &str = "\
WITH RECURSIVE merged(id) AS ( \
    SELECT id FROM contacts WHERE account = $1 AND merged_into = $2 \
    UNION SELECT c.id FROM merged m JOIN contacts c ON c.account = $1 AND c.merged_into = m.id) \
SELECT id FROM merged";

/// Accounts that no node serves and that have erasures.
const UNSERVED: &str = "\
SELECT DISTINCT e.account FROM erasures e JOIN accounts a ON a.number = e.account \
WHERE NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = a.owner AND n.id <> $1)";

/// An erasure that is under way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PendingErasure {
    /// The contact that was deleted.
    pub contact: ContactId,
    /// The conversation that it had.
    pub conversation: Option<ConversationId>,
    /// Texts that name it in values of WhatsApp's webhooks.
    pub marks: Vec<Arc<str>>,
}

/// Columns of [`read_pending`].
const COLUMNS: &str = "contact_id, conversation_id, marks";

fn read_pending(row: &EngineRow) -> Result<PendingErasure, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    let conversation = fields.opt_text()?;
    let conversation = conversation
        .map(|id| at.check_value("conversation_id", ConversationId::parse(&id).ok()))
        .transpose()?;
    let marks: Option<Vec<String>> = serde_json::from_str(&fields.take_text()?).ok();
    let marks = at.check_value("marks", marks)?.into_iter().map(Arc::from).collect();
    Ok(PendingErasure {
        contact: at.check_value("contact_id", ContactId::parse(&id).ok())?,
        conversation,
        marks,
    })
}

/// The statement for the conversations of an account's erasures.
pub(super) const CONVERSATIONS: &str = "SELECT conversation_id FROM erasures WHERE account = $1";

/// Reads the rows of [`CONVERSATIONS`]: the conversations whose messages are being erased.
pub(super) fn read_conversations(rows: &[EngineRow]) -> Result<BTreeSet<ConversationId>, StoreError> {
    let read = |row: &EngineRow| {
        let id = row.read_fields(TABLE).opt_text()?;
        let parse = |id: String| {
            let at = RowPlace { table: TABLE, id: &id };
            at.check_value("conversation_id", ConversationId::parse(&id).ok())
        };
        id.map(parse).transpose()
    };
    rows.iter().filter_map(|row| read(row).transpose()).collect()
}

impl Store {
    /// Returns the oldest erasure of an account that is under way.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn next_erasure(&self, account_number: i64) -> Result<Option<PendingErasure>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM erasures WHERE account = $1 ORDER BY account, contact_id LIMIT 1");
        let rows = self.read_for(account_number).fetch_rows(sql, vec![account_number.into()]).await?;
        rows.first().map(read_pending).transpose()
    }

    /// Ends an erasure, of an account that no server has in memory any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_erasure(&self, account_number: i64, id: ContactId) -> Result<(), StoreError> {
        let sql = "DELETE FROM erasures WHERE account = $1 AND contact_id = $2";
        let args = vec![account_number.into(), id.to_string().into()];
        self.write_for(account_number).write_statement(sql, args).await.map(drop)
    }

    /// Returns the number of erasures that are under way, in all accounts.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn count_erasures(&self) -> Result<i64, StoreError> {
        let rows = self.read_for_server().fetch_rows("SELECT count(*) FROM erasures", Vec::new()).await?;
        rows.first().map_or(Ok(0), |row| row.read_fields(TABLE).take_int())
    }

    /// Returns the numbers of accounts that have erasures and that no node but this one serves.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unserved_with_erasures(&self, node: NodeId) -> Result<Vec<i64>, StoreError> {
        let rows = self.read_for_server().fetch_rows(UNSERVED, vec![node.to_string().into()]).await?;
        rows.iter().map(|row| row.read_fields(TABLE).take_int()).collect()
    }

    /// Returns those of these keys under which something of the account was erased.
    pub(super) async fn erased_keys(
        &self,
        account_number: i64,
        keys: &BTreeSet<Arc<str>>,
    ) -> Result<Vec<Arc<str>>, StoreError> {
        if keys.is_empty() {
            return Ok(Vec::new());
        }
        let digests: Vec<(String, &Arc<str>)> = keys.iter().map(|key| (key_digest(key), key)).collect();
        let names: Vec<&String> = digests.iter().map(|(digest, _)| digest).collect();
        let args = vec![account_number.into(), json_array(&names)?.into()];
        let rows = self
            .read_for(account_number)
            .fetch_rows(known_keys_statement(self.engine.dialect()), args)
            .await?;
        let known: BTreeSet<String> =
            rows.iter().map(|row| row.read_fields("erased_keys").take_text()).collect::<Result<_, _>>()?;
        let found = digests.into_iter().filter(|(digest, _)| known.contains(digest));
        Ok(found.map(|(_, key)| key.clone()).collect())
    }

    /// Returns the contacts that were merged into a contact, directly or through others.
    pub(super) async fn merged_contacts(
        &self,
        account_number: i64,
        id: ContactId,
    ) -> Result<Vec<ContactId>, StoreError> {
        let rows = self
            .read_for(account_number)
            .fetch_rows(MERGED, vec![account_number.into(), id.to_string().into()])
            .await?;
        let read = |row: &EngineRow| {
            let id = row.read_fields("contacts").take_text()?;
            RowPlace { table: "contacts", id: &id }.check_value("id", ContactId::parse(&id).ok())
        };
        rows.iter().map(read).collect()
    }
}
