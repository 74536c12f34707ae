//! Calls to Meta's Graph API: sending a message, marking one as read, and looks at a number; those about templates are in
//! `templates`.
//!
//! Invariants: one call is one request; it follows no redirect and is never repeated here. It ends within 30
//! seconds. A message is sent before its deadline or not at all. No more than 64 KiB of a response is read (of a list of
//! templates 8 MiB). Tokens,
//! numbers and bodies are not logged. The sender decides when to call again, and how fast.

mod templates;

use std::sync::Arc;
use std::time::Duration;

use reqwest::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use reqwest::{Body, Client, Response, redirect};
use serde_json::{Map, Value, json};
use tracing::Instrument;

pub use self::templates::{TemplateCallError, TemplatePage};
use super::errors;
use super::graph_answer::{GraphAnswer, GraphRefusal};
pub use super::graph_answer::{GraphOutcome, RETRY_AFTER_MAX};
use super::send_deadline::{DeadlineBody, SendDeadline};
use crate::domain::account::{Account, AccountProfile};
use crate::domain::address::Address;
use crate::domain::message::{Message, MessageError};
use crate::domain::read_receipt::ReadReceipt;
use crate::surroundings::{AwaitKind, wait_for};

const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The longest time of a call, from its connection to the end of the response.
pub const TOTAL_TIMEOUT: Duration = Duration::from_secs(30);
/// Meta's responses have a few hundred bytes.
const ANSWER_BYTES_MAX: usize = 64 * 1024;

/// Reason for which a read receipt was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("WhatsApp did not take the read receipt: {}", .error.message)]
pub struct ReceiptRefusal {
    /// Reason.
    pub error: MessageError,
    /// `true` when the same call may succeed later.
    pub transient: bool,
    /// Wait that WhatsApp requested; at most an hour.
    pub retry_after: Option<Duration>,
}

/// Reason for which the properties of a number were not given.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("WhatsApp did not give the properties of the number: {}", .error.message)]
pub struct ProfileRefusal {
    /// Reason.
    pub error: MessageError,
    /// WhatsApp refuses the account as such.
    pub refuses_account: bool,
}

/// Client of Meta's Graph API. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct GraphClient {
    base_url: Arc<str>,
    version: Arc<str>,
    http: Client,
}

/// Reason for which a request has no response.
enum RequestLost {
    /// It never left.
    NotSent(MessageError),
    /// It may have arrived.
    Unanswered(MessageError),
}

impl GraphClient {
    /// Creates a client of the API at `base_url` (e.g. `https://graph.facebook.com`) in this version (e.g.
    /// `v23.0`).
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(base_url: &str, version: &str) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .timeout(TOTAL_TIMEOUT)
            .redirect(redirect::Policy::none())
            .user_agent(concat!("kabar/", env!("CARGO_PKG_VERSION")))
            .build()?;
        Ok(Self::with_http(base_url, version, http))
    }

    /// Creates a client over an HTTP client that the caller has set up.
    #[must_use]
    pub fn with_http(base_url: &str, version: &str, http: Client) -> Self {
        Self {
            base_url: base_url.trim_end_matches('/').into(),
            version: version.trim_matches('/').into(),
            http,
        }
    }

    /// Sends a message before the deadline. Our id travels with it and comes back in its statuses.
    pub async fn send_message(
        &self,
        account: &Account,
        message: &Message,
        deadline: SendDeadline,
    ) -> GraphOutcome {
        let Some(body) = send_body(message) else {
            return GraphOutcome::Refused(errors::message_error(None, "the message's payload is not JSON"));
        };
        let span = tracing::debug_span!("graph.send", account = %account.id, message = %message.id);
        let body = Body::wrap(DeadlineBody::new(body.to_string().into(), deadline));
        match self.post_request(account, body).instrument(span).await {
            Ok(answer) => answer.of_send(),
            Err(RequestLost::NotSent(error)) => GraphOutcome::Transient { error, retry_after: None },
            Err(RequestLost::Unanswered(error)) => GraphOutcome::Unknown { error },
        }
    }

    /// Marks a message, and all before it, as read by the business, and shows the contact that an answer is being
    /// written if the mark says so.
    ///
    /// # Errors
    /// [`ReceiptRefusal`]; a lost response counts as transient, because repeating the call does no harm.
    pub async fn mark_read(&self, account: &Account, mark: &ReadReceipt) -> Result<(), ReceiptRefusal> {
        let mut body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": &*mark.wamid});
        if let (true, Some(members)) = (mark.typing, body.as_object_mut()) {
            members.insert("typing_indicator".into(), json!({"type": "text"}));
        }
        let span = tracing::debug_span!("graph.mark_read", account = %account.id);
        match self.post_request(account, body.to_string().into()).instrument(span).await {
            Ok(answer) => answer.of_receipt().map_err(ReceiptRefusal::from),
            Err(RequestLost::NotSent(error) | RequestLost::Unanswered(error)) => {
                Err(ReceiptRefusal { error, transient: true, retry_after: None })
            }
        }
    }

    /// Asks for the properties of the account's own number. WhatsApp answers while it accepts the account.
    ///
    /// # Errors
    /// [`ProfileRefusal`].
    pub async fn fetch_profile(&self, account: &Account) -> Result<AccountProfile, ProfileRefusal> {
        let fields = "verified_name,name_status,quality_rating,messaging_limit_tier,\
             whatsapp_business_manager_messaging_limit";
        let url = format!("{}/{}/{}?fields={fields}", self.base_url, self.version, account.phone_number_id);
        let span = tracing::debug_span!("graph.profile", account = %account.id);
        // The token authorizes calls to Meta's API.
        let request = self.http.get(url).bearer_auth(account.access_token.reveal());
        let answer = wait_for(AwaitKind::GraphCall, async {
            let response = request.send().await.map_err(|error| lost_outcome(&error.without_url()))?;
            Ok(read(response).await)
        });
        match answer.instrument(span).await {
            Ok(answer) => answer.of_profile().map_err(|refusal| ProfileRefusal {
                error: refusal.error,
                refuses_account: refusal.refuses_account,
            }),
            Err(RequestLost::NotSent(error) | RequestLost::Unanswered(error)) => {
                Err(ProfileRefusal { error, refuses_account: false })
            }
        }
    }

    async fn post_request(&self, account: &Account, body: Body) -> Result<GraphAnswer, RequestLost> {
        let url = format!("{}/{}/{}/messages", self.base_url, self.version, account.phone_number_id);
        // The token authorizes calls to Meta's API.
        let request = self.http.post(url).bearer_auth(account.access_token.reveal());
        let request = request.header(CONTENT_TYPE, HeaderValue::from_static("application/json")).body(body);
        wait_for(AwaitKind::GraphCall, async {
            let response = request.send().await.map_err(|error| lost_outcome(&error.without_url()))?;
            Ok(read(response).await)
        })
        .await
    }
}

impl From<GraphRefusal> for ReceiptRefusal {
    fn from(refusal: GraphRefusal) -> Self {
        let GraphRefusal { error, transient, retry_after, .. } = refusal;
        Self { error, transient, retry_after }
    }
}

fn send_body(message: &Message) -> Option<Value> {
    let payload: Value = serde_json::from_str(&message.payload).ok()?;
    let mut body = Map::new();
    body.insert("messaging_product".into(), "whatsapp".into());
    let recipient_type = if message.details.group_id.is_some() { "group" } else { "individual" };
    body.insert("recipient_type".into(), recipient_type.into());
    let (member, recipient) = match (&message.details.addressed_user, &message.to) {
        (Some(id), _) | (None, Address::User(id)) => ("recipient", id.as_str()),
        (None, Address::Phone(phone)) => ("to", phone.as_digits()),
        (None, Address::Group(id)) => ("to", id.as_str()),
        (None, Address::Unknown) => return None,
    };
    body.insert(member.into(), recipient.into());
    body.insert("type".into(), message.kind.as_str().into());
    body.insert(message.kind.as_str().into(), payload);
    if let Some(answered) = message.context.as_ref().and_then(|context| context.message_id.as_ref()) {
        body.insert("context".into(), json!({"message_id": &**answered}));
    }
    body.insert("biz_opaque_callback_data".into(), message.id.to_string().into());
    Some(Value::Object(body))
}

fn lost_outcome(error: &reqwest::Error) -> RequestLost {
    tracing::debug!(error = %error, "no answer from WhatsApp");
    let told = |text| errors::message_error(None, text);
    if error.is_builder() {
        RequestLost::NotSent(told(
            "the request to WhatsApp could not be built; check the base URL and the access token",
        ))
    } else if error.is_connect() {
        RequestLost::NotSent(told("WhatsApp could not be reached"))
    } else if error.is_timeout() {
        RequestLost::Unanswered(told("WhatsApp did not answer in time"))
    } else {
        RequestLost::Unanswered(told("the connection to WhatsApp broke before it answered"))
    }
}

async fn read(response: Response) -> GraphAnswer {
    read_at_most(response, ANSWER_BYTES_MAX).await
}

async fn read_at_most(mut response: Response, bytes_max: usize) -> GraphAnswer {
    let status = response.status().as_u16();
    let retry_after =
        response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()).map(str::to_owned);
    let mut body = Vec::new();
    let body = loop {
        match response.chunk().await {
            Ok(Some(chunk)) if body.len() + chunk.len() <= bytes_max => body.extend_from_slice(&chunk),
            Ok(None) => break Some(body),
            // Too long, or broken off: the part that was read is useless.
            Ok(Some(_)) | Err(_) => break None,
        }
    };
    GraphAnswer { status, retry_after, body }
}

#[cfg(test)]
mod tests;
