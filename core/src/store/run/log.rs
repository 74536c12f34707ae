//! Logs of runs: one row per attempt that wrote log lines.

use serde::Serialize;

use crate::domain::page::{RowPage, RunLogQuery};
use crate::domain::run::{LogLevel, LogLine, RunLog};
use crate::ids::{PluginVersionId, RunId, RunLogId};
use crate::store::dialect::{BulkStatement, ColumnKind};
use crate::store::engine::{EngineRow, SqlArg};
use crate::store::row::RowPlace;
use crate::store::{Store, StoreError};

use super::RunRecord;

const TABLE: &str = "plugin_run_logs";

/// Inserts the logs of an array, if their batch has passed the gate.
pub(super) const INSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO plugin_run_logs (id, plugin_id, run_id, version_id, attempt, lines, created_at) \
SELECT r.id, $2, r.run_id, r.version_id, r.attempt, r.lines, r.created_at FROM {rows} \
WHERE EXISTS (SELECT 1 FROM plugin_heads WHERE plugin_id = $2 AND gate = $3)",
    columns: &[
        ("id", ColumnKind::Text),
        ("run_id", ColumnKind::Text),
        ("version_id", ColumnKind::Text),
        ("attempt", ColumnKind::Int),
        ("lines", ColumnKind::Text),
        ("created_at", ColumnKind::Int),
    ],
};

#[derive(Debug, Serialize)]
pub(super) struct NewLogRow<'a> {
    id: String,
    run_id: String,
    version_id: String,
    attempt: u32,
    lines: Vec<(i64, &'static str, &'a str)>,
    created_at: i64,
}

impl<'a> NewLogRow<'a> {
    /// Creates the row of a run's log; `None` when the run wrote none.
    pub(super) fn from_run(run: &'a RunRecord) -> Option<Self> {
        let version_id = run.version_id.filter(|_| !run.logs.is_empty())?;
        Some(Self {
            id: RunLogId::from_bits(run.log_bits).to_string(),
            run_id: RunId::from(run.delivery.id).to_string(),
            version_id: version_id.to_string(),
            attempt: run.delivery.attempt_count,
            lines: run.logs.iter().map(|line| (line.at.millis(), line.level.as_str(), &*line.text)).collect(),
            created_at: run.delivery.updated_at.millis(),
        })
    }
}

/// Time, level, text.
type LineRow = (i64, String, String);

fn read_log(row: &EngineRow) -> Result<RunLog, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    let line = |(ms, level, text): LineRow| {
        let line_at = at.check_time("lines", ms).ok()?;
        Some(LogLine { at: line_at, level: LogLevel::parse(&level)?, text: text.into() })
    };
    Ok(RunLog {
        id: at.check_value("id", RunLogId::parse(&id).ok())?,
        run_id: at.check_value("run_id", RunId::parse(&fields.take_text()?).ok())?,
        version_id: at.check_value("version_id", PluginVersionId::parse(&fields.take_text()?).ok())?,
        attempt: at.check_count("attempt", fields.take_int()?)?,
        lines: {
            let lines: Option<Vec<LineRow>> = serde_json::from_str(&fields.take_text()?).ok();
            at.check_value("lines", lines.and_then(|lines| lines.into_iter().map(line).collect()))?
        },
        at: at.check_time("created_at", fields.take_int()?)?,
    })
}

/// Returns the statement and the values of one page, one row longer than the page.
pub(in crate::store) fn page_statement(query: &RunLogQuery) -> (String, Vec<SqlArg>) {
    let mut sql = "SELECT id, run_id, version_id, attempt, lines, created_at FROM plugin_run_logs \
                   WHERE plugin_id = $1"
        .to_owned();
    let mut args = vec![SqlArg::from(query.plugin_id.to_string())];
    let mut narrow = |condition: &str, value: String| {
        args.push(value.into());
        sql = format!("{sql} AND {condition} ${}", args.len());
    };
    if let Some(run) = query.run_id {
        narrow("run_id =", run.to_string());
    }
    if let Some(after) = query.after {
        narrow("id <", after.to_string());
    }
    args.push(SqlArg::from(i64::try_from(query.limit.rows() + 1).ok()));
    (format!("{sql} ORDER BY id DESC LIMIT ${}", args.len()), args)
}

impl Store {
    /// Returns a page of a plugin's logs, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn run_logs(&self, query: &RunLogQuery) -> Result<RowPage<RunLog>, StoreError> {
        let (sql, args) = page_statement(query);
        let rows = self
            .read_for(query.plugin_id)
            .fetch_rows(sql, args)
            .await?
            .iter()
            .map(read_log)
            .collect::<Result<_, _>>()?;
        Ok(RowPage::cut_to(rows, query.limit))
    }
}
