//! Plugins' keys and values: their rows, and their revision.
//!
//! Invariant: they change only in the transaction that increments their plugin's revision (`store/run.rs`).

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Serialize;

use super::dialect::{BulkStatement, ColumnKind};
use super::row::RowPlace;
use super::{Store, StoreError};
use crate::domain::key_values::KeyValues;
use crate::ids::PluginId;

const TABLE: &str = "plugin_kv";

/// Sets all keys of an array, if their batch has passed the gate.
pub(super) const PUT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO plugin_kv (plugin_id, key, value) SELECT $2, r.key, r.value FROM {rows} \
WHERE EXISTS (SELECT 1 FROM plugin_heads WHERE plugin_id = $2 AND gate = $3) \
ON CONFLICT (plugin_id, key) DO UPDATE SET value = excluded.value",
    columns: &[("key", ColumnKind::Text), ("value", ColumnKind::Text)],
};

/// Removes all keys of an array, if their batch has passed the gate.
pub(super) const DELETE: BulkStatement = BulkStatement {
    text: "\
DELETE FROM plugin_kv WHERE plugin_id = $2 AND key IN (SELECT r.key FROM {rows}) \
AND EXISTS (SELECT 1 FROM plugin_heads WHERE plugin_id = $2 AND gate = $3)",
    columns: &[("key", ColumnKind::Text)],
};

/// A key to set.
#[derive(Debug, Serialize)]
pub(super) struct PutRow<'a> {
    key: &'a str,
    value: String,
}

impl<'a> PutRow<'a> {
    pub(super) fn from_write(key: &'a str, value: &[u8]) -> Self {
        Self { key, value: STANDARD.encode(value) }
    }
}

/// A key to remove.
#[derive(Debug, Serialize)]
pub(super) struct DeleteRow<'a> {
    pub(super) key: &'a str,
}

impl Store {
    /// Returns all keys and values of a plugin, and their revision; `None` when there is no such plugin.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plugin_kv(&self, plugin: PluginId) -> Result<Option<(KeyValues, i64)>, StoreError> {
        let id = plugin.to_string();
        let mut reads = self.read_for(plugin).begin_snapshot().await?;
        let sql = "SELECT kv_revision FROM plugin_heads WHERE plugin_id = $1";
        let head = reads.fetch_rows(sql, vec![id.as_str().into()]).await?;
        let sql = "SELECT key, value FROM plugin_kv WHERE plugin_id = $1";
        let rows = reads.fetch_rows(sql, vec![id.as_str().into()]).await?;
        reads.end_reads().await?;
        let Some(head) = head.first() else { return Ok(None) };
        let revision = head.read_fields("plugin_heads").take_int()?;
        let mut entries: Vec<(Arc<str>, Arc<[u8]>)> = Vec::with_capacity(rows.len());
        for row in &rows {
            let mut fields = row.read_fields(TABLE);
            let (key, value) = (fields.take_text()?, STANDARD.decode(fields.take_text()?).ok());
            let value = RowPlace { table: TABLE, id: &id }.check_value("value", value)?;
            entries.push((key.into(), value.into()));
        }
        Ok(Some((entries.into_iter().collect(), revision)))
    }
}
