//! A contact: a person or business that exchanges messages with one account.

use std::sync::Arc;

use super::phone::Phone;
use super::time::Timestamp;
use crate::ids::ContactId;

/// A contact of one account; at most one per number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// `ctc_…`.
    pub id: ContactId,
    /// Unique in the account.
    pub phone: Phone,
    /// Given by the business, or else the profile name that WhatsApp reports.
    pub name: Option<Arc<str>>,
    /// May be absent.
    pub email: Option<Arc<str>>,
    /// A JSON object of the client's, kept as text; `{}` when never set.
    pub metadata: Arc<str>,
    /// Account clock.
    pub created_at: Timestamp,
    /// Account clock.
    pub updated_at: Timestamp,
}

/// The contact's fields that a conversation shows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactRef {
    /// `ctc_…`.
    pub id: ContactId,
    /// E.164.
    pub phone: Phone,
    /// May be absent.
    pub name: Option<Arc<str>>,
}

impl From<&Contact> for ContactRef {
    fn from(contact: &Contact) -> Self {
        Self { id: contact.id, phone: contact.phone.clone(), name: contact.name.clone() }
    }
}

/// A new contact as a client gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewContact {
    /// E.164.
    pub phone: Phone,
    /// May be absent.
    pub name: Option<Arc<str>>,
    /// May be absent.
    pub email: Option<Arc<str>>,
    /// A JSON object as text.
    pub metadata: Option<Arc<str>>,
}

/// Changes of a contact: the outer `Option` says whether the field is touched, the inner one
/// whether it is set or cleared.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ContactPatch {
    /// New name.
    pub name: Option<Option<Arc<str>>>,
    /// New address.
    pub email: Option<Option<Arc<str>>>,
    /// New metadata, replaced whole.
    pub metadata: Option<Arc<str>>,
}
