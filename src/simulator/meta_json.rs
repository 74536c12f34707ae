//! The JSON that Meta writes: responses, and webhooks.
//!
//! Invariant: shapes and names are those of Meta's Cloud API documentation ("Messages", "Webhooks"). Pure;
//! other modules decide what is sent, and at what time.

use std::sync::Arc;

use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use serde_json::{Value, json};

use super::SimulatedNumber;
use super::meta_errors;
use super::meta_errors::KnownError;

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
    /// An inbound message: the contact's card, and the message.
    Message { card: Value, message: Value },
    /// A status of a send.
    Status(Value),
}

/// Formats seconds as Meta writes them.
pub(super) fn format_seconds(at: Timestamp) -> String {
    (at.millis() / 1000).to_string()
}

/// Builds the response to an accepted send.
pub(super) fn accepted_body(input: &str, to: &Phone, wamid: &str) -> Value {
    json!({
        "messaging_product": "whatsapp",
        "contacts": [{"input": input, "wa_id": to.as_digits()}],
        "messages": [{"id": wamid}],
    })
}

/// Builds the response to a refused call.
pub(super) fn refused_body(known: KnownError, details: &str, trace: &str) -> Value {
    json!({"error": {
        "message": format!("(#{}) {}", known.code, known.title),
        "type": "OAuthException",
        "code": known.code,
        "error_data": {"messaging_product": "whatsapp", "details": details},
        "fbtrace_id": trace,
    }})
}

/// Builds one status of a send.
pub(super) fn status_item(wamid: &str, word: &str, to: &Phone, at: Timestamp, opaque: Option<&str>) -> Value {
    let mut status = json!({
        "id": wamid,
        "status": word,
        "timestamp": format_seconds(at),
        "recipient_id": to.as_digits(),
        "pricing": {"billable": true, "pricing_model": "PMP", "category": "service", "type": "regular"},
    });
    if let (Some(members), Some(opaque)) = (status.as_object_mut(), opaque) {
        members.insert("biz_opaque_callback_data".into(), opaque.into());
    }
    status
}

/// Builds the status of a send that was accepted and then failed.
pub(super) fn failed_item(wamid: &str, code: i64, to: &Phone, at: Timestamp, opaque: Option<&str>) -> Value {
    let title = meta_errors::describe_error(code).title;
    let mut status = status_item(wamid, "failed", to, at, opaque);
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

/// Builds the contact card of a sender.
pub(super) fn contact_card(phone: &Phone, name: &str) -> Value {
    json!({"profile": {"name": name}, "wa_id": phone.as_digits()})
}

/// Returns the number of these pieces, from the first, that fit into one webhook; at least one.
pub(super) fn count_fitting<'a>(pieces: impl IntoIterator<Item = &'a WebhookItem>) -> usize {
    let mut bytes = 0;
    let sizes = pieces.into_iter().map(|piece| match &piece.matter {
        ItemContent::Message { card, message } => card.to_string().len() + message.to_string().len(),
        ItemContent::Status(status) => status.to_string().len(),
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
    let metadata = json!({
        "display_phone_number": number.phone.as_digits(),
        "phone_number_id": number.phone_number_id.as_str(),
    });
    let value = match &piece.matter {
        ItemContent::Message { card, message } => json!({
            "messaging_product": "whatsapp", "metadata": metadata, "contacts": [card], "messages": [message],
        }),
        ItemContent::Status(status) => {
            json!({"messaging_product": "whatsapp", "metadata": metadata, "statuses": [status]})
        }
    };
    json!({"id": number.waba_id, "changes": [{"field": "messages", "value": value}]})
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::account::PhoneNumberId;

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
            matter: ItemContent::Message { card: json!({}), message: json!({"text": "x".repeat(chars)}) },
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
