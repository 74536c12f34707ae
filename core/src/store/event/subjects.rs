//! Events about one contact, for an export.

use super::super::row::json_array;
use super::super::{Store, StoreError};
use super::COLUMNS;
use super::event_row::read_event;
use crate::domain::event::Event;
use crate::ids::{ContactId, MessageId};
use crate::store::dialect::Dialect;

/// Returns the statement for the events that show any message of an array.
pub(in super::super) fn of_messages_statement(dialect: Dialect) -> String {
    let listed = dialect.in_texts(2);
    format!("SELECT {COLUMNS} FROM events WHERE account = $1 AND message_id {listed}")
}

/// Returns the statement for the events that show the contact $2 or its conversation, and no message, after a number.
pub(in super::super) fn of_contact_statement() -> String {
    format!(
        "SELECT {COLUMNS} FROM events WHERE account = $1 AND contact_id = $2 AND contact_id IS NOT NULL \
         AND message_id IS NULL AND sequence > $3 ORDER BY sequence LIMIT $4"
    )
}

impl Store {
    /// Returns the events that show these messages, in the order of the log.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_of_messages(
        &self,
        account_number: i64,
        ids: &[MessageId],
    ) -> Result<Vec<Event>, StoreError> {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let args = vec![account_number.into(), json_array(&names)?.into()];
        let rows = self
            .read_for(account_number)
            .fetch_rows(of_messages_statement(self.engine.dialect()), args)
            .await?;
        let mut events = rows.iter().map(read_event).collect::<Result<Vec<_>, _>>()?;
        events.sort_by_key(|event| event.sequence);
        Ok(events)
    }

    /// Returns the events that show a contact or its conversation, and no message, after this number of the log, in
    /// order, at most `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn events_of_contact(
        &self,
        account_number: i64,
        id: ContactId,
        after_sequence: i64,
        limit: i64,
    ) -> Result<Vec<Event>, StoreError> {
        let args = vec![account_number.into(), id.to_string().into(), after_sequence.into(), limit.into()];
        self.read_for(account_number)
            .fetch_rows(of_contact_statement(), args)
            .await?
            .iter()
            .map(read_event)
            .collect()
    }

    /// Returns the contacts that were merged into a contact, directly or through others, the oldest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn contacts_merged_into(
        &self,
        account_number: i64,
        id: ContactId,
    ) -> Result<Vec<ContactId>, StoreError> {
        let mut ids = self.merged_contacts(account_number, id).await?;
        ids.sort_unstable();
        Ok(ids)
    }
}
