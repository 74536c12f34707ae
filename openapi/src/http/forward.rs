//! Requests about an account that another node owns.
//!
//! Invariants: only a request with a valid key, or with a token of the operator, is forwarded, after its budget was
//! taken. It carries a proof of this node. The owner answers, and its response passes unchanged but for the headers
//! of the budget. A forwarded request is never forwarded again: a node that does not own the account answers 421, or is gone, and the sender looks up the owner
//! anew. If the account moves while a request is on its way, or while its body arrives, the request follows
//! the account to its new owner.

use std::net::IpAddr;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt as _;
use kabar_actors::{AccountEntry, AccountPlace, Caller};
use kabar_core::cause::cause;
use kabar_core::forward::{BodyLink, ForwardError, ForwardProof, ForwardRequest, ForwardedResponse};
use kabar_core::store::NodePeer;
use poem::http::header::CONTENT_TYPE;
use poem::http::{HeaderMap, Method, StatusCode};
use poem::{Body, Request, Response};
use tokio_util::sync::CancellationToken;
use tracing::field::Empty;
use tracing::{Instrument as _, Span};

use super::context::RequestContext;
use super::gateway::Gateway;
use super::sender::misdirected_response;
use crate::app::AppState;
use crate::http::access::{AccessClass, TenantCaller};
use crate::rest::error::{ApiError, ErrorCode};
use crate::rest::idempotency::IDEMPOTENCY_KEY;
use crate::v1::events::EVENT_STREAM;

/// Nodes tried for one request: a node may just have released the account.
const NODES_MAX: usize = 3;

/// Sends a request to a node, in a span that gets the status of the response. `None` when the node's lease was
/// over first: the wait for a silent node ends with it.
pub(crate) async fn send_to_peer(
    app: &AppState,
    peer: &NodePeer,
    onward: ForwardRequest<'_>,
    span: Span,
) -> Option<Result<ForwardedResponse, ForwardError>> {
    let sending = app.forwarder.send_request(&peer.address, onward);
    let sent = tokio::select! {
        sent = sending.instrument(span.clone()) => Some(sent),
        () = app.accounts.until_gone(peer) => None,
    };
    if let Some(Ok(answer)) = &sent {
        span.record("status", answer.status.as_u16());
    }
    sent
}

/// Makes the proof of a request to a node.
pub(crate) fn make_proof(
    app: &AppState,
    peer: &NodePeer,
    client: Option<IpAddr>,
    accounts: String,
    body: BodyLink,
) -> ForwardProof {
    let (from, at_ms) = (app.accounts.node_id(), app.accounts.cluster_now_ms());
    ForwardProof { from, to: peer.id, at_ms, client, accounts, body }
}

/// A request about an account, kept so that it can be sent to any node, or handled here again.
pub(super) struct AccountRequest {
    slot: Arc<AccountEntry>,
    method: Method,
    target: String,
    headers: HeaderMap,
    body: Bytes,
    head_only: bool,
    client: Option<IpAddr>,
    /// Tenant that asks.
    caller: Option<Arc<Caller>>,
    /// Set when another node forwarded the request.
    is_forwarded: bool,
}

impl AccountRequest {
    /// Returns `true` when the request may be sent to a second node although the first may have carried it
    /// out. A GET changes nothing. The response to a POST with a key commits with its write, so a repetition
    /// finds it.
    fn is_repeatable(&self) -> bool {
        let is_keyed = self.method == Method::POST && self.headers.contains_key(IDEMPOTENCY_KEY);
        self.method == Method::GET || is_keyed
    }

    fn to_onward(&self, app: &AppState, peer: &NodePeer) -> ForwardRequest<'_> {
        let method = if self.head_only { Method::HEAD } else { self.method.clone() };
        let accounts = self.slot.current_account().phone_number_id.to_string();
        let link = BodyLink::of_body(&self.body);
        ForwardRequest {
            method,
            target: &self.target,
            headers: self.headers.clone(),
            body: self.body.clone(),
            proof: make_proof(app, peer, self.client, accounts, link),
        }
    }

    fn to_request(&self) -> Request {
        let mut request = Request::builder()
            .method(self.method.clone())
            .uri_str(&self.target)
            .body(Body::from_bytes(self.body.clone()));
        *request.headers_mut() = self.headers.clone();
        request
    }
}

/// Returns `true` when the account had left this node before anything was carried out.
fn has_moved(response: &Response) -> bool {
    response.extensions().get::<ApiError>().is_some_and(ApiError::account_moved)
}

impl Gateway {
    /// Forwards a request to the owner of its account and returns the response; `None` when this node is the owner.
    pub(super) async fn forward_request(
        &self,
        request: &mut Request,
        visit: &RequestContext,
    ) -> Result<Option<Response>, ApiError> {
        if !self.app.accounts.is_clustered() {
            return Ok(None);
        }
        let Some(slot) = self.account_of(request, visit) else { return Ok(None) };
        let AccountPlace::There(peer) = self.app.accounts.find_owner(&slot).await? else { return Ok(None) };
        if visit.sender.proof().is_some() {
            slot.forget_elsewhere();
            return Ok(Some(misdirected_response()));
        }
        visit.note_account(&slot);
        self.read_request_body(request, visit).await?;
        let kept = keep_request(slot, request, visit).await;
        self.ask_others(&kept, peer).await
    }

    /// Copies a request, for the case that its account moves to another node meanwhile. The body must have
    /// been read.
    pub(super) async fn keep_for_move(
        &self,
        request: &mut Request,
        visit: &RequestContext,
    ) -> Option<AccountRequest> {
        if !self.app.accounts.is_clustered() {
            return None;
        }
        let slot = self.account_of(request, visit)?;
        Some(keep_request(slot, request, visit).await)
    }

    /// Handles a request on this node. If its account moved to another node before anything was carried out,
    /// the request is forwarded there.
    pub(super) async fn operate_or_follow(
        &self,
        request: Request,
        kept: Option<AccountRequest>,
        visit: &mut RequestContext,
    ) -> Result<Response, ApiError> {
        let mut response = self.call_operation(request, visit.route).await;
        let Some(kept) = kept else { return Ok(response) };
        for _ in 0..NODES_MAX {
            if !has_moved(&response) {
                break;
            }
            if kept.is_forwarded {
                visit.foreign = true;
                return Ok(misdirected_response());
            }
            if let AccountPlace::There(peer) = self.app.accounts.find_owner(&kept.slot).await?
                && let Some(answer) = self.ask_others(&kept, peer).await?
            {
                visit.foreign = true;
                return Ok(answer);
            }
            let mut again = kept.to_request();
            if let Some(admitted) = &visit.admitted {
                again.set_data(TenantCaller::new(admitted.caller.clone(), visit.source()));
            }
            if let Some(operator) = &visit.operator {
                again.set_data(operator.clone());
            }
            response = self.call_operation(again, visit.route).await;
        }
        Ok(response)
    }

    /// Sends a request to the owner of its account, trying `peer` first. Returns its response; `None` when
    /// this node has become the owner.
    async fn ask_others(
        &self,
        kept: &AccountRequest,
        mut peer: NodePeer,
    ) -> Result<Option<Response>, ApiError> {
        let slot = &kept.slot;
        for _ in 0..NODES_MAX {
            let account = slot.current_account();
            let span =
                tracing::debug_span!("forward", node = %peer.id, account = %account.id, status = Empty);
            let sent = send_to_peer(&self.app, &peer, kept.to_onward(&self.app, &peer), span).await;
            let (is_there, may_be_done) = match sent {
                Some(Ok(answer)) if answer.status == StatusCode::MISDIRECTED_REQUEST => (true, false),
                Some(Ok(answer)) => {
                    self.app.metrics.forwards.inc();
                    let gone = self.app.accounts.peer_gone(&peer);
                    return Ok(Some(passed_on(answer, gone, self.until_stream_ends(kept.caller.clone()))));
                }
                Some(Err(error)) => {
                    tracing::warn!(address = %peer.address, error = cause(&error), "request not handed on");
                    (false, matches!(error, ForwardError::Unanswered(_)))
                }
                None => {
                    tracing::warn!(address = %peer.address, "the node fell silent, and its lease is over");
                    (true, true)
                }
            };
            slot.forget_elsewhere();
            if may_be_done && !kept.is_repeatable() {
                self.app.metrics.forward_failures.inc();
                return Err(request_unanswered());
            }
            match self.app.accounts.find_owner(slot).await? {
                // The node died a moment ago, and its lease is still valid.
                AccountPlace::There(next) if !is_there && next == peer => break,
                AccountPlace::There(next) => peer = next,
                AccountPlace::Here => return Ok(None),
            }
        }
        self.app.metrics.forward_failures.inc();
        Err(account_moving())
    }

    /// Returns once a stream that another node sends is to end: this server stops, or the tenant is not accepted any
    /// more.
    fn until_stream_ends(&self, caller: Option<Arc<Caller>>) -> impl Future<Output = ()> + Send + 'static {
        let (stopping, directory) = (self.app.stopping.clone(), self.app.directory.clone());
        async move {
            let ended = async {
                match &caller {
                    Some(caller) => drop(directory.until_access_ends(caller).await),
                    None => std::future::pending().await,
                }
            };
            stopping.run_until_cancelled(ended).await;
        }
    }

    /// Returns the account of an admitted request, if its credential gives access to it.
    fn account_of(&self, request: &Request, visit: &RequestContext) -> Option<Arc<AccountEntry>> {
        let number = visit.route.account_in(request.uri().path())?;
        match visit.route.access {
            AccessClass::Open => None,
            AccessClass::Operator => self.app.directory.account_of_number(number),
            AccessClass::Tenant => {
                let organisation = visit.admitted.as_ref()?.caller.key.organisation_id;
                self.app.directory.find_account(organisation, number)
            }
        }
    }
}

/// Copies a request. The body must have been read.
async fn keep_request(
    slot: Arc<AccountEntry>,
    request: &mut Request,
    visit: &RequestContext,
) -> AccountRequest {
    // A GET's body has no meaning, and is not read.
    let body = if request.method() == Method::GET {
        Bytes::new()
    } else {
        let body = request.take_body().into_bytes().await.unwrap_or_default();
        request.set_body(Body::from_bytes(body.clone()));
        body
    };
    AccountRequest {
        slot,
        method: request.method().clone(),
        target: request.uri().path_and_query().map_or("/", |target| target.as_str()).to_owned(),
        headers: request.headers().clone(),
        body,
        head_only: visit.head_only,
        client: visit.sender.client(),
        caller: visit.admitted.as_ref().map(|admitted| admitted.caller.clone()),
        is_forwarded: visit.sender.proof().is_some(),
    }
}

fn passed_on(
    answer: ForwardedResponse,
    gone: CancellationToken,
    stream_ended: impl Future<Output = ()> + Send + 'static,
) -> Response {
    let answer =
        ForwardedResponse { body: Box::pin(answer.body.take_until(gone.cancelled_owned())), ..answer };
    let endless = answer.headers.get(CONTENT_TYPE).is_some_and(|kind| kind == EVENT_STREAM);
    let body = if endless {
        Body::from_bytes_stream(answer.body.take_until(Box::pin(stream_ended)))
    } else {
        Body::from_bytes_stream(answer.body)
    };
    let mut response = Response::builder().status(answer.status).body(body);
    *response.headers_mut() = answer.headers;
    response
}

fn account_moving() -> ApiError {
    ApiError::from(kabar_actors::AccountError::Elsewhere)
}

/// Error for a request that may have been carried out. With an `Idempotency-Key` it is safe to send it again.
fn request_unanswered() -> ApiError {
    ApiError::new(ErrorCode::StorageUnavailable, "interrupted; the request may have been carried out")
}
