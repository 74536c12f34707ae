//! Items of a value that become messages, or change them.
//!
//! Invariant: an item with a message id of WhatsApp's is never skipped for what else it lacks.

use std::sync::Arc;

use serde_json::{Map, Value};

use super::content;
use super::item_fields::{ReadItem, SkipReason, read_status_word, read_time, read_wamid};
use super::parties::{self, CardedParty, ContactCards};

use crate::domain::identity::Party;
use crate::domain::inbound::{
    IdentityChange, InboundFact, InboundMessage, ItemOwner, MessageEdit, MessageRevoke, RawRole,
};
use crate::domain::message::{Direction, MessageKind};
use crate::domain::message_details::{MessageContext, MessageSource, ReactionTo};
use crate::domain::phone::Phone;
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;

/// Bytes of a message's object that are kept, at most; Meta's own limits are far below.
const PAYLOAD_BYTES_MAX: usize = 256 * 1024;

/// Origin of a list of messages.
#[derive(Clone, Copy)]
pub(super) struct ItemOrigin {
    /// From or to the contact.
    pub(super) direction: Direction,
    /// Origin of each message.
    pub(super) source: MessageSource,
    /// Meta's agent holds the conversation.
    pub(super) standby: bool,
}

/// Facts about all items of one list.
pub(super) struct ItemSetting<'a> {
    pub(super) origin: ItemOrigin,
    pub(super) cards: &'a ContactCards,
    /// Items of the list without any identifier.
    pub(super) anonymous_items: usize,
    pub(super) received_at: Timestamp,
}

/// Reads an item of `messages` or `message_echoes`.
pub(super) fn read_item(item: Map<String, Value>, setting: &ItemSetting<'_>) -> Result<ReadItem, SkipReason> {
    let item = Value::Object(flatten_echo(item));
    let wamid = read_wamid(item.get("id")).ok_or(SkipReason::NoWamid)?;
    let at = read_time(item.get("timestamp"), setting.received_at);
    let change = match item.get("type").and_then(Value::as_str) {
        Some("edit") => read_edit(&item, at),
        Some("revoke") => read_revoke(&item, at),
        _ => None,
    };
    match change {
        Some(change) => Ok(change),
        None => read_message(item, wamid, at, setting),
    }
}

/// Lifts the members of an echo's inner `message`, as the field `standby` has it.
fn flatten_echo(mut item: Map<String, Value>) -> Map<String, Value> {
    if !item.contains_key("type")
        && let Some(Value::Object(inner)) = item.get("message").cloned()
    {
        for (name, value) in inner {
            item.entry(name).or_insert(value);
        }
    }
    item
}

fn read_edit(item: &Value, at: Timestamp) -> Option<ReadItem> {
    let wamid = read_wamid(item.pointer("/edit/original_message_id"))?;
    let Some(Value::Object(inner)) = item.pointer("/edit/message").cloned() else { return None };
    let (kind, content, object) = read_substance(inner);
    let edit = MessageEdit {
        wamid: wamid.clone(),
        at,
        kind,
        content: content.into(),
        payload: object.to_string().into(),
    };
    Some(ReadItem { fact: InboundFact::Edit(edit), wamid, role: RawRole::Change, card: None })
}

fn read_revoke(item: &Value, at: Timestamp) -> Option<ReadItem> {
    let wamid = read_wamid(item.pointer("/revoke/original_message_id"))?;
    let revoke = MessageRevoke { wamid: wamid.clone(), at };
    Some(ReadItem { fact: InboundFact::Revoke(revoke), wamid, role: RawRole::Change, card: None })
}

/// Reads the owner of a message, and the contact card of the person.
fn read_owner(item: &Value, setting: &ItemSetting<'_>) -> (ItemOwner, Option<Arc<str>>) {
    let party = match setting.origin.direction {
        Direction::Inbound => parties::read_author(item),
        Direction::Outbound => parties::read_addressee(item),
    };
    let CardedParty { party, card } = setting.cards.find_card(party, setting.anonymous_items);
    let owner = match parties::read_group(item) {
        Some(group) => ItemOwner::Group(group, party),
        None => ItemOwner::Person(party),
    };
    (owner, card)
}

fn read_message(
    mut item: Value,
    wamid: Arc<str>,
    at: Timestamp,
    setting: &ItemSetting<'_>,
) -> Result<ReadItem, SkipReason> {
    let (owner, card) = read_owner(&item, setting);
    let context = read_context(item.get("context"));
    let referral =
        item.get("referral").filter(|value| value.is_object()).map(|value| value.to_string().into());
    let past_status = read_past_status(&item, setting.origin.source);
    let placeholder = setting.origin.source == MessageSource::History
        && item.get("type").and_then(Value::as_str) == Some("media_placeholder");
    let identity_change = read_identity_change(item.get("system"));
    let reaction = read_reaction(item.get("reaction"));
    let shared_number = item.get("contacts").and_then(parties::read_shared_number);
    let members = item.as_object_mut().map(std::mem::take).unwrap_or_default();
    let (kind, content, object) = read_substance(members);
    let payload = object.to_string();
    if payload.len() > PAYLOAD_BYTES_MAX {
        return Err(SkipReason::PayloadTooLarge);
    }
    let message = InboundMessage {
        wamid: wamid.clone(),
        owner,
        direction: setting.origin.direction,
        source: setting.origin.source,
        standby: setting.origin.standby,
        at,
        past_status,
        kind,
        placeholder,
        content: content.into(),
        payload: payload.into(),
        context,
        referral,
        reaction: reaction.filter(|_| kind == MessageKind::Reaction),
        identity_change: identity_change.filter(|_| kind == MessageKind::System),
        shared_number: shared_number.filter(|_| kind == MessageKind::Contacts),
    };
    Ok(ReadItem { fact: InboundFact::Message(Box::new(message)), wamid, role: RawRole::Message, card })
}

fn read_context(context: Option<&Value>) -> Option<MessageContext> {
    let context = context?.as_object().filter(|context| !context.is_empty())?;
    let flag = |name: &str| context.get(name).and_then(Value::as_bool).unwrap_or(false);
    let from =
        context.get("from").and_then(Value::as_str).filter(|from| !from.is_empty() && from.len() <= 256);
    let product = context.get("referred_product").filter(|product| product.is_object());
    Some(MessageContext {
        message_id: read_wamid(context.get("id")),
        from: from
            .map(|from| Phone::parse(from).map_or_else(|| from.into(), |phone| phone.to_string().into())),
        forwarded: flag("forwarded"),
        frequently_forwarded: flag("frequently_forwarded"),
        referred_product: product.map(|product| product.to_string().into()),
    })
}

/// Reads the status of a message of the history.
fn read_past_status(item: &Value, source: MessageSource) -> Option<MessageStatus> {
    if source != MessageSource::History {
        return None;
    }
    let word = item.pointer("/history_context/status").and_then(Value::as_str)?.to_ascii_lowercase();
    match word.as_str() {
        "error" => Some(MessageStatus::Failed),
        "pending" => Some(MessageStatus::Sent),
        word => read_status_word(word),
    }
}

fn read_reaction(reaction: Option<&Value>) -> Option<ReactionTo> {
    let reaction = reaction?;
    let emoji = reaction.get("emoji").and_then(Value::as_str).filter(|emoji| !emoji.is_empty());
    Some(ReactionTo {
        wamid: read_wamid(reaction.get("message_id"))?,
        emoji: emoji.map(|emoji| content::bound_text(emoji, 32).into()),
    })
}

/// Reads the new identifiers of a system message about its sender. A notice about a changed key has none.
fn read_identity_change(system: Option<&Value>) -> Option<IdentityChange> {
    let system = system?;
    let before = parties::read_ids(system, "customer", "previous_user_id", "previous_parent_user_id");
    let number = if system.get("new_wa_id").is_some() { "new_wa_id" } else { "wa_id" };
    let after = parties::read_ids(system, number, "user_id", "parent_user_id");
    let kind = system.get("type").and_then(Value::as_str).unwrap_or_default();
    let replaced = kind.contains("changed_number")
        || kind.contains("changed_user_id")
        || before.user_id.is_some()
        || before.parent_user_id.is_some();
    (replaced && !after.is_anonymous()).then_some(IdentityChange { before, after })
}

/// Returns a message's kind, content and payload. A message of an unknown type, or without a member that its
/// type requires, is kept whole.
fn read_substance(mut message: Map<String, Value>) -> (MessageKind, String, Value) {
    let name = message.get("type").and_then(Value::as_str).unwrap_or_default();
    let known = MessageKind::parse(name).filter(|kind| *kind != MessageKind::Unsupported);
    if known == Some(MessageKind::RequestWelcome) {
        let object = message.remove("request_welcome").unwrap_or_else(|| Value::Object(Map::new()));
        return (MessageKind::RequestWelcome, "[request_welcome]".to_owned(), object);
    }
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

/// Returns `true` for an item in which nothing names its author or addressee.
pub(super) fn is_anonymous(item: &Map<String, Value>, direction: Direction) -> bool {
    let item = Value::Object(item.clone());
    let party: Party = match direction {
        Direction::Inbound => parties::read_author(&item),
        Direction::Outbound => parties::read_addressee(&item),
    };
    party.is_anonymous()
}
