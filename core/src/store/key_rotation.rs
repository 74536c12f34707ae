//! Rotation of the keys under which secrets are stored.
//!
//! Invariants: on a database that nodes share no value is written under a key before every node can decrypt
//! under it, and rows are written anew only once no node writes under another key. A value is replaced by
//! itself under the new key, and only over the value that was read; so its row keeps its version. A rotation
//! that was cut off leaves values under both keys, and is taken up by the next one.

use super::encrypted_column::EncryptedColumn;
use super::engine::{EngineRow, Sql, SqlArg, is_deadlock};
use super::node::NOW;
use super::{Store, StoreError, account, idempotency, plugin, secrets, subscription};
use crate::encryption::EncryptionKeyId;
use crate::ids::NodeId;

const TABLE: &str = "key_rotation";

/// Values that are read, and on SQLite written, at once.
const STEP_ROWS: i64 = 100;

/// Phase of a rotation on a database that nodes share.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RotationPhase {
    /// Every node is to read the key.
    Prepare,
    /// Every node is to write under the key.
    Write,
}

impl RotationPhase {
    const fn as_str(self) -> &'static str {
        match self {
            Self::Prepare => "prepare",
            Self::Write => "write",
        }
    }

    fn parse(text: &str) -> Option<Self> {
        [Self::Prepare, Self::Write].into_iter().find(|known| known.as_str() == text)
    }
}

/// A rotation that the nodes carry out together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct KeyRotation {
    /// The new key.
    pub key_id: EncryptionKeyId,
    /// Its phase.
    pub phase: RotationPhase,
}

/// A node that is not as far as the phase demands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodeWithoutKey {
    /// Its id.
    pub id: NodeId,
    /// Address at which the other nodes reach it.
    pub address: String,
}

/// A column of secrets, its id and the condition of the rows that hold an encrypted value.
struct RotatedColumn {
    column: EncryptedColumn,
    id: &'static str,
    filter: &'static str,
}

const COLUMNS: [RotatedColumn; 6] = [
    RotatedColumn { column: secrets::VALUE, id: "name", filter: "1 = 1" },
    RotatedColumn { column: account::ACCESS_TOKEN, id: "id", filter: "1 = 1" },
    RotatedColumn { column: account::APP_SECRET, id: "id", filter: "app_secret IS NOT NULL" },
    RotatedColumn { column: subscription::SECRET, id: "id", filter: "1 = 1" },
    RotatedColumn { column: plugin::SECRETS, id: "id", filter: "secrets <> ''" },
    // The condition of an index: few answers show a secret.
    RotatedColumn {
        column: idempotency::BODY,
        id: "organisation_id || '/' || key",
        filter: "substr(body, 1, 5) = 'kse1.'",
    },
];

impl RotatedColumn {
    /// Returns the statement for values that do not begin with the first argument, a prefix of this length.
    fn select_outdated(&self, prefix: &str, limit: i64) -> String {
        let EncryptedColumn { table, column } = self.column;
        format!(
            "SELECT {}, {column} FROM {table} WHERE {} AND substr({column}, 1, {}) <> $1 LIMIT {limit}",
            self.id,
            self.filter,
            prefix.len()
        )
    }

    fn update_value(&self) -> String {
        let EncryptedColumn { table, column } = self.column;
        format!(
            "UPDATE {table} SET {column} = $1 WHERE {} AND {} = $2 AND {column} = $3",
            self.filter, self.id
        )
    }
}

/// Returns the statements about a table, for a test of their plans.
#[cfg(test)]
pub(super) fn statements_about(table: &str) -> Vec<String> {
    let columns = COLUMNS.iter().filter(|one| one.column.table == table);
    columns
        .flat_map(|one| [one.select_outdated("kse1.0123456789abcdef.", STEP_ROWS), one.update_value()])
        .collect()
}

impl Store {
    /// Returns the key under which the server's own secrets are encrypted: that of the last rotation.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn key_of_last_rotation(&self) -> Result<Option<EncryptionKeyId>, StoreError> {
        let sql = "SELECT value FROM server_secrets ORDER BY name LIMIT 1";
        let rows = self.read_for_server().fetch_rows(sql, Vec::new()).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        Ok(EncryptionKeyId::of_value(&row.read_fields("server_secrets").take_text()?))
    }

    /// Returns `true` when a value is encrypted under another key than this one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn has_secrets_beside(&self, key_id: EncryptionKeyId) -> Result<bool, StoreError> {
        let prefix = key_id.value_prefix();
        for column in &COLUMNS {
            let sql = column.select_outdated(&prefix, 1);
            if !self.read_for_server().fetch_rows(sql, vec![prefix.as_str().into()]).await?.is_empty() {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Encrypts every value anew that is not encrypted under the key in force, and returns the number of them.
    /// In small steps, between which other writes go on.
    ///
    /// # Errors
    /// [`StoreError`]; what was written stays, and another call goes on.
    pub async fn encrypt_secrets_anew(&self) -> Result<u64, StoreError> {
        let mut written = 0;
        for column in &COLUMNS {
            loop {
                let prefix = self.keys.writing_key().value_prefix();
                let sql = column.select_outdated(&prefix, STEP_ROWS);
                let rows = self.read_for_server().fetch_rows(sql, vec![prefix.into()]).await?;
                if rows.is_empty() {
                    break;
                }
                written += u64::try_from(rows.len()).unwrap_or(u64::MAX);
                self.encrypt_rows_anew(column, &rows).await?;
            }
        }
        Ok(written)
    }

    async fn encrypt_rows_anew(&self, column: &RotatedColumn, rows: &[EngineRow]) -> Result<(), StoreError> {
        let mut script: Vec<(Sql, Vec<SqlArg>)> = Vec::with_capacity(rows.len());
        for row in rows {
            let mut fields = row.read_fields(column.column.table);
            let (id, value) = (fields.take_text()?, fields.take_text()?);
            let secret = column.column.decrypt(&self.keys, &id, &value)?;
            let anew = column.column.bind_secret(&self.keys, id.clone(), &secret);
            script.push((column.update_value().into(), vec![anew, id.into(), value.into()]));
        }
        if !self.is_shared() {
            return self.write_for_server().write_all(script).await.map(drop);
        }
        // Each in a transaction of its own: the rows of accounts belong to other nodes, and a transaction that
        // holds one of them waits for no other.
        for (sql, args) in script {
            match self.read_for_server().fetch_rows(sql, args).await {
                // It is read again in the next step.
                Err(StoreError::Unavailable(error)) if is_deadlock(&error) => {}
                written => drop(written?),
            }
        }
        Ok(())
    }

    /// Returns once everything is on the disk that was queued to be written.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn flush_writes(&self) -> Result<(), StoreError> {
        self.write_for_server().write_statement("SELECT 1", Vec::new()).await.map(drop)
    }

    /// Tells all nodes of a rotation; `None` ends it. Only for a database that nodes share.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn announce_rotation(&self, rotation: Option<KeyRotation>) -> Result<(), StoreError> {
        let mut script: Vec<(Sql, Vec<SqlArg>)> = vec![match rotation {
            None => ("DELETE FROM key_rotation WHERE id = 1".into(), Vec::new()),
            Some(KeyRotation { key_id, phase }) => (
                "INSERT INTO key_rotation (id, key_id, phase) VALUES (1, $1, $2) \
                 ON CONFLICT (id) DO UPDATE SET key_id = excluded.key_id, phase = excluded.phase"
                    .into(),
                vec![key_id.to_string().into(), phase.as_str().into()],
            ),
        }];
        // The nodes look when this moves.
        script.push(("UPDATE directory_counter SET revision = revision + 1 WHERE id = 1".into(), Vec::new()));
        self.write_for_server().write_all(script).await.map(drop)
    }

    /// Returns the rotation that is under way, if there is one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_rotation(&self) -> Result<Option<KeyRotation>, StoreError> {
        let sql = "SELECT key_id, phase FROM key_rotation WHERE id = 1";
        let rows = self.read_for_server().fetch_rows(sql, Vec::new()).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.read_fields(TABLE);
        let (key_id, phase) = (fields.take_text()?, fields.take_text()?);
        let corrupt = || StoreError::Corrupt(format!("{TABLE}: {key_id} {phase}"));
        let rotation = EncryptionKeyId::parse(&key_id).zip(RotationPhase::parse(&phase));
        let (key_id, phase) = rotation.ok_or_else(corrupt)?;
        Ok(Some(KeyRotation { key_id, phase }))
    }

    /// Tells the other nodes the keys of this one.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn report_keys(&self, node: NodeId, keys: &[EncryptionKeyId]) -> Result<(), StoreError> {
        let keys: Vec<String> = keys.iter().map(ToString::to_string).collect();
        let sql = "UPDATE nodes SET secret_keys = $2 WHERE id = $1";
        let args = vec![node.to_string().into(), keys.join(",").into()];
        self.read_for_server().fetch_rows(sql, args).await.map(drop)
    }

    /// Returns the living nodes that have not told yet that they do as a rotation demands.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn nodes_behind(&self, rotation: KeyRotation) -> Result<Vec<NodeWithoutKey>, StoreError> {
        let sql =
            format!("SELECT id, address, secret_keys FROM nodes WHERE expires_at > {NOW} ORDER BY address");
        let mut behind = Vec::new();
        for row in self.read_for_server().fetch_rows(sql, Vec::new()).await? {
            let mut fields = row.read_fields("nodes");
            let id = NodeId::parse(&fields.take_text()?)
                .map_err(|_unreadable| StoreError::Corrupt("nodes.id".into()))?;
            let (address, keys) = (fields.take_text()?, fields.take_text()?);
            let mut keys = keys.split(',').map(EncryptionKeyId::parse);
            let follows = match rotation.phase {
                RotationPhase::Prepare => keys.any(|key| key == Some(rotation.key_id)),
                RotationPhase::Write => keys.next() == Some(Some(rotation.key_id)),
            };
            if !follows {
                behind.push(NodeWithoutKey { id, address });
            }
        }
        Ok(behind)
    }
}
