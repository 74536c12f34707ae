//! Sink for webhooks: one event to one receiver by one signed request.
//!
//! Invariants: the signed bytes are the sent bytes. Every attempt is signed anew, by each secret that is in
//! force. An attempt ends within ten seconds. The delivery worker decides when to try again; `response_class`
//! interprets the response.

mod response_class;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http::header::{CONTENT_TYPE, HeaderMap, HeaderName, USER_AGENT};
use http::{HeaderValue, Method};

use crate::clock::Clock;
use crate::domain::delivery::AttemptOutcome;
use crate::domain::subscriber::Subscriber;
use crate::domain::subscription::Subscription;
use crate::domain::time::Timestamp;
use crate::outbound::{OutboundClient, OutboundRequest};
use crate::ports::{AttemptResult, DeliveryRequest, EventForm, EventSink, RequestForm};

/// Timeout of a whole attempt (contract, section 11).
const TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes of a response that are read, so that the connection can be used again. The content is not needed.
const ANSWER_BYTES_MAX: usize = 16 * 1024;

/// Sends events to webhook subscriptions.
pub struct WebhookSink {
    outbound: OutboundClient,
    clock: Arc<Clock>,
    form: Arc<dyn EventForm>,
}

impl WebhookSink {
    /// Creates a sink that calls through this client, and sends events in this form.
    #[must_use]
    pub fn new(outbound: OutboundClient, clock: Arc<Clock>, form: Arc<dyn EventForm>) -> Self {
        Self { outbound, clock, form }
    }

    async fn call(&self, subscription: &Subscription, delivery_request: &DeliveryRequest) -> AttemptResult {
        let target = match self.outbound.target(&subscription.url) {
            Ok(target) => target,
            // The URL was valid when it was stored; the server's rules have changed since.
            Err(refusal) => return response_class::classify_failure(&format!("the url {refusal}")),
        };
        let now = self.clock.read_now();
        let DeliveryRequest { account, event, .. } = delivery_request;
        let body = match &delivery_request.form {
            RequestForm::Event => self.form.bytes(account, event),
            RequestForm::Kirimdev => self.form.kirimdev_bytes(account, event),
            RequestForm::Meta { body, .. } => body.clone(),
            RequestForm::Hidden => return response_class::nothing_to_send(),
        };
        let Some(headers) = headers(subscription, delivery_request, &body, now) else {
            return response_class::classify_failure("the request cannot be signed");
        };
        let request = OutboundRequest {
            tenant: subscription.organisation_id,
            method: Method::POST,
            target,
            headers,
            body,
            timeout: TIMEOUT,
            answer_bytes_max: ANSWER_BYTES_MAX,
            // Receivers of webhooks recognise repeated events by their ids.
            repeatable: true,
        };
        match self.outbound.send(request).await {
            Ok(answer) => response_class::classify_response(&answer, self.clock.read_now()),
            Err(error) => response_class::classify_failure(&error.to_string()),
        }
    }
}

impl EventSink for WebhookSink {
    fn deliver(&self, delivery_request: DeliveryRequest) -> BoxFuture<'_, AttemptResult> {
        Box::pin(async move {
            match &delivery_request.subscriber {
                Subscriber::Webhook(subscription) => self.call(subscription, &delivery_request).await,
                Subscriber::Hook(_) => response_class::classify_failure("a plugin has no address"),
            }
        })
    }
}

/// Returns the headers of one attempt (contract, sections 11 and 24). `None` never happens, because all of them
/// are ASCII.
fn headers(
    subscription: &Subscription,
    delivery_request: &DeliveryRequest,
    body: &Bytes,
    now: Timestamp,
) -> Option<HeaderMap> {
    let text = |text: String| HeaderValue::try_from(text).ok();
    let event = &delivery_request.event;
    let secrets = || subscription.signing_at(now).map(|one| &one.secret);
    let signature = signature::signature_header(secrets(), now, body);
    let webhook_id = event.id.to_string();
    let standard = signature::standard_header(secrets(), &webhook_id, now, body);
    let (source, event_id) = match &delivery_request.form {
        RequestForm::Meta { event_id, .. } => ("meta", event_id.to_string()),
        RequestForm::Event | RequestForm::Kirimdev | RequestForm::Hidden => ("kirim", webhook_id.clone()),
    };
    let told_type = subscription.told_type(event.kind.event_type());
    let type_name =
        if told_type == event.kind.event_type() { event.kind.type_name() } else { told_type.as_str().into() };
    let mut headers = HeaderMap::with_capacity(12);
    for (name, value) in [
        (CONTENT_TYPE, HeaderValue::from_static("application/json")),
        (USER_AGENT, HeaderValue::from_static(concat!("kabar/", env!("CARGO_PKG_VERSION")))),
        (HeaderName::from_static("x-kirim-event"), text(type_name.into_owned())?),
        (HeaderName::from_static("x-kirim-event-id"), text(event_id)?),
        (HeaderName::from_static("x-kirim-delivery-id"), text(delivery_request.delivery_id.to_string())?),
        (HeaderName::from_static("x-kirim-attempt"), HeaderValue::from(delivery_request.attempt)),
        (HeaderName::from_static("x-kirim-source"), HeaderValue::from_static(source)),
        (HeaderName::from_static("x-kirim-signature"), text(signature)?),
        (HeaderName::from_static("webhook-id"), text(webhook_id)?),
        (HeaderName::from_static("webhook-timestamp"), text(signature::seconds_of(now).to_string())?),
        (HeaderName::from_static("webhook-signature"), text(standard)?),
    ] {
        headers.insert(name, value);
    }
    Some(headers)
}

/// Returns the result of an attempt that is to be repeated.
fn retry(status_code: Option<u16>, after: Option<Duration>, error: &str) -> AttemptResult {
    AttemptResult {
        outcome: AttemptOutcome::Retry { after },
        status_code,
        error: Some(error.into()),
        report: None,
    }
}
