//! Webhooks for accounts that other nodes own.
//!
//! Invariant: a webhook is forwarded as it came, with its original signature, and with a proof that lists the
//! accounts to take; only a 200 means that the node took it.

use std::sync::Arc;

use kabar_actors::AccountEntry;
use kabar_core::cause::cause;
use kabar_core::forward::{BodyLink, ForwardRequest};
use kabar_core::meta::signature;
use kabar_core::store::NodePeer;
use poem::http::header::{CONTENT_TYPE, HeaderMap, HeaderValue};
use poem::http::{Method, StatusCode};
use tracing::field::Empty;

use super::signed_body::VerifiedBody;
use crate::app::AppState;
use crate::http::forward::{make_proof, send_to_peer};
use crate::http::route::Resource;

/// Forwards a webhook to a node, for these accounts; returns `true` when it was taken there. Otherwise the
/// owners of the accounts have to be looked up anew.
pub(super) async fn hand_on<'a>(
    app: &AppState,
    body: &VerifiedBody,
    peer: &NodePeer,
    slots: impl Iterator<Item = &'a Arc<AccountEntry>> + Clone,
) -> bool {
    let names: Vec<String> =
        slots.clone().map(|slot| slot.current_account().phone_number_id.to_string()).collect();
    let onward = ForwardRequest {
        method: Method::POST,
        target: Resource::WhatsAppWebhook.path_template(),
        headers: build_headers(&body.signature.header_value()),
        body: body.bytes.clone(),
        proof: make_proof(app, peer, None, names.join(","), BodyLink::Signature),
    };
    let address = &peer.address;
    let span = tracing::debug_span!("forward", node = %peer.id, accounts = names.len(), status = Empty);
    match send_to_peer(app, peer, onward, span).await {
        None => tracing::warn!(%address, "the node fell silent, and its lease is over"),
        Some(Ok(answer)) if answer.status == StatusCode::OK => {
            app.metrics.forwards.inc();
            return true;
        }
        Some(Ok(answer)) => {
            tracing::warn!(%address, status = answer.status.as_u16(), "webhook not taken there");
        }
        Some(Err(error)) => tracing::warn!(%address, error = cause(&error), "webhook not handed on"),
    }
    for slot in slots {
        slot.forget_elsewhere();
    }
    false
}

fn build_headers(signature: &str) -> HeaderMap {
    let mut headers = HeaderMap::new();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    let name = signature::HEADER.parse::<poem::http::HeaderName>();
    if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(signature)) {
        headers.insert(name, value);
    }
    headers
}
