//! HTTP client for addresses that tenants name: webhooks, and requests of hooks.
//!
//! Invariants: every attempt resolves the host anew, and is refused if **any** of its addresses is closed.
//! The connection, new or idle before, leads to one of the addresses just checked. So a name that changes its
//! addresses (DNS rebinding) gains nothing. Nothing else directs a request: no redirect is followed, no proxy
//! used, no cookie kept. An attempt ends within its timeout, and reads a bounded response. The client repeats
//! nothing and knows no receiver: the caller interprets the response.

mod closed_addresses;
mod connection;
mod connection_pool;
mod name_lookup;
mod target;
#[cfg(test)]
mod tests;

use std::fmt;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONNECTION, CONTENT_LENGTH, EXPECT, HOST, HeaderMap, PROXY_AUTHORIZATION, TE, TRAILER, TRANSFER_ENCODING,
    UPGRADE,
};
use http::{HeaderValue, Method, Request, StatusCode};
use http_body_util::Full;
use rustls::ClientConfig;
use rustls_platform_verifier::BuilderVerifierExt as _;
use tokio_util::sync::CancellationToken;

use crate::fair_bound::FairBound;
use crate::ids::OrganisationId;
use crate::surroundings::{AwaitKind, wait_for};
use connection::{ConnectionLost, OutboundConnection};
use connection_pool::ConnectionPool;
use name_lookup::NameLookups;
pub use name_lookup::{NameResolver, SystemResolver};
use target::TargetHost;
pub use target::{OutboundTarget, TargetRefusal};

/// Requests of the whole server under way, at most; each holds a socket.
const REQUESTS_MAX: usize = 4096;
/// Requests of one tenant under way, at most.
const TENANT_REQUESTS_MAX: usize = 256;
/// Addresses of a host that one attempt tries to reach.
const ADDRESSES_TRIED: usize = 4;
/// Interval at which idle connections are checked.
const TIDY_EVERY: Duration = Duration::from_secs(5);

/// A request.
#[derive(Debug, Clone)]
pub struct OutboundRequest {
    /// Tenant of the request. Each tenant has its own permits.
    pub tenant: OrganisationId,
    /// Any method but `CONNECT`.
    pub method: Method,
    /// URL of the request; see [`OutboundClient::target`].
    pub target: OutboundTarget,
    /// Headers. The client sets those that frame the message or name the host, and drops the caller's.
    pub headers: HeaderMap,
    /// Body.
    pub body: Bytes,
    /// Timeout for all steps: waiting for a permit, resolving, connecting, and the whole response.
    pub timeout: Duration,
    /// Bytes of the response's body to read, at most.
    pub answer_bytes_max: usize,
    /// `true` when the receiver tolerates a repetition. If an idle connection turns out to be closed, the
    /// request is sent once more on a new one.
    pub repeatable: bool,
}

/// A response.
#[derive(Debug, Clone)]
pub struct OutboundAnswer {
    /// HTTP status; redirects are responses like others.
    pub status: StatusCode,
    /// Headers; at most 32 KiB.
    pub headers: HeaderMap,
    /// Body, up to the limit of the request.
    pub body: Bytes,
    /// `true` when the body was longer.
    pub truncated: bool,
}

/// Reason for which there is no response. The text may be shown to the tenant.
#[derive(Debug, thiserror::Error)]
pub enum OutboundError {
    /// The name resolves to an address that must not be called.
    #[error("the address {0}")]
    Refused(TargetRefusal),
    /// A method that turns the connection into something else.
    #[error("the method must not be CONNECT")]
    Method,
    /// The name has no address.
    #[error("the host's name cannot be resolved")]
    Unresolved(#[source] Arc<io::Error>),
    /// No server accepts the connection.
    #[error("the host cannot be reached")]
    Unreached(#[source] io::Error),
    /// The host cannot prove its identity.
    #[error("the host's TLS certificate or protocol cannot be accepted")]
    Untrusted(#[source] io::Error),
    /// The connection ended early, or the response is not HTTP; the request may have arrived.
    #[error("the connection broke, or the answer is not HTTP")]
    Broken(#[source] hyper::Error),
    /// The response did not arrive, or not completely, in time; the request may have arrived.
    #[error("no complete answer within {} ms", .0.as_millis())]
    Late(Duration),
}

/// HTTP client for addresses that tenants name. Cheap to clone; clones share connections.
#[derive(Clone)]
pub struct OutboundClient(Arc<ClientState>);

struct ClientState {
    allow_loopback: bool,
    lookups: NameLookups,
    tls: Arc<ClientConfig>,
    pool: ConnectionPool,
    requests: Arc<FairBound>,
}

impl OutboundClient {
    /// Creates a client that trusts the machine's certificates. With `allow_loopback`, http and the machine
    /// itself may be called too.
    ///
    /// # Errors
    /// When TLS cannot be set up.
    pub fn new(resolver: Arc<dyn NameResolver>, allow_loopback: bool) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let versions = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
        let tls = versions.with_platform_verifier()?.with_no_client_auth();
        Ok(Self::with_tls(resolver, allow_loopback, tls))
    }

    fn with_tls(resolver: Arc<dyn NameResolver>, allow_loopback: bool, mut tls: ClientConfig) -> Self {
        tls.alpn_protocols = vec![b"http/1.1".to_vec()];
        Self(Arc::new(ClientState {
            allow_loopback,
            lookups: NameLookups::new(resolver),
            tls: Arc::new(tls),
            pool: ConnectionPool::default(),
            requests: FairBound::with_maxima(
                "outbound_requests",
                REQUESTS_MAX,
                TENANT_REQUESTS_MAX,
                usize::MAX,
            ),
        }))
    }

    /// Parses a URL by this client's rules.
    ///
    /// # Errors
    /// [`TargetRefusal`].
    pub fn target(&self, url: &str) -> Result<OutboundTarget, TargetRefusal> {
        OutboundTarget::parse(url, self.0.allow_loopback)
    }

    /// Makes one attempt.
    ///
    /// # Errors
    /// [`OutboundError`].
    pub async fn send(&self, request: OutboundRequest) -> Result<OutboundAnswer, OutboundError> {
        let limit = request.timeout;
        let attempt = Box::pin(self.attempt(request));
        let ended = wait_for(AwaitKind::OutboundCall, tokio::time::timeout(limit, attempt)).await;
        ended.unwrap_or(Err(OutboundError::Late(limit)))
    }

    /// Returns the bounds that organisations share here, for the metrics.
    pub fn shared_bounds(&self) -> impl Iterator<Item = Arc<FairBound>> {
        [&self.0.requests, self.0.lookups.turns()].into_iter().cloned()
    }

    /// Drops connections that have been idle too long, until it is cancelled.
    pub async fn keep_tidy(self, stopping: CancellationToken) {
        while tokio::time::timeout(TIDY_EVERY, stopping.cancelled()).await.is_err() {
            self.0.pool.drop_idle();
        }
    }

    async fn attempt(&self, request: OutboundRequest) -> Result<OutboundAnswer, OutboundError> {
        let tenant = request.tenant;
        let _permit = self.0.requests.acquire(tenant).await.ok();
        let addresses = self.addresses(tenant, &request.target).await?;
        let (target, bytes_max, repeatable) =
            (request.target.clone(), request.answer_bytes_max, request.repeatable);
        let mut message = message(request)?;
        if let Some((address, mut wire)) = self.idle(&target, &addresses).await {
            // Bytes are shared, so this copies the headers only.
            let copy = repeatable.then(|| message.clone());
            match wire.exchange_request(message, bytes_max).await {
                Ok(answer) => return Ok(self.done(&target, address, wire, answer).await),
                Err(ConnectionLost::Unsent(unsent)) => message = *unsent,
                Err(ConnectionLost::Broken(error)) => message = copy.ok_or(OutboundError::Broken(error))?,
            }
        }
        let (address, mut wire) = self.connect(&target, &addresses).await?;
        match wire.exchange_request(message, bytes_max).await {
            Ok(answer) => Ok(self.done(&target, address, wire, answer).await),
            Err(ConnectionLost::Broken(error)) => Err(OutboundError::Broken(error)),
            Err(ConnectionLost::Unsent(_)) => {
                Err(OutboundError::Unreached(io::ErrorKind::ConnectionReset.into()))
            }
        }
    }

    /// Returns the current addresses of the host. All of them must be open: a name with one closed address is
    /// an attack, or must not be called from here.
    async fn addresses(
        &self,
        tenant: OrganisationId,
        target: &OutboundTarget,
    ) -> Result<Vec<SocketAddr>, OutboundError> {
        let found: Arc<[IpAddr]> = match &target.host {
            TargetHost::Address(address) => Arc::from([*address]),
            TargetHost::Name(name) => {
                self.0.lookups.find_addresses(tenant, name).await.map_err(OutboundError::Unresolved)?
            }
        };
        for address in found.iter() {
            if let Some(what) = closed_addresses::closed_reason(*address, self.0.allow_loopback) {
                return Err(OutboundError::Refused(TargetRefusal::Address(what)));
            }
        }
        if found.is_empty() {
            return Err(OutboundError::Unresolved(Arc::new(io::ErrorKind::NotFound.into())));
        }
        Ok(found.iter().map(|address| SocketAddr::new(*address, target.port)).collect())
    }

    async fn idle(
        &self,
        target: &OutboundTarget,
        addresses: &[SocketAddr],
    ) -> Option<(SocketAddr, OutboundConnection)> {
        for address in addresses {
            while let Some(mut wire) = self.0.pool.take_connection(target, *address) {
                if wire.drive_pending().await {
                    return Some((*address, wire));
                }
            }
        }
        None
    }

    async fn connect(
        &self,
        target: &OutboundTarget,
        addresses: &[SocketAddr],
    ) -> Result<(SocketAddr, OutboundConnection), OutboundError> {
        let mut refused = OutboundError::Unreached(io::ErrorKind::NotFound.into());
        for address in addresses.iter().take(ADDRESSES_TRIED) {
            match OutboundConnection::open_connection(target, *address, &self.0.tls).await {
                Ok(wire) => return Ok((*address, wire)),
                Err(error) => refused = error,
            }
        }
        Err(refused)
    }

    async fn done(
        &self,
        target: &OutboundTarget,
        address: SocketAddr,
        mut wire: OutboundConnection,
        answer: OutboundAnswer,
    ) -> OutboundAnswer {
        if !answer.truncated && wire.drive_pending().await {
            self.0.pool.put_connection(target, address, wire);
        }
        answer
    }
}

/// Builds the request as it is sent. The client sets the host and the framing, not the caller.
fn message(request: OutboundRequest) -> Result<Request<Full<Bytes>>, OutboundError> {
    let OutboundRequest { method, target, mut headers, body, .. } = request;
    if method == Method::CONNECT {
        return Err(OutboundError::Method);
    }
    for name in [
        CONNECTION,
        CONTENT_LENGTH,
        EXPECT,
        HOST,
        PROXY_AUTHORIZATION,
        TE,
        TRAILER,
        TRANSFER_ENCODING,
        UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
    let refused = OutboundError::Refused(TargetRefusal::Malformed);
    let Ok(host) = HeaderValue::from_str(&target.authority) else { return Err(refused) };
    headers.insert(HOST, host);
    let mut message = Request::new(Full::new(body));
    *message.method_mut() = method;
    *message.uri_mut() = target.path.into();
    *message.headers_mut() = headers;
    Ok(message)
}

impl fmt::Debug for OutboundClient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("OutboundClient")
            .field("allow_loopback", &self.0.allow_loopback)
            .finish_non_exhaustive()
    }
}
