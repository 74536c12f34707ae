//! The versions of a plugin: their rows, and their bytes in parts.
//!
//! Invariant: a version is visible once all of its parts are stored. Incomplete versions are purged.

use std::collections::BTreeSet;
use std::sync::Arc;

use bytes::Bytes;

use super::{text_of, to_json};
use crate::domain::audit::AuditEntry;
use crate::domain::plugin::{PluginVersion, VERSIONS_KEPT};
use crate::domain::time::Timestamp;
use crate::ids::{PluginId, PluginVersionId};
use crate::store::engine::{EngineRow, SqlArg};
use crate::store::principal_row::{principal_text, read_principal};
use crate::store::row::{RowPlace, json_array};
use crate::store::{Store, StoreError};

const TABLE: &str = "plugin_versions";
/// Bytes of a part: other writes wait for one part at a time.
const PART_BYTES: usize = 256 * 1024;

const COLUMNS: &str = "id, plugin_id, sha256, size, imports, exports, compile_ms, created_at, created_by";

/// Incomplete versions, with their parts.
const UNFINISHED: [&str; 2] = [
    "DELETE FROM plugin_parts WHERE version_id IN \
     (SELECT id FROM plugin_versions WHERE whole = 0 AND created_at < $1)",
    "DELETE FROM plugin_versions WHERE whole = 0 AND created_at < $1",
];

fn read_version(row: &EngineRow) -> Result<PluginVersion, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    let size = |column, value: i64| at.check_value(column, u64::try_from(value).ok());
    let names = |column, text: &str| -> Result<Vec<Arc<str>>, StoreError> {
        Ok(to_json::<Vec<String>>(at, column, text)?.into_iter().map(Arc::from).collect())
    };
    Ok(PluginVersion {
        id: at.check_value("id", PluginVersionId::parse(&id).ok())?,
        plugin_id: at.check_value("plugin_id", PluginId::parse(&fields.take_text()?).ok())?,
        sha256: at.check_digest("sha256", &fields.take_text()?)?,
        size: size("size", fields.take_int()?)?,
        imports: names("imports", &fields.take_text()?)?,
        exports: names("exports", &fields.take_text()?)?,
        compile_ms: size("compile_ms", fields.take_int()?)?,
        created_at: at.check_time("created_at", fields.take_int()?)?,
        created_by: read_principal(at, "created_by", &fields.take_text()?)?,
    })
}

/// Returns the JSON array of these ids.
fn id_array(ids: &[PluginVersionId]) -> Result<String, sqlx::Error> {
    json_array(&ids.iter().map(ToString::to_string).collect::<Vec<_>>())
}

fn read_whole(count: u64) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Store {
    /// Inserts a version with its bytes, part by part, and leaves this entry in the audit log with the last one.
    /// `false`, and nothing is written, when the components of the organisation would have more than `bytes_max`;
    /// those of this plugin count only if they are `spared`, because [`Store::trim_plugin_versions`] removes the
    /// others.
    ///
    /// # Errors
    /// [`StoreError`]; the version then stays invisible.
    pub async fn insert_plugin_version(
        &self,
        one: &PluginVersion,
        wasm: &Bytes,
        spared: &[PluginVersionId],
        bytes_max: u64,
        entry: &AuditEntry,
    ) -> Result<bool, StoreError> {
        let names = |names: &[Arc<str>]| text_of(&names.iter().map(|name| &**name).collect::<Vec<_>>());
        let kept = self.engine.dialect().in_texts(10);
        let sql = format!(
            "INSERT INTO plugin_versions ({COLUMNS}, whole) SELECT $1, $2, $3, $4, $5, $6, $7, $8, $9, 0 \
             WHERE $4 + (SELECT COALESCE(SUM(v.size), 0) FROM plugins o JOIN plugins p \
             ON p.organisation_id = o.organisation_id JOIN plugin_versions v ON v.plugin_id = p.id \
             WHERE o.id = $2 AND p.deleted_at IS NULL AND (p.id <> $2 OR v.id {kept})) <= $11 RETURNING id"
        );
        let args = vec![
            one.id.to_string().into(),
            one.plugin_id.to_string().into(),
            hex::encode(one.sha256).into(),
            read_whole(one.size).into(),
            names(&one.imports)?.into(),
            names(&one.exports)?.into(),
            read_whole(one.compile_ms).into(),
            one.created_at.millis().into(),
            principal_text(&one.created_by)?.into(),
            id_array(spared)?.into(),
            read_whole(bytes_max).into(),
        ];
        let writes = self.write_for(one.plugin_id);
        if writes.write_statement(sql, args).await?.is_empty() {
            return Ok(false);
        }
        let mut rest = wasm.clone();
        let mut part = 0_i64;
        while !rest.is_empty() {
            let bytes = rest.split_to(rest.len().min(PART_BYTES));
            let sql = "INSERT INTO plugin_parts (version_id, part, bytes) VALUES ($1, $2, $3)";
            writes.write_statement(sql, vec![one.id.to_string().into(), part.into(), bytes.into()]).await?;
            part += 1;
        }
        let sql = "UPDATE plugin_versions SET whole = 1 WHERE id = $1";
        let audited = self.with_audit(entry);
        let whole = audited.write_for(one.plugin_id);
        whole.write_statement(sql, vec![one.id.to_string().into()]).await?;
        Ok(true)
    }

    /// Returns those of these versions that there are, complete or not.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn known_plugin_versions(
        &self,
        ids: &[PluginVersionId],
    ) -> Result<BTreeSet<PluginVersionId>, StoreError> {
        let sql = format!("SELECT id FROM plugin_versions WHERE id {}", self.engine.dialect().in_texts(1));
        let rows = self.read_for_server().fetch_rows(sql, vec![id_array(ids)?.into()]).await?;
        let read = |row: &EngineRow| {
            let id = row.read_fields(TABLE).take_text()?;
            RowPlace { table: TABLE, id: &id }.check_value("id", PluginVersionId::parse(&id).ok())
        };
        rows.iter().map(read).collect()
    }

    /// Returns the bytes of all components of the organisation that has this plugin.
    async fn component_bytes_beside(&self, plugin: PluginId) -> Result<u64, StoreError> {
        let sql = "SELECT CAST(COALESCE(SUM(v.size), 0) AS BIGINT) FROM plugins o JOIN plugins p \
                   ON p.organisation_id = o.organisation_id JOIN plugin_versions v ON v.plugin_id = p.id \
                   WHERE o.id = $1 AND p.deleted_at IS NULL";
        let rows = self.read_for(plugin).fetch_rows(sql, vec![plugin.to_string().into()]).await?;
        let Some(row) = rows.first() else { return Ok(0) };
        Ok(u64::try_from(row.read_fields(TABLE).take_int()?).unwrap_or_default())
    }

    /// Returns a plugin's versions, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plugin_versions(&self, plugin: PluginId) -> Result<Vec<PluginVersion>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM plugin_versions WHERE plugin_id = $1 AND whole = 1 ORDER BY id DESC"
        );
        self.read_for(plugin)
            .fetch_rows(sql, vec![plugin.to_string().into()])
            .await?
            .iter()
            .map(read_version)
            .collect()
    }

    /// Finds a plugin's version.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plugin_version(
        &self,
        plugin: PluginId,
        id: PluginVersionId,
    ) -> Result<Option<PluginVersion>, StoreError> {
        let sql =
            format!("SELECT {COLUMNS} FROM plugin_versions WHERE id = $1 AND plugin_id = $2 AND whole = 1");
        let args = vec![id.to_string().into(), plugin.to_string().into()];
        self.read_for(plugin).fetch_rows(sql, args).await?.first().map(read_version).transpose()
    }

    /// Returns a version's bytes; `None` when it is gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plugin_bytes(
        &self,
        plugin: PluginId,
        id: PluginVersionId,
    ) -> Result<Option<Bytes>, StoreError> {
        let mut wasm = Vec::new();
        // One by one, so that no reader is held for long.
        for part in 0_i64.. {
            let sql = "SELECT bytes FROM plugin_parts WHERE version_id = $1 AND part = $2";
            let rows =
                self.read_for(plugin).fetch_rows(sql, vec![id.to_string().into(), part.into()]).await?;
            let Some(row) = rows.first() else { break };
            wasm.extend_from_slice(&row.read_fields("plugin_parts").take_bytes()?);
        }
        Ok((!wasm.is_empty()).then(|| wasm.into()))
    }

    /// Removes a plugin's oldest versions, except `spared`, until there are no more than are kept, and the
    /// components of the organisation have no more than `bytes_max`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn trim_plugin_versions(
        &self,
        plugin: PluginId,
        spared: &[PluginVersionId],
        bytes_max: u64,
    ) -> Result<(), StoreError> {
        let known = self.plugin_versions(plugin).await?;
        let mut surplus = known.len().saturating_sub(VERSIONS_KEPT);
        let mut surplus_bytes = self.component_bytes_beside(plugin).await?.saturating_sub(bytes_max);
        for one in known.iter().rev().filter(|one| !spared.contains(&one.id)) {
            if surplus == 0 && surplus_bytes == 0 {
                break;
            }
            surplus = surplus.saturating_sub(1);
            surplus_bytes = surplus_bytes.saturating_sub(one.size);
            let id = || SqlArg::from(one.id.to_string());
            let script = vec![
                ("DELETE FROM plugin_versions WHERE id = $1".into(), vec![id()]),
                ("DELETE FROM plugin_parts WHERE version_id = $1".into(), vec![id()]),
            ];
            self.write_for(plugin).write_all(script).await?;
        }
        Ok(())
    }

    /// Removes incomplete versions of uploads before this instant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn purge_unfinished_versions(&self, before: Timestamp) -> Result<(), StoreError> {
        let args = || vec![SqlArg::from(before.millis())];
        let script = UNFINISHED.iter().map(|sql| ((*sql).into(), args())).collect();
        self.write_for_server().write_all(script).await.map(drop)
    }
}
