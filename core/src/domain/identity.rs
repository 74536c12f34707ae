//! Identity of a contact: the identifiers by which WhatsApp names one person or one group.
//!
//! Invariants: within a contact no identifier occurs twice. The order of numbers and of user ids is the order
//! in which they became current, so the last one is current. A number and WhatsApp's own form of it
//! (`wa_id`) share one key space, their digits: the rules of countries are not needed to find the person.

use std::sync::Arc;

pub use super::identifier::{ContactKind, GroupId, Identifier, IdentifierKey, UserId};
pub use super::party::Party;
use super::phone::Phone;
use super::time::Timestamp;

/// Numbers of one contact, at most; the same bound holds for its user ids. Further ones are not learned.
const IDENTIFIERS_MAX: usize = 64;

/// A number of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactNumber {
    /// The number.
    pub phone: Phone,
    /// WhatsApp's own form, where its digits differ.
    pub wa_id: Option<Phone>,
    /// Time from which it is the contact's.
    pub since: Timestamp,
    /// Newest time of WhatsApp's at which an item that taught something named it.
    pub named_at: Timestamp,
}

impl ContactNumber {
    fn has_digits(&self, phone: &Phone) -> bool {
        self.phone == *phone || self.wa_id.as_ref() == Some(phone)
    }
}

/// A user id of a contact.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContactUserId {
    /// The id.
    pub id: UserId,
    /// Time from which it is the contact's.
    pub since: Timestamp,
}

/// A username, and the time of the item that told it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Username {
    /// Without `@`.
    pub text: Arc<str>,
    /// WhatsApp's time.
    pub told_at: Timestamp,
}

/// All identifiers of one contact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Identity {
    /// Numbers; the last one is current.
    pub numbers: Vec<ContactNumber>,
    /// Ids for this business; the last one is current.
    pub user_ids: Vec<ContactUserId>,
    /// Ids for the portfolio; the last one is current.
    pub parent_user_ids: Vec<ContactUserId>,
    /// The group's id, of a group.
    pub group_id: Option<GroupId>,
    /// The newest username told.
    pub username: Option<Username>,
}

/// Adds a user id in the order of the times from which they hold. Returns `false` when it is known, or there
/// are too many.
fn insert_user_id(ids: &mut Vec<ContactUserId>, id: &UserId, since: Timestamp) -> bool {
    if ids.iter().any(|known| known.id == *id) || ids.len() >= IDENTIFIERS_MAX {
        return false;
    }
    let place = ids.partition_point(|known| known.since <= since);
    ids.insert(place, ContactUserId { id: id.clone(), since });
    true
}

/// Makes a known or new user id the current one. Returns `false` when it is current already.
fn promote_user_id(ids: &mut Vec<ContactUserId>, id: &UserId, at: Timestamp) -> bool {
    if ids.last().is_some_and(|last| last.id == *id) {
        return false;
    }
    let since = ids.last().map_or(at, |last| at.max(last.since.next()));
    ids.retain(|known| known.id != *id);
    insert_user_id(ids, id, since)
}

impl Identity {
    /// The identity of a group.
    #[must_use]
    pub fn of_group(id: GroupId) -> Self {
        Self { group_id: Some(id), ..Self::default() }
    }

    /// The current number.
    #[must_use]
    pub fn phone(&self) -> Option<&Phone> {
        self.numbers.last().map(|number| &number.phone)
    }

    /// The current user id.
    #[must_use]
    pub fn user_id(&self) -> Option<&UserId> {
        self.user_ids.last().map(|known| &known.id)
    }

    /// The identifiers as clients see them: numbers, then user ids, then the group's id.
    #[must_use]
    pub fn identifiers(&self) -> Vec<Identifier> {
        let mut all = Vec::new();
        for number in self.numbers.iter().rev() {
            all.push(Identifier::PhoneNumber(number.phone.clone()));
            all.extend(number.wa_id.clone().map(Identifier::WaId));
        }
        all.extend(self.user_ids.iter().rev().map(|known| Identifier::UserId(known.id.clone())));
        all.extend(self.parent_user_ids.iter().rev().map(|known| Identifier::ParentUserId(known.id.clone())));
        all.extend(self.group_id.clone().map(Identifier::GroupId));
        all
    }

    /// The keys under which the contact is found.
    #[must_use]
    pub fn keys(&self) -> Vec<IdentifierKey> {
        self.identifiers().iter().map(Identifier::key).collect()
    }

    /// Returns `true` when the contact has an identifier with this key.
    #[must_use]
    pub fn has_key(&self, key: &IdentifierKey) -> bool {
        match key {
            IdentifierKey::Number(phone) => self.number_with(phone).is_some(),
            IdentifierKey::User(id) => self.user_ids.iter().any(|known| known.id == *id),
            IdentifierKey::Parent(id) => self.parent_user_ids.iter().any(|known| known.id == *id),
            IdentifierKey::Group(id) => self.group_id.as_ref() == Some(id),
        }
    }

    /// The number of which one form has these digits.
    #[must_use]
    pub fn number_with(&self, phone: &Phone) -> Option<&ContactNumber> {
        self.numbers.iter().find(|number| number.has_digits(phone))
    }

    /// Returns `true` when the party's user id, or portfolio id, contradicts the known ones: then the two are
    /// different persons, unless WhatsApp links their ids.
    #[must_use]
    pub fn contradicts(&self, party: &Party) -> bool {
        let differs = |known: &[ContactUserId], told: &Option<UserId>| {
            told.as_ref().map(|told| !known.is_empty() && !known.iter().any(|known| known.id == *told))
        };
        match (differs(&self.user_ids, &party.user_id), differs(&self.parent_user_ids, &party.parent_user_id))
        {
            (Some(true), Some(false)) => self.parent_user_ids.is_empty(),
            (Some(user), _) => user,
            (None, Some(parent)) => parent,
            (None, None) => false,
        }
    }

    /// Learns what an item of this time states. Returns `false` when nothing is new.
    pub fn learn_party(&mut self, party: &Party, at: Timestamp) -> bool {
        let mut changed = self.learn_number(party, at);
        if let Some(id) = &party.user_id {
            changed |= insert_user_id(&mut self.user_ids, id, at);
        }
        if let Some(id) = &party.parent_user_id {
            changed |= insert_user_id(&mut self.parent_user_ids, id, at);
        }
        changed | self.learn_username(party.username.as_ref(), at)
    }

    fn learn_username(&mut self, told: Option<&Arc<str>>, at: Timestamp) -> bool {
        let Some(text) = told else { return false };
        let news = self.username.as_ref().is_none_or(|known| known.text != *text && known.told_at <= at);
        if news {
            self.username = Some(Username { text: text.clone(), told_at: at });
        }
        news
    }

    fn learn_number(&mut self, party: &Party, at: Timestamp) -> bool {
        let (phone, wa_id) = match (&party.phone, &party.wa_id) {
            (Some(phone), wa_id) => (phone, wa_id.as_ref().filter(|wa_id| *wa_id != phone)),
            (None, Some(wa_id)) => (wa_id, None),
            (None, None) => return false,
        };
        match wa_id {
            Some(wa_id) => self.learn_pair(phone, wa_id, at),
            None => self.number_with(phone).is_none() && self.insert_number(phone, None, at, at),
        }
    }

    /// Learns that a number's own form at WhatsApp has other digits.
    fn learn_pair(&mut self, phone: &Phone, wa_id: &Phone, at: Timestamp) -> bool {
        let paired = self.numbers.iter().any(|number| number.wa_id.as_ref() == Some(wa_id));
        if paired {
            return self.number_with(phone).is_none() && self.insert_number(phone, None, at, at);
        }
        // A number that was known by WhatsApp's form alone, or alone, becomes the pair.
        let known = self.numbers.iter().position(|number| number.phone == *phone);
        let alone = self.numbers.iter().position(|number| number.phone == *wa_id);
        match known.or(alone) {
            Some(place) => {
                if let Some(number) = self.numbers.get_mut(place) {
                    number.phone = phone.clone();
                    number.wa_id = Some(wa_id.clone());
                    number.named_at = number.named_at.max(at);
                }
                if known.is_some() {
                    self.numbers.retain(|number| number.phone != *wa_id);
                }
                true
            }
            None => self.insert_number(phone, Some(wa_id), at, at),
        }
    }

    fn insert_number(
        &mut self,
        phone: &Phone,
        wa_id: Option<&Phone>,
        since: Timestamp,
        named_at: Timestamp,
    ) -> bool {
        if self.numbers.len() >= IDENTIFIERS_MAX {
            return false;
        }
        let place = self.numbers.partition_point(|known| known.since <= since);
        let number = ContactNumber { phone: phone.clone(), wa_id: wa_id.cloned(), since, named_at };
        self.numbers.insert(place, number);
        true
    }

    /// Makes the ids and the number of a notice the current ones, because WhatsApp says that they replace the
    /// known ones. Returns `false` when nothing changed.
    pub fn replace_party(&mut self, party: &Party, at: Timestamp) -> bool {
        let mut changed = self.learn_party(party, at);
        if let Some(id) = &party.user_id {
            changed |= promote_user_id(&mut self.user_ids, id, at);
        }
        if let Some(id) = &party.parent_user_id {
            changed |= promote_user_id(&mut self.parent_user_ids, id, at);
        }
        if let Some(phone) = party.phone.as_ref().or(party.wa_id.as_ref())
            && let Some(place) = self.numbers.iter().position(|number| number.has_digits(phone))
            && place + 1 < self.numbers.len()
        {
            let mut number = self.numbers.remove(place);
            number.since = self.numbers.last().map_or(at, |last| at.max(last.since.next()));
            self.numbers.push(number);
            changed = true;
        }
        changed
    }

    /// Removes a number with its form at WhatsApp, because another person has it now.
    pub fn take_number(&mut self, phone: &Phone) -> Option<ContactNumber> {
        let place = self.numbers.iter().position(|number| number.has_digits(phone))?;
        Some(self.numbers.remove(place))
    }

    /// Adds a number that was another contact's.
    pub fn put_number(&mut self, number: &ContactNumber, at: Timestamp) {
        if self.number_with(&number.phone).is_none() {
            self.insert_number(&number.phone, number.wa_id.as_ref(), at, at.max(number.named_at));
        }
    }

    /// Takes over all identifiers of another contact that is the same person.
    pub fn absorb(&mut self, other: &Self) {
        for number in &other.numbers {
            if let Some(wa_id) = &number.wa_id {
                self.learn_pair(&number.phone, wa_id, number.since);
            } else if self.number_with(&number.phone).is_none() {
                self.insert_number(&number.phone, None, number.since, number.named_at);
            }
        }
        for known in &other.user_ids {
            insert_user_id(&mut self.user_ids, &known.id, known.since);
        }
        for known in &other.parent_user_ids {
            insert_user_id(&mut self.parent_user_ids, &known.id, known.since);
        }
        if self.group_id.is_none() {
            self.group_id.clone_from(&other.group_id);
        }
        if let Some(other) = &other.username {
            self.learn_username(Some(&other.text), other.told_at);
        }
    }
}

#[cfg(test)]
mod tests;
