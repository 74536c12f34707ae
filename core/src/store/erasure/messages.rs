//! Removal of messages with everything that shows them: events, runs of hooks, bodies of deliveries, raw and parked
//! items.

use std::sync::Arc;

use super::{ErasedKeyRow, INSERT_KEYS};
use crate::domain::time::Timestamp;
use crate::ids::{ConversationId, MessageId, ulid};
use crate::store::dialect::Dialect;
use crate::store::engine::{EngineRow, Sql, SqlArg};
use crate::store::row::{RowPlace, json_array};
use crate::store::{Store, StoreError};

const TABLE: &str = "messages";

/// Messages of one step, at most.
const STEP_MESSAGES: i64 = 200;

/// A message of which everything is erased.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ExpiredMessage {
    /// Its id.
    pub id: MessageId,
    /// Key of WhatsApp's id, if it has one.
    pub wamid_key: Option<Arc<str>>,
}

fn read_expired(row: &EngineRow) -> Result<ExpiredMessage, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    Ok(ExpiredMessage {
        id: at.check_value("id", MessageId::parse(&id).ok())?,
        wamid_key: fields.opt_text()?.map(Arc::from),
    })
}

/// The first messages of the conversation $2 of the account $1.
pub(in crate::store) const OF_CONVERSATION: &str = "SELECT id, wamid_key FROM messages \
     WHERE account = $1 AND conversation_id = $2 ORDER BY id LIMIT $3";

/// Messages of the account $1 with ids after $2 and before $3 that do not wait.
pub(in crate::store) const OLDER_THAN: &str = "SELECT id, wamid_key FROM messages \
     WHERE account = $1 AND id > $2 AND id < $3 AND status <> 'pending' ORDER BY id LIMIT $4";

/// Returns the statement for the events that show any message of an array.
pub(in crate::store) fn events_statement(dialect: Dialect) -> String {
    let listed = dialect.in_texts(2);
    format!("SELECT sequence FROM events WHERE account = $1 AND message_id {listed}")
}

/// Returns the condition of the runs about the events of an array, of the account $1.
fn runs_of_events(dialect: Dialect) -> String {
    format!(
        "(SELECT r.id FROM plugins p CROSS JOIN plugin_runs r WHERE p.organisation_id = \
         (SELECT organisation_id FROM accounts WHERE number = $1) \
         AND r.plugin_id = p.id AND r.account = $1 AND r.sequence {})",
        dialect.in_numbers(2)
    )
}

/// Returns the statements that take the data from the events of an array, and remove the runs about them.
pub(in crate::store) fn event_statements(dialect: Dialect) -> [String; 4] {
    let (numbers, runs) = (dialect.in_numbers(2), runs_of_events(dialect));
    [
        format!("DELETE FROM plugin_run_logs WHERE run_id IN {runs}"),
        format!("DELETE FROM plugin_effects WHERE run_id IN {runs}"),
        format!("DELETE FROM plugin_runs WHERE id IN {runs}"),
        format!(
            "UPDATE events SET snapshot = '{{}}', message_id = NULL, conversation_id = NULL, contact_id = NULL, \
             previous_status = NULL, occurred_at = NULL WHERE account = $1 AND sequence {numbers}"
        ),
    ]
}

/// Returns the statements that remove what is kept beside messages: bodies of deliveries by the ids of an array, raw
/// and parked items by the keys of another.
pub(in crate::store) fn beside_statements(dialect: Dialect) -> [String; 3] {
    let listed = dialect.in_texts(2);
    [
        format!(
            "UPDATE webhook_deliveries SET body = NULL \
             WHERE account = $1 AND message_id {listed} AND body IS NOT NULL"
        ),
        format!("DELETE FROM raw_items WHERE account = $1 AND wamid_key {listed}"),
        format!("DELETE FROM parked_items WHERE account = $1 AND wamid_key {listed}"),
    ]
}

/// Returns the statement that removes the messages of an array.
pub(in crate::store) fn delete_statement(dialect: Dialect) -> String {
    format!("DELETE FROM messages WHERE account = $1 AND id {}", dialect.in_texts(2))
}

/// Changes to the rows of messages by a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::store) enum MessageRows {
    /// They go with everything else.
    Removed,
    /// They stay: their account removes them.
    Kept,
}

impl Store {
    /// Returns messages of an account that are older than `before`, those after the message `after`, but for those
    /// that wait to be sent.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn expired_messages(
        &self,
        account_number: i64,
        after: Option<MessageId>,
        before: Timestamp,
    ) -> Result<Vec<ExpiredMessage>, StoreError> {
        let bound = MessageId::from_bits(ulid(before.millis(), 0)).to_string();
        let after = after.map(|id| id.to_string()).unwrap_or_default();
        let args = vec![account_number.into(), after.into(), bound.into(), STEP_MESSAGES.into()];
        self.read_for(account_number).fetch_rows(OLDER_THAN, args).await?.iter().map(read_expired).collect()
    }

    /// Removes everything that shows these messages, but their own rows. Returns the number of rows.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn erase_beside(
        &self,
        account_number: i64,
        messages: &[ExpiredMessage],
        remembered_at: Option<Timestamp>,
    ) -> Result<u64, StoreError> {
        self.erase_messages(account_number, messages, remembered_at, MessageRows::Kept).await
    }

    /// Removes some messages of a conversation with everything that shows them. Returns the number of rows; zero when
    /// none are left.
    pub(super) async fn erase_conversation(
        &self,
        account_number: i64,
        id: ConversationId,
        now: Timestamp,
    ) -> Result<u64, StoreError> {
        let args = vec![account_number.into(), id.to_string().into(), STEP_MESSAGES.into()];
        let rows = self.read_for(account_number).fetch_rows(OF_CONVERSATION, args).await?;
        let messages = rows.iter().map(read_expired).collect::<Result<Vec<_>, _>>()?;
        if messages.is_empty() {
            return Ok(0);
        }
        self.erase_messages(account_number, &messages, Some(now), MessageRows::Removed).await
    }

    async fn erase_messages(
        &self,
        account_number: i64,
        messages: &[ExpiredMessage],
        remembered_at: Option<Timestamp>,
        rows: MessageRows,
    ) -> Result<u64, StoreError> {
        let dialect = self.engine.dialect();
        let ids: Vec<String> = messages.iter().map(|one| one.id.to_string()).collect();
        let ids = json_array(&ids)?;
        let keys: Vec<&Arc<str>> = messages.iter().filter_map(|one| one.wamid_key.as_ref()).collect();
        let keys = json_array(&keys)?;
        let args = vec![SqlArg::from(account_number), ids.clone().into()];
        let events = self.read_for(account_number).fetch_rows(events_statement(dialect), args).await?;
        let sequences: Vec<i64> =
            events.iter().map(|row| row.read_fields("events").take_int()).collect::<Result<_, _>>()?;
        let mut script = self.event_script(account_number, &sequences)?;
        let [bodies, raw, parked] = beside_statements(dialect);
        for (sql, list) in [(bodies, &ids), (raw, &keys), (parked, &keys)] {
            script.push((sql.into(), vec![account_number.into(), list.clone().into()]));
        }
        if let Some(now) = remembered_at {
            script.push(self.remember_script(account_number, messages, now)?);
        }
        if rows == MessageRows::Removed {
            script.push((delete_statement(dialect).into(), vec![account_number.into(), ids.into()]));
        }
        self.write_erasure(account_number, script).await?;
        let rows = messages.len().saturating_add(sequences.len());
        Ok(u64::try_from(rows).unwrap_or(u64::MAX))
    }

    fn remember_script(
        &self,
        account_number: i64,
        messages: &[ExpiredMessage],
        now: Timestamp,
    ) -> Result<(Sql, Vec<SqlArg>), StoreError> {
        let key = |one: &ExpiredMessage| {
            let own = one.id.to_string();
            ErasedKeyRow::from_key(account_number, one.wamid_key.as_deref().unwrap_or(&own), now.millis())
        };
        let rows: Vec<ErasedKeyRow> = messages.iter().map(key).collect();
        Ok((self.engine.dialect().bulk_text(&INSERT_KEYS).into(), vec![json_array(&rows)?.into()]))
    }

    /// Returns the statements that take the data from these events, and remove what hooks made of them.
    pub(super) fn event_script(
        &self,
        account_number: i64,
        sequences: &[i64],
    ) -> Result<Vec<(Sql, Vec<SqlArg>)>, StoreError> {
        if sequences.is_empty() {
            return Ok(Vec::new());
        }
        let numbers = json_array(sequences)?;
        let bind = |sql: String| (sql.into(), vec![account_number.into(), numbers.clone().into()]);
        Ok(event_statements(self.engine.dialect()).map(bind).into())
    }
}
