//! Requests about an account that another node serves.
//!
//! Invariants: only who has a valid key, or the operator's token, has a request handed on; the node that
//! serves the account takes it off the budget and answers, and its answer passes unchanged; a request
//! that was handed on once is never handed on again: a node that cannot serve it says so (421) or is not
//! there, and the one that asked it looks anew.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use kabar_actors::{AccountSlot, Place};
use kabar_core::cause::cause;
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::forward::{ForwardError, Forwarded, Onward};
use poem::http::header::{CONTENT_TYPE, HeaderValue};
use poem::http::{Method, StatusCode};
use poem::{Body, Request, Response};
use tokio_util::sync::CancellationToken;

use super::{FrontDoor, Visit, admission, bodies};
use crate::access::Door;
use crate::error::{ApiError, ErrorCode};
use crate::events::EVENT_STREAM;
use crate::idempotency::IDEMPOTENCY_KEY;

/// Marks a request that another node has handed on; of a webhook it names the accounts that are meant.
pub(crate) const FORWARDED: &str = "x-kabar-forwarded";

/// Nodes that are asked for one request: one may just have given the account up.
const NODES_MAX: usize = 3;

impl FrontDoor {
    /// What the node answers that serves this request's account; `None` when that is this one.
    pub(super) async fn elsewhere(
        &self,
        request: &mut Request,
        visit: &Visit,
    ) -> Result<Option<Response>, ApiError> {
        if !self.app.accounts.is_clustered() {
            return Ok(None);
        }
        let Some(slot) = self.account_of(request, visit.door) else { return Ok(None) };
        let Place::There(mut peer) = self.app.accounts.place(&slot).await? else { return Ok(None) };
        if request.headers().contains_key(FORWARDED) {
            slot.forget_elsewhere();
            return Ok(Some(Response::builder().status(StatusCode::MISDIRECTED_REQUEST).finish()));
        }
        let reads = request.method() == Method::GET;
        // Its answer commits with its write, so a repetition finds it.
        let is_keyed = request.method() == Method::POST && request.headers().contains_key(IDEMPOTENCY_KEY);
        let body = if reads {
            // Has no meaning, and is not read.
            Bytes::new()
        } else {
            bodies::read(request, self.app.limits).await?;
            request.take_body().into_bytes().await.unwrap_or_default()
        };
        let mut headers = request.headers().clone();
        headers.insert(FORWARDED, HeaderValue::from_static("1"));
        let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
        let method = if visit.head_only { Method::HEAD } else { request.method().clone() };
        let onward = Onward { method, target, headers, body: body.clone() };
        for _ in 0..NODES_MAX {
            // A node that says nothing is not waited for beyond its lease.
            let sent = tokio::select! {
                sent = self.app.forwarder.send(&peer.address, onward.clone()) => Some(sent),
                () = self.app.accounts.until_gone(&peer) => None,
            };
            let is_there = match sent {
                None => {
                    tracing::warn!(address = %peer.address, "the node fell silent, and its lease is over");
                    if !reads && !is_keyed {
                        self.app.metrics.forward_failures.inc();
                        slot.forget_elsewhere();
                        return Err(unanswered());
                    }
                    true
                }
                Some(Ok(answer)) if answer.status == StatusCode::MISDIRECTED_REQUEST => true,
                Some(Ok(answer)) => {
                    self.app.metrics.forwards.inc();
                    let gone = self.app.accounts.peer_gone(&peer);
                    return Ok(Some(passed_on(answer, self.app.stopping.clone(), gone)));
                }
                Some(Err(error)) => {
                    tracing::warn!(address = %peer.address, error = cause(&error), "request not handed on");
                    if matches!(error, ForwardError::Unanswered(_)) && !reads && !is_keyed {
                        self.app.metrics.forward_failures.inc();
                        slot.forget_elsewhere();
                        return Err(unanswered());
                    }
                    false
                }
            };
            slot.forget_elsewhere();
            match self.app.accounts.place(&slot).await? {
                // It died a moment ago, and its lease is not over.
                Place::There(next) if !is_there && next == peer => break,
                Place::There(next) => peer = next,
                Place::Here => {
                    request.set_body(Body::from_bytes(body));
                    return Ok(None);
                }
            }
        }
        self.app.metrics.forward_failures.inc();
        Err(moving())
    }

    /// The account that a request is about, if whoever sent it may ask for it.
    fn account_of(&self, request: &Request, door: Door) -> Option<Arc<AccountSlot>> {
        let number = named_account(request.uri().path(), door)?;
        match door {
            Door::Open => None,
            Door::Operator => {
                admission::operator(&self.app, request.headers()).ok()?;
                self.app.directory.account_of_number(number)
            }
            Door::Tenant => {
                let secret = admission::bearer(request.headers())?;
                let caller = self.app.directory.authenticate(secret).ok()?;
                self.app.directory.account(caller.key.organisation_id, number)
            }
        }
    }
}

/// The account that a path names.
fn named_account(path: &str, door: Door) -> Option<&str> {
    let number = match door {
        Door::Open => return None,
        Door::Operator => path.strip_prefix("/admin/v1/accounts/")?,
        Door::Tenant => path.strip_prefix("/v1/")?.split_once('/')?.0,
    };
    PhoneNumberId::is_valid(number).then_some(number)
}

fn passed_on(answer: Forwarded, stopping: CancellationToken, gone: CancellationToken) -> Response {
    let answer = Forwarded { body: Box::pin(answer.body.take_until(gone.cancelled_owned())), ..answer };
    let endless = answer.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == EVENT_STREAM);
    let body = if endless {
        // Nobody else would end it when this server stops.
        Body::from_bytes_stream(answer.body.take_until(stopping.cancelled_owned()))
    } else {
        Body::from_bytes_stream(answer.body)
    };
    let mut response = Response::builder().status(answer.status).body(body);
    *response.headers_mut() = answer.headers;
    response
}

fn moving() -> ApiError {
    ApiError::from(kabar_actors::Unavailable::Elsewhere)
}

/// It may have been carried out; with an Idempotency-Key it can be sent again all the same.
fn unanswered() -> ApiError {
    ApiError::new(ErrorCode::StorageUnavailable, "interrupted; the request may have been carried out")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_name_their_account() {
        for (path, door, number) in [
            ("/v1/123456/conversations", Door::Tenant, Some("123456")),
            ("/v1/123456/events/stream", Door::Tenant, Some("123456")),
            ("/v1/123456", Door::Tenant, None),
            ("/v1/plugins/plg_1", Door::Tenant, None),
            ("/v1/me", Door::Tenant, None),
            ("/admin/v1/accounts/123456", Door::Operator, Some("123456")),
            ("/admin/v1/actors", Door::Operator, None),
            ("/webhooks/whatsapp", Door::Open, None),
        ] {
            assert_eq!(named_account(path, door), number, "{path}");
        }
    }
}
