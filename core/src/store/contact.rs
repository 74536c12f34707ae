//! Contacts: their row, and every statement that reads or writes it.
//!
//! Invariant: `search_text` holds name, number and address as `fold_text` of `domain::page` folds them. A
//! contact's number never changes.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dialect::{BulkStatement, ColumnKind, Dialect};
use super::engine::{EngineRow, SqlArg};
use super::row::{RowPlace, RowText};
use super::{Store, StoreError};
use crate::domain::contact::Contact;
use crate::domain::page::{ContactQuery, RowPage, fold_text};
use crate::ids::ContactId;

/// Name of the table.
pub(super) const TABLE: &str = "contacts";

/// Columns of every read, in the order in which [`ContactRow::read_row`] takes them.
pub(super) const COLUMNS: &str = "id, account, phone, name, email, metadata, created_at, updated_at";

/// Inserts and updates all rows of an array.
pub(super) const UPSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO contacts (account, id, phone, name, email, metadata, search_text, created_at, updated_at) \
SELECT r.account, r.id, r.phone, r.name, r.email, r.metadata, r.search_text, r.created_at, r.updated_at \
FROM {rows} WHERE true \
ON CONFLICT (account, id) DO UPDATE SET name = excluded.name, email = excluded.email, \
    metadata = excluded.metadata, search_text = excluded.search_text, updated_at = excluded.updated_at",
    columns: &[
        ("account", ColumnKind::Int),
        ("id", ColumnKind::Text),
        ("phone", ColumnKind::Text),
        ("name", ColumnKind::Text),
        ("email", ColumnKind::Text),
        ("metadata", ColumnKind::Text),
        ("search_text", ColumnKind::Text),
        ("created_at", ColumnKind::Int),
        ("updated_at", ColumnKind::Int),
    ],
};

/// A row of `contacts`; also the snapshot of a contact in the event log.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ContactRow<'a> {
    account: i64,
    id: String,
    phone: RowText<'a>,
    name: Option<RowText<'a>>,
    email: Option<RowText<'a>>,
    metadata: RowText<'a>,
    /// Written, never read.
    #[serde(skip_serializing_if = "Option::is_none")]
    search_text: Option<String>,
    created_at: i64,
    updated_at: i64,
}

impl<'a> ContactRow<'a> {
    /// Creates the row of a contact of this account, without its search text.
    pub(super) fn from_contact(account: i64, contact: &'a Contact) -> Self {
        Self {
            account,
            id: contact.id.to_string(),
            phone: contact.phone.as_str().into(),
            name: contact.name.as_deref().map(RowText::Borrowed),
            email: contact.email.as_deref().map(RowText::Borrowed),
            metadata: RowText::Borrowed(&contact.metadata),
            search_text: None,
            created_at: contact.created_at.millis(),
            updated_at: contact.updated_at.millis(),
        }
    }

    /// Creates the row as the table stores it.
    pub(super) fn with_search(account: i64, contact: &'a Contact) -> Self {
        let name = contact.name.as_deref().unwrap_or_default();
        let email = contact.email.as_deref().unwrap_or_default();
        let text = fold_text(&format!("{name}\n{}\n{email}", contact.phone));
        Self { search_text: Some(text), ..Self::from_contact(account, contact) }
    }

    /// Reads [`COLUMNS`].
    fn read_row(row: &EngineRow) -> Result<Self, StoreError> {
        let mut fields = row.read_fields(TABLE);
        Ok(Self {
            id: fields.take_text()?,
            account: fields.take_int()?,
            phone: fields.take_text()?.into(),
            name: fields.opt_text()?.map(RowText::Owned),
            email: fields.opt_text()?.map(RowText::Owned),
            metadata: fields.take_text()?.into(),
            search_text: None,
            created_at: fields.take_int()?,
            updated_at: fields.take_int()?,
        })
    }

    /// Converts the row into a contact.
    pub(super) fn into_contact(self) -> Result<Contact, StoreError> {
        let at = RowPlace { table: TABLE, id: &self.id };
        Ok(Contact {
            id: at.check_value("id", ContactId::parse(&self.id).ok())?,
            phone: at.check_phone("phone", &self.phone)?,
            name: self.name.map(Arc::from),
            email: self.email.map(Arc::from),
            metadata: self.metadata.into(),
            created_at: at.check_time("created_at", self.created_at)?,
            updated_at: at.check_time("updated_at", self.updated_at)?,
        })
    }
}

/// Reads contacts from rows that hold [`COLUMNS`].
pub(super) fn read_all(rows: &[EngineRow]) -> Result<Vec<Arc<Contact>>, StoreError> {
    rows.iter().map(|row| Ok(Arc::new(ContactRow::read_row(row)?.into_contact()?))).collect()
}

/// Returns the statement and the values of one page, one row longer than the page.
pub(super) fn page_statement(dialect: Dialect, account: i64, query: &ContactQuery) -> (String, Vec<SqlArg>) {
    let mut sql = format!("SELECT {COLUMNS} FROM contacts WHERE account = $1");
    let mut args = vec![SqlArg::from(account)];
    if let Some(phone) = &query.phone {
        args.push(phone.as_str().into());
        sql = format!("{sql} AND phone = ${}", args.len());
    }
    if let Some(text) = &query.search {
        args.push(fold_text(text).into());
        sql = format!("{sql} AND {}", dialect.text_contains("search_text", args.len()));
    }
    if let Some(after) = query.after {
        args.push(after.to_string().into());
        sql = format!("{sql} AND id < ${}", args.len());
    }
    args.push(SqlArg::from(i64::try_from(query.limit.rows() + 1).ok()));
    let sql = format!("{sql} ORDER BY id DESC LIMIT ${}", args.len());
    (sql, args)
}

impl Store {
    /// Returns a page of contacts, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page_contacts(
        &self,
        account_number: i64,
        query: &ContactQuery,
    ) -> Result<RowPage<Arc<Contact>>, StoreError> {
        let (sql, args) = page_statement(self.engine.dialect(), account_number, query);
        let rows = self.engine.fetch_rows(sql, args).await?;
        Ok(RowPage::cut_to(read_all(&rows)?, query.limit))
    }

    /// Finds a contact.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_contact(
        &self,
        account_number: i64,
        id: ContactId,
    ) -> Result<Option<Arc<Contact>>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM contacts WHERE account = $1 AND id = $2");
        let rows = self.engine.fetch_rows(sql, vec![account_number.into(), id.to_string().into()]).await?;
        Ok(read_all(&rows)?.pop())
    }
}
