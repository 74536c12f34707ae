//! A tenant with a key and a number, and the things that tests do with them all the time.
//!
//! Invariant: what is awaited is awaited by long polls of the product's own.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::clock::Clock;
use serde_json::{Value, json};

use super::meta_webhook;
use super::meta_webhook::InboundWebhook;
use super::{Answer, Client, patiently, text};

/// More rows than any test makes: a walk that goes on beyond goes round in circles.
const ROWS_MAX: usize = 20_000;

/// See the module. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) organisation: String,
    pub(crate) key: String,
    /// Meta's id of the number.
    pub(crate) id: String,
    /// The number, E.164.
    pub(crate) phone: String,
    /// A client with the key.
    pub(crate) api: Client,
    pub(crate) clock: Arc<Clock>,
}

impl Tenant {
    /// The path of something of this number's.
    pub(crate) fn path(&self, tail: &str) -> String {
        format!("/v1/{}/{tail}", self.id)
    }

    pub(crate) async fn get(&self, tail: &str) -> Answer {
        self.api.get(&self.path(tail)).await
    }

    pub(crate) async fn get_with(&self, tail: &str, headers: &[(&str, &str)]) -> Answer {
        self.api.get_with(&self.path(tail), headers).await
    }

    /// Asks again with a tag.
    pub(crate) async fn get_if(&self, tail: &str, tag: &str) -> Answer {
        self.get_with(tail, &[("If-None-Match", tag)]).await
    }

    pub(crate) async fn post(&self, tail: &str, body: &Value) -> Answer {
        self.api.post(&self.path(tail), body).await
    }

    pub(crate) async fn delete(&self, tail: &str) -> Answer {
        self.api.delete(&self.path(tail)).await
    }

    pub(crate) async fn patch(&self, tail: &str, body: &Value) -> Answer {
        self.api.patch(&self.path(tail), body).await
    }

    /// A contact writes; gives WhatsApp's id of the message.
    pub(crate) async fn hears(&self, author: &str, body: &str) -> String {
        let message = meta_webhook::text_from(author, self.clock.read_now(), body);
        self.receives(std::slice::from_ref(&message)).await;
        text(&message["id"])
    }

    /// Shuts the window of a contact: the number has been connected for longer than a day, and what the
    /// contact wrote last is older than that. The clock must be a manual one.
    pub(crate) async fn shuts_window_of(&self, author: &str) {
        self.clock.advance_manual(Duration::from_hours(25));
        let long_ago = self.clock.read_now().minus_duration(Duration::from_hours(25));
        self.receives(&[meta_webhook::text_from(author, long_ago, "long ago")]).await;
    }

    /// Messages arrive in one webhook.
    pub(crate) async fn receives(&self, messages: &[Value]) {
        InboundWebhook::default().messages(&self.id, messages).post(&self.api).await.is(200);
    }

    /// Reports arrive in one webhook.
    pub(crate) async fn learns(&self, statuses: &[Value]) {
        InboundWebhook::default().statuses(&self.id, statuses).post(&self.api).await.is(200);
    }

    /// WhatsApp reports a status of a message, now.
    pub(crate) async fn learns_that(&self, wamid: &str, status: &str) {
        self.learns(&[meta_webhook::status_of(wamid, status, self.clock.read_now())]).await;
    }

    /// So many contacts write, one after the other; gives their conversations, first writer first.
    pub(crate) async fn inbox(&self, people: usize) -> Vec<Value> {
        for nth in 0..people {
            self.hears(&meta_webhook::from(nth), "hello").await;
        }
        let mut rows = self.all("conversations?limit=100").await;
        rows.retain(|row| (0..people).any(|nth| row["contact"]["phone_number"] == number(nth)));
        rows.sort_by_key(|row| text(&row["contact"]["phone_number"]));
        assert_eq!(rows.len(), people);
        rows
    }

    /// Every row of a list, page after page.
    pub(crate) async fn all(&self, tail: &str) -> Vec<Value> {
        let mut page = self.get(tail).await;
        let mut rows = page.rows();
        while let Some(cursor) = page.cursor() {
            assert!(rows.len() < ROWS_MAX, "{tail} does not end");
            let sign = if tail.contains('?') { '&' } else { '?' };
            page = self.get(&format!("{tail}{sign}cursor={cursor}")).await;
            rows.extend(page.rows());
        }
        rows
    }

    /// The conversation with a contact.
    pub(crate) async fn conversation_with(&self, author: &str) -> Value {
        let rows = self.all("conversations?limit=100").await;
        let wanted = format!("+{author}");
        let found = rows.into_iter().find(|row| row["contact"]["phone_number"] == wanted);
        found.unwrap_or_else(|| panic!("no conversation with {author}"))
    }

    /// The body of a template to this number, which needs no window.
    pub(crate) fn template(to: &str) -> Value {
        json!({"messaging_product": "whatsapp", "to": to, "type": "template",
            "template": {"name": "hello_world", "language": {"code": "en_US"}}})
    }

    /// The body of a text to this number.
    pub(crate) fn letter(to: &str, body: &str) -> Value {
        json!({"messaging_product": "whatsapp", "to": to, "type": "text", "text": {"body": body}})
    }

    /// Sends a template; gives the message as it was answered.
    pub(crate) async fn sends(&self, to: &str) -> Value {
        self.post("messages", &Self::template(to)).await.is(200).data()
    }

    /// Sends a template and waits until WhatsApp has it; gives the message then.
    pub(crate) async fn sent(&self, to: &str) -> Value {
        let id = text(&self.sends(to).await["id"]);
        // Where reports come at once, it has been read before anybody looks.
        self.message_when(&id, |message| message["sent_at"].is_string()).await
    }

    /// A message as it now is.
    pub(crate) async fn message(&self, id: &str) -> Value {
        self.get(&format!("messages/{id}")).await.data()
    }

    /// A message once it is as wanted.
    pub(crate) async fn message_when(&self, id: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let answer = self.when(&format!("messages/{id}"), |answer| wanted(&answer.data())).await;
        answer.data()
    }

    /// An answer once it is as wanted.
    pub(crate) async fn when(&self, tail: &str, wanted: impl Fn(&Answer) -> bool) -> Answer {
        patiently(async {
            let mut answer = self.get(tail).await;
            while !wanted(&answer) {
                let tag = answer.etag();
                let next = self.get_with(tail, &[("If-None-Match", &tag), ("Prefer", "wait=20")]).await;
                if next.status != 304 {
                    answer = next;
                }
            }
            answer
        })
        .await
    }
}

/// The nth contact's number as kabar writes it.
fn number(nth: usize) -> String {
    format!("+{}", meta_webhook::from(nth))
}
