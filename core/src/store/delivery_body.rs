//! Bodies of deliveries: rendered when their event is taken in, and kept for every attempt.
//!
//! Invariant: a body goes with the content of its message. `delivery.rs` inserts none of a message that was taken
//! back.

use std::collections::HashMap;
use std::sync::Arc;

use super::delivery::TABLE;
use super::dialect::{BulkStatement, ColumnKind};
use super::engine::EngineRow;
use super::row::{RowPlace, json_array};
use super::{Store, StoreError};
use crate::domain::subscriber::SubscriberId;
use crate::ids::DeliveryId;

/// Removes the bodies that show any message of an array.
pub(super) const ERASE: BulkStatement = BulkStatement {
    text: "\
UPDATE webhook_deliveries SET body = NULL \
WHERE (account, message_id) IN (SELECT r.account, r.message_id FROM {rows}) AND body IS NOT NULL",
    columns: &[("account", ColumnKind::Int), ("message_id", ColumnKind::Text)],
};

impl Store {
    /// Returns the bodies of these deliveries, as far as they are kept.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delivery_bodies(
        &self,
        subscriber: SubscriberId,
        ids: &[DeliveryId],
    ) -> Result<HashMap<DeliveryId, Arc<str>>, StoreError> {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let listed = self.engine.dialect().in_texts(1);
        let sql = format!("SELECT id, body FROM webhook_deliveries WHERE id {listed} AND body IS NOT NULL");
        let rows = self.read_for(subscriber).fetch_rows(sql, vec![json_array(&names)?.into()]).await?;
        let read = |row: &EngineRow| {
            let mut fields = row.read_fields(TABLE);
            let id = fields.take_text()?;
            let at = RowPlace { table: TABLE, id: &id };
            Ok((at.check_value("id", DeliveryId::parse(&id).ok())?, fields.take_text()?.into()))
        };
        rows.iter().map(read).collect()
    }
}
