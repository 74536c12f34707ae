//! Events about messages in the form of Meta's own webhooks, for subscriptions that ask for it.
//!
//! Invariants: pure. The item that came is shown as it came, but for the callback data, which is the client's own
//! or absent. What this server did by itself is no item of WhatsApp's and is not shown, but for a failure.

mod known_items;
mod raw_object;
#[cfg(test)]
mod tests;

use std::fmt::Write as _;
use std::sync::Arc;

use serde::Serialize;
use serde_json::value::RawValue;

use crate::domain::account::Account;
use crate::domain::contact::Contact;
use crate::domain::event::EventKind;
use crate::domain::inbound::{RawItem, RawRole};
use crate::domain::message::{Direction, Message, MessageKind};
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;
use crate::domain::wamid::wamid_key;
use crate::ids::DeliveryId;

use super::item_fields::read_status_word;
use super::raw_members;
use raw_object::{CALLBACK_DATA, read_object, replace_member};

/// Part of an event that has Meta's form.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetaForm<'a> {
    /// The event is shown as this item.
    Item(MetaItem<'a>),
    /// The event has no place in this form.
    Hidden,
    /// Meta has no such events: they have a form of their own.
    Other,
}

/// A message, or a status of one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MetaItem<'a> {
    message: &'a Message,
    /// `None` for the message itself.
    status: Option<ItemStatus>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ItemStatus {
    status: MessageStatus,
    at: Timestamp,
    /// WhatsApp reported it.
    reported: bool,
}

/// Input to the rendering of an item.
#[derive(Debug, Clone, Copy)]
pub struct FormFacts<'a> {
    /// Account of the log.
    pub account: &'a Account,
    /// Contact of the message; `None` when it is gone.
    pub contact: Option<&'a Contact>,
    /// The item as it came; `None` when it is not kept any more, or never came.
    pub raw: Option<&'a RawItem>,
    /// The delivery.
    pub delivery_id: DeliveryId,
    /// Address of this server for clients, without a slash at the end.
    pub public_url: Option<&'a str>,
}

impl<'a> MetaForm<'a> {
    /// Returns the form of an event.
    #[must_use]
    pub fn of_event(kind: &'a EventKind) -> Self {
        match kind {
            EventKind::MessageReceived(message) => Self::Item(MetaItem { message, status: None }),
            EventKind::MessageStatus { message, occurred_at, .. } => Self::of_moved(message, *occurred_at),
            EventKind::MessageStatusReported { message, status, occurred_at } => {
                let status = ItemStatus { status: *status, at: *occurred_at, reported: true };
                Self::Item(MetaItem { message, status: Some(status) })
            }
            EventKind::MessageCreated(_)
            | EventKind::MessageSent(_)
            | EventKind::MessageEdited { .. }
            | EventKind::MessageRevoked(_)
            | EventKind::ConversationCreated(_)
            | EventKind::ConversationAssigned(_)
            | EventKind::ConversationClosed(_)
            | EventKind::ConversationUpdated(_)
            | EventKind::ConversationMerged(_)
            | EventKind::ContactCreated(_)
            | EventKind::ContactUpdated(_)
            | EventKind::ContactIdentityUpdated { .. }
            | EventKind::ContactDeleted(_)
            | EventKind::ConversationDeleted { .. }
            | EventKind::AccountUpdated(_)
            | EventKind::TemplateCreated(_)
            | EventKind::TemplateUpdated(_)
            | EventKind::TemplateDeleted { .. }
            | EventKind::WhatsAppField(_) => Self::Other,
            // Meta's form has nothing without content.
            EventKind::Erased(_) => Self::Hidden,
        }
    }

    /// Returns the form of a status that moved.
    fn of_moved(message: &'a Message, at: Timestamp) -> Self {
        if message.direction == Direction::Inbound {
            // The business read it.
            return Self::Hidden;
        }
        let is_reported = |status| message.history.iter().any(|seen| seen.status == status && seen.reported);
        let played = message.status == MessageStatus::Read && is_reported(MessageStatus::Played);
        let (status, reported) = match (is_reported(message.status), played) {
            (true, _) => (message.status, true),
            // Read, because it was listened to.
            (false, true) => (MessageStatus::Played, true),
            (false, false) => (message.status, false),
        };
        if !reported && status != MessageStatus::Failed {
            return Self::Hidden;
        }
        Self::Item(MetaItem { message, status: Some(ItemStatus { status, at, reported }) })
    }
}

/// Returns Unix seconds, as Meta writes them.
fn seconds_text(at: Timestamp) -> String {
    at.millis().div_euclid(1000).to_string()
}

impl<'a> MetaItem<'a> {
    /// The message that the item is about.
    #[must_use]
    pub const fn message(&self) -> &'a Message {
        self.message
    }

    /// WhatsApp's id of the message, or ours where WhatsApp never gave one.
    fn shown_id(&self) -> Arc<str> {
        self.message.wamid.clone().unwrap_or_else(|| self.message.id.to_string().into())
    }

    /// The id by which receivers tell events apart: one per message, and one per message and status. ASCII
    /// without white space.
    #[must_use]
    pub fn event_id(&self) -> String {
        let mut id = String::new();
        for byte in self.shown_id().bytes() {
            if byte.is_ascii_graphic() {
                id.push(char::from(byte));
            } else {
                // Writing to a `String` cannot fail.
                let _written = write!(id, "%{byte:02X}");
            }
        }
        match self.status {
            Some(ItemStatus { status, .. }) => format!("{id}:{}", status.as_str()),
            None => id,
        }
    }

    /// The key of the raw items among which the item is; `None` when WhatsApp never sent one.
    #[must_use]
    pub fn raw_key(&self) -> Option<Arc<str>> {
        let came = self.status.is_none_or(|status| status.reported);
        self.message.wamid.as_deref().filter(|_| came).map(wamid_key)
    }

    /// Finds the item among the raw items of its message, which are in the order in which they came.
    #[must_use]
    pub fn find_raw<'r>(&self, kept: &'r [RawItem]) -> Option<&'r RawItem> {
        let Some(ItemStatus { status, at, reported }) = self.status else {
            let of_role = |role| kept.iter().find(|item| item.role == role);
            return of_role(RawRole::Message)
                .or_else(|| of_role(RawRole::Change).filter(|_| self.message.kind == MessageKind::Call));
        };
        let is_same = |item: &&RawItem| {
            let members = raw_members::read_members(&item.body);
            let word = members.and_then(|members| raw_members::read_string(&members, "status"));
            item.role == RawRole::Status && word.is_some_and(|word| read_status_word(&word) == Some(status))
        };
        let mut same = kept.iter().filter(|_| reported).filter(is_same);
        let at_once = |item: &&RawItem| {
            let members = raw_members::read_members(&item.body);
            members.and_then(|members| raw_members::read_string(&members, "timestamp"))
                == Some(seconds_text(at))
        };
        same.clone().find(at_once).or_else(|| same.next())
    }

    /// Renders the body of a delivery.
    #[must_use]
    pub fn render(&self, facts: &FormFacts<'_>) -> String {
        let message = self.message;
        let item = self.shown_item(facts.raw);
        let card = self.shown_card(facts);
        let field = match (message.kind, message.details.standby) {
            (MessageKind::Call, _) => "calls",
            (_, true) => "standby",
            (_, false) => "messages",
        };
        let mut lists = ItemLists { contacts: card.map(|card| [card]), ..ItemLists::default() };
        let item = Some([item]);
        match (self.status, message.kind) {
            (Some(_), _) => lists.statuses = item,
            (None, MessageKind::Call) => lists.calls = item,
            (None, _) => lists.messages = item,
        }
        let metadata = Metadata {
            display_phone_number: facts.account.phone.as_digits(),
            phone_number_id: facts.account.phone_number_id.as_str(),
        };
        let value = if field == "standby" {
            ChangeValue { messaging_product: "whatsapp", metadata, lists: None, standby: Some(lists) }
        } else {
            ChangeValue { messaging_product: "whatsapp", metadata, lists: Some(lists), standby: None }
        };
        let entry = Entry {
            id: facts.account.profile.waba_id.as_deref().unwrap_or_default(),
            changes: [Change { value, field }],
        };
        let kirim = self.describe_delivery(facts);
        let body = WebhookBody { object: "whatsapp_business_account", entry: [entry], kirim };
        // Texts, and JSON that was read before, which serde always writes.
        serde_json::to_string(&body).unwrap_or_default()
    }

    /// The item as it came, or as far as it is known.
    fn shown_item(&self, raw: Option<&RawItem>) -> Box<RawValue> {
        let came = raw.and_then(|raw| match self.status {
            Some(_) => {
                replace_member(&raw.body, CALLBACK_DATA, self.message.details.callback_data.as_deref())
            }
            None => read_object(&raw.body),
        });
        came.unwrap_or_else(|| match self.status {
            Some(status) => known_items::build_status(self.message, &self.shown_id(), status),
            None => known_items::build_message(self.message),
        })
    }

    /// The contact card as it came, or for a message as far as it is known.
    fn shown_card(&self, facts: &FormFacts<'_>) -> Option<Box<RawValue>> {
        let came = facts.raw.and_then(|raw| read_object(raw.card.as_deref()?));
        came.or_else(|| match self.status {
            Some(_) => None,
            None => Some(known_items::build_card(self.message, facts.contact)),
        })
    }

    fn describe_delivery(&self, facts: &FormFacts<'_>) -> KirimMember {
        let message = self.message;
        let identity = facts.contact.map(|contact| &contact.identity);
        let has_media =
            self.status.is_none() && message.details.revoked_at.is_none() && known_items::has_media(message);
        let number_id = facts.account.phone_number_id.as_str();
        let media_url = has_media.then(|| {
            let base = facts.public_url.unwrap_or_default();
            format!("{base}/v1/{number_id}/messages/{}/media", message.id)
        });
        KirimMember {
            delivery_id: facts.delivery_id.to_string(),
            message_id: message.id.to_string(),
            conversation_id: message.conversation_id.to_string(),
            contact_id: message.contact_id.to_string(),
            phone_number_id: number_id.to_owned(),
            contact: KirimContact {
                name: facts.contact.and_then(|contact| contact.name.as_deref().map(str::to_owned)),
                phone_number: identity.and_then(|known| known.phone()).map(|phone| phone.as_str().to_owned()),
                user_id: identity.and_then(|known| known.user_id()).map(|id| id.as_str().to_owned()),
            },
            media_status: media_url.is_some().then_some("pending"),
            media_url,
        }
    }
}

#[derive(Serialize)]
struct WebhookBody<'a> {
    object: &'static str,
    entry: [Entry<'a>; 1],
    kirim: KirimMember,
}

#[derive(Serialize)]
struct Entry<'a> {
    id: &'a str,
    changes: [Change<'a>; 1],
}

#[derive(Serialize)]
struct Change<'a> {
    value: ChangeValue<'a>,
    field: &'static str,
}

#[derive(Serialize)]
struct ChangeValue<'a> {
    messaging_product: &'static str,
    metadata: Metadata<'a>,
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    lists: Option<ItemLists>,
    #[serde(skip_serializing_if = "Option::is_none")]
    standby: Option<ItemLists>,
}

#[derive(Serialize)]
struct Metadata<'a> {
    display_phone_number: &'a str,
    phone_number_id: &'a str,
}

/// Lists of a value; an absent one has no member.
#[derive(Default, Serialize)]
struct ItemLists {
    #[serde(skip_serializing_if = "Option::is_none")]
    contacts: Option<[Box<RawValue>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    messages: Option<[Box<RawValue>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    statuses: Option<[Box<RawValue>; 1]>,
    #[serde(skip_serializing_if = "Option::is_none")]
    calls: Option<[Box<RawValue>; 1]>,
}

/// Members that this server adds beside Meta's.
#[derive(Serialize)]
struct KirimMember {
    delivery_id: String,
    message_id: String,
    conversation_id: String,
    contact_id: String,
    phone_number_id: String,
    contact: KirimContact,
    media_url: Option<String>,
    media_status: Option<&'static str>,
}

#[derive(Serialize)]
struct KirimContact {
    name: Option<String>,
    phone_number: Option<String>,
    user_id: Option<String>,
}
