//! Webhooks whose accounts other nodes serve.
//!
//! Invariant: a webhook is handed on as it came, signed by whoever signed it, with the accounts that are
//! meant; anything but 200 from there is a 503 here, so that WhatsApp sends it again.

use std::sync::Arc;

use kabar_actors::{AccountSlot, Unavailable};
use kabar_core::cause::cause;
use kabar_core::forward::Onward;
use kabar_core::meta::signature;
use poem::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use poem::http::{Method, StatusCode};

use super::INGRESS;
use super::signed::SignedBody;
use crate::app::App;
use crate::error::ApiError;
use crate::front_door::elsewhere::FORWARDED;

/// Hands a webhook to the node at `address`, for these accounts.
pub(super) async fn hand_on(
    app: &App,
    body: &SignedBody,
    address: &str,
    slots: &[Arc<AccountSlot>],
) -> Result<(), ApiError> {
    let names: Vec<String> = slots.iter().map(|slot| slot.account().phone_number_id.to_string()).collect();
    let onward = Onward {
        method: Method::POST,
        target: INGRESS,
        headers: headers(body.signature.as_deref(), &names.join(",")),
        body: body.bytes.clone(),
    };
    match app.forwarder.send(address, onward).await {
        Ok(answer) if answer.status == StatusCode::OK => {
            app.metrics.forwards.inc();
            return Ok(());
        }
        Ok(answer) => tracing::warn!(%address, status = answer.status.as_u16(), "webhook not taken there"),
        Err(error) => tracing::warn!(%address, error = cause(&error), "webhook not handed on"),
    }
    app.metrics.forward_failures.inc();
    for slot in slots {
        slot.forget_elsewhere();
    }
    Err(Unavailable::Elsewhere.into())
}

fn headers(signature: Option<&str>, names: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let texts = [(signature::HEADER, signature), (FORWARDED, Some(names))];
    for (name, text) in texts {
        if let (Ok(name), Some(Ok(value))) =
            (name.parse::<poem::http::HeaderName>(), text.map(HeaderValue::from_str))
        {
            headers.insert(name, value);
        }
    }
    headers
}
