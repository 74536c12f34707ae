//! A person as one item of WhatsApp's names them.

use std::sync::Arc;

use super::identifier::{IdentifierKey, UserId};
use super::phone::Phone;

/// Identifiers and names of one person as one item of WhatsApp's states them.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Party {
    /// Telephone number.
    pub phone: Option<Phone>,
    /// WhatsApp's own form of the number.
    pub wa_id: Option<Phone>,
    /// Id for this business.
    pub user_id: Option<UserId>,
    /// Id for the portfolio.
    pub parent_user_id: Option<UserId>,
    /// Without `@`.
    pub username: Option<Arc<str>>,
    /// Profile name.
    pub name: Option<Arc<str>>,
}

impl Party {
    /// A person of whom only the number is known.
    #[must_use]
    pub fn of_phone(phone: Phone) -> Self {
        Self { phone: Some(phone), ..Self::default() }
    }

    /// A person of whom only a user id of either kind is known.
    #[must_use]
    pub fn of_user_id(id: UserId) -> Self {
        let mut party = Self::default();
        party.state_user_id(id);
        party
    }

    /// Adds a user id. One of a portfolio is a parent user id, whatever member it came in.
    pub fn state_user_id(&mut self, id: UserId) {
        if id.is_parent() {
            self.parent_user_id = Some(id);
        } else {
            self.user_id = Some(id);
        }
    }

    /// Returns `true` when nothing in it can identify a person.
    #[must_use]
    pub const fn is_anonymous(&self) -> bool {
        self.phone.is_none()
            && self.wa_id.is_none()
            && self.user_id.is_none()
            && self.parent_user_id.is_none()
    }

    /// Keys to look the person up by, the one that decides first.
    #[must_use]
    pub fn keys(&self) -> Vec<IdentifierKey> {
        let number = |phone: &Phone| IdentifierKey::Number(phone.clone());
        let mut keys = Vec::with_capacity(4);
        keys.extend(self.user_id.clone().map(IdentifierKey::User));
        keys.extend(self.parent_user_id.clone().map(IdentifierKey::Parent));
        keys.extend(self.wa_id.as_ref().map(number));
        keys.extend(self.phone.as_ref().filter(|phone| self.wa_id.as_ref() != Some(phone)).map(number));
        keys
    }

    /// Removes an identifier from what is stated.
    pub fn forget_key(&mut self, key: &IdentifierKey) {
        match key {
            IdentifierKey::Number(phone) => {
                self.phone = self.phone.take().filter(|known| known != phone);
                self.wa_id = self.wa_id.take().filter(|known| known != phone);
            }
            IdentifierKey::User(_) => self.user_id = None,
            IdentifierKey::Parent(_) => self.parent_user_id = None,
            IdentifierKey::Group(_) => {}
        }
    }

    /// Returns `true` when both name the same person by an identifier.
    #[must_use]
    pub fn shares_identifier(&self, other: &Self) -> bool {
        let keys = other.keys();
        self.keys().iter().any(|key| keys.contains(key))
    }

    /// Adds what another statement about the same person says and this one does not.
    pub fn complete_from(&mut self, other: &Self) {
        let fill = |own: &mut Option<UserId>, other: &Option<UserId>| {
            if own.is_none() {
                own.clone_from(other);
            }
        };
        fill(&mut self.user_id, &other.user_id);
        fill(&mut self.parent_user_id, &other.parent_user_id);
        self.phone = self.phone.take().or_else(|| other.phone.clone());
        self.wa_id = self.wa_id.take().or_else(|| other.wa_id.clone());
        self.username = self.username.take().or_else(|| other.username.clone());
        self.name = self.name.take().or_else(|| other.name.clone());
    }
}
