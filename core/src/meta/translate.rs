//! Translates a webhook's body into types of the domain.
//!
//! Invariants: pure. Only a body that is not a JSON object is refused. Each entry, change, message and status
//! is read on its own, so that an unreadable one affects no other, and is listed in `skipped`. Items of one
//! account keep their order. The existence of the account and the signature of the body are checked
//! elsewhere.

use std::collections::HashMap;
use std::sync::Arc;

use serde_json::value::RawValue;
use serde_json::{Map, Value};

pub use super::item_fields::SkipReason;
use super::item_fields::{read_time, read_wamid};
use super::raw_members;
use super::raw_members::{MalformedWebhook, RawMembers};
use super::{content, error_report, errors};
use crate::domain::account::PhoneNumberId;
use crate::domain::message::{InboundItem, InboundMessage, MessageError, MessageKind};
use crate::domain::phone::Phone;
use crate::domain::time::Timestamp;

/// Profile names are at most 25 characters on WhatsApp's side today.
const NAME_CHARS_MAX: usize = 256;
/// Bytes of a message's object that are kept, at most; Meta's own limits are far below.
const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// All items of one webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundWebhook {
    /// Messages and statuses, grouped by the number that they concern, in order of first mention.
    pub groups: Vec<AccountGroup>,
    /// Errors of a number as such, as WhatsApp reports them (`value.errors`).
    pub account_errors: Vec<NumberError>,
    /// Pieces that were left out, with the reasons.
    pub skipped: Vec<SkippedItem>,
}

/// Items of one number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountGroup {
    /// Meta's id of the number.
    pub phone_number_id: PhoneNumberId,
    /// In the order of the webhook. Never empty.
    pub items: Vec<InboundItem>,
}

/// An error that concerns a number but none of its messages.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NumberError {
    /// Meta's id of the number.
    pub phone_number_id: PhoneNumberId,
    /// The error.
    pub error: MessageError,
}

/// A piece of a webhook that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedItem {
    /// Meta's id of the number, where it could be read.
    pub phone_number_id: Option<PhoneNumberId>,
    /// Reason.
    pub reason: SkipReason,
}

/// Translates a body that arrived at `received_at`. That time replaces times that are missing or out of
/// range.
///
/// # Errors
/// [`MalformedWebhook`] when the body is not a JSON object at all.
pub fn translate_webhook(body: &[u8], received_at: Timestamp) -> Result<InboundWebhook, MalformedWebhook> {
    let text = raw_members::replace_unstorable(body);
    let envelope = raw_members::read_members(&text).ok_or(MalformedWebhook)?;
    let mut reading =
        WebhookReader { received_at, webhook: InboundWebhook::default(), places: HashMap::new() };
    for entry in reading.read_elements(&envelope, "entry", None) {
        match raw_members::read_members(entry.get()) {
            Some(entry) => reading.read_entry(&entry),
            None => reading.skip_item(None, SkipReason::Unreadable),
        }
    }
    Ok(reading.webhook)
}

struct WebhookReader {
    received_at: Timestamp,
    webhook: InboundWebhook,
    /// Index of each number's group.
    places: HashMap<PhoneNumberId, usize>,
}

impl WebhookReader {
    fn read_entry(&mut self, entry: &RawMembers<'_>) {
        for change in self.read_elements(entry, "changes", None) {
            let change = raw_members::read_members(change.get());
            // A change without a field is read by its value.
            let named = change.as_ref().filter(|change| change.contains_key("field"));
            if named.is_some_and(|change| {
                raw_members::read_string(change, "field").as_deref() != Some("messages")
            }) {
                self.skip_item(None, SkipReason::OtherField);
                continue;
            }
            match change.and_then(|change| raw_members::read_members(change.get("value")?.get())) {
                Some(value) => self.read_value(&value),
                None => self.skip_item(None, SkipReason::Unreadable),
            }
        }
    }

    fn read_value(&mut self, value: &RawMembers<'_>) {
        let metadata = value.get("metadata").and_then(|metadata| raw_members::read_members(metadata.get()));
        let id = metadata.and_then(|metadata| raw_members::read_string(&metadata, "phone_number_id"));
        let Some(id) = id.as_deref().and_then(PhoneNumberId::parse) else {
            self.skip_item(None, SkipReason::NoPhoneNumberId);
            return;
        };
        let names = self.read_names(value, &id);
        for message in self.read_elements(value, "messages", Some(&id)) {
            let item = read_item(message)
                .and_then(|item| read_message(item, &names, self.received_at))
                .map(InboundItem::Message);
            self.keep_item(&id, item);
        }
        for status in self.read_elements(value, "statuses", Some(&id)) {
            let item = read_item(status)
                .and_then(|item| error_report::read_status(&item, self.received_at))
                .map(InboundItem::Status);
            self.keep_item(&id, item);
        }
        for error in self.read_elements(value, "errors", Some(&id)) {
            match read_item(error) {
                Ok(error) => {
                    let error = errors::read_error(&Value::Object(error));
                    self.webhook.account_errors.push(NumberError { phone_number_id: id.clone(), error });
                }
                Err(reason) => self.skip_item(Some(&id), reason),
            }
        }
    }

    /// Returns profile names by number. An unreadable name counts as unknown, because the next message
    /// repeats it.
    fn read_names(&mut self, value: &RawMembers<'_>, id: &PhoneNumberId) -> HashMap<Phone, Arc<str>> {
        let contacts = self.read_elements(value, "contacts", Some(id));
        let cards = contacts.into_iter().filter_map(|card| read_item(card).ok());
        cards
            .filter_map(|card| {
                let card = Value::Object(card);
                let phone = Phone::parse(card.get("wa_id")?.as_str()?)?;
                let name = content::one_line(card.pointer("/profile/name")?.as_str()?);
                let name = content::bound_text(&name, NAME_CHARS_MAX);
                (!name.is_empty()).then(|| (phone, name.into()))
            })
            .collect()
    }

    /// Returns the elements of a list; none when it is absent. Anything but a list is recorded as skipped.
    fn read_elements<'a>(
        &mut self,
        members: &RawMembers<'a>,
        name: &str,
        id: Option<&PhoneNumberId>,
    ) -> Vec<&'a RawValue> {
        let Some(list) = members.get(name).filter(|list| list.get() != "null") else { return Vec::new() };
        raw_members::read_elements(list.get()).unwrap_or_else(|| {
            self.skip_item(id, SkipReason::Unreadable);
            Vec::new()
        })
    }

    fn keep_item(&mut self, id: &PhoneNumberId, item: Result<InboundItem, SkipReason>) {
        let item = match item {
            Ok(item) => item,
            Err(reason) => return self.skip_item(Some(id), reason),
        };
        let groups = &mut self.webhook.groups;
        let place = *self.places.entry(id.clone()).or_insert(groups.len());
        match groups.get_mut(place) {
            Some(group) => group.items.push(item),
            None => groups.push(AccountGroup { phone_number_id: id.clone(), items: vec![item] }),
        }
    }

    fn skip_item(&mut self, id: Option<&PhoneNumberId>, reason: SkipReason) {
        self.webhook.skipped.push(SkippedItem { phone_number_id: id.cloned(), reason });
    }
}

/// Reads one item. The parser's limits of recursion (128 levels) and of numbers apply to each item alone.
fn read_item(raw: &RawValue) -> Result<Map<String, Value>, SkipReason> {
    match serde_json::from_str(raw.get()) {
        Ok(Value::Object(members)) => Ok(members),
        Ok(Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) | Value::Array(_)) | Err(_) => {
            Err(SkipReason::Unreadable)
        }
    }
}

fn read_message(
    message: Map<String, Value>,
    names: &HashMap<Phone, Arc<str>>,
    received_at: Timestamp,
) -> Result<InboundMessage, SkipReason> {
    let wamid = read_wamid(message.get("id")).ok_or(SkipReason::NoWamid)?;
    let from = message.get("from").and_then(Value::as_str).and_then(Phone::parse);
    let from = from.ok_or(SkipReason::SenderNotAPhone)?;
    let at = read_time(message.get("timestamp"), received_at);
    let answered = read_wamid(message.get("context").and_then(|context| context.get("id")));
    let profile_name = names.get(&from).cloned();
    let (kind, content, object) = read_substance(message);
    let payload = object.to_string();
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(SkipReason::PayloadTooLarge);
    }
    Ok(InboundMessage {
        wamid,
        from,
        profile_name,
        at,
        kind,
        content: content.into(),
        payload: payload.into(),
        context: answered,
    })
}

/// Returns a message's kind, content and payload. A message of an unknown type, or without a member that its
/// type requires, is kept whole.
fn read_substance(mut message: Map<String, Value>) -> (MessageKind, String, Value) {
    let name = message.get("type").and_then(Value::as_str).unwrap_or_default();
    let known = MessageKind::parse(name).filter(|kind| *kind != MessageKind::Unsupported);
    let rendered =
        known.and_then(|kind| Some((kind, content::render_content(kind, message.get(kind.as_str())?)?)));
    match rendered {
        Some((kind, content)) => {
            let object = message.remove(kind.as_str()).unwrap_or_default();
            (kind, content, object)
        }
        None => (MessageKind::Unsupported, "[unsupported]".to_owned(), Value::Object(message)),
    }
}

#[cfg(test)]
mod tests;
