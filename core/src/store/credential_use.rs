//! Last use of keys and of the operator's tokens, in a table of its own.
//!
//! Invariant: a use is no change of the directory, so that no node reads a key again because it was used. Of two times
//! the later one stays, whichever node writes last.

use std::collections::HashMap;

use serde::Serialize;

use super::dialect::{BulkStatement, ColumnKind};
use super::row::{RowPlace, json_array};
use super::{Store, StoreError};
use crate::domain::time::Timestamp;

const TABLE: &str = "credential_uses";

/// Records the uses of an array.
const RECORD: BulkStatement = BulkStatement {
    text: "\
INSERT INTO credential_uses (credential, used_at) SELECT r.credential, r.used_at FROM {rows} WHERE true \
ON CONFLICT (credential) DO UPDATE SET used_at = excluded.used_at \
WHERE excluded.used_at > credential_uses.used_at",
    columns: &[("credential", ColumnKind::Text), ("used_at", ColumnKind::Int)],
};

/// A row of `credential_uses`.
#[derive(Debug, Serialize)]
struct UseRow<'a> {
    credential: &'a str,
    used_at: i64,
}

impl Store {
    /// Records uses of credentials, by their ids. Each occurs once.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_credential_uses(&self, uses: &[(String, Timestamp)]) -> Result<(), StoreError> {
        let rows: Vec<_> =
            uses.iter().map(|(credential, at)| UseRow { credential, used_at: at.millis() }).collect();
        let sql = self.engine.dialect().bulk_text(&RECORD);
        self.write_for_server().write_statement(sql, vec![json_array(&rows)?.into()]).await.map(drop)
    }

    /// Returns the last recorded uses of these credentials; one that was never used is absent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn credential_uses(&self, ids: &[String]) -> Result<HashMap<String, Timestamp>, StoreError> {
        let listed = self.engine.dialect().in_texts(1);
        let sql = format!("SELECT credential, used_at FROM {TABLE} WHERE credential {listed}");
        let mut uses = HashMap::new();
        for row in &self.read_for_server().fetch_rows(sql, vec![json_array(ids)?.into()]).await? {
            let mut fields = row.read_fields(TABLE);
            let id = fields.take_text()?;
            let used_at = fields.take_int()?;
            let used_at = RowPlace { table: TABLE, id: &id }.check_time("used_at", used_at)?;
            uses.insert(id, used_at);
        }
        Ok(uses)
    }
}
