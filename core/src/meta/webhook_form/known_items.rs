//! Items of Meta's form that are built from what is known here, because the item that came is not kept any more,
//! or none came.

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::{ItemStatus, seconds_text};
use crate::domain::address::Address;
use crate::domain::contact::Contact;
use crate::domain::message::{Message, MessageError, MessageKind};
use crate::domain::phone::Phone;
use crate::domain::status::MessageStatus;

/// Meta's code for a failure without a better one.
const UNKNOWN_FAILURE: i64 = 131_000;

/// Returns a value as JSON that is written already.
fn to_raw(value: &Value) -> Box<RawValue> {
    // A value is always written.
    serde_json::value::to_raw_value(value).unwrap_or_default()
}

/// Returns `true` for a message with a file.
pub(super) const fn has_media(message: &Message) -> bool {
    matches!(
        message.kind,
        MessageKind::Image
            | MessageKind::Video
            | MessageKind::Audio
            | MessageKind::Document
            | MessageKind::Sticker
    )
}

/// Names a party as Meta does: by number, or by user id.
fn insert_address(item: &mut Map<String, Value>, address: &Address, (number, user): (&str, &str)) {
    match address {
        Address::Phone(phone) => item.insert(number.to_owned(), phone.as_digits().into()),
        Address::User(id) => item.insert(user.to_owned(), id.as_str().into()),
        Address::Group(id) => item.insert(number.to_owned(), id.as_str().into()),
        Address::Unknown => None,
    };
}

/// Builds a message of a contact.
pub(super) fn build_message(message: &Message) -> Box<RawValue> {
    let payload: Value = serde_json::from_str(&message.payload).unwrap_or_else(|_broken| json!({}));
    if message.kind == MessageKind::Unsupported && payload.get("id").is_some() {
        // What is not understood is kept whole.
        return to_raw(&payload);
    }
    let mut item = Map::new();
    if let Some(context) = &message.context {
        let mut shown = Map::new();
        shown.extend(context.from.as_deref().map(|from| ("from".to_owned(), from.into())));
        shown.extend(context.message_id.as_deref().map(|id| ("id".to_owned(), id.into())));
        shown.extend(context.forwarded.then(|| ("forwarded".to_owned(), true.into())));
        let often = context.frequently_forwarded.then(|| ("frequently_forwarded".to_owned(), true.into()));
        shown.extend(often);
        let product = context.referred_product.as_deref().and_then(|json| serde_json::from_str(json).ok());
        shown.extend(product.map(|product: Value| ("referred_product".to_owned(), product)));
        item.insert("context".to_owned(), shown.into());
    }
    insert_address(&mut item, &message.from, ("from", "from_user_id"));
    item.extend(message.details.group_id.as_ref().map(|id| ("group_id".to_owned(), id.as_str().into())));
    item.insert("id".to_owned(), message.wamid.as_deref().unwrap_or_default().into());
    let at = message.history.iter().next().map_or(message.created_at, |seen| seen.at);
    item.insert("timestamp".to_owned(), seconds_text(at).into());
    item.insert("type".to_owned(), message.kind.as_str().into());
    item.insert(message.kind.as_str().to_owned(), payload);
    let referral = message.details.referral.as_deref().and_then(|json| serde_json::from_str(json).ok());
    item.extend(referral.map(|referral: Value| ("referral".to_owned(), referral)));
    to_raw(&item.into())
}

/// Builds a status of a message of the business, which is shown under this id.
pub(super) fn build_status(message: &Message, id: &str, status: ItemStatus) -> Box<RawValue> {
    let mut item = Map::new();
    item.insert("id".to_owned(), id.into());
    item.insert("status".to_owned(), status.status.as_str().into());
    item.insert("timestamp".to_owned(), seconds_text(status.at).into());
    insert_address(&mut item, &message.to, ("recipient_id", "recipient_user_id"));
    if matches!(message.to, Address::Group(_)) {
        item.insert("recipient_type".to_owned(), "group".into());
    }
    let own = message.details.callback_data.as_deref();
    item.extend(own.map(|own| (super::CALLBACK_DATA.to_owned(), own.into())));
    if status.status == MessageStatus::Failed {
        item.extend(message.error.as_ref().map(|error| ("errors".to_owned(), json!([show_error(error)]))));
    }
    to_raw(&item.into())
}

fn show_error(error: &MessageError) -> Value {
    json!({
        "code": error.provider_code.unwrap_or(UNKNOWN_FAILURE),
        "title": &*error.code,
        "message": &*error.message,
        "error_data": {"details": &*error.message},
    })
}

/// Builds the contact card of a message's author.
pub(super) fn build_card(message: &Message, contact: Option<&Contact>) -> Box<RawValue> {
    let sender = message.details.sender.as_ref();
    let identity = contact.filter(|_| sender.is_none()).map(|contact| &contact.identity);
    let name = match sender {
        Some(sender) => sender.name.as_deref(),
        None => contact.and_then(|contact| contact.name.as_deref()),
    };
    let number = identity.and_then(|known| known.numbers.last());
    let wa_id = number.map(|number| number.wa_id.as_ref().unwrap_or(&number.phone));
    let wa_id = wa_id.or_else(|| sender.and_then(|sender| sender.phone.as_ref()));
    let user_id = identity.and_then(|known| known.user_id());
    let user_id = user_id.or_else(|| sender.and_then(|sender| sender.user_id.as_ref()));
    let mut profile = Map::new();
    profile.extend(name.map(|name| ("name".to_owned(), name.into())));
    let username = identity.and_then(|known| known.username.as_ref());
    profile.extend(username.map(|username| ("username".to_owned(), (&*username.text).into())));
    let mut card = Map::new();
    card.insert("profile".to_owned(), profile.into());
    card.extend(wa_id.map(Phone::as_digits).map(|digits| ("wa_id".to_owned(), digits.into())));
    card.extend(user_id.map(|id| ("user_id".to_owned(), id.as_str().into())));
    to_raw(&card.into())
}
