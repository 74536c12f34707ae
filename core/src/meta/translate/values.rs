//! Values of the fields that become messages: `messages`, echoes, the history, standby, calls, and the address
//! book.

use serde_json::value::RawValue;
use serde_json::{Map, Value};

use super::{ChangePlace, SkipReason, WebhookReader, read_object};
use crate::domain::inbound::{InboundItem, RawItem};
use crate::domain::message::Direction;
use crate::domain::message_details::MessageSource;
use crate::domain::wamid::wamid_key;
use crate::meta::item_fields::ReadItem;
use crate::meta::items::{self, ItemOrigin, ItemSetting};
use crate::meta::parties::ContactCards;
use crate::meta::raw_members::{self, RawMembers};
use crate::meta::{fields, item_fields, status_report};

/// Messages that a contact writes.
const INBOUND: ItemOrigin =
    ItemOrigin { direction: Direction::Inbound, source: MessageSource::Inbound, standby: false };

/// Returns `true` for a field of which the items are messages, or changes of messages.
pub(super) fn becomes_messages(field: &str) -> bool {
    matches!(
        field,
        "messages" | "smb_message_echoes" | "history" | "standby" | "calls" | "smb_app_state_sync"
    )
}

/// Members of a value of `messages` that are modelled; others are passed on whole.
const MODELLED: [&str; 5] = ["messaging_product", "metadata", "contacts", "messages", "statuses"];

impl WebhookReader {
    /// Reads a value of one of these fields.
    pub(super) fn read_value(&mut self, place: &ChangePlace, members: &RawMembers<'_>, value: &RawValue) {
        match &*place.field {
            "smb_message_echoes" => {
                let origin =
                    ItemOrigin { direction: Direction::Outbound, source: MessageSource::App, standby: false };
                self.read_messages(place, members, "message_echoes", origin);
            }
            "history" => self.read_history(place, members, value),
            "standby" => self.read_standby(place, members),
            "calls" => self.read_calls(place, members),
            "smb_app_state_sync" => {
                for entry in self.read_objects(place, members, "state_sync") {
                    if let Some(fact) = fields::read_book_entry(&entry, self.received_at) {
                        self.keep_item(place, InboundItem { fact, raw: None });
                    }
                }
            }
            _ => {
                self.read_messages(place, members, "messages", INBOUND);
                self.read_statuses(place, members);
                for (name, member) in members.iter().filter(|(name, _)| !MODELLED.contains(&name.as_str())) {
                    if super::is_field_name(name) && member.get() != "null" {
                        self.tell_field(place, name, member);
                    }
                }
            }
        }
    }

    /// Reads the objects of a list; what is none is recorded as skipped.
    pub(super) fn read_objects(
        &mut self,
        place: &ChangePlace,
        members: &RawMembers<'_>,
        name: &str,
    ) -> Vec<Value> {
        let elements = self.read_elements(members, name, Some(&place.target), &place.field);
        elements
            .into_iter()
            .filter_map(|element| match read_object_value(element) {
                Ok(object) => Some(Value::Object(object)),
                Err(reason) => {
                    self.skip_item(Some(&place.target), &place.field, reason);
                    None
                }
            })
            .collect()
    }

    /// Reads the contact cards of a value.
    pub(super) fn read_cards(&mut self, place: &ChangePlace, members: &RawMembers<'_>) -> ContactCards {
        let cards = self.read_elements(members, "contacts", Some(&place.target), &place.field);
        ContactCards::from_items(
            cards.into_iter().filter_map(|card| Some((card.get(), read_object_value(card).ok()?))),
        )
    }

    fn read_messages(
        &mut self,
        place: &ChangePlace,
        members: &RawMembers<'_>,
        name: &str,
        origin: ItemOrigin,
    ) {
        let cards = self.read_cards(place, members);
        let elements = self.read_elements(members, name, Some(&place.target), &place.field);
        self.read_list(place, elements, origin, &cards);
    }

    fn read_list(
        &mut self,
        place: &ChangePlace,
        elements: Vec<&RawValue>,
        origin: ItemOrigin,
        cards: &ContactCards,
    ) {
        let read: Vec<_> = elements.into_iter().map(|raw| (raw, read_object_value(raw))).collect();
        let anonymous = |item: &Result<Map<String, Value>, SkipReason>| {
            item.as_ref().is_ok_and(|item| items::is_anonymous(item, origin.direction))
        };
        let anonymous_items = read.iter().filter(|(_, item)| anonymous(item)).count();
        let setting = ItemSetting { origin, cards, anonymous_items, received_at: self.received_at };
        for (raw, item) in read {
            let item = item.and_then(|item| items::read_item(item, &setting));
            self.keep_read(place, raw, item);
        }
    }

    fn read_statuses(&mut self, place: &ChangePlace, members: &RawMembers<'_>) {
        let cards = self.read_cards(place, members);
        for raw in self.read_elements(members, "statuses", Some(&place.target), &place.field) {
            let item = read_object_value(raw)
                .and_then(|item| status_report::read_status(item, &cards, self.received_at));
            self.keep_read(place, raw, item);
        }
    }

    /// Reads what passes while Meta's agent holds a conversation; it lies one level deeper.
    fn read_standby(&mut self, place: &ChangePlace, members: &RawMembers<'_>) {
        let Some(inner) = read_object(members.get("standby").copied()) else {
            return self.skip_item(Some(&place.target), &place.field, SkipReason::Unreadable);
        };
        self.read_messages(place, &inner, "messages", ItemOrigin { standby: true, ..INBOUND });
        let agent =
            ItemOrigin { direction: Direction::Outbound, source: MessageSource::Agent, standby: true };
        self.read_messages(place, &inner, "message_echoes", agent);
        self.read_statuses(place, &inner);
    }

    fn read_calls(&mut self, place: &ChangePlace, members: &RawMembers<'_>) {
        let cards = self.read_cards(place, members);
        for raw in self.read_elements(members, "calls", Some(&place.target), &place.field) {
            let item =
                read_object_value(raw).and_then(|item| fields::read_call(item, &cards, self.received_at));
            self.keep_read(place, raw, item);
        }
        for raw in self.read_elements(members, "statuses", Some(&place.target), &place.field) {
            let item = read_object_value(raw)
                .and_then(|item| status_report::read_status(item, &cards, self.received_at));
            self.keep_read(place, raw, item);
        }
    }

    /// Reads chats from before the number was connected: in threads, or media that follow by themselves.
    fn read_history(&mut self, place: &ChangePlace, members: &RawMembers<'_>, value: &RawValue) {
        let own = read_object(members.get("metadata").copied())
            .and_then(|metadata| raw_members::read_string(&metadata, "display_phone_number"));
        let own = own.map(|number| digits_of(&number)).unwrap_or_default();
        let mut failed = false;
        for chunk in self.read_elements(members, "history", Some(&place.target), &place.field) {
            let Some(chunk) = raw_members::read_members(chunk.get()) else {
                self.skip_item(Some(&place.target), &place.field, SkipReason::Unreadable);
                continue;
            };
            failed |= chunk.contains_key("errors");
            for thread in self.read_elements(&chunk, "threads", Some(&place.target), &place.field) {
                match raw_members::read_members(thread.get()) {
                    Some(thread) => self.read_thread(place, &thread, &own),
                    None => self.skip_item(Some(&place.target), &place.field, SkipReason::Unreadable),
                }
            }
        }
        let cards = self.read_cards(place, members);
        let rest = self.read_elements(members, "messages", Some(&place.target), &place.field);
        self.read_past(place, rest, &own, &cards);
        if failed || members.contains_key("errors") {
            self.tell_field(place, &place.field, value);
        }
    }

    fn read_thread(&mut self, place: &ChangePlace, thread: &RawMembers<'_>, own: &str) {
        let mut card = Map::new();
        if let Some(context) = thread.get("context").and_then(|context| read_object_value(context).ok()) {
            card = context;
        }
        if !card.contains_key("wa_id")
            && let Some(id) = raw_members::read_string(thread, "id")
        {
            card.insert("wa_id".into(), id.into());
        }
        let cards = ContactCards::from_items([(Value::Object(card.clone()).to_string(), card)]);
        let elements = self.read_elements(thread, "messages", Some(&place.target), &place.field);
        self.read_past(place, elements, own, &cards);
    }

    /// Reads messages of the history; those from the business's own number are outbound.
    fn read_past(&mut self, place: &ChangePlace, elements: Vec<&RawValue>, own: &str, cards: &ContactCards) {
        for raw in elements {
            let from = raw_members::read_members(raw.get())
                .and_then(|item| raw_members::read_string(&item, "from"))
                .map(|from| digits_of(&from));
            let outbound = from.is_some_and(|from| !from.is_empty() && from == own);
            let direction = if outbound { Direction::Outbound } else { Direction::Inbound };
            let origin = ItemOrigin { direction, source: MessageSource::History, standby: false };
            self.read_list(place, vec![raw], origin, cards);
        }
    }

    fn keep_read(&mut self, place: &ChangePlace, raw: &RawValue, item: Result<ReadItem, SkipReason>) {
        match item {
            Ok(ReadItem { fact, wamid, role, card }) => {
                let raw = RawItem { card, ..raw_item(&wamid, role, raw) };
                self.keep_item(place, InboundItem { fact, raw: Some(raw) });
            }
            Err(reason) => self.skip_item(Some(&place.target), &place.field, reason),
        }
    }
}

fn raw_item(wamid: &str, role: crate::domain::inbound::RawRole, raw: &RawValue) -> RawItem {
    let digest = item_fields::digest_text(raw.get());
    RawItem { wamid_key: wamid_key(wamid), role, body: raw.get().into(), card: None, digest }
}

fn digits_of(number: &str) -> String {
    number.chars().filter(char::is_ascii_digit).collect()
}

/// Reads one item. The parser's limits of recursion (128 levels) and of numbers apply to each item alone.
fn read_object_value(raw: &RawValue) -> Result<Map<String, Value>, SkipReason> {
    match serde_json::from_str(raw.get()) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | Err(_) => {
            Err(SkipReason::Unreadable)
        }
    }
}
