//! Raw items: what WhatsApp sent, by the key of the message that it is about.
//!
//! Invariant: the same item is kept once. Of a message that was taken back nothing with its content is kept;
//! the statuses stay.

use std::collections::BTreeSet;
use std::sync::Arc;

use serde::Serialize;

use super::dialect::{BulkStatement, ColumnKind, Dialect};
use super::engine::EngineRow;
use super::row::{RowPlace, json_array};
use super::{Store, StoreError};
use crate::domain::draft::AccountChanges;
use crate::domain::inbound::{RawItem, RawRole};
use crate::domain::stored_item::{ItemList, ItemPosition, StoredItem};
use crate::domain::time::Timestamp;

const TABLE: &str = "raw_items";

/// Inserts all rows of an array that are not stored yet.
pub(super) const INSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO raw_items (account, wamid_key, digest, role, body, card, received_at, place) \
SELECT r.account, r.wamid_key, r.digest, r.role, r.body, r.card, r.received_at, r.place FROM {rows} WHERE true \
ON CONFLICT (account, wamid_key, digest) DO NOTHING",
    columns: &[
        ("account", ColumnKind::Int),
        ("wamid_key", ColumnKind::Text),
        ("digest", ColumnKind::Text),
        ("role", ColumnKind::Text),
        ("body", ColumnKind::Text),
        ("card", ColumnKind::Text),
        ("received_at", ColumnKind::Int),
        ("place", ColumnKind::Int),
    ],
};

/// Deletes the items with content of all messages of an array, but for those that the array keeps, because the
/// same commit writes them.
pub(super) const ERASE: BulkStatement = BulkStatement {
    text: "\
DELETE FROM raw_items \
WHERE (account, wamid_key) IN (SELECT r.account, r.wamid_key FROM {rows} WHERE r.kept IS NULL) \
AND role <> 'status' AND (account, wamid_key, digest) NOT IN \
    (SELECT r.account, r.wamid_key, r.kept FROM {rows} WHERE r.kept IS NOT NULL)",
    columns: &[("account", ColumnKind::Int), ("wamid_key", ColumnKind::Text), ("kept", ColumnKind::Text)],
};

/// The statement of [`Store::raw_items_of`].
pub(super) const SELECT: &str = "SELECT role, body FROM raw_items WHERE account = $1 AND wamid_key = $2 \
     ORDER BY received_at, place";

/// Returns the statement of [`Store::find_raw_items`].
pub(super) fn select_many(dialect: Dialect) -> String {
    let listed = dialect.in_texts(2);
    format!(
        "SELECT wamid_key, digest, role, body, card FROM raw_items WHERE account = $1 AND wamid_key {listed} \
         ORDER BY received_at, place"
    )
}

/// The statement of [`Store::page_raw_items`].
pub(super) const PAGE: &str = "SELECT wamid_key, digest, role, body FROM raw_items \
     WHERE account = $1 AND (wamid_key, digest) > ($2, $3) ORDER BY wamid_key, digest LIMIT $4";

/// The SELECT that tells whether items with a key are kept.
pub(super) const SELECT_KEY: &str = "SELECT wamid_key FROM raw_items";

/// Reads the column of [`SELECT_KEY`].
pub(super) fn read_key(row: &EngineRow) -> Result<Arc<str>, StoreError> {
    Ok(row.read_fields(TABLE).take_text()?.into())
}

/// A row of `raw_items`.
#[derive(Debug, Serialize)]
pub(super) struct RawRow<'a> {
    account: i64,
    wamid_key: &'a str,
    digest: String,
    role: &'static str,
    body: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    card: Option<&'a str>,
    received_at: i64,
    place: usize,
}

impl<'a> RawRow<'a> {
    /// Creates the row of an item of this account, at this place of a commit.
    pub(super) fn from_item(account: i64, at: Timestamp, (place, item): (usize, &'a RawItem)) -> Self {
        Self {
            account,
            wamid_key: &item.wamid_key,
            digest: hex::encode(item.digest),
            role: item.role.as_str(),
            body: &item.body,
            card: item.card.as_deref(),
            received_at: at.millis(),
            place,
        }
    }
}

/// A message that was taken back, or an item of such a message that stays.
#[derive(Debug, Serialize)]
pub(super) struct ErasedRawRow<'a> {
    account: i64,
    wamid_key: &'a str,
    kept: Option<String>,
}

impl<'a> ErasedRawRow<'a> {
    /// Creates the rows of a commit.
    pub(super) fn from_changes(account: i64, changes: &'a AccountChanges) -> Vec<Self> {
        let is_erased = |item: &&RawItem| changes.erased.iter().any(|one| one.wamid_key == item.wamid_key);
        let erased = changes.erased.iter();
        let erased = erased.map(|one| Self { account, wamid_key: &one.wamid_key, kept: None });
        let kept = changes.raw.iter().filter(is_erased).map(|item| Self {
            account,
            wamid_key: &item.wamid_key,
            kept: Some(hex::encode(item.digest)),
        });
        erased.chain(kept).collect()
    }
}

fn read_raw_item(row: &EngineRow) -> Result<RawItem, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let wamid_key = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &wamid_key };
    let mut digest = [0; 16];
    let read = hex::decode_to_slice(fields.take_text()?, &mut digest);
    at.check_value("digest", read.ok())?;
    let role = at.check_value("role", RawRole::parse(&fields.take_text()?))?;
    let (body, card) = (fields.take_text()?.into(), fields.opt_text()?.map(Arc::from));
    Ok(RawItem { wamid_key: wamid_key.into(), role, body, card, digest })
}

impl Store {
    /// Returns what WhatsApp sent about messages with these keys, in the order in which it came.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_raw_items(
        &self,
        account_number: i64,
        wamid_keys: &BTreeSet<Arc<str>>,
    ) -> Result<Vec<RawItem>, StoreError> {
        let args = vec![account_number.into(), json_array(&wamid_keys.iter().collect::<Vec<_>>())?.into()];
        let rows = self.read_for(account_number).fetch_rows(select_many(self.engine.dialect()), args).await?;
        rows.iter().map(read_raw_item).collect()
    }

    /// Returns items of an account in the order of their keys, those after this position, with the lists that they
    /// came in.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page_raw_items(
        &self,
        account_number: i64,
        after: &ItemPosition,
        limit: i64,
    ) -> Result<Vec<StoredItem>, StoreError> {
        let args = vec![
            account_number.into(),
            after.key.as_str().into(),
            after.digest.as_str().into(),
            limit.into(),
        ];
        let rows = self.read_for(account_number).fetch_rows(PAGE, args).await?;
        let mut read = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut fields = row.read_fields(TABLE);
            let position = ItemPosition { key: fields.take_text()?, digest: fields.take_text()? };
            let at = RowPlace { table: TABLE, id: &position.key };
            let role = at.check_value("role", RawRole::parse(&fields.take_text()?))?;
            read.push((position, role, fields.take_text()?.into()));
        }
        let wamids = read.iter().map(|(position, _, _)| position.key.as_str().into()).collect();
        let messages = self.messages_of_keys(account_number, wamids).await?;
        let item = |(position, role, body): (ItemPosition, RawRole, Arc<str>)| {
            let message = messages.get(position.key.as_str()).map(|message| &**message);
            StoredItem { list: ItemList::of_item(&position.key, role, message), position, body }
        };
        Ok(read.into_iter().map(item).collect())
    }

    /// Returns what WhatsApp sent about a message, in the order in which it came.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn raw_items_of(
        &self,
        account_number: i64,
        wamid_key: &str,
    ) -> Result<Vec<(RawRole, Arc<str>)>, StoreError> {
        let rows = self
            .read_for(account_number)
            .fetch_rows(SELECT, vec![account_number.into(), wamid_key.into()])
            .await?;
        let at = RowPlace { table: TABLE, id: wamid_key };
        rows.iter()
            .map(|row| {
                let mut fields = row.read_fields(TABLE);
                let role = at.check_value("role", RawRole::parse(&fields.take_text()?))?;
                Ok((role, fields.take_text()?.into()))
            })
            .collect()
    }
}
