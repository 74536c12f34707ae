//! `Idempotency-Key`s: their rows, which hold a claim or an answer, and every statement about them.
//!
//! Invariants: one row per organisation and key, the newest. An answer is written only over the claim under
//! which its call ran, over no row, or over a row that is no longer kept; otherwise the database refuses the
//! whole transaction. The reader checks the age of an answer, so an expired record that waits to be purged is
//! never replayed. The body of an answer that shows a secret is encrypted.

use std::borrow::Cow;

use serde::Serialize;

use super::dialect::{BulkStatement, ColumnKind};
use super::encrypted_column::EncryptedColumn;
use super::engine::{EngineRow, LateText, Sql, SqlArg};
use super::node::NOW;
use super::row::{RowPlace, json_array};
use super::{IdempotencyRecord, KeyState, RecordedBody, Store, StoreError};
use crate::domain::time::Timestamp;
use crate::encryption::{KeyRing, is_encrypted};
use crate::ids::{NodeId, OrganisationId};

const TABLE: &str = "idempotency_records";
/// Column of an answer's body; encrypted where it shows a secret.
pub(super) const BODY: EncryptedColumn = EncryptedColumn { table: TABLE, column: "body" };

/// Returns the id of a row for its encrypted body.
fn secret_id(organisation_id: OrganisationId, key: &str) -> String {
    format!("{organisation_id}/{key}")
}

/// Claims that one call of [`Store::claimed_idempotency_keys`] returns, at most.
const CLAIMS_MAX: i64 = 1000;

/// Writes the answers of an array. For a key of another call, the status becomes null, which the table
/// refuses. 86 400 000 is [`IdempotencyRecord::KEPT`] in milliseconds.
pub(super) const UPSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO idempotency_records \
    (organisation_id, key, fingerprint, status, body, created_at, claimed_by, contact_id) \
SELECT r.organisation_id, r.key, r.fingerprint, r.status, r.body, r.created_at, r.claimed_by, r.contact_id \
FROM {rows} WHERE true \
ON CONFLICT (organisation_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, \
    status = CASE WHEN (idempotency_records.status = 0 AND idempotency_records.claimed_by = excluded.claimed_by) \
        OR idempotency_records.created_at < excluded.created_at - 86400000 THEN excluded.status END, \
    body = excluded.body, created_at = excluded.created_at, claimed_by = excluded.claimed_by, \
    contact_id = excluded.contact_id",
    columns: &[
        ("account", ColumnKind::Int),
        ("organisation_id", ColumnKind::Text),
        ("key", ColumnKind::Text),
        ("fingerprint", ColumnKind::Text),
        ("status", ColumnKind::Int),
        ("body", ColumnKind::Text),
        ("created_at", ColumnKind::Int),
        ("claimed_by", ColumnKind::Text),
        ("contact_id", ColumnKind::Text),
    ],
};

/// A row of `idempotency_records`.
#[derive(Debug, Serialize)]
pub(super) struct RecordRow<'a> {
    /// Account of the commit that it belongs to; 0 without a commit. Not stored in the table.
    account: i64,
    organisation_id: String,
    key: &'a str,
    fingerprint: String,
    status: u16,
    body: Cow<'a, str>,
    created_at: i64,
    claimed_by: Option<String>,
    contact_id: Option<String>,
}

impl<'a> RecordRow<'a> {
    /// Creates the row of a record that belongs to a commit of this account.
    pub(super) fn from_record(
        account: i64,
        record: &'a IdempotencyRecord,
        keys: &KeyRing,
    ) -> Result<Self, sqlx::Error> {
        let body = match &record.body {
            RecordedBody::Open(json) => Cow::Borrowed(&**json),
            RecordedBody::Secret(json) => {
                BODY.encrypt(keys, &secret_id(record.organisation_id, &record.key), json)?.into()
            }
        };
        Ok(Self {
            account,
            organisation_id: record.organisation_id.to_string(),
            key: &record.key,
            fingerprint: hex::encode(record.fingerprint),
            status: record.status,
            body,
            created_at: record.created_at.millis(),
            claimed_by: record.claimed_by.map(|node| node.to_string()),
            contact_id: record.contact_id.map(|id| id.to_string()),
        })
    }
}

fn read_record(
    row: &EngineRow,
    organisation_id: OrganisationId,
    keys: &KeyRing,
) -> Result<KeyState, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let key = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &key };
    let fingerprint = at.check_digest("fingerprint", &fields.take_text()?)?;
    let status = at.check_value("status", u16::try_from(fields.take_int()?).ok())?;
    let body = match fields.take_text()? {
        value if is_encrypted(&value) => {
            RecordedBody::Secret(BODY.decrypt(keys, &secret_id(organisation_id, &key), &value)?)
        }
        json => RecordedBody::Open(json.into()),
    };
    let created_at = at.check_time("created_at", fields.take_int()?)?;
    let claimed_by = fields.opt_text()?.map(|id| at.check_value("claimed_by", NodeId::parse(&id).ok()));
    let claimed_by = claimed_by.transpose()?;
    match (status, claimed_by) {
        (0, Some(node)) => Ok(KeyState::Claimed(node)),
        _ => Ok(KeyState::Answered(IdempotencyRecord {
            organisation_id,
            fingerprint,
            status,
            body,
            created_at,
            claimed_by,
            contact_id: None,
            key: key.as_str().into(),
        })),
    }
}

impl Store {
    /// Returns the statement that stores an answer, for a script with further writes.
    pub(super) fn insert_record(&self, record: &IdempotencyRecord) -> (Sql, Vec<SqlArg>) {
        let (keys, record) = (self.keys.clone(), record.clone());
        let rows = LateText::from(move || json_array(&[RecordRow::from_record(0, &record, &keys)?]));
        (self.engine.dialect().bulk_text(&UPSERT).into(), vec![SqlArg::Late(rows)])
    }

    /// Returns the state of a key. A row from before `not_before` is ignored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn idempotency_key(
        &self,
        organisation_id: OrganisationId,
        key: &str,
        not_before: Timestamp,
    ) -> Result<KeyState, StoreError> {
        let sql = "SELECT key, fingerprint, status, body, created_at, claimed_by FROM idempotency_records \
                   WHERE organisation_id = $1 AND key = $2 AND created_at >= $3";
        let args = vec![organisation_id.to_string().into(), key.into(), not_before.millis().into()];
        let rows = self.read_for(organisation_id).fetch_rows(sql, args).await?;
        rows.first().map_or(Ok(KeyState::Free), |row| read_record(row, organisation_id, &self.keys))
    }

    /// Claims a key for a node, before its call is run. `true` when the key was free: without a row, with a
    /// row from before `not_before`, claimed by a node with an expired lease, or claimed by this node.
    ///
    /// A node runs at most one call per key at a time, and ensures that itself. The claim of a node with a
    /// lease that seems expired can be taken although the node lives: its later write is refused.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claim_idempotency_key(
        &self,
        organisation_id: OrganisationId,
        key: &str,
        node: NodeId,
        (at, not_before): (Timestamp, Timestamp),
    ) -> Result<bool, StoreError> {
        let sql = format!(
            "INSERT INTO idempotency_records \
                 (organisation_id, key, fingerprint, status, body, created_at, claimed_by) \
             VALUES ($1, $2, $3, 0, '', $4, $5) \
             ON CONFLICT (organisation_id, key) DO UPDATE SET status = 0, body = '', contact_id = NULL, \
                 created_at = excluded.created_at, claimed_by = excluded.claimed_by \
             WHERE idempotency_records.created_at < $6 \
                 OR (idempotency_records.status = 0 AND (idempotency_records.claimed_by = excluded.claimed_by \
                     OR NOT EXISTS (SELECT 1 FROM nodes n \
                         WHERE n.id = idempotency_records.claimed_by AND n.expires_at > {NOW}))) \
             RETURNING 1"
        );
        let args = vec![
            organisation_id.to_string().into(),
            key.into(),
            hex::encode([0; 32]).into(),
            at.millis().into(),
            node.to_string().into(),
            not_before.millis().into(),
        ];
        Ok(!self.read_for(organisation_id).fetch_rows(sql, args).await?.is_empty())
    }

    /// Frees a key that this node claimed for a call that ended without an answer to store. Does nothing when
    /// there is an answer, or another node's claim.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn release_idempotency_key(
        &self,
        organisation_id: OrganisationId,
        key: &str,
        node: NodeId,
    ) -> Result<(), StoreError> {
        let sql = "DELETE FROM idempotency_records \
                   WHERE organisation_id = $1 AND key = $2 AND status = 0 AND claimed_by = $3";
        let args = vec![organisation_id.to_string().into(), key.into(), node.to_string().into()];
        self.read_for(organisation_id).fetch_rows(sql, args).await.map(drop)
    }

    /// Returns keys that a node has claimed and not answered, at most 1000 of them.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn claimed_idempotency_keys(
        &self,
        node: NodeId,
    ) -> Result<Vec<(OrganisationId, String)>, StoreError> {
        let sql = "SELECT key, organisation_id FROM idempotency_records \
                   WHERE status = 0 AND claimed_by = $1 LIMIT $2";
        let rows =
            self.read_for_server().fetch_rows(sql, vec![node.to_string().into(), CLAIMS_MAX.into()]).await?;
        let read_key = |row: &EngineRow| {
            let mut fields = row.read_fields(TABLE);
            let key = fields.take_text()?;
            let at = RowPlace { table: TABLE, id: &key };
            let organisation = OrganisationId::parse(&fields.take_text()?).ok();
            Ok((at.check_value("organisation_id", organisation)?, key))
        };
        rows.iter().map(read_key).collect()
    }

    /// Stores an answer that belongs to no commit of an account.
    ///
    /// # Errors
    /// [`StoreError::Refused`] when the key meanwhile belongs to another call; see [`StoreError`].
    pub async fn insert_idempotency_record(&self, record: IdempotencyRecord) -> Result<(), StoreError> {
        let (sql, args) = self.insert_record(&record);
        self.write_for(record.organisation_id).write_statement(sql, args).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_statement_keeps_answers_as_long_as_the_readers_do() {
        let kept = IdempotencyRecord::KEPT.as_millis();
        assert!(UPSERT.text.contains(&format!("excluded.created_at - {kept} ")));
    }
}
