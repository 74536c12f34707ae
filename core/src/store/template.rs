//! Message templates: their row, and every statement that reads or writes it.
//!
//! Invariant: an account has one row of a name in a language.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dialect::{BulkStatement, ColumnKind};
use super::engine::{EngineRow, SqlArg};
use super::row::{RowPlace, RowText};
use super::{Store, StoreError};
use crate::domain::draft::AccountChanges;
use crate::domain::page::{NamedTemplateQuery, RowPage, TemplateQuery};
use crate::domain::template::{Template, TemplateKey, TemplateStatus};
use crate::ids::TemplateId;

/// Name of the table.
pub(super) const TABLE: &str = "templates";

/// Columns of every read, in the order in which [`TemplateRow::read_row`] takes them.
pub(super) const COLUMNS: &str = "id, account, name, language, provider_id, provider_status, category, quality, \
     rejected_reason, components, variables, created_at, updated_at";

/// Reads the names of an account's templates.
pub(super) const SELECT_KEYS: &str = "SELECT id, name, language FROM templates WHERE account = $1";

/// The first row of an account, if it has any.
pub(super) const FIND_ANY: &str = "SELECT id FROM templates WHERE account = $1 LIMIT 1";

/// Inserts and updates all rows of an array.
pub(super) const UPSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO templates (account, id, template_key, name, language, status, provider_id, provider_status, category, \
    quality, rejected_reason, components, variables, created_at, updated_at) \
SELECT r.account, r.id, r.template_key, r.name, r.language, r.status, r.provider_id, r.provider_status, r.category, \
    r.quality, r.rejected_reason, r.components, r.variables, r.created_at, r.updated_at \
FROM {rows} WHERE true \
ON CONFLICT (account, id) DO UPDATE SET status = excluded.status, provider_id = excluded.provider_id, \
    provider_status = excluded.provider_status, category = excluded.category, quality = excluded.quality, \
    rejected_reason = excluded.rejected_reason, components = excluded.components, variables = excluded.variables, \
    created_at = excluded.created_at, updated_at = excluded.updated_at",
    columns: &[
        ("account", ColumnKind::Int),
        ("id", ColumnKind::Text),
        ("template_key", ColumnKind::Text),
        ("name", ColumnKind::Text),
        ("language", ColumnKind::Text),
        ("status", ColumnKind::Text),
        ("provider_id", ColumnKind::Text),
        ("provider_status", ColumnKind::Text),
        ("category", ColumnKind::Text),
        ("quality", ColumnKind::Text),
        ("rejected_reason", ColumnKind::Text),
        ("components", ColumnKind::Text),
        ("variables", ColumnKind::Text),
        ("created_at", ColumnKind::Int),
        ("updated_at", ColumnKind::Int),
    ],
};

/// Deletes all rows of an array.
pub(super) const DELETE: BulkStatement = BulkStatement {
    text: "\
DELETE FROM templates WHERE {listed templates.id = r.id} \
AND (account, id) IN (SELECT r.account, r.id FROM {rows})",
    columns: &[("account", ColumnKind::Int), ("id", ColumnKind::Text)],
};

/// A row of `templates`; also the snapshot of a template in the event log.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct TemplateRow<'a> {
    account: i64,
    id: String,
    /// Written, never read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    template_key: Option<String>,
    name: RowText<'a>,
    language: RowText<'a>,
    /// Written, never read: it follows from Meta's word.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    status: Option<RowText<'a>>,
    provider_id: Option<RowText<'a>>,
    provider_status: RowText<'a>,
    category: Option<RowText<'a>>,
    quality: Option<RowText<'a>>,
    rejected_reason: Option<RowText<'a>>,
    components: Option<RowText<'a>>,
    variables: Option<RowText<'a>>,
    created_at: i64,
    updated_at: i64,
}

impl<'a> TemplateRow<'a> {
    /// Creates the row of a template of this account as an event shows it.
    pub(super) fn from_template(account: i64, template: &'a Template) -> Self {
        let text = |text: &'a Option<Arc<str>>| text.as_deref().map(RowText::Borrowed);
        Self {
            account,
            id: template.id.to_string(),
            template_key: None,
            name: RowText::Borrowed(template.key.name()),
            language: RowText::Borrowed(template.key.language()),
            status: None,
            provider_id: text(&template.provider_id),
            provider_status: RowText::Borrowed(&template.provider_status),
            category: text(&template.category),
            quality: text(&template.quality),
            rejected_reason: text(&template.rejected_reason),
            components: text(&template.components),
            variables: text(&template.variables),
            created_at: template.created_at.millis(),
            updated_at: template.updated_at.millis(),
        }
    }

    /// Creates the row as the table stores it.
    pub(super) fn with_key(account: i64, template: &'a Template) -> Self {
        Self {
            template_key: Some(template.key.to_string()),
            status: Some(template.status().as_str().into()),
            ..Self::from_template(account, template)
        }
    }

    /// Reads [`COLUMNS`].
    fn read_row(row: &EngineRow) -> Result<Self, StoreError> {
        let mut fields = row.read_fields(TABLE);
        Ok(Self {
            id: fields.take_text()?,
            account: fields.take_int()?,
            template_key: None,
            name: fields.take_text()?.into(),
            language: fields.take_text()?.into(),
            status: None,
            provider_id: fields.opt_text()?.map(RowText::Owned),
            provider_status: fields.take_text()?.into(),
            category: fields.opt_text()?.map(RowText::Owned),
            quality: fields.opt_text()?.map(RowText::Owned),
            rejected_reason: fields.opt_text()?.map(RowText::Owned),
            components: fields.opt_text()?.map(RowText::Owned),
            variables: fields.opt_text()?.map(RowText::Owned),
            created_at: fields.take_int()?,
            updated_at: fields.take_int()?,
        })
    }

    /// Converts the row into a template.
    pub(super) fn into_template(self) -> Result<Template, StoreError> {
        let at = RowPlace { table: TABLE, id: &self.id };
        Ok(Template {
            id: at.check_value("id", TemplateId::parse(&self.id).ok())?,
            key: at.check_value("name", TemplateKey::parse(&self.name, &self.language))?,
            provider_id: self.provider_id.map(Arc::from),
            provider_status: self.provider_status.into(),
            category: self.category.map(Arc::from),
            quality: self.quality.map(Arc::from),
            rejected_reason: self.rejected_reason.map(Arc::from),
            components: self.components.map(Arc::from),
            variables: self.variables.map(Arc::from),
            created_at: at.check_time("created_at", self.created_at)?,
            updated_at: at.check_time("updated_at", self.updated_at)?,
        })
    }
}

/// A template to be deleted.
#[derive(Debug, Serialize)]
pub(super) struct RemovedTemplateRow {
    account: i64,
    id: String,
}

impl RemovedTemplateRow {
    /// Lists the templates that a commit removes.
    pub(super) fn from_changes(account: i64, changes: &AccountChanges) -> impl Iterator<Item = Self> {
        changes.removed_templates.keys().map(move |id| Self { account, id: id.to_string() })
    }
}

/// Reads templates from rows that hold [`COLUMNS`].
pub(super) fn read_all(rows: &[EngineRow]) -> Result<Vec<Arc<Template>>, StoreError> {
    rows.iter().map(|row| Ok(Arc::new(TemplateRow::read_row(row)?.into_template()?))).collect()
}

/// Returns the statement and the values of one page, one row longer than the page.
pub(super) fn page_statement(account: i64, query: &TemplateQuery) -> (String, Vec<SqlArg>) {
    let mut sql = format!("SELECT {COLUMNS} FROM templates WHERE account = $1");
    let mut args = vec![SqlArg::from(account)];
    let status = query.status.map(TemplateStatus::as_str);
    let after = query.after.map(|id| id.to_string());
    for (condition, value) in
        [("status =", status), ("language =", query.language.as_deref()), ("id <", after.as_deref())]
    {
        if let Some(value) = value {
            args.push(value.into());
            sql = format!("{sql} AND {condition} ${}", args.len());
        }
    }
    args.push(SqlArg::from(i64::try_from(query.limit.rows() + 1).ok()));
    let sql = format!("{sql} ORDER BY id DESC LIMIT ${}", args.len());
    (sql, args)
}

/// Returns the statement and the values for the templates of a name: two of them at most.
pub(super) fn named_statement(account: i64, query: &NamedTemplateQuery) -> (String, Vec<SqlArg>) {
    let mut sql = format!("SELECT {COLUMNS} FROM templates WHERE account = $1 AND name = $2");
    let mut args = vec![SqlArg::from(account), (&*query.name).into()];
    if let Some(language) = &query.language {
        args.push((&**language).into());
        sql.push_str(" AND language = $3");
    }
    sql.push_str(" LIMIT 2");
    (sql, args)
}

impl Store {
    /// Returns a page of templates, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page_templates(
        &self,
        account_number: i64,
        query: &TemplateQuery,
    ) -> Result<RowPage<Arc<Template>>, StoreError> {
        let (sql, args) = page_statement(account_number, query);
        let rows = read_all(&self.read_for(account_number).fetch_rows(sql, args).await?)?;
        Ok(RowPage::cut_to(rows, query.limit))
    }

    /// Returns the templates of a name, and of a language if the query names one: two of them at most.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn templates_of_name(
        &self,
        account_number: i64,
        query: &NamedTemplateQuery,
    ) -> Result<Vec<Arc<Template>>, StoreError> {
        let (sql, args) = named_statement(account_number, query);
        read_all(&self.read_for(account_number).fetch_rows(sql, args).await?)
    }

    /// Returns the names and languages of all templates of an account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn template_keys(&self, account_number: i64) -> Result<Vec<TemplateKey>, StoreError> {
        let rows = self.read_for(account_number).fetch_rows(SELECT_KEYS, vec![account_number.into()]).await?;
        let read = |row: &EngineRow| {
            let mut fields = row.read_fields(TABLE);
            let id = fields.take_text()?;
            let (name, language) = (fields.take_text()?, fields.take_text()?);
            RowPlace { table: TABLE, id: &id }.check_value("name", TemplateKey::parse(&name, &language))
        };
        rows.iter().map(read).collect()
    }
}
