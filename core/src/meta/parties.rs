//! People as Meta names them: in items, and on the contact cards beside items.
//!
//! Invariant: a card belongs to an item by an identifier that both name, never by its place in the list. Only a
//! card without any identifier belongs to an item without any, if there is one of each.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::content::{bound_text, one_line};
use crate::domain::identity::{GroupId, Party, UserId};
use crate::domain::phone::Phone;

/// Profile names are at most 25 characters on WhatsApp's side today.
const NAME_CHARS_MAX: usize = 256;

/// A contact card.
#[derive(Debug)]
struct ContactCard {
    party: Party,
    /// The card as it came.
    json: Arc<str>,
}

/// A party with what its own card tells.
pub(super) struct CardedParty {
    pub(super) party: Party,
    /// The card as it came.
    pub(super) card: Option<Arc<str>>,
}

/// Contact cards of one value.
#[derive(Debug, Default)]
pub(super) struct ContactCards(Vec<ContactCard>);

impl ContactCards {
    /// Reads cards, each with its text. An unreadable one counts as absent, because the next item repeats it.
    pub(super) fn from_items<T: AsRef<str>>(
        cards: impl IntoIterator<Item = (T, Map<String, Value>)>,
    ) -> Self {
        let read = |(json, card): (T, Map<String, Value>)| ContactCard {
            party: read_card(&Value::Object(card)),
            json: json.as_ref().into(),
        };
        Self(cards.into_iter().map(read).collect())
    }

    /// Adds what the party's own card tells.
    pub(super) fn complete_party(&self, party: Party, anonymous_items: usize) -> Party {
        self.find_card(party, anonymous_items).party
    }

    /// Adds what the party's own card tells, and returns the card.
    pub(super) fn find_card(&self, mut party: Party, anonymous_items: usize) -> CardedParty {
        let named = self.0.iter().find(|card| card.party.shares_identifier(&party));
        let card = named.or_else(|| {
            let mut unnamed = self.0.iter().filter(|card| card.party.is_anonymous());
            let only = (unnamed.next(), unnamed.next());
            let usable = party.is_anonymous() && anonymous_items == 1;
            only.0.filter(|_| usable && only.1.is_none())
        });
        if let Some(card) = card {
            party.complete_from(&card.party);
        }
        CardedParty { party, card: card.map(|card| card.json.clone()) }
    }
}

fn text_of(value: Option<&Value>) -> Option<&str> {
    value?.as_str().filter(|text| !text.trim().is_empty())
}

/// Reads a name as people see it: one line, bounded.
pub(super) fn read_name(value: Option<&Value>) -> Option<Arc<str>> {
    let name = bound_text(&one_line(text_of(value)?), NAME_CHARS_MAX);
    (!name.is_empty()).then(|| name.into())
}

fn read_card(card: &Value) -> Party {
    let mut party = read_ids(card, "wa_id", "user_id", "parent_user_id");
    party.wa_id = party.phone.take();
    party.name = read_name(card.pointer("/profile/name"));
    let username = card.pointer("/profile/username").or_else(|| card.get("username"));
    party.username = read_username(username);
    party
}

/// Reads a username, without its `@`.
pub(super) fn read_username(value: Option<&Value>) -> Option<Arc<str>> {
    let text = text_of(value)?.trim().trim_start_matches('@');
    let usable = (1..=64).contains(&text.len()) && !text.chars().any(|c| c.is_whitespace() || c.is_control());
    usable.then(|| text.into())
}

/// Reads the identifiers of a person from these members of an object. A member that holds another kind of
/// identifier than its name says is taken for what it is.
pub(super) fn read_ids(object: &Value, number: &str, user: &str, parent: &str) -> Party {
    let mut party = Party::default();
    if let Some(text) = text_of(object.get(number)) {
        match Phone::parse(text) {
            Some(phone) => party.phone = Some(phone),
            None => {
                if let Some(id) = UserId::parse(text) {
                    party.state_user_id(id);
                }
            }
        }
    }
    for member in [user, parent] {
        if let Some(id) = text_of(object.get(member)).and_then(UserId::parse) {
            party.state_user_id(id);
        }
    }
    party
}

/// Author of an item in `messages`.
pub(super) fn read_author(item: &Value) -> Party {
    read_ids(item, "from", "from_user_id", "from_parent_user_id")
}

/// Recipient of an echo.
pub(super) fn read_addressee(item: &Value) -> Party {
    let mut party = read_ids(item, "to", "to_user_id", "to_parent_user_id");
    let other = read_ids(item, "", "recipient", "");
    party.complete_from(&other);
    party
}

/// Recipient of a status; `None` for a group.
pub(super) fn read_recipient(status: &Value) -> Option<Party> {
    let of_group = status.get("recipient_type").and_then(Value::as_str) == Some("group");
    let party = read_ids(status, "recipient_id", "recipient_user_id", "recipient_parent_user_id");
    (!of_group).then_some(party)
}

/// The group of an item.
pub(super) fn read_group(item: &Value) -> Option<GroupId> {
    text_of(item.get("group_id")).and_then(GroupId::parse)
}

/// The number of their own that a person shared on request.
pub(super) fn read_shared_number(contacts: &Value) -> Option<Party> {
    let card = contacts
        .as_array()?
        .iter()
        .find(|card| card.get("origin").and_then(Value::as_str) == Some("contact_request"))?;
    card.get("phones")?.as_array()?.iter().find_map(|phone| {
        let wa_id = text_of(phone.get("wa_id")).and_then(Phone::parse);
        let number = text_of(phone.get("phone")).and_then(Phone::parse);
        let party = Party { phone: number.or_else(|| wa_id.clone()), wa_id, ..Party::default() };
        (!party.is_anonymous()).then_some(party)
    })
}
