//! A contact: a person, business or group that exchanges messages with one account.

use std::sync::Arc;

use super::address::Address;
use super::identity::{ContactKind, Identity, Party, UserId};
use super::phone::Phone;
use super::time::Timestamp;
use crate::ids::ContactId;

/// Origin of a contact's name. A later one in this order replaces an earlier one.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NameOrigin {
    /// The profile name that WhatsApp reports.
    #[default]
    Profile,
    /// The address book of the business's phone.
    AddressBook,
    /// A client of this server.
    Client,
}

impl NameOrigin {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Profile, Self::AddressBook, Self::Client];

    /// The word in the store.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Profile => "profile",
            Self::AddressBook => "address_book",
            Self::Client => "client",
        }
    }

    /// Reads the word in the store.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// A contact of one account; at most one per identifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contact {
    /// `ctc_…`.
    pub id: ContactId,
    /// Person or group.
    pub kind: ContactKind,
    /// Its identifiers; none of them belongs to another contact of the account.
    pub identity: Arc<Identity>,
    /// Given by the business, or else the profile name that WhatsApp reports.
    pub name: Option<Arc<str>>,
    /// Origin of the name.
    pub name_origin: NameOrigin,
    /// May be absent.
    pub email: Option<Arc<str>>,
    /// A JSON object of the client's, kept as text; `{}` when never set.
    pub metadata: Arc<str>,
    /// WhatsApp's time at which the person stopped marketing messages; `None` while they are accepted.
    pub marketing_opted_out_at: Option<Timestamp>,
    /// Contact that this one was merged into. It has no identifiers then, and is in no list.
    pub merged_into: Option<ContactId>,
    /// Account clock.
    pub created_at: Timestamp,
    /// Account clock.
    pub updated_at: Timestamp,
}

/// The contact's fields that a conversation shows, and those by which an item finds it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactRef {
    /// `ctc_…`.
    pub id: ContactId,
    /// Person or group.
    pub kind: ContactKind,
    /// Its identifiers.
    pub identity: Arc<Identity>,
    /// May be absent.
    pub name: Option<Arc<str>>,
}

impl ContactRef {
    /// The address by which messages of this contact are shown: the number where one is known, else the user
    /// id or the group's id.
    #[must_use]
    pub fn address(&self) -> Address {
        let of_user = || self.identity.user_id().cloned().map(Address::User);
        let parent = || self.identity.parent_user_ids.last().map(|known| Address::User(known.id.clone()));
        let group = || self.identity.group_id.clone().map(Address::Group);
        let number = self.identity.phone().cloned().map(Address::Phone);
        number.or_else(of_user).or_else(parent).or_else(group).unwrap_or(Address::Unknown)
    }
}

impl From<&Contact> for ContactRef {
    fn from(contact: &Contact) -> Self {
        Self {
            id: contact.id,
            kind: contact.kind,
            identity: contact.identity.clone(),
            name: contact.name.clone(),
        }
    }
}

/// A new contact as a client gives it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewContact {
    /// Number or user id.
    pub identifier: NewIdentifier,
    /// May be absent.
    pub name: Option<Arc<str>>,
    /// May be absent.
    pub email: Option<Arc<str>>,
    /// A JSON object as text.
    pub metadata: Option<Arc<str>>,
}

/// The identifier of a new contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NewIdentifier {
    /// A telephone number.
    Phone(Phone),
    /// A user id of either kind.
    User(UserId),
}

impl NewIdentifier {
    /// The person that it names.
    #[must_use]
    pub fn to_party(&self) -> Party {
        match self {
            Self::Phone(phone) => Party::of_phone(phone.clone()),
            Self::User(id) => Party::of_user_id(id.clone()),
        }
    }
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
