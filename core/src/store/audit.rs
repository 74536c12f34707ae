//! The audit log: its row, and every statement that reads or writes it.
//!
//! Invariant: an entry is written in the transaction of its change, and is never written over. A change that is tried
//! again under the same entry leaves one.

use serde::Serialize;

use super::dialect::{BulkStatement, ColumnKind, Dialect};
use super::engine::{EngineRow, Sql, SqlArg};
use super::principal_row::{PrincipalRow, read_principal};
use super::row::{RowPlace, json_array, json_text};
use super::{Store, StoreError};
use crate::domain::audit::{AuditAction, AuditEntry, AuditQuery, AuditTarget, AuditTargetKind};
use crate::domain::page::RowPage;
use crate::domain::time::Timestamp;
use crate::ids::{AuditEntryId, OrganisationId, ulid};

const TABLE: &str = "audit_entries";

const COLUMNS: &str = "id, organisation_id, actor, action, target_kind, target_id, ip, request_id";

/// Inserts all entries of an array.
pub(super) const INSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO audit_entries (id, organisation_id, actor_kind, actor_id, actor, action, target_kind, target_id, ip, request_id) \
SELECT r.id, r.organisation_id, r.actor_kind, r.actor_id, r.actor, r.action, r.target_kind, r.target_id, r.ip, r.request_id \
FROM {rows} WHERE true ON CONFLICT (id) DO NOTHING",
    columns: &[
        ("account", ColumnKind::Int),
        ("id", ColumnKind::Text),
        ("organisation_id", ColumnKind::Text),
        ("actor_kind", ColumnKind::Text),
        ("actor_id", ColumnKind::Text),
        ("actor", ColumnKind::Text),
        ("action", ColumnKind::Text),
        ("target_kind", ColumnKind::Text),
        ("target_id", ColumnKind::Text),
        ("ip", ColumnKind::Text),
        ("request_id", ColumnKind::Text),
    ],
};

/// A row of `audit_entries`.
#[derive(Debug, Serialize)]
pub(super) struct AuditRow<'a> {
    /// Number of the account whose commit writes the entry; it hangs on that commit's fence, and is not stored.
    account: Option<i64>,
    id: String,
    organisation_id: Option<String>,
    actor_kind: &'static str,
    actor_id: Option<&'a str>,
    actor: String,
    action: &'static str,
    target_kind: &'static str,
    target_id: Option<&'a str>,
    ip: Option<String>,
    request_id: Option<&'a str>,
}

impl<'a> AuditRow<'a> {
    /// Creates the row of an entry.
    pub(super) fn from_entry(account: Option<i64>, entry: &'a AuditEntry) -> Result<Self, sqlx::Error> {
        Ok(Self {
            account,
            id: entry.id.to_string(),
            organisation_id: entry.organisation_id.map(|id| id.to_string()),
            actor_kind: entry.actor.kind.as_str(),
            actor_id: entry.actor.id.as_deref(),
            actor: json_text(&PrincipalRow::from_principal(&entry.actor))?,
            action: entry.action.as_str(),
            target_kind: entry.target.kind.as_str(),
            target_id: entry.target.id.as_deref(),
            ip: entry.ip.map(|ip| ip.to_string()),
            request_id: entry.request_id.as_deref(),
        })
    }
}

fn read_entry(row: &EngineRow) -> Result<AuditEntry, StoreError> {
    let mut fields = row.read_fields(TABLE);
    let text = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &text };
    let id = at.check_value("id", AuditEntryId::parse(&text).ok())?;
    let organisation = fields.opt_text()?.map(|id| OrganisationId::parse(&id).ok());
    let organisation = organisation.map(|id| at.check_value("organisation_id", id)).transpose()?;
    let actor = read_principal(at, "actor", &fields.take_text()?)?;
    let action = at.check_value("action", AuditAction::parse(&fields.take_text()?))?;
    let kind = at.check_value("target_kind", AuditTargetKind::parse(&fields.take_text()?))?;
    let target = AuditTarget { kind, id: fields.opt_text()?.map(Into::into) };
    let ip = fields.opt_text()?.map(|ip| at.check_value("ip", ip.parse().ok())).transpose()?;
    let request_id = fields.opt_text()?.map(Into::into);
    Ok(AuditEntry { id, organisation_id: organisation, actor, action, target, ip, request_id })
}

/// Returns the statement and the values of one page, one row longer than the page.
pub(super) fn page_statement(query: &AuditQuery) -> (String, Vec<SqlArg>) {
    let mut sql = format!("SELECT {COLUMNS} FROM {TABLE}");
    let mut args = Vec::new();
    let mut narrow = |condition: &str, value: SqlArg| {
        let word = if args.is_empty() { "WHERE" } else { "AND" };
        args.push(value);
        sql = format!("{sql} {word} {condition} ${}", args.len());
    };
    let filter = &query.filter;
    let first_of = |at: Timestamp| AuditEntryId::from_bits(ulid(at.millis(), 0)).to_string();
    if let Some(id) = filter.organisation_id {
        narrow("organisation_id =", id.to_string().into());
    }
    if let Some(id) = &filter.actor_id {
        narrow("actor_id =", id.as_ref().into());
        if filter.hides_operators {
            narrow("actor_kind <>", "operator".into());
        }
    }
    if let Some(action) = filter.action {
        narrow("action =", action.as_str().into());
    }
    if let Some(id) = &filter.target_id {
        narrow("target_id =", id.as_ref().into());
    }
    if let Some(after) = filter.created_after {
        narrow("id >=", first_of(after.next()).into());
    }
    if let Some(before) = filter.created_before {
        narrow("id <", first_of(before).into());
    }
    if let Some(after) = query.after {
        narrow("id <", after.to_string().into());
    }
    args.push(SqlArg::from(i64::try_from(query.limit.rows() + 1).ok()));
    (format!("{sql} ORDER BY id DESC LIMIT ${}", args.len()), args)
}

/// Returns the statement that appends an entry.
pub(super) fn insert_statement(
    dialect: Dialect,
    entry: &AuditEntry,
) -> Result<(Sql, Vec<SqlArg>), StoreError> {
    let row = AuditRow::from_entry(None, entry)?;
    Ok((dialect.bulk_text(&INSERT).into(), vec![json_array(&[row])?.into()]))
}

impl Store {
    /// Returns a store whose writes leave this entry, in the same transaction. A statement that reports what it has
    /// changed (`RETURNING`) and reports nothing leaves none.
    #[must_use]
    pub fn with_audit(&self, entry: &AuditEntry) -> Self {
        let mut audited = self.clone();
        audited.writer = self.writer.with_audit(entry.clone());
        audited
    }

    /// Appends an entry about what is no write of a row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_audit_entry(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        let (sql, args) = insert_statement(self.engine.dialect(), entry)?;
        self.write_for(entry.organisation_id).write_statement(sql, args).await.map(drop)
    }

    /// Returns a page of the log, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page_audit(&self, query: &AuditQuery) -> Result<RowPage<AuditEntry>, StoreError> {
        let (sql, args) = page_statement(query);
        let rows = self.read_for(query.filter.organisation_id).fetch_rows(sql, args).await?;
        Ok(RowPage::cut_to(rows.iter().map(read_entry).collect::<Result<_, _>>()?, query.limit))
    }
}
