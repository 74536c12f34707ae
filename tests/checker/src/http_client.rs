//! An HTTP client of one connection, kept alive between requests.
//!
//! Invariants: a request is sent once, never repeated; a connection on which something went wrong or late is
//! dropped, so an answer is never taken for that of another request.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HOST};
use http::{HeaderMap, Method, Request};
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper_util::rt::TokioIo;
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// Status code.
    pub status: u16,
    /// Headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// A header's text, or nothing.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// `data` of the body.
    pub fn data(&self) -> Value {
        self.json()["data"].take()
    }

    /// `error.code` of a refusal.
    pub fn code(&self) -> String {
        if self.status < 400 {
            return String::new();
        }
        self.json()["error"]["code"].as_str().unwrap_or_default().to_owned()
    }
}

/// What is sent.
#[derive(Debug, Clone, Default)]
pub struct Ask<'a> {
    /// The method; empty is GET.
    pub method: &'a str,
    /// Path and query.
    pub path: &'a str,
    /// The bearer token, or empty.
    pub token: &'a str,
    /// Further headers.
    pub headers: &'a [(&'a str, &'a str)],
    /// A JSON body, or another one with its own `Content-Type`.
    pub body: Option<Bytes>,
}

/// A client of one address.
#[derive(Debug)]
pub struct HttpClient {
    address: SocketAddr,
    patience: Duration,
    connection: Option<SendRequest<Full<Bytes>>>,
}

impl HttpClient {
    /// A client that waits so long for each answer.
    pub const fn new(address: SocketAddr, patience: Duration) -> Self {
        Self { address, patience, connection: None }
    }

    /// Sends a request; `None` when there is no answer.
    pub async fn send(&mut self, ask: &Ask<'_>) -> Option<Answer> {
        self.send_within(ask, self.patience).await
    }

    /// The same with another patience.
    pub async fn send_within(&mut self, ask: &Ask<'_>, patience: Duration) -> Option<Answer> {
        let connection = self.connection.take().filter(|connection| !connection.is_closed());
        let exchange = async {
            let (connection, parts) = begin(connection, self.address, ask).await?;
            let (parts, body) = parts.into_parts();
            let body = body.collect().await.ok()?.to_bytes();
            Some((connection, Answer { status: parts.status.as_u16(), headers: parts.headers, body }))
        };
        let (connection, answer) = timeout(patience, exchange).await.ok()??;
        self.connection = Some(connection);
        Some(answer)
    }

    /// Sends a request and gives the answer's body as it comes.
    pub async fn open(&mut self, ask: &Ask<'_>) -> Option<(u16, Incoming)> {
        let (_connection, answer) = timeout(self.patience, begin(None, self.address, ask)).await.ok()??;
        Some((answer.status().as_u16(), answer.into_body()))
    }
}

type Begun = (SendRequest<Full<Bytes>>, http::Response<Incoming>);

async fn begin(
    connection: Option<SendRequest<Full<Bytes>>>,
    address: SocketAddr,
    ask: &Ask<'_>,
) -> Option<Begun> {
    let mut connection = match connection {
        Some(connection) => connection,
        None => connect(address).await?,
    };
    connection.ready().await.ok()?;
    let answer = connection.send_request(request(address, ask)).await.ok()?;
    Some((connection, answer))
}

async fn connect(address: SocketAddr) -> Option<SendRequest<Full<Bytes>>> {
    let stream = TcpStream::connect(address).await.ok()?;
    stream.set_nodelay(true).ok()?;
    let (sender, connection) = handshake(TokioIo::new(stream)).await.ok()?;
    tokio::spawn(async move {
        let _ended = connection.await;
    });
    Some(sender)
}

fn request(address: SocketAddr, ask: &Ask<'_>) -> Request<Full<Bytes>> {
    let method = if ask.method.is_empty() { Method::GET } else { ask.method.parse().unwrap_or(Method::GET) };
    let mut request = Request::builder().method(method).uri(ask.path).header(HOST, address.to_string());
    if !ask.token.is_empty() {
        request = request.header("Authorization", format!("Bearer {}", ask.token));
    }
    for (name, value) in ask.headers {
        request = request.header(*name, *value);
    }
    let has_type = ask.headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type"));
    if ask.body.is_some() && !has_type {
        request = request.header(CONTENT_TYPE, "application/json");
    }
    request.body(Full::new(ask.body.clone().unwrap_or_default())).unwrap()
}
