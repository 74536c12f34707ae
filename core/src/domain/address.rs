//! Address of a message: what its `from` and `to` show.

use super::identity::{GroupId, UserId};
use super::phone::Phone;

/// The party at one end of a message.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Address {
    /// A telephone number.
    Phone(Phone),
    /// A person without a known number.
    User(UserId),
    /// A group.
    Group(GroupId),
    /// A party of which the item said nothing.
    Unknown,
}

impl Address {
    /// The text that clients see; empty when nothing is known.
    #[must_use]
    pub fn as_str(&self) -> &str {
        match self {
            Self::Phone(phone) => phone.as_str(),
            Self::User(id) => id.as_str(),
            Self::Group(id) => id.as_str(),
            Self::Unknown => "",
        }
    }

    /// The number, where it is one.
    #[must_use]
    pub const fn phone(&self) -> Option<&Phone> {
        match self {
            Self::Phone(phone) => Some(phone),
            Self::User(_) | Self::Group(_) | Self::Unknown => None,
        }
    }

    /// Reads a text that [`Self::as_str`] gave.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.is_empty() {
            return Some(Self::Unknown);
        }
        let number = Phone::parse(text).filter(|phone| phone.as_str() == text).map(Self::Phone);
        let user = || UserId::parse(text).map(Self::User);
        number.or_else(user).or_else(|| GroupId::parse(text).map(Self::Group))
    }
}
