//! Statuses that arrived before their message: their row, and every statement about them.
//!
//! Invariant: at most one row per message and status, the first. Rows are deleted when their message appears,
//! or by age.

use serde::Serialize;

use super::StoreError;
use super::dialect::{BulkStatement, ColumnKind};
use super::engine::EngineRow;
use super::row::RowPlace;
use crate::domain::message::{MessageError, StatusReport};
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;
use crate::ids::MessageId;

const TABLE: &str = "parked_statuses";

/// Inserts all rows of an array that are not stored yet.
pub(super) const INSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO parked_statuses (account, wamid, status, echo, reported_at, error_code, error_message, \
    provider_code, parked_at) \
SELECT r.account, r.wamid, r.status, r.echo, r.reported_at, r.error_code, r.error_message, \
    r.provider_code, r.parked_at \
FROM {rows} WHERE true \
ON CONFLICT (account, wamid, status) DO NOTHING",
    columns: &[
        ("account", ColumnKind::Int),
        ("wamid", ColumnKind::Text),
        ("status", ColumnKind::Text),
        ("echo", ColumnKind::Text),
        ("reported_at", ColumnKind::Int),
        ("error_code", ColumnKind::Text),
        ("error_message", ColumnKind::Text),
        ("provider_code", ColumnKind::Int),
        ("parked_at", ColumnKind::Int),
    ],
};

/// Deletes the statuses of all messages of an array.
pub(super) const DELETE: BulkStatement = BulkStatement {
    text: "\
DELETE FROM parked_statuses WHERE (account, wamid) IN (SELECT r.account, r.wamid FROM {rows})",
    columns: &[("account", ColumnKind::Int), ("wamid", ColumnKind::Text)],
};

/// The SELECT of every read.
pub(super) const SELECT: &str = "SELECT wamid, status, echo, reported_at, error_code, error_message, \
     provider_code FROM parked_statuses";

/// A row of `parked_statuses`.
#[derive(Debug, Serialize)]
pub(super) struct ParkedRow<'a> {
    account: i64,
    wamid: &'a str,
    status: &'static str,
    echo: Option<String>,
    reported_at: i64,
    error_code: Option<&'a str>,
    error_message: Option<&'a str>,
    provider_code: Option<i64>,
    parked_at: i64,
}

impl<'a> ParkedRow<'a> {
    /// Creates the row of a status of this account, parked at `at`.
    pub(super) fn from_status(account: i64, at: Timestamp, report: &'a StatusReport) -> Self {
        let error = report.error.as_ref();
        Self {
            account,
            wamid: &report.wamid,
            status: report.status.as_str(),
            echo: report.echo.map(|id| id.to_string()),
            reported_at: report.at.millis(),
            error_code: error.map(|error| &*error.code),
            error_message: error.map(|error| &*error.message),
            provider_code: error.and_then(|error| error.provider_code),
            parked_at: at.millis(),
        }
    }
}

/// A message with statuses that have been applied.
#[derive(Debug, Serialize)]
pub(super) struct UnparkedRow<'a> {
    /// The account's number.
    pub(super) account: i64,
    /// WhatsApp's id.
    pub(super) wamid: &'a str,
}

/// Reads the columns of [`SELECT`].
pub(super) fn read_parked(row: &EngineRow) -> Result<StatusReport, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let wamid = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &wamid };
    let status = at.check_value("status", MessageStatus::parse(&fields.take_text()?))?;
    let echo = fields.opt_text()?.map(|id| at.check_value("echo", MessageId::parse(&id).ok())).transpose()?;
    let reported_at = at.check_time("reported_at", fields.take_int()?)?;
    let (code, message, provider_code) = (fields.opt_text()?, fields.opt_text()?, fields.opt_int()?);
    let error = match (code, message) {
        (Some(code), Some(message)) => {
            Some(MessageError { code: code.into(), message: message.into(), provider_code })
        }
        (None, None) => None,
        (Some(_), None) | (None, Some(_)) => return Err(at.corrupt_column("error_code")),
    };
    Ok(StatusReport { wamid: wamid.into(), echo, status, at: reported_at, error })
}
