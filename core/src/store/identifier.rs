//! Identifiers of contacts: the table in which each belongs to one contact of its account.

use serde::Serialize;

use super::dialect::{BulkStatement, ColumnKind};
use crate::domain::identity::IdentifierKey;
use crate::ids::ContactId;

/// Inserts all rows of an array; a known identifier moves to its new contact.
pub(super) const UPSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO contact_identifiers (account, identifier, contact_id) \
SELECT r.account, r.identifier, r.contact_id FROM {rows} WHERE true \
ON CONFLICT (account, identifier) DO UPDATE SET contact_id = excluded.contact_id",
    columns: &[
        ("account", ColumnKind::Int),
        ("identifier", ColumnKind::Text),
        ("contact_id", ColumnKind::Text),
    ],
};

/// A row of `contact_identifiers`.
#[derive(Debug, Serialize)]
pub(super) struct IdentifierRow {
    account: i64,
    identifier: String,
    contact_id: String,
}

impl IdentifierRow {
    /// Creates the row of an identifier of this account.
    pub(super) fn from_key(account: i64, key: &IdentifierKey, owner: ContactId) -> Self {
        Self { account, identifier: key.to_row(), contact_id: owner.to_string() }
    }
}
