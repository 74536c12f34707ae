//! Identifiers by which WhatsApp names persons and groups, and the keys under which they are looked up.
//!
//! Invariant: a number and WhatsApp's own form of it (`wa_id`) share one key space, their digits.

use std::sync::Arc;

use super::phone::Phone;

/// Kind of a contact.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum ContactKind {
    /// One person or business.
    #[default]
    Person,
    /// A group.
    Group,
}

impl ContactKind {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Person => "person",
            Self::Group => "group",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Person, Self::Group].into_iter().find(|known| known.as_str() == text)
    }
}

/// Meta's id of a person for one business (`CC.` and up to 128 characters) or for a portfolio (`CC.ENT.…`).
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UserId(Arc<str>);

impl UserId {
    /// Reads two capital letters, a dot, and 1 to 128 visible ASCII characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (country, rest) = text.split_once('.')?;
        let valid = country.len() == 2
            && country.bytes().all(|byte| byte.is_ascii_uppercase())
            && (1..=128).contains(&rest.len())
            && rest.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\');
        valid.then(|| Self(text.into()))
    }

    /// Returns `true` for the id of a person in a whole portfolio.
    #[must_use]
    pub fn is_parent(&self) -> bool {
        self.0.contains(".ENT.")
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Meta's id of a group.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct GroupId(Arc<str>);

impl GroupId {
    /// Reads 1 to 256 visible ASCII characters.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let visible = |byte: u8| byte.is_ascii_graphic() && byte != b'"' && byte != b'\\';
        ((1..=256).contains(&text.len()) && text.bytes().all(visible)).then(|| Self(text.into()))
    }

    /// The id's text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// Key of an identifier: within one account it belongs to one contact.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum IdentifierKey {
    /// A number, or WhatsApp's own form of one.
    Number(Phone),
    /// A person's id for this business.
    User(UserId),
    /// A person's id for the portfolio.
    Parent(UserId),
    /// A group's id.
    Group(GroupId),
}

impl IdentifierKey {
    /// The key as the store keeps it: a letter for the kind, a colon, and the value.
    #[must_use]
    pub fn to_row(&self) -> String {
        match self {
            Self::Number(phone) => format!("n:{phone}"),
            Self::User(id) => format!("u:{}", id.as_str()),
            Self::Parent(id) => format!("p:{}", id.as_str()),
            Self::Group(id) => format!("g:{}", id.as_str()),
        }
    }

    /// Creates the key of a user id of either kind.
    #[must_use]
    pub fn of_user_id(id: UserId) -> Self {
        if id.is_parent() { Self::Parent(id) } else { Self::User(id) }
    }
}

/// One identifier as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Identifier {
    /// A telephone number.
    PhoneNumber(Phone),
    /// WhatsApp's own form of a number, where its digits differ from the number's.
    WaId(Phone),
    /// A person's id for this business.
    UserId(UserId),
    /// A person's id for the portfolio.
    ParentUserId(UserId),
    /// A group's id.
    GroupId(GroupId),
}

impl Identifier {
    /// The contract's `type` and `value`.
    #[must_use]
    pub fn type_and_value(&self) -> (&'static str, &str) {
        match self {
            Self::PhoneNumber(phone) => ("phone_number", phone.as_str()),
            Self::WaId(phone) => ("wa_id", phone.as_digits()),
            Self::UserId(id) => ("user_id", id.as_str()),
            Self::ParentUserId(id) => ("parent_user_id", id.as_str()),
            Self::GroupId(id) => ("group_id", id.as_str()),
        }
    }

    /// Reads the contract's `type` and `value`.
    #[must_use]
    pub fn parse(kind: &str, value: &str) -> Option<Self> {
        Some(match kind {
            "phone_number" => Self::PhoneNumber(Phone::parse(value)?),
            "wa_id" => Self::WaId(Phone::parse(value)?),
            "user_id" => Self::UserId(UserId::parse(value)?),
            "parent_user_id" => Self::ParentUserId(UserId::parse(value)?),
            "group_id" => Self::GroupId(GroupId::parse(value)?),
            _ => return None,
        })
    }

    /// The key under which it is looked up.
    #[must_use]
    pub fn key(&self) -> IdentifierKey {
        match self {
            Self::PhoneNumber(phone) | Self::WaId(phone) => IdentifierKey::Number(phone.clone()),
            Self::UserId(id) => IdentifierKey::User(id.clone()),
            Self::ParentUserId(id) => IdentifierKey::Parent(id.clone()),
            Self::GroupId(id) => IdentifierKey::Group(id.clone()),
        }
    }
}
