//! Answers remembered under an `Idempotency-Key`: their row, and every statement about them.
//!
//! Invariant: one per organisation and key, the newest. Whether it is still in force is the
//! reader's question, so an expired record that waits to be purged is never replayed.

use serde::Serialize;

use super::dialect::{Bulk, Kind};
use super::engine::{Arg, Row, Sql};
use super::row::{Place, array};
use super::{IdempotencyRecord, Store, StoreError};
use crate::domain::time::Timestamp;
use crate::ids::OrganisationId;

const TABLE: &str = "idempotency_records";

/// Writes all rows of an array.
pub(super) const UPSERT: Bulk = Bulk {
    text: "\
INSERT INTO idempotency_records (organisation_id, key, fingerprint, status, body, created_at) \
SELECT r.organisation_id, r.key, r.fingerprint, r.status, r.body, r.created_at \
FROM {rows} WHERE true \
ON CONFLICT (organisation_id, key) DO UPDATE SET fingerprint = excluded.fingerprint, \
    status = excluded.status, body = excluded.body, created_at = excluded.created_at",
    columns: &[
        ("account", Kind::Int),
        ("organisation_id", Kind::Text),
        ("key", Kind::Text),
        ("fingerprint", Kind::Text),
        ("status", Kind::Int),
        ("body", Kind::Text),
        ("created_at", Kind::Int),
    ],
};

/// A row of `idempotency_records`.
#[derive(Debug, Serialize)]
pub(super) struct RecordRow<'a> {
    /// Whose commit it comes with; 0 when it comes with none. The table does not keep it.
    account: i64,
    organisation_id: String,
    key: &'a str,
    fingerprint: String,
    status: u16,
    body: &'a str,
    created_at: i64,
}

impl<'a> RecordRow<'a> {
    /// The row of a record that comes with a commit of this account.
    pub(super) fn of(account: i64, record: &'a IdempotencyRecord) -> Self {
        Self {
            account,
            organisation_id: record.organisation_id.to_string(),
            key: &record.key,
            fingerprint: hex::encode(record.fingerprint),
            status: record.status,
            body: &record.body,
            created_at: record.created_at.millis(),
        }
    }
}

fn read(row: &Row, organisation_id: OrganisationId) -> Result<IdempotencyRecord, StoreError> {
    let mut fields = row.fields(TABLE);
    let key = fields.text()?;
    let at = Place { table: TABLE, id: &key };
    Ok(IdempotencyRecord {
        organisation_id,
        fingerprint: at.digest("fingerprint", &fields.text()?)?,
        status: at.checked("status", u16::try_from(fields.int()?).ok())?,
        body: fields.text()?.into(),
        created_at: at.time("created_at", fields.int()?)?,
        key: key.as_str().into(),
    })
}

impl Store {
    /// The statement that remembers an answer, for a script that writes more than that.
    pub(super) fn remember(&self, record: &IdempotencyRecord) -> Result<(Sql, Vec<Arg>), StoreError> {
        let rows = array(&[RecordRow::of(0, record)])?;
        Ok((self.engine.dialect().bulk(&UPSERT).into(), vec![rows.into()]))
    }

    /// The answer remembered under a key, unless it was given before `not_before`.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn idempotency_record(
        &self,
        organisation_id: OrganisationId,
        key: &str,
        not_before: Timestamp,
    ) -> Result<Option<IdempotencyRecord>, StoreError> {
        let sql = "SELECT key, fingerprint, status, body, created_at FROM idempotency_records \
                   WHERE organisation_id = $1 AND key = $2 AND created_at >= $3";
        let args = vec![organisation_id.to_string().into(), key.into(), not_before.millis().into()];
        let rows = self.engine.fetch(sql, args).await?;
        rows.first().map(|row| read(row, organisation_id)).transpose()
    }

    /// Remembers an answer that came with no write of an account.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_idempotency_record(&self, record: IdempotencyRecord) -> Result<(), StoreError> {
        let (sql, args) = self.remember(&record)?;
        self.writer.write(sql, args).await.map(drop)
    }
}
