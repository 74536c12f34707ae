//! Items that came before the message that they are about: their row, and every statement about them.
//!
//! Invariant: at most one row per message and slot. Rows are deleted when their message appears, by age, or as
//! the oldest of an account that has too many.

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::details_row::ReactionRow;
use super::dialect::{BulkStatement, ColumnKind};
use super::engine::EngineRow;
use super::identity_row::PartyRow;
use super::row::{RowPlace, RowText};
use crate::domain::draft::AccountChanges;
use crate::domain::inbound::{MessageEdit, MessageRevoke, StatusReport};
use crate::domain::message::{MessageError, MessageKind};
use crate::domain::parked::{ParkedChange, ParkedItem};
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;
use crate::ids::MessageId;

const TABLE: &str = "parked_items";

/// Inserts all rows of an array; a row in the same slot is replaced.
pub(super) const UPSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO parked_items (account, wamid_key, slot, item, parked_at) \
SELECT r.account, r.wamid_key, r.slot, r.item, r.parked_at FROM {rows} WHERE true \
ON CONFLICT (account, wamid_key, slot) DO UPDATE SET item = excluded.item, parked_at = excluded.parked_at",
    columns: &[
        ("account", ColumnKind::Int),
        ("wamid_key", ColumnKind::Text),
        ("slot", ColumnKind::Text),
        ("item", ColumnKind::Text),
        ("parked_at", ColumnKind::Int),
    ],
};

/// Deletes the items of all messages of an array, but for the slots that the array keeps, because the same
/// commit writes them.
pub(super) const DELETE: BulkStatement = BulkStatement {
    text: "\
DELETE FROM parked_items \
WHERE (account, wamid_key) IN (SELECT r.account, r.wamid_key FROM {rows} WHERE r.kept IS NULL) \
AND (account, wamid_key, slot) NOT IN \
    (SELECT r.account, r.wamid_key, r.kept FROM {rows} WHERE r.kept IS NOT NULL)",
    columns: &[("account", ColumnKind::Int), ("wamid_key", ColumnKind::Text), ("kept", ColumnKind::Text)],
};

/// The SELECT of every read.
pub(super) const SELECT: &str = "SELECT wamid_key, item FROM parked_items";

/// A row of `parked_items`.
#[derive(Debug, Serialize)]
pub(super) struct ParkedRow<'a> {
    account: i64,
    wamid_key: &'a str,
    slot: String,
    item: ChangeRow<'a>,
    parked_at: i64,
}

impl<'a> ParkedRow<'a> {
    /// Creates the row of an item of this account, parked at `at`.
    pub(super) fn from_item(account: i64, at: Timestamp, item: &'a ParkedItem) -> Self {
        Self {
            account,
            wamid_key: &item.wamid_key,
            slot: item.slot(),
            item: ChangeRow::from_change(&item.change),
            parked_at: at.millis(),
        }
    }
}

/// A message with items that have been applied, or a slot of such a message that stays.
#[derive(Debug, Serialize)]
pub(super) struct UnparkedRow<'a> {
    account: i64,
    wamid_key: &'a str,
    kept: Option<String>,
}

impl<'a> UnparkedRow<'a> {
    /// Creates the rows of a commit.
    pub(super) fn from_changes(account: i64, changes: &'a AccountChanges) -> Vec<Self> {
        let keys = &changes.unparked;
        let applied = keys.iter().map(|wamid_key| Self { account, wamid_key, kept: None });
        let kept = changes.parked.iter().filter(|item| keys.contains(&item.wamid_key));
        let kept = kept.map(|item| Self { account, wamid_key: &item.wamid_key, kept: Some(item.slot()) });
        applied.chain(kept).collect()
    }
}

/// A change, as JSON.
#[derive(Debug, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case")]
enum ChangeRow<'a> {
    Status(Box<StatusRow<'a>>),
    Edit { wamid: RowText<'a>, at: i64, kind: RowText<'a>, content: RowText<'a>, payload: RowText<'a> },
    Revoke { wamid: RowText<'a>, at: i64 },
    Reaction(ReactionRow<'a>),
}

/// A status, as JSON.
#[derive(Debug, Serialize, Deserialize)]
struct StatusRow<'a> {
    wamid: RowText<'a>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    echo: Option<String>,
    status: RowText<'a>,
    at: i64,
    /// Code, text, and WhatsApp's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    error: Option<(RowText<'a>, RowText<'a>, Option<i64>)>,
    refuses_account: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recipient: Option<PartyRow<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pricing: Option<RowText<'a>>,
}

impl<'a> StatusRow<'a> {
    fn from_report(report: &'a StatusReport) -> Self {
        let error = |error: &'a MessageError| {
            (RowText::Borrowed(&*error.code), RowText::Borrowed(&*error.message), error.provider_code)
        };
        Self {
            wamid: RowText::Borrowed(&report.wamid),
            echo: report.echo.map(|id| id.to_string()),
            status: report.status.as_str().into(),
            at: report.at.millis(),
            error: report.error.as_ref().map(error),
            refuses_account: report.refuses_account,
            recipient: report.recipient.as_ref().map(PartyRow::from_party),
            pricing: report.pricing.as_deref().map(RowText::Borrowed),
        }
    }

    fn into_report(self, at: RowPlace<'_>) -> Result<StatusReport, StoreError> {
        let echo = |id: String| at.check_value("item", MessageId::parse(&id).ok());
        let error = |(code, message, provider_code): (RowText<'_>, RowText<'_>, _)| MessageError {
            code: code.into(),
            message: message.into(),
            provider_code,
        };
        Ok(StatusReport {
            wamid: self.wamid.into(),
            echo: self.echo.map(echo).transpose()?,
            status: at.check_value("item", MessageStatus::parse_sighted(&self.status))?,
            at: at.check_time("item", self.at)?,
            error: self.error.map(error),
            refuses_account: self.refuses_account,
            recipient: self.recipient.map(|party| party.into_party(at, "item")).transpose()?,
            pricing: self.pricing.map(Into::into),
        })
    }
}

impl<'a> ChangeRow<'a> {
    fn from_change(change: &'a ParkedChange) -> Self {
        match change {
            ParkedChange::Status(report) => Self::Status(Box::new(StatusRow::from_report(report))),
            ParkedChange::Edit(edit) => Self::Edit {
                wamid: RowText::Borrowed(&edit.wamid),
                at: edit.at.millis(),
                kind: edit.kind.as_str().into(),
                content: RowText::Borrowed(&edit.content),
                payload: RowText::Borrowed(&edit.payload),
            },
            ParkedChange::Revoke(revoke) => {
                Self::Revoke { wamid: RowText::Borrowed(&revoke.wamid), at: revoke.at.millis() }
            }
            ParkedChange::Reaction(reaction) => Self::Reaction(ReactionRow::from_reaction(reaction)),
        }
    }

    fn into_change(self, at: RowPlace<'_>) -> Result<ParkedChange, StoreError> {
        Ok(match self {
            Self::Status(row) => ParkedChange::Status(Box::new(row.into_report(at)?)),
            Self::Edit { wamid, at: ms, kind, content, payload } => ParkedChange::Edit(MessageEdit {
                wamid: wamid.into(),
                at: at.check_time("item", ms)?,
                kind: at.check_value("item", MessageKind::parse(&kind))?,
                content: content.into(),
                payload: payload.into(),
            }),
            Self::Revoke { wamid, at: ms } => {
                ParkedChange::Revoke(MessageRevoke { wamid: wamid.into(), at: at.check_time("item", ms)? })
            }
            Self::Reaction(row) => ParkedChange::Reaction(row.into_reaction(at, "item")?),
        })
    }
}

/// Reads the columns of [`SELECT`].
pub(super) fn read_parked(row: &EngineRow) -> Result<ParkedItem, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let wamid_key = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &wamid_key };
    let item: ChangeRow<'static> = at.check_value("item", serde_json::from_str(&fields.take_text()?).ok())?;
    Ok(ParkedItem { change: item.into_change(at)?, wamid_key: wamid_key.as_str().into() })
}
