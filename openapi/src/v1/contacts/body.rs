//! Body of a contact.

use std::sync::Arc;

use kabar_core::domain::account::Account;
use kabar_core::domain::contact::Contact;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::ContactId;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

use crate::rest::text::{FreeObject, TextValue, nouns};
use crate::v1::conversations::body::WhatsAppNumber;

nouns! {
    /// `object` of a contact.
    ContactNoun = "contact";
}

/// A person or business that exchanges messages with one connected number.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Contact", example)]
pub(crate) struct ContactBody {
    /// `ctc_…`.
    pub(crate) id: TextValue<ContactId>,
    /// Always `contact`.
    pub(crate) object: TextValue<ContactNoun>,
    /// E.164; unique in the account.
    pub(crate) phone_number: TextValue<Phone>,
    /// Given by the business, or else WhatsApp's profile name.
    pub(crate) name: Option<TextValue<Arc<str>>>,
    /// The email address.
    pub(crate) email: Option<TextValue<Arc<str>>>,
    /// The business's own fields; `{}` when it has none.
    pub(crate) metadata: FreeObject,
    /// The connected number that it belongs to.
    pub(crate) whatsapp_account: WhatsAppNumber,
    /// Account clock.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Account clock; moves with every change that this object shows.
    pub(crate) updated_at: TextValue<Timestamp>,
}

impl ContactBody {
    /// Builds the body of a contact of this account.
    #[must_use]
    pub(crate) fn from_contact(account: &Account, contact: &Contact) -> Self {
        Self {
            id: TextValue(contact.id),
            object: TextValue(ContactNoun),
            phone_number: TextValue(contact.phone.clone()),
            name: contact.name.clone().map(TextValue),
            email: contact.email.clone().map(TextValue),
            metadata: FreeObject(contact.metadata.clone()),
            whatsapp_account: WhatsAppNumber::from_account(account),
            created_at: TextValue(contact.created_at),
            updated_at: TextValue(contact.updated_at),
        }
    }
}

impl Example for ContactBody {
    fn example() -> Self {
        Self::from_contact(
            &crate::spec::example_rows::example_account(),
            &crate::spec::example_rows::example_contact(),
        )
    }
}
