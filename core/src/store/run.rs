//! Runs of hooks: their row, their lists, and the record of their outcomes.
//!
//! Invariant: a batch of runs of one plugin is recorded whole, with their changes to its keys and values,
//! their effects and their logs, or not at all. It passes the gate only if each run is at the attempt before,
//! and the keys and values are at the revision that the runs saw.

mod log;
mod page;

use serde::Serialize;

use super::delivery::{self, DeliveryRow};
use super::dialect::{BulkStatement, ColumnKind};
use super::effect::{self, NewEffectRow};
use super::engine::{RowFields, Sql, SqlArg};
use super::kv::{self, DeleteRow, PutRow};
use super::row::{RowPlace, json_array};
use super::{Store, StoreError};
use crate::domain::delivery::Delivery;
use crate::domain::effect::{Effect, EffectId};
use crate::domain::key_values::KvChanges;
use crate::domain::run::{LogLine, Run, RunUsage};
use crate::ids::{PluginId, PluginVersionId};

pub use self::page::ReopenedRuns;
#[cfg(test)]
pub(super) use self::{log::page_statement as log_page_statement, page::page_statement};

const TABLE: &str = "plugin_runs";

/// The delivery's columns.
const OWED: &str = "id, plugin_id, organisation_id, account, sequence, event_id, event_type, contact_id, \
     status, attempts, attempt_count, tries, next_attempt_at, created_at, updated_at, replays";
/// Columns that only runs have.
const OWN: &str = "version_id, cpu_us, wall_us, host_calls, memory_bytes";

/// Inserts all rows of an array, if the subscriber's cursor has just been moved past their events. An event that was
/// erased since it was read gets no run.
pub(super) const INSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO plugin_runs (id, plugin_id, organisation_id, account, sequence, event_id, \
    event_type, contact_id, status, attempts, attempt_count, tries, next_attempt_at, created_at, updated_at) \
SELECT r.id, r.subscription_id, r.organisation_id, r.account, r.sequence, r.event_id, \
    r.event_type, r.contact_id, r.status, r.attempts, r.attempt_count, r.tries, r.next_attempt_at, \
    r.created_at, r.updated_at \
FROM {rows} WHERE EXISTS (SELECT 1 FROM delivery_cursors \
    WHERE subscriber = $2 AND account = $3 AND cursor = $4) \
AND NOT EXISTS (SELECT 1 FROM events e WHERE e.account = r.account AND e.sequence = r.sequence \
    AND e.snapshot = '{}') \
ON CONFLICT (plugin_id, account, sequence) DO NOTHING",
    columns: delivery::INSERT.columns,
};

/// Makes other recorders of the plugin wait until this one has committed.
const LOCK: &str = "UPDATE plugin_heads SET gate = '' WHERE plugin_id = $1";

/// Passes or refuses a batch.
pub(super) const GATE: BulkStatement = BulkStatement {
    text: "\
UPDATE plugin_heads SET gate = $3, kv_revision = kv_revision + $5 \
WHERE plugin_id = $2 AND ($4 < 0 OR kv_revision = $4) AND $6 = (SELECT COUNT(*) FROM {rows} \
    JOIN plugin_runs h ON {same h.id = r.id} AND h.attempt_count = r.attempt_count - 1) \
RETURNING kv_revision",
    columns: &[("id", ColumnKind::Text), ("attempt_count", ColumnKind::Int)],
};

/// Writes the outcomes of attempts, if their batch has passed the gate. A run that was replayed during the
/// attempt gets the attempt, and stays due.
pub(super) const RECORD: BulkStatement = BulkStatement {
    text: "\
UPDATE plugin_runs SET attempts = r.attempts, attempt_count = r.attempt_count, \
    status = CASE WHEN plugin_runs.replays = r.replays THEN r.status ELSE plugin_runs.status END, \
    tries = CASE WHEN plugin_runs.replays = r.replays THEN r.tries ELSE plugin_runs.tries END, \
    next_attempt_at = CASE WHEN plugin_runs.replays = r.replays THEN r.next_attempt_at \
        ELSE plugin_runs.next_attempt_at END, \
    updated_at = CASE WHEN plugin_runs.replays = r.replays OR plugin_runs.updated_at < r.updated_at \
        THEN r.updated_at ELSE plugin_runs.updated_at END, \
    version_id = COALESCE(r.version_id, plugin_runs.version_id), cpu_us = r.cpu_us, wall_us = r.wall_us, \
    host_calls = r.host_calls, memory_bytes = r.memory_bytes \
FROM {rows} WHERE {same plugin_runs.id = r.id} \
AND EXISTS (SELECT 1 FROM plugin_heads WHERE plugin_id = $2 AND gate = $3)",
    columns: &[
        ("id", ColumnKind::Text),
        ("status", ColumnKind::Text),
        ("attempts", ColumnKind::Text),
        ("attempt_count", ColumnKind::Int),
        ("tries", ColumnKind::Int),
        ("next_attempt_at", ColumnKind::Int),
        ("updated_at", ColumnKind::Int),
        ("replays", ColumnKind::Int),
        ("version_id", ColumnKind::Text),
        ("cpu_us", ColumnKind::Int),
        ("wall_us", ColumnKind::Int),
        ("host_calls", ColumnKind::Int),
        ("memory_bytes", ColumnKind::Int),
    ],
};

/// Outcome of one attempt.
#[derive(Debug, Clone)]
pub struct RunRecord {
    /// The run after the attempt.
    pub delivery: Delivery,
    /// The version that ran; `None` when none did.
    pub version_id: Option<PluginVersionId>,
    /// Resource usage.
    pub usage: RunUsage,
    /// Lines of its log.
    pub logs: Vec<LogLine>,
    /// Effects that it requests.
    pub effects: Vec<Effect>,
    /// Bits of the log's id.
    pub log_bits: u128,
}

/// Runs of one plugin that are recorded together.
#[derive(Debug)]
pub struct RunBatch<'a> {
    /// The plugin.
    pub plugin: PluginId,
    /// A token that no other batch has.
    pub token: &'a str,
    /// The revision of the keys and values that the runs saw; `None` when they neither read nor wrote any.
    pub kv_revision: Option<i64>,
    /// Changed keys.
    pub kv: KvChanges,
    /// The runs.
    pub runs: &'a [RunRecord],
}

#[derive(Debug, Serialize)]
struct RecordRow {
    #[serde(flatten)]
    owed: DeliveryRow,
    version_id: Option<String>,
    cpu_us: i64,
    wall_us: i64,
    host_calls: i64,
    memory_bytes: i64,
}

impl From<&RunRecord> for RecordRow {
    fn from(one: &RunRecord) -> Self {
        let int = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
        Self {
            owed: DeliveryRow::from(&one.delivery),
            version_id: one.version_id.map(|id| id.to_string()),
            cpu_us: int(one.usage.cpu_us),
            wall_us: int(one.usage.wall_us),
            host_calls: int(one.usage.host_calls),
            memory_bytes: int(one.usage.memory_peak_bytes),
        }
    }
}

/// Reads [`OWED`] and [`OWN`].
fn read_run(fields: &mut RowFields<'_>) -> Result<Run, StoreError> {
    let delivery = delivery::read_delivery(fields, TABLE)?;
    let id = delivery.shown_id();
    let at = RowPlace { table: TABLE, id: &id };
    let version_id = match fields.opt_text()? {
        None => None,
        Some(text) => Some(at.check_value("version_id", PluginVersionId::parse(&text).ok())?),
    };
    let mut figure = |column| match fields.opt_int()? {
        None => Ok(None),
        Some(value) => at.check_value(column, u64::try_from(value).ok()).map(Some),
    };
    let figures = [figure("cpu_us")?, figure("wall_us")?, figure("host_calls")?, figure("memory_bytes")?];
    let usage = match figures {
        [Some(cpu_us), Some(wall_us), Some(host_calls), Some(memory_peak_bytes)] => {
            Some(RunUsage { cpu_us, wall_us, host_calls, memory_peak_bytes })
        }
        _ => None,
    };
    Ok(Run { delivery, version_id, usage })
}

/// Returns the statement for a delivery worker's open runs.
pub(super) fn open_statement() -> String {
    format!(
        "SELECT {OWED} FROM plugin_runs WHERE plugin_id = $1 AND account = $2 \
         AND sequence > $3 AND next_attempt_at IS NOT NULL ORDER BY sequence LIMIT $4"
    )
}

impl Store {
    /// Records the outcomes of attempts at a plugin's runs, and returns the new revision of its keys and
    /// values. `None`, and nothing is written, when a run, or the keys and values, have changed since.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_runs(&self, batch: &RunBatch<'_>) -> Result<Option<i64>, StoreError> {
        let dialect = self.engine.dialect();
        let plugin = batch.plugin.to_string();
        let rows: Vec<RecordRow> = batch.runs.iter().map(RecordRow::from).collect();
        let rows = json_array(&rows)?;
        let count = i64::try_from(batch.runs.len()).unwrap_or(i64::MAX);
        let gate = vec![
            rows.clone().into(),
            plugin.as_str().into(),
            batch.token.into(),
            batch.kv_revision.unwrap_or(-1).into(),
            i64::from(!batch.kv.is_empty()).into(),
            count.into(),
        ];
        let mut script: Vec<(Sql, Vec<SqlArg>)> =
            vec![(LOCK.into(), vec![plugin.as_str().into()]), (dialect.bulk_text(&GATE).into(), gate)];
        let mut add = |bulk: &BulkStatement, rows: String| {
            script.push((
                dialect.bulk_text(bulk).into(),
                vec![rows.into(), plugin.as_str().into(), batch.token.into()],
            ));
        };
        add(&RECORD, rows);
        let puts: Vec<PutRow<'_>> = batch
            .kv
            .iter()
            .filter_map(|(key, value)| Some(PutRow::from_write(key, value.as_ref()?)))
            .collect();
        if !puts.is_empty() {
            add(&kv::PUT, json_array(&puts)?);
        }
        let deletes: Vec<DeleteRow<'_>> =
            batch.kv.iter().filter(|(_, value)| value.is_none()).map(|(key, _)| DeleteRow { key }).collect();
        if !deletes.is_empty() {
            add(&kv::DELETE, json_array(&deletes)?);
        }
        let effects: Vec<NewEffectRow> = batch.runs.iter().flat_map(effects_of).collect();
        if !effects.is_empty() {
            add(&effect::INSERT, json_array(&effects)?);
        }
        let logs: Vec<log::NewLogRow> = batch.runs.iter().filter_map(log::NewLogRow::from_run).collect();
        if !logs.is_empty() {
            add(&log::INSERT, json_array(&logs)?);
        }
        let passed = self.write_for(batch.plugin).write_script(script, 1).await?;
        passed.first().map(|row| row.read_fields("plugin_heads").take_int()).transpose()
    }
}

fn effects_of(run: &RunRecord) -> impl Iterator<Item = NewEffectRow> + '_ {
    let owed = &run.delivery;
    run.effects.iter().zip(0_u32..).map(|(effect, ordinal)| {
        let id = EffectId { run: owed.id.into(), ordinal };
        NewEffectRow::from_effect(id, owed.account, owed.sequence, effect, owed.updated_at)
    })
}
