//! Requests forwarded to another node, and its responses.
//!
//! Invariants: requests and responses pass unchanged, except for headers of a single connection (RFC 9110,
//! 7.6.1), and a request carries the proof that a node forwarded it. A response is passed on as it arrives, so that a stream streams. A request that may have been
//! carried out is never sent twice.

mod proof;

use std::pin::Pin;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{Stream, TryStreamExt as _};
use http::header::{
    CONNECTION, CONTENT_LENGTH, HOST, HeaderMap, HeaderName, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE,
    TRAILER, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, StatusCode};
use reqwest::{Client, redirect};

pub use self::proof::{BodyLink, FORWARDED, ForwardKeys, ForwardProof, ForwardedHead, PROOF_WINDOW_MS};
use crate::surroundings::{AwaitKind, wait_for};

/// Nodes are close to each other in the network.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(1);
/// The longest time without a byte: a long poll of a minute, and the time that its response takes.
const READ_TIMEOUT: Duration = Duration::from_secs(90);

/// Reason for which a request was not forwarded.
#[derive(Debug, thiserror::Error)]
pub enum ForwardError {
    /// The node cannot be reached: it did not get the request.
    #[error("the node cannot be reached")]
    Unreached(#[source] reqwest::Error),
    /// The connection broke: the node may have carried the request out.
    #[error("the node did not answer")]
    Unanswered(#[source] reqwest::Error),
}

/// A request to forward.
#[derive(Debug, Clone)]
pub struct ForwardRequest<'a> {
    /// HTTP method.
    pub method: Method,
    /// Path and query, as they arrived.
    pub target: &'a str,
    /// Headers.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// What the proof of the request states.
    pub proof: ForwardProof,
}

/// Response of the other node.
pub struct ForwardedResponse {
    /// HTTP status.
    pub status: StatusCode,
    /// Headers.
    pub headers: HeaderMap,
    /// Body, as it arrives.
    pub body: Pin<Box<dyn Stream<Item = std::io::Result<Bytes>> + Send>>,
}

/// HTTP client for requests to other nodes. Cheap to clone; clones share connections.
#[derive(Debug, Clone)]
pub struct NodeForwarder {
    http: Client,
    keys: ForwardKeys,
}

impl NodeForwarder {
    /// Creates a client that follows no redirect and uses no proxy, with the keys of this cluster.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(keys: ForwardKeys) -> Result<Self, reqwest::Error> {
        let http = Client::builder()
            .connect_timeout(CONNECT_TIMEOUT)
            .read_timeout(READ_TIMEOUT)
            .redirect(redirect::Policy::none())
            .no_proxy()
            // The other side may close an idle connection just when it is used.
            .pool_idle_timeout(Duration::from_secs(15))
            .build()?;
        Ok(Self { http, keys })
    }

    /// Returns the keys that verify forwarded requests.
    #[must_use]
    pub const fn keys(&self) -> &ForwardKeys {
        &self.keys
    }

    /// Forwards a request to the node at `address`.
    ///
    /// # Errors
    /// [`ForwardError`].
    pub async fn send_request(
        &self,
        address: &str,
        mut onward: ForwardRequest<'_>,
    ) -> Result<ForwardedResponse, ForwardError> {
        drop_hop_by_hop(&mut onward.headers);
        onward.headers.remove(HOST);
        onward.headers.remove(CONTENT_LENGTH);
        let url = format!("{}{}", address.trim_end_matches('/'), onward.target);
        let request = self.http.request(onward.method, url).headers(onward.headers).body(onward.body);
        let mut request = request.build().map_err(ForwardError::Unreached)?;
        // The proof is about the request as it is sent: the address may have been written in another form.
        let target = target_of(request.url());
        let head = ForwardedHead { method: request.method(), target: &target, headers: request.headers() };
        let header = self.keys.make_header(&onward.proof, head);
        request.headers_mut().insert(FORWARDED, header);
        let answer =
            wait_for(AwaitKind::ForwardedCall, self.http.execute(request)).await.map_err(|error| {
                if error.is_connect() {
                    ForwardError::Unreached(error)
                } else {
                    ForwardError::Unanswered(error)
                }
            })?;
        let status = answer.status();
        let mut headers = answer.headers().clone();
        drop_hop_by_hop(&mut headers);
        let body = answer.bytes_stream().map_err(std::io::Error::other);
        Ok(ForwardedResponse { status, headers, body: Box::pin(body) })
    }
}

/// Returns the path and query of an address.
fn target_of(url: &reqwest::Url) -> String {
    match url.query() {
        Some(query) => format!("{}?{query}", url.path()),
        None => url.path().to_owned(),
    }
}

/// Removes the headers of a single connection, and those that `Connection` names (RFC 9110, 7.6.1).
pub fn drop_hop_by_hop(headers: &mut HeaderMap) {
    let named: Vec<HeaderName> = headers
        .get_all(CONNECTION)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .filter_map(|name| name.trim().parse().ok())
        .collect();
    let fixed =
        [CONNECTION, PROXY_AUTHENTICATE, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE];
    for name in named.into_iter().chain(fixed) {
        headers.remove(name);
    }
    headers.remove("keep-alive");
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_concerns_one_connection_stays_behind() {
        let mut headers = HeaderMap::new();
        for (name, value) in [
            ("connection", "keep-alive, X-Hop"),
            ("keep-alive", "timeout=5"),
            ("x-hop", "1"),
            ("te", "trailers"),
            ("transfer-encoding", "chunked"),
            ("upgrade", "h2c"),
            ("authorization", "Bearer k"),
            ("if-none-match", "*"),
        ] {
            headers.insert(name, value.parse().unwrap());
        }
        drop_hop_by_hop(&mut headers);
        let mut left: Vec<_> = headers.keys().map(HeaderName::as_str).collect();
        left.sort_unstable();
        assert_eq!(left, ["authorization", "if-none-match"]);
    }
}
