//! Translates a webhook's body into types of the domain.
//!
//! Invariants: pure. Only a body that is not a JSON object is refused. Each entry, change and item is read on
//! its own, so that an unreadable one affects no other, and is listed in `skipped`. Items of one account keep
//! their order. What is not modelled is passed on whole. The existence of the account and the signature of
//! the body are checked elsewhere.

mod values;

use std::sync::Arc;

use serde_json::Value;
use serde_json::value::RawValue;

pub use super::item_fields::SkipReason;
use super::raw_members;
use super::raw_members::{MalformedWebhook, RawMembers};
use super::{fields, item_fields, template_fields};
use crate::domain::account::{AccountProfile, PhoneNumberId};
use crate::domain::inbound::{FieldNotice, InboundFact, InboundItem, RawItem, RawRole};
use crate::domain::phone::Phone;
use crate::domain::stored_item::NOTICE_KEY;
use crate::domain::time::Timestamp;

/// Bytes of a value that is passed on whole, at most.
const FIELD_BYTES_MAX: usize = 256 * 1024;
/// Field of a change that names none, and of an envelope.
const MESSAGES: &str = "messages";

/// All items of one webhook.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct InboundWebhook {
    /// Items, grouped by the accounts that they concern, in order of first mention.
    pub groups: Vec<AccountGroup>,
    /// Pieces that were left out, with the reasons.
    pub skipped: Vec<SkippedItem>,
}

/// Accounts that an item concerns.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ItemTarget {
    /// The account of Meta's id of a number.
    Number(PhoneNumberId),
    /// The account of a number.
    Phone(Phone),
    /// All accounts of a WhatsApp Business Account.
    Waba(Arc<str>),
}

/// Items of one target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccountGroup {
    /// Accounts that the items concern.
    pub target: ItemTarget,
    /// WhatsApp Business Account that the webhook names beside the number.
    pub waba_id: Option<Arc<str>>,
    /// In the order of the webhook. Never empty.
    pub items: Vec<InboundItem>,
}

/// A piece of a webhook that was left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SkippedItem {
    /// Accounts that it concerns, where these could be read.
    pub target: Option<ItemTarget>,
    /// Field of the webhook.
    pub field: Arc<str>,
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
    let mut reading = WebhookReader { received_at, webhook: InboundWebhook::default() };
    for entry in reading.read_elements(&envelope, "entry", None, MESSAGES) {
        match raw_members::read_members(entry.get()) {
            Some(entry) => reading.read_entry(&entry),
            None => reading.skip_item(None, MESSAGES, SkipReason::Unreadable),
        }
    }
    Ok(reading.webhook)
}

/// Reads a webhook. Values of the fields that become messages are read in [`values`].
struct WebhookReader {
    received_at: Timestamp,
    webhook: InboundWebhook,
}

/// A change: its field, and the accounts that it concerns.
#[derive(Clone)]
struct ChangePlace {
    field: Arc<str>,
    target: ItemTarget,
    waba_id: Option<Arc<str>>,
    /// Meta's time of the entry, as it is written.
    told_at: Arc<str>,
}

/// Facts about all changes of an entry.
struct EntryHeading {
    id: Option<Arc<str>>,
    /// As it is written; empty when there is none.
    time: Arc<str>,
}

impl WebhookReader {
    fn read_entry(&mut self, entry: &RawMembers<'_>) {
        let heading = EntryHeading {
            id: read_id(entry.get("id").copied()),
            time: entry.get("time").map_or("", |time| time.get()).into(),
        };
        for change in self.read_elements(entry, "changes", None, MESSAGES) {
            let Some(change) = raw_members::read_members(change.get()) else {
                self.skip_item(None, MESSAGES, SkipReason::Unreadable);
                continue;
            };
            // A change without a field is read by its value.
            let field = match change.get("field") {
                Some(_) => raw_members::read_string(&change, "field").filter(|field| is_field_name(field)),
                None => Some(MESSAGES.to_owned()),
            };
            let Some(field) = field else {
                self.skip_item(None, "other", SkipReason::Unreadable);
                continue;
            };
            match change.get("value") {
                Some(value) => self.read_change(&field.into(), value, &heading),
                None => self.skip_item(None, &field, SkipReason::Unreadable),
            }
        }
    }

    fn read_change(&mut self, field: &Arc<str>, value: &RawValue, entry: &EntryHeading) {
        let Some(members) = raw_members::read_members(value.get()) else {
            return self.skip_item(None, field, SkipReason::Unreadable);
        };
        let target = match find_number(|name| members.get(name).copied()) {
            Ok(target) => target,
            Err(reason) => return self.skip_item(None, field, reason),
        };
        let entry_id = entry.id.as_ref();
        let waba_id = target.as_ref().and(entry_id).filter(|_| &**field != "account_update").cloned();
        let of_waba = || {
            let told = read_object(members.get("waba_info").copied());
            let named = told.and_then(|info| read_id(info.get("waba_id").copied()));
            named.or_else(|| entry_id.cloned()).map(ItemTarget::Waba)
        };
        let becomes_messages = values::becomes_messages(field);
        let Some(target) = target.or_else(|| if becomes_messages { None } else { of_waba() }) else {
            return self.skip_item(None, field, SkipReason::NoPhoneNumberId);
        };
        let place = ChangePlace { field: field.clone(), target, waba_id, told_at: entry.time.clone() };
        if becomes_messages {
            self.read_value(&place, &members, value);
            return;
        }
        self.read_notices(&place, &members, value);
        self.tell_field(&place, field, value);
    }

    /// Reads what a field tells besides the event that shows it whole.
    fn read_notices(&mut self, place: &ChangePlace, members: &RawMembers<'_>, value: &RawValue) {
        let facts: Vec<InboundFact> = match &*place.field {
            "user_preferences" => {
                let cards = self.read_cards(place, members);
                let items = self.read_objects(place, members, "user_preferences");
                items
                    .iter()
                    .filter_map(|item| fields::read_preference(item, &cards, self.received_at))
                    .collect()
            }
            "user_id_update" => {
                let items = self.read_objects(place, members, "user_id_update");
                items.iter().filter_map(|item| fields::read_user_id_update(item, self.received_at)).collect()
            }
            field => {
                let value = serde_json::from_str(value.get()).unwrap_or(Value::Null);
                let account = fields::read_account_notice(field, &value);
                account.into_iter().chain(template_fields::read_template_notice(field, &value)).collect()
            }
        };
        for fact in facts {
            // Its key tells that the value came before, and that it was erased.
            let of_value = matches!(
                fact,
                InboundFact::Account(_) | InboundFact::Preference(_) | InboundFact::Template(_)
            );
            let raw = of_value.then(|| notice_item(place, &place.field, value));
            self.keep_item(place, InboundItem { fact, raw });
        }
    }

    /// Passes a value on whole.
    fn tell_field(&mut self, place: &ChangePlace, field: &str, value: &RawValue) {
        // The event's readers parse it: beyond the limits of a parser it would be of no use to them.
        let readable = serde_json::from_str::<Value>(value.get()).is_ok();
        if value.get().len() > FIELD_BYTES_MAX {
            return self.skip_item(Some(&place.target), &place.field, SkipReason::PayloadTooLarge);
        }
        if !readable {
            return self.skip_item(Some(&place.target), &place.field, SkipReason::Unreadable);
        }
        let notice = FieldNotice { field: field.into(), value: value.get().into() };
        let raw = Some(notice_item(place, field, value));
        self.keep_item(place, InboundItem { fact: InboundFact::Field(notice), raw });
    }

    /// Returns the elements of a list; none when it is absent. Anything but a list is recorded as skipped.
    fn read_elements<'a>(
        &mut self,
        members: &RawMembers<'a>,
        name: &str,
        target: Option<&ItemTarget>,
        field: &str,
    ) -> Vec<&'a RawValue> {
        let Some(list) = members.get(name).filter(|list| list.get() != "null") else { return Vec::new() };
        raw_members::read_elements(list.get()).unwrap_or_else(|| {
            self.skip_item(target, field, SkipReason::Unreadable);
            Vec::new()
        })
    }

    fn keep_item(&mut self, place: &ChangePlace, item: InboundItem) {
        let known = self.webhook.groups.iter_mut().find(|group| group.target == place.target);
        match known {
            Some(group) => {
                group.waba_id = group.waba_id.take().or_else(|| place.waba_id.clone());
                group.items.push(item);
            }
            None => self.webhook.groups.push(AccountGroup {
                target: place.target.clone(),
                waba_id: place.waba_id.clone(),
                items: vec![item],
            }),
        }
    }

    fn skip_item(&mut self, target: Option<&ItemTarget>, field: &str, reason: SkipReason) {
        self.webhook.skipped.push(SkippedItem { target: target.cloned(), field: field.into(), reason });
    }
}

/// Builds the raw item of a value that is told whole. Its key is equal when WhatsApp repeats the value.
fn notice_item(place: &ChangePlace, field: &str, value: &RawValue) -> RawItem {
    let parts = [&*place.told_at, field, value.get()].join("\0");
    let digest = item_fields::digest_text(&parts);
    let key = format!("{NOTICE_KEY}{field}:{}", hex::encode(digest));
    RawItem { wamid_key: key.into(), role: RawRole::Change, body: value.get().into(), card: None, digest }
}

fn is_field_name(field: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_';
    (1..=64).contains(&field.len()) && field.bytes().all(word)
}

pub(super) fn read_object(value: Option<&RawValue>) -> Option<RawMembers<'_>> {
    raw_members::read_members(value?.get())
}

/// Reads the id of a WhatsApp Business Account, a string or a number.
pub(super) fn read_id(value: Option<&RawValue>) -> Option<Arc<str>> {
    AccountProfile::parse_waba_id(value?.get().trim_matches('"'))
}

/// Finds the number that a value names; `None` when it names none. `member` returns the value's members by name.
pub(super) fn find_number<'a>(
    member: impl Fn(&str) -> Option<&'a RawValue>,
) -> Result<Option<ItemTarget>, SkipReason> {
    for holder in ["metadata", "recipient"] {
        let Some(holder) = member(holder) else { continue };
        let [id] = raw_members::pick_members(holder.get(), &["phone_number_id"]);
        if let Some(id) = id {
            let id = raw_members::read_text(id);
            let id = id.as_deref().and_then(PhoneNumberId::parse).ok_or(SkipReason::NoPhoneNumberId)?;
            return Ok(Some(ItemTarget::Number(id)));
        }
    }
    let told = ["phone_number", "display_phone_number"]
        .into_iter()
        .find_map(|name| Phone::parse(&raw_members::read_text(member(name)?)?));
    Ok(told.map(ItemTarget::Phone))
}

#[cfg(test)]
mod tests;
