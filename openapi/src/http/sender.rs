//! Sender of a request: a client, or a node of this cluster that forwards a client's request.
//!
//! Invariants: the header of a forwarded request is taken off before anything reads it, and believed only with the
//! MAC of this cluster. Whatever else carries it is a client's request like any other. Headers of one connection go
//! first, so a client cannot name those that nodes add.

use std::net::IpAddr;

use kabar_core::address_block::AddressBlock;
use kabar_core::forward::{FORWARDED, ForwardProof, ForwardedHead, drop_hop_by_hop};
use poem::http::header::CONNECTION;
use poem::http::{HeaderMap, StatusCode};
use poem::{Addr, Body, Request, Response};

use crate::app::AppState;
use crate::rest::error::{ApiError, ErrorCode};

/// Sender of a request.
pub(super) enum RequestSender {
    /// A client, at this address where it is known.
    Client(Option<IpAddr>),
    /// A node of this cluster.
    Node(Box<ForwardProof>),
    /// A node that meant another node, or whose request was under way for too long.
    LateNode,
}

impl RequestSender {
    /// Returns the proof of a node.
    pub(super) fn proof(&self) -> Option<&ForwardProof> {
        match self {
            Self::Node(proof) => Some(proof),
            Self::Client(_) | Self::LateNode => None,
        }
    }

    /// Returns the address of the client, which the node that forwards tells.
    pub(super) fn client(&self) -> Option<IpAddr> {
        match self {
            Self::Client(address) => *address,
            Self::Node(proof) => proof.client,
            Self::LateNode => None,
        }
    }

    /// Returns the address block of the client.
    pub(super) fn client_block(&self) -> AddressBlock {
        self.client().map_or(AddressBlock::UNKNOWN, AddressBlock::from_address)
    }
}

/// Accounts whose items a node shall take of a webhook that another node forwarded, separated by commas.
#[derive(Debug, Clone)]
pub(crate) struct MeantAccounts(pub(crate) String);

/// Identifies the sender of a request, before anything else reads its headers.
pub(super) fn identify_sender(app: &AppState, request: &mut Request) -> RequestSender {
    drop_connection_headers(request.headers_mut());
    let address = address_of(request);
    let Some(header) = request.headers_mut().remove(FORWARDED) else {
        return RequestSender::Client(address);
    };
    let target = request.uri().path_and_query().map_or("/", |target| target.as_str());
    let head = ForwardedHead { method: request.method(), target, headers: request.headers() };
    let accounts = &app.accounts;
    let proof = app.forwarder.keys().verify_header(&header, head).filter(|_| accounts.is_clustered());
    let Some(proof) = proof else {
        app.metrics.forward_refusals.inc();
        return RequestSender::Client(address);
    };
    if proof.is_for(accounts.node_id(), accounts.cluster_now_ms()) {
        RequestSender::Node(Box::new(proof))
    } else {
        app.metrics.forward_refusals.inc();
        tracing::warn!(node = %proof.from, "a forwarded request was late, or meant for another node");
        RequestSender::LateNode
    }
}

/// Removes what `Connection` names. Most clients name nothing but the connection itself.
fn drop_connection_headers(headers: &mut HeaderMap) {
    let Some(named) = headers.get(CONNECTION) else { return };
    let is_plain =
        |text: &[u8]| text.eq_ignore_ascii_case(b"keep-alive") || text.eq_ignore_ascii_case(b"close");
    if !is_plain(named.as_bytes()) || headers.get_all(CONNECTION).iter().nth(1).is_some() {
        drop_hop_by_hop(headers);
    }
}

fn address_of(request: &Request) -> Option<IpAddr> {
    match &request.remote_addr().0 {
        Addr::SocketAddr(address) => Some(address.ip()),
        Addr::Unix(_) | Addr::Custom(..) => None,
    }
}

/// Checks that the body, which was read, is the one that the forwarding node sent.
///
/// # Errors
/// `invalid_request`.
pub(super) async fn check_forwarded_body(
    request: &mut Request,
    proof: Option<&ForwardProof>,
) -> Result<(), ApiError> {
    let Some(proof) = proof else { return Ok(()) };
    let body = request.take_body().into_bytes().await.unwrap_or_default();
    let is_sent = proof.body.admits_body(&body);
    request.set_body(Body::from_bytes(body));
    if is_sent {
        Ok(())
    } else {
        Err(ApiError::new(ErrorCode::InvalidRequest, "the body was changed on its way"))
    }
}

/// Response to a node that forwarded a request to a node which does not serve the account.
pub(super) fn misdirected_response() -> Response {
    Response::builder().status(StatusCode::MISDIRECTED_REQUEST).finish()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_connection_names_is_removed() {
        let left = |lines: &[&'static str]| {
            let mut headers = HeaderMap::new();
            headers.insert(FORWARDED, "x".parse().unwrap());
            headers.insert("idempotency-key", "k".parse().unwrap());
            for line in lines {
                headers.append(CONNECTION, line.parse().unwrap());
            }
            drop_connection_headers(&mut headers);
            (headers.contains_key(FORWARDED), headers.contains_key("idempotency-key"))
        };
        for lines in [&[][..], &["Keep-Alive"], &["close"]] {
            assert_eq!(left(lines), (true, true), "{lines:?}");
        }
        assert_eq!(left(&["keep-alive, X-Kabar-Forwarded"]), (false, true));
        assert_eq!(left(&["close", "idempotency-key"]), (true, false));
    }
}
