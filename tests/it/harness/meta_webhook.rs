//! Webhooks as Meta writes them, signed.
//!
//! Invariant: ids of messages differ from call to call, so that none is taken for a redelivery.

use std::sync::atomic::{AtomicU64, Ordering};

use kabar_core::domain::account::Secret;
use kabar_core::domain::time::Timestamp;
use kabar_core::meta::signature;
use serde_json::{Value, json};

use super::{APP_SECRET, Answer, Client};

static MESSAGES: AtomicU64 = AtomicU64::new(1);

/// The number of the nth contact, as Meta writes it.
pub(crate) fn from(nth: usize) -> String {
    format!("62812{:07}", 1_000_000 + nth)
}

/// An id of WhatsApp's that was never given before.
pub(crate) fn fresh_wamid() -> String {
    format!("wamid.T{:08}", MESSAGES.fetch_add(1, Ordering::Relaxed))
}

/// Somebody's message of any type.
pub(crate) fn incoming(author: &str, at: Timestamp, kind: &str, object: Value) -> Value {
    let mut message = json!({"from": author, "id": fresh_wamid(), "type": kind,
        "timestamp": (at.millis() / 1000).to_string()});
    message[kind] = object;
    message
}

/// Somebody's text.
pub(crate) fn text_from(author: &str, at: Timestamp, body: &str) -> Value {
    incoming(author, at, "text", json!({"body": body}))
}

/// A report about a message of ours. It names no recipient, as some of WhatsApp's do not.
pub(crate) fn status_of(wamid: &str, status: &str, at: Timestamp) -> Value {
    let mut report = json!({"id": wamid, "status": status,
        "timestamp": (at.millis() / 1000).to_string()});
    if status == "failed" {
        report["errors"] = json!([{"code": 131_026, "title": "Message undeliverable",
            "error_data": {"details": "Not on WhatsApp."}}]);
    }
    report
}

/// A webhook in the making: one entry with one change per addition.
#[derive(Debug, Clone, Default)]
pub(crate) struct InboundWebhook {
    entries: Vec<Value>,
}

impl InboundWebhook {
    /// With one change of any value.
    pub(crate) fn value(mut self, value: &Value) -> Self {
        self.entries
            .push(json!({"id": "102290129340398", "changes": [{"field": "messages", "value": value}]}));
        self
    }

    /// With one change of another field.
    pub(crate) fn field(mut self, field: &str, value: &Value) -> Self {
        self.entries.push(json!({"id": "102290129340398", "changes": [{"field": field, "value": value}]}));
        self
    }

    /// With messages to this number, whose authors are called after their number.
    pub(crate) fn messages(self, number: &str, messages: &[Value]) -> Self {
        let card = |message: &Value| {
            let author = message["from"].as_str().unwrap_or("62812");
            json!({"profile": {"name": format!("N{author}")}, "wa_id": author})
        };
        let cards: Vec<Value> = messages.iter().map(card).collect();
        self.value(&json!({"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "12025550100", "phone_number_id": number},
            "contacts": cards, "messages": messages}))
    }

    /// With reports about messages of this number.
    pub(crate) fn statuses(self, number: &str, statuses: &[Value]) -> Self {
        self.value(&json!({"messaging_product": "whatsapp",
            "metadata": {"display_phone_number": "12025550100", "phone_number_id": number},
            "statuses": statuses}))
    }

    /// The body.
    pub(crate) fn body(&self) -> Value {
        json!({"object": "whatsapp_business_account", "entry": self.entries})
    }

    /// Posts it, signed by the server's app secret.
    pub(crate) async fn post(&self, to: &Client) -> Answer {
        self.post_signed_by(to, APP_SECRET).await
    }

    /// The same, to servers that may die on the way.
    pub(crate) async fn attempt(&self, to: &Client) -> Result<Answer, reqwest::Error> {
        let body = self.body().to_string().into_bytes();
        let signature = signature::sign_body(&Secret::new(APP_SECRET), &body);
        let headers = [("Content-Type", "application/json"), (signature::HEADER, &*signature)];
        to.attempt("POST", "/webhooks/whatsapp", &headers, body).await
    }

    /// Posts it, signed by the server's app secret, with further headers.
    pub(crate) async fn post_with(&self, to: &Client, more: &[(&str, &str)]) -> Answer {
        let body = self.body().to_string().into_bytes();
        let signature = signature::sign_body(&Secret::new(APP_SECRET), &body);
        let mut headers = vec![("Content-Type", "application/json"), (signature::HEADER, &*signature)];
        headers.extend_from_slice(more);
        to.bytes("POST", "/webhooks/whatsapp", &headers, body).await
    }

    /// Posts it, signed by this secret.
    pub(crate) async fn post_signed_by(&self, to: &Client, secret: &str) -> Answer {
        let body = self.body().to_string().into_bytes();
        post_bytes(to, body, secret).await
    }
}

/// Posts any bytes, signed by this secret.
pub(crate) async fn post_bytes(to: &Client, body: Vec<u8>, secret: &str) -> Answer {
    let signature = signature::sign_body(&Secret::new(secret), &body);
    let headers = [("Content-Type", "application/json"), (signature::HEADER, &*signature)];
    to.bytes("POST", "/webhooks/whatsapp", &headers, body).await
}
