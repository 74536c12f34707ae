//! The JSON that Meta writes: responses, and webhooks.
//!
//! Invariant: shapes and names are those of Meta's Cloud API documentation ("Messages", "Webhooks"). Pure;
//! other modules decide what is sent, and at what time.

use std::sync::Arc;

use kabar_core::domain::address::Address;
use kabar_core::domain::time::Timestamp;
use serde_json::{Map, Value, json};

use super::SimulatedNumber;
use super::meta_errors;
use super::meta_errors::KnownError;
use super::simulated_customers::SimulatedCustomer;

/// Meta's largest webhook.
const BODY_BYTES_MAX: usize = 3_000_000;
/// Most bytes that the envelope around one item adds.
const ENVELOPE_BYTES: usize = 400;

/// One item of a webhook.
#[derive(Debug, Clone)]
pub(super) struct WebhookItem {
    pub(super) number: Arc<SimulatedNumber>,
    pub(super) matter: ItemContent,
}

#[derive(Debug, Clone)]
pub(super) enum ItemContent {
    /// An inbound message, with the card of its author.
    Message { card: Option<Value>, message: Value },
    /// A status of a send, with the card of its recipient.
    Status { card: Option<Value>, status: Value },
    /// A value of another field, whole, and the time of its entry, by which repetitions are told.
    Field { field: String, value: Value, at: Timestamp },
}

/// The fields of an accepted send that its statuses show.
#[derive(Debug, Clone, Copy)]
pub(super) struct StatusSubject<'a> {
    pub(super) wamid: &'a str,
    pub(super) to: &'a Address,
    /// The recipient; of a group, one participant.
    pub(super) customer: &'a SimulatedCustomer,
    /// Templates cost something, everything else is sent within the free window.
    pub(super) template: bool,
    pub(super) opaque: Option<&'a str>,
}

/// Formats seconds as Meta writes them.
pub(super) fn format_seconds(at: Timestamp) -> String {
    (at.millis() / 1000).to_string()
}

/// Builds the response to an accepted send. It names a person by what was addressed: the WhatsApp id for a
/// number, the user id for a user id; a group has no card but its id.
pub(super) fn accepted_body(input: &str, sent: &StatusSubject<'_>, held: bool) -> Value {
    let mut contact = Map::new();
    contact.insert("input".into(), input.into());
    match sent.to {
        Address::Phone(_) => {
            let wa_id = sent.customer.wa_id.as_ref();
            contact.extend(wa_id.map(|phone| ("wa_id".to_owned(), phone.as_digits().into())));
        }
        Address::User(id) => {
            contact.insert("user_id".into(), id.as_str().into());
        }
        Address::Group(_) | Address::Unknown => {}
    }
    let message = if held {
        json!({"id": sent.wamid, "message_status": "held_for_quality_assessment"})
    } else {
        json!({"id": sent.wamid})
    };
    json!({"messaging_product": "whatsapp", "contacts": [contact], "messages": [message]})
}

/// Builds the response to a refused call.
pub(super) fn refused_body(known: KnownError, details: &str, subcode: Option<i64>, trace: &str) -> Value {
    let mut error = json!({
        "message": format!("(#{}) {}", known.code, known.title),
        "type": "OAuthException",
        "code": known.code,
        "error_data": {"messaging_product": "whatsapp", "details": details},
        "fbtrace_id": trace,
    });
    if let (Some(members), Some(subcode)) = (error.as_object_mut(), subcode) {
        members.insert("error_subcode".into(), subcode.into());
    }
    json!({"error": error})
}

/// Adds the ids of a person under these names, as far as WhatsApp names them.
pub(super) fn insert_ids(
    members: &mut Map<String, Value>,
    customer: &SimulatedCustomer,
    wa_id: &str,
    user_id: &str,
) {
    if let Some(phone) = &customer.wa_id {
        members.insert(wa_id.into(), phone.as_digits().into());
    }
    if let Some(id) = &customer.user_id {
        members.insert(user_id.into(), id.as_str().into());
    }
}

/// Builds one status of a send.
pub(super) fn status_item(sent: &StatusSubject<'_>, word: &str, at: Timestamp) -> Value {
    let mut status = Map::new();
    status.insert("id".into(), sent.wamid.into());
    status.insert("status".into(), word.into());
    status.insert("timestamp".into(), format_seconds(at).into());
    match sent.to {
        Address::Group(group) => {
            status.insert("recipient_id".into(), group.as_str().into());
            status.insert("recipient_type".into(), "group".into());
            if word != "sent" {
                let names = ("recipient_participant_id", "recipient_participant_user_id");
                insert_ids(&mut status, sent.customer, names.0, names.1);
            }
        }
        Address::Phone(_) | Address::User(_) | Address::Unknown => {
            insert_ids(&mut status, sent.customer, "recipient_id", "recipient_user_id");
        }
    }
    if let Some(opaque) = sent.opaque {
        status.insert("biz_opaque_callback_data".into(), opaque.into());
    }
    status.insert(
        "pricing".into(),
        if sent.template {
            json!({"billable": true, "pricing_model": "PMP", "category": "marketing", "type": "regular"})
        } else {
            json!({"billable": false, "pricing_model": "PMP", "category": "service",
                "type": "free_customer_service"})
        },
    );
    Value::Object(status)
}

/// Builds the status of a send that was accepted and then failed.
pub(super) fn failed_item(sent: &StatusSubject<'_>, code: i64, at: Timestamp) -> Value {
    let title = meta_errors::describe_error(code).title;
    let mut status = status_item(sent, "failed", at);
    if let Some(members) = status.as_object_mut() {
        members.shift_remove("pricing");
        let error = json!({
            "code": code,
            "title": title,
            "message": title,
            "error_data": {"details": format!("Simulated failure {code}: {title}.")},
            "href": "https://developers.facebook.com/docs/whatsapp/cloud-api/support/error-codes/",
        });
        members.insert("errors".into(), json!([error]));
    }
    status
}

/// Builds the contact card of a person.
pub(super) fn contact_card(customer: &SimulatedCustomer) -> Value {
    let mut profile = Map::new();
    profile.insert("name".into(), customer.name.as_str().into());
    if let Some(username) = &customer.username {
        profile.insert("username".into(), username.as_str().into());
    }
    let mut card = Map::new();
    card.insert("profile".into(), profile.into());
    insert_ids(&mut card, customer, "wa_id", "user_id");
    Value::Object(card)
}

/// Builds the card beside a status, which has no name.
pub(super) fn recipient_card(customer: &SimulatedCustomer) -> Value {
    let mut card = Map::new();
    insert_ids(&mut card, customer, "wa_id", "user_id");
    Value::Object(card)
}

/// Builds the value of a field about one number, with these members.
pub(super) fn number_value(number: &SimulatedNumber, members: Value) -> Value {
    let mut value = json!({
        "messaging_product": "whatsapp",
        "metadata": {
            "display_phone_number": number.phone.as_digits(),
            "phone_number_id": number.phone_number_id.as_str(),
        },
    });
    if let (Some(value), Value::Object(members)) = (value.as_object_mut(), members) {
        value.extend(members);
    }
    value
}

/// Returns the number of these pieces, from the first, that fit into one webhook; at least one.
pub(super) fn count_fitting<'a>(pieces: impl IntoIterator<Item = &'a WebhookItem>) -> usize {
    let mut bytes = 0;
    let length = |value: &Value| value.to_string().len();
    let sizes = pieces.into_iter().map(|piece| match &piece.matter {
        ItemContent::Message { card, message: item } | ItemContent::Status { card, status: item } => {
            card.as_ref().map_or(0, length) + length(item)
        }
        ItemContent::Field { field, value, .. } => field.len() + length(value),
    });
    let fit = sizes.take_while(|size| {
        bytes += size + ENVELOPE_BYTES;
        bytes <= BODY_BYTES_MAX
    });
    fit.count().max(1)
}

/// Builds a webhook with these pieces in their order, one entry each.
pub(super) fn webhook_body<'a>(pieces: impl IntoIterator<Item = &'a WebhookItem>) -> Vec<u8> {
    let entries: Vec<Value> = pieces.into_iter().map(webhook_entry).collect();
    json!({"object": "whatsapp_business_account", "entry": entries}).to_string().into_bytes()
}

fn webhook_entry(piece: &WebhookItem) -> Value {
    let number = &piece.number;
    let with_card = |card: &Option<Value>, list: &str, item: &Value| {
        let mut members = Map::new();
        if let Some(card) = card {
            members.insert("contacts".into(), json!([card]));
        }
        members.insert(list.into(), json!([item]));
        number_value(number, members.into())
    };
    let (field, value) = match &piece.matter {
        ItemContent::Message { card, message } => ("messages", with_card(card, "messages", message)),
        ItemContent::Status { card, status } => ("messages", with_card(card, "statuses", status)),
        ItemContent::Field { field, value, .. } => (field.as_str(), value.clone()),
    };
    let mut entry = json!({"id": number.waba_id, "changes": [{"field": field, "value": value}]});
    if let (ItemContent::Field { at, .. }, Some(members)) = (&piece.matter, entry.as_object_mut()) {
        members.insert("time".into(), (at.millis() / 1000).into());
    }
    entry
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::account::PhoneNumberId;
    use kabar_core::domain::phone::Phone;

    use super::*;

    #[test]
    fn a_webhook_stays_within_metas_limit() {
        let number = SimulatedNumber {
            phone_number_id: PhoneNumberId::parse("10020030040050160708").unwrap(),
            phone: Phone::parse("+123456789012345").unwrap(),
            waba_id: "910020030040050160708".into(),
        };
        let of_size = |chars: usize| WebhookItem {
            number: Arc::new(number.clone()),
            matter: ItemContent::Message { card: None, message: json!({"text": "x".repeat(chars)}) },
        };
        let small: Vec<WebhookItem> = (0..40_000).map(|_| of_size(20)).collect();
        let count = count_fitting(&small);
        let bytes = webhook_body(small.iter().take(count)).len();
        assert!(
            count < small.len() && bytes <= BODY_BYTES_MAX && bytes > BODY_BYTES_MAX / 2,
            "{count} {bytes}"
        );
        // What does not fit alone goes alone.
        assert_eq!(count_fitting(&[of_size(BODY_BYTES_MAX), of_size(1)]), 1);
        assert_eq!(count_fitting(&[of_size(1), of_size(BODY_BYTES_MAX)]), 1);
    }
}
