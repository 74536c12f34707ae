//! Lists of runs, and their replay.
//!
//! Invariant: a replayed run keeps its id, its event and its attempts, and restarts its retry schedule. So
//! the effects that it requests again keep their ids.

use std::time::Duration;

use crate::domain::delivery::{Delivery, DeliveryStatus};
use crate::domain::due_time::DueTime;
use crate::domain::event::{EventType, EventTypes};
use crate::domain::page::{RowPage, RunQuery};
use crate::domain::plugin::Plugin;
use crate::domain::run::Run;
use crate::domain::subscriber::SubscriberId;
use crate::domain::time::Timestamp;
use crate::ids::{ContactId, DeliveryId, EventId, IdSource, PluginId, RunId, ulid};
use crate::store::delivery::{self, DeliveryRow};
use crate::store::dialect::{BulkStatement, Dialect};
use crate::store::engine::{EngineRow, SqlArg};
use crate::store::row::{RowPlace, json_array};
use crate::store::{Store, StoreError};

use super::{OWED, OWN, TABLE, read_run};

/// Inserts the runs of an array; existing ones restart.
const OPEN: BulkStatement = BulkStatement {
    text: "\
INSERT INTO plugin_runs (id, plugin_id, organisation_id, account, sequence, event_id, \
    event_type, contact_id, status, attempts, attempt_count, tries, next_attempt_at, created_at, updated_at) \
SELECT r.id, r.subscription_id, r.organisation_id, r.account, r.sequence, r.event_id, \
    r.event_type, r.contact_id, r.status, r.attempts, r.attempt_count, r.tries, r.next_attempt_at, \
    r.created_at, r.updated_at \
FROM {rows} WHERE EXISTS (SELECT 1 FROM plugin_heads WHERE plugin_id = $2) \
ON CONFLICT (plugin_id, account, sequence) DO UPDATE SET status = 'pending', tries = 0, \
    next_attempt_at = excluded.next_attempt_at, updated_at = excluded.updated_at, \
    replays = plugin_runs.replays + 1",
    columns: delivery::INSERT.columns,
};

/// Result of a replay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ReopenedRuns {
    /// Number of runs that were made due.
    pub opened: usize,
    /// Number of the last event among them.
    pub last: Option<i64>,
}

/// Returns the statement and the values of one page, one row longer than the page.
pub(in crate::store) fn page_statement(query: &RunQuery) -> (String, Vec<SqlArg>) {
    let mut sql = format!("SELECT {OWED}, {OWN} FROM plugin_runs WHERE plugin_id = $1");
    let mut args = vec![SqlArg::from(query.plugin_id.to_string())];
    let mut narrow = |condition: &str, value: SqlArg| {
        args.push(value);
        sql = format!("{sql} AND {condition} ${}", args.len());
    };
    let first_of = |at: Timestamp| RunId::from_bits(ulid(at.millis(), 0)).to_string();
    if let Some(status) = query.status {
        narrow("status =", status.as_str().into());
    }
    if let Some(after) = query.created_after {
        narrow("id >=", first_of(after.next()).into());
    }
    if let Some(before) = query.created_before {
        narrow("id <", first_of(before).into());
    }
    if let Some(after) = query.after {
        narrow("id <", after.to_string().into());
    }
    args.push(SqlArg::from(i64::try_from(query.limit.rows() + 1).ok()));
    (format!("{sql} ORDER BY id DESC LIMIT ${}", args.len()), args)
}

/// Returns the statement for columns of events without their subjects.
fn events_statement(dialect: Dialect) -> String {
    format!(
        "SELECT id, sequence, kind, contact_id FROM events WHERE account = $1 AND sequence >= $2 \
         AND sequence <= $3 AND kind {} ORDER BY sequence LIMIT $5",
        dialect.in_texts(4)
    )
}

fn owed(
    row: &EngineRow,
    plugin: &Plugin,
    account: i64,
    ids: &mut dyn IdSource,
    now: Timestamp,
) -> Result<Delivery, StoreError> {
    let mut fields = row.read_fields("events");
    let id = fields.take_text()?;
    let at = RowPlace { table: "events", id: &id };
    let sequence = fields.take_int()?;
    let event_type = at.check_value("kind", EventType::parse(&fields.take_text()?))?;
    let contact_id = fields.opt_text()?.and_then(|id| ContactId::parse(&id).ok());
    Ok(Delivery {
        id: DeliveryId::from_bits(ids.next_bits(now.millis())),
        subscriber: SubscriberId::Hook(plugin.id),
        organisation_id: plugin.organisation_id,
        account,
        sequence,
        event_id: at.check_value("id", EventId::parse(&id).ok())?,
        event_type,
        contact_id: at.check_value("contact_id", contact_id)?,
        status: DeliveryStatus::Pending,
        attempts: Vec::new(),
        attempt_count: 0,
        tries: 0,
        next_attempt_at: Some(DueTime::after_wait(now, Duration::ZERO)),
        created_at: now,
        updated_at: now,
        replays: 0,
    })
}

impl Store {
    /// Returns a page of a plugin's runs, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page_runs(&self, query: &RunQuery) -> Result<RowPage<Run>, StoreError> {
        let (sql, args) = page_statement(query);
        let rows = self.read_for(query.plugin_id).fetch_rows(sql, args).await?;
        let rows = rows.iter().map(|row| read_run(&mut row.read_fields(TABLE))).collect::<Result<_, _>>()?;
        Ok(RowPage::cut_to(rows, query.limit))
    }

    /// Finds a plugin's run.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_run(&self, plugin: PluginId, id: RunId) -> Result<Option<Run>, StoreError> {
        let sql = format!("SELECT {OWED}, {OWN} FROM plugin_runs WHERE id = $1 AND plugin_id = $2");
        let rows = self
            .read_for(plugin)
            .fetch_rows(sql, vec![id.to_string().into(), plugin.to_string().into()])
            .await?;
        rows.first().map(|row| read_run(&mut row.read_fields(TABLE))).transpose()
    }

    /// Makes a run due at `now`, at the beginning of the retry schedule.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reopen_run(&self, plugin: PluginId, id: RunId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE plugin_runs SET status = 'pending', tries = 0, replays = replays + 1, next_attempt_at = $3, \
                   updated_at = CASE WHEN updated_at > $3 THEN updated_at ELSE $3 END \
                   WHERE id = $1 AND plugin_id = $2";
        let args = vec![id.to_string().into(), plugin.to_string().into(), now.millis().into()];
        self.write_for(plugin).write_statement(sql, args).await.map(drop)
    }

    /// Makes the events of these types between two numbers due to a plugin at `now`, whether it has received
    /// them or not; at most `limit`, the oldest first. Events beyond the plugin's cursor are left out,
    /// because its delivery worker takes them in itself.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_runs(
        &self,
        plugin: &Plugin,
        types: EventTypes,
        (account, from, to): (i64, i64, i64),
        limit: usize,
        now: Timestamp,
        ids: &mut dyn IdSource,
    ) -> Result<ReopenedRuns, StoreError> {
        let subscriber = SubscriberId::Hook(plugin.id);
        let place = self.delivery_cursor(subscriber, account).await?;
        let to = to.min(place.map_or(0, |place| place.cursor));
        let words: Vec<&str> = types.iter().map(EventType::as_str).collect();
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let args = vec![account.into(), from.into(), to.into(), json_array(&words)?.into(), limit.into()];
        let rows = self.read_for(plugin.id).fetch_rows(events_statement(self.engine.dialect()), args).await?;
        let owed: Vec<Delivery> =
            rows.iter().map(|row| owed(row, plugin, account, &mut *ids, now)).collect::<Result<_, _>>()?;
        if owed.is_empty() {
            return Ok(ReopenedRuns::default());
        }
        let rows: Vec<DeliveryRow> = owed.iter().map(DeliveryRow::from).collect();
        let args = vec![json_array(&rows)?.into(), plugin.id.to_string().into()];
        self.write_for(plugin.id).write_statement(self.engine.dialect().bulk_text(&OPEN), args).await?;
        Ok(ReopenedRuns { opened: owed.len(), last: owed.last().map(|one| one.sequence) })
    }

    /// Returns the number of an account's first event at or after this instant; one beyond the last when
    /// there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn first_event_since(&self, account: i64, at: Timestamp) -> Result<i64, StoreError> {
        // An account's events are numbered in the order of its clock: a binary search along the key.
        let sql =
            "SELECT COALESCE(MIN(sequence), 0), COALESCE(MAX(sequence), 0) FROM events WHERE account = $1";
        let ends = self.read_for(account).fetch_rows(sql, vec![account.into()]).await?;
        let Some(row) = ends.first() else { return Ok(1) };
        let mut fields = row.read_fields("events");
        let (mut low, mut high) = (fields.take_int()?, fields.take_int()?.saturating_add(1));
        while low < high {
            let middle = low.midpoint(high);
            let sql = "SELECT created_at FROM events WHERE account = $1 AND sequence = $2";
            let rows = self.read_for(account).fetch_rows(sql, vec![account.into(), middle.into()]).await?;
            let created = rows.first().map(|row| row.read_fields("events").take_int()).transpose()?;
            if created.is_some_and(|created| created < at.millis()) {
                low = middle.saturating_add(1);
            } else {
                high = middle;
            }
        }
        Ok(low)
    }
}
