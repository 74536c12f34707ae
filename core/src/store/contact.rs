//! Contacts: their row, and every statement that reads or writes it. Searches are in `search`.
//!
//! Invariants: `search_text` holds name, identifiers, username and email address as `fold_text` of
//! `domain::page` folds them. A contact that was merged into another one is found by its id, and is in no list.

pub(super) mod search;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::dialect::{BulkStatement, ColumnKind, Dialect};
use super::engine::{EngineRow, SqlArg};
use super::identity_row::IdentityRow;
use super::row::{RowPlace, RowText, instant_millis};
use super::{Store, StoreError};
use crate::domain::contact::{Contact, NameOrigin};
use crate::domain::identity::{ContactKind, Identifier, IdentifierKey};
use crate::domain::page::{ContactQuery, RowPage, fold_text};
use crate::ids::ContactId;

/// Name of the table.
pub(super) const TABLE: &str = "contacts";

/// Columns of every read of a table called `k`, in the order in which [`ContactRow::read_row`] takes them.
pub(super) const COLUMNS: &str = "k.id, k.account, k.kind, k.identity, k.name, k.name_origin, k.email, \
     k.metadata, k.marketing_opted_out_at, k.merged_into, k.created_at, k.updated_at";

/// Inserts and updates all rows of an array.
pub(super) const UPSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO contacts (account, id, kind, identity, name, name_origin, email, metadata, \
    marketing_opted_out_at, merged_into, search_text, created_at, updated_at) \
SELECT r.account, r.id, r.kind, r.identity, r.name, r.name_origin, r.email, r.metadata, \
    r.marketing_opted_out_at, r.merged_into, r.search_text, r.created_at, r.updated_at \
FROM {rows} WHERE true \
ON CONFLICT (account, id) DO UPDATE SET identity = excluded.identity, name = excluded.name, \
    name_origin = excluded.name_origin, email = excluded.email, metadata = excluded.metadata, \
    marketing_opted_out_at = excluded.marketing_opted_out_at, merged_into = excluded.merged_into, \
    search_text = excluded.search_text, updated_at = excluded.updated_at",
    columns: &[
        ("account", ColumnKind::Int),
        ("id", ColumnKind::Text),
        ("kind", ColumnKind::Text),
        ("identity", ColumnKind::Text),
        ("name", ColumnKind::Text),
        ("name_origin", ColumnKind::Text),
        ("email", ColumnKind::Text),
        ("metadata", ColumnKind::Text),
        ("marketing_opted_out_at", ColumnKind::Int),
        ("merged_into", ColumnKind::Text),
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
    kind: RowText<'a>,
    identity: IdentityRow<'a>,
    name: Option<RowText<'a>>,
    name_origin: RowText<'a>,
    email: Option<RowText<'a>>,
    metadata: RowText<'a>,
    marketing_opted_out_at: Option<i64>,
    merged_into: Option<String>,
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
            kind: contact.kind.as_str().into(),
            identity: IdentityRow::from_identity(&contact.identity),
            name: contact.name.as_deref().map(RowText::Borrowed),
            name_origin: contact.name_origin.as_str().into(),
            email: contact.email.as_deref().map(RowText::Borrowed),
            metadata: RowText::Borrowed(&contact.metadata),
            marketing_opted_out_at: instant_millis(contact.marketing_opted_out_at),
            merged_into: contact.merged_into.map(|id| id.to_string()),
            search_text: None,
            created_at: contact.created_at.millis(),
            updated_at: contact.updated_at.millis(),
        }
    }

    /// Creates the row as the table stores it.
    pub(super) fn with_search(account: i64, contact: &'a Contact) -> Self {
        Self { search_text: Some(search_text(contact)), ..Self::from_contact(account, contact) }
    }

    /// Reads [`COLUMNS`].
    fn read_row(row: &EngineRow) -> Result<Self, StoreError> {
        let mut fields = row.read_fields(TABLE);
        let id = fields.take_text()?;
        let place = RowPlace { table: TABLE, id: &id };
        Ok(Self {
            account: fields.take_int()?,
            kind: fields.take_text()?.into(),
            identity: IdentityRow::read_text(place, &fields.take_text()?)?,
            name: fields.opt_text()?.map(RowText::Owned),
            name_origin: fields.take_text()?.into(),
            email: fields.opt_text()?.map(RowText::Owned),
            metadata: fields.take_text()?.into(),
            marketing_opted_out_at: fields.opt_int()?,
            merged_into: fields.opt_text()?,
            search_text: None,
            created_at: fields.take_int()?,
            updated_at: fields.take_int()?,
            id,
        })
    }

    /// Converts the row into a contact.
    pub(super) fn into_contact(self) -> Result<Contact, StoreError> {
        let at = RowPlace { table: TABLE, id: &self.id };
        Ok(Contact {
            id: at.check_value("id", ContactId::parse(&self.id).ok())?,
            kind: at.check_value("kind", ContactKind::parse(&self.kind))?,
            identity: self.identity.into_identity(at)?,
            name: self.name.map(Arc::from),
            name_origin: at.check_value("name_origin", NameOrigin::parse(&self.name_origin))?,
            email: self.email.map(Arc::from),
            metadata: self.metadata.into(),
            marketing_opted_out_at: at.opt_time("marketing_opted_out_at", self.marketing_opted_out_at)?,
            merged_into: self
                .merged_into
                .map(|id| at.check_value("merged_into", ContactId::parse(&id).ok()))
                .transpose()?,
            created_at: at.check_time("created_at", self.created_at)?,
            updated_at: at.check_time("updated_at", self.updated_at)?,
        })
    }
}

/// The text that searches look at.
fn search_text(contact: &Contact) -> String {
    let mut text = contact.name.as_deref().unwrap_or_default().to_owned();
    for identifier in contact.identity.identifiers() {
        text.push('\n');
        match &identifier {
            Identifier::PhoneNumber(phone) | Identifier::WaId(phone) => text.push_str(phone.as_str()),
            Identifier::UserId(id) | Identifier::ParentUserId(id) => text.push_str(id.as_str()),
            Identifier::GroupId(id) => text.push_str(id.as_str()),
        }
    }
    for part in [contact.identity.username.as_ref().map(|username| &username.text), contact.email.as_ref()] {
        text.push('\n');
        text.push_str(part.map_or("", |part| part));
    }
    fold_text(&text)
}

/// Reads contacts from rows that hold [`COLUMNS`].
pub(super) fn read_all(rows: &[EngineRow]) -> Result<Vec<Arc<Contact>>, StoreError> {
    rows.iter().map(|row| Ok(Arc::new(ContactRow::read_row(row)?.into_contact()?))).collect()
}

/// Part of an account's contacts, by their ids.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct IdRange {
    /// Only ids above this one.
    pub(super) above: Option<ContactId>,
    /// Only ids up to this one.
    pub(super) up_to: Option<ContactId>,
}

/// Returns the statement and the values of one page, one row longer than the page.
pub(super) fn page_statement(
    dialect: Dialect,
    account: i64,
    query: &ContactQuery,
    within: IdRange,
) -> (String, Vec<SqlArg>) {
    let mut sql = format!("SELECT {COLUMNS} FROM contacts k WHERE k.account = $1 AND k.merged_into IS NULL");
    let mut args = vec![SqlArg::from(account)];
    let phone = query.phone.clone().map(IdentifierKey::Number);
    let user_id = query.user_id.clone().map(IdentifierKey::of_user_id);
    for key in [phone, user_id].into_iter().flatten() {
        args.push(key.to_row().into());
        sql = format!(
            "{sql} AND k.id = (SELECT i.contact_id FROM contact_identifiers i \
             WHERE i.account = $1 AND i.identifier = ${})",
            args.len()
        );
    }
    if let Some(text) = &query.search {
        args.push(fold_text(text).into());
        sql = format!("{sql} AND {}", dialect.text_contains("k.search_text", args.len()));
    }
    for (bound, id) in [("<", query.after), (">", within.above), ("<=", within.up_to)] {
        if let Some(id) = id {
            args.push(id.to_string().into());
            sql = format!("{sql} AND k.id {bound} ${}", args.len());
        }
    }
    args.push(SqlArg::from(i64::try_from(query.limit.rows() + 1).ok()));
    let sql = format!("{sql} ORDER BY k.id DESC LIMIT ${}", args.len());
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
        let is_single = query.phone.is_some() || query.user_id.is_some();
        let rows = match &query.search {
            Some(text) if !is_single => self.search_contacts(account_number, query, text).await?,
            _ => self.scan_contacts(account_number, query, IdRange::default()).await?,
        };
        Ok(RowPage::cut_to(rows, query.limit))
    }

    /// Reads contacts in the order of the list, one more than the page has.
    async fn scan_contacts(
        &self,
        account_number: i64,
        query: &ContactQuery,
        within: IdRange,
    ) -> Result<Vec<Arc<Contact>>, StoreError> {
        let (sql, args) = page_statement(self.engine.dialect(), account_number, query, within);
        read_all(&self.read_for(account_number).fetch_rows(sql, args).await?)
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
        let sql = format!("SELECT {COLUMNS} FROM contacts k WHERE k.account = $1 AND k.id = $2");
        let rows = self
            .read_for(account_number)
            .fetch_rows(sql, vec![account_number.into(), id.to_string().into()])
            .await?;
        Ok(read_all(&rows)?.pop())
    }
}
