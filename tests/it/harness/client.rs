//! A small HTTP client that shows everything and follows nothing, and one that writes bare bytes.

use std::net::SocketAddr;
use std::time::Duration;

use bytes::Bytes;
use reqwest::header::{HeaderMap, HeaderName, HeaderValue};
use reqwest::{Method, redirect};
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{Answer, patiently};

/// Headers of a request.
pub(crate) type Headers<'a> = &'a [(&'a str, &'a str)];

/// Talks to one server, with or without a token.
#[derive(Debug, Clone)]
pub(crate) struct Client {
    http: reqwest::Client,
    base: String,
    token: Option<String>,
}

impl Client {
    /// Nobody in particular.
    pub(crate) fn new(base: &str) -> Self {
        let http = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy().build().unwrap();
        Self { http, base: base.to_owned(), token: None }
    }

    /// The same with this bearer token.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: Some(token.to_owned()), ..self.clone() }
    }

    /// The same, giving up after this time.
    pub(crate) fn with_deadline(&self, after: Duration) -> Self {
        let builder = reqwest::Client::builder().redirect(redirect::Policy::none()).no_proxy();
        Self { http: builder.timeout(after).build().unwrap(), ..self.clone() }
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, &[], None).await
    }

    pub(crate) async fn get_with(&self, path: &str, headers: Headers<'_>) -> Answer {
        self.call("GET", path, headers, None).await
    }

    pub(crate) async fn head(&self, path: &str) -> Answer {
        self.call("HEAD", path, &[], None).await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.call("POST", path, &[], Some(body)).await
    }

    pub(crate) async fn post_with(&self, path: &str, headers: Headers<'_>, body: &Value) -> Answer {
        self.call("POST", path, headers, Some(body)).await
    }

    pub(crate) async fn patch(&self, path: &str, body: &Value) -> Answer {
        self.call("PATCH", path, &[], Some(body)).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.call("DELETE", path, &[], None).await
    }

    /// A call with a JSON body, or none.
    pub(crate) async fn call(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: Option<&Value>,
    ) -> Answer {
        match body {
            Some(body) => {
                let mut all = vec![("Content-Type", "application/json")];
                all.extend_from_slice(headers);
                self.bytes(method, path, &all, body.to_string().into_bytes()).await
            }
            None => self.bytes(method, path, headers, Vec::new()).await,
        }
    }

    /// A call with a body of any kind.
    pub(crate) async fn bytes(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: Vec<u8>,
    ) -> Answer {
        patiently(self.attempt(method, path, headers, body)).await.expect("an answer")
    }

    /// A POST of bytes of this kind.
    pub(crate) async fn upload(&self, path: &str, kind: &str, body: Vec<u8>) -> Answer {
        self.bytes("POST", path, &[("Content-Type", kind)], body).await
    }

    /// A GET whose body has no end: the answer's head, and its body as it comes.
    pub(crate) async fn open(&self, path: &str, headers: Headers<'_>) -> reqwest::Response {
        let mut request = self.http.get(format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        patiently(request.send()).await.expect("an answer")
    }

    /// The same, for servers that may die on the way.
    pub(crate) async fn attempt(
        &self,
        method: &str,
        path: &str,
        headers: Headers<'_>,
        body: Vec<u8>,
    ) -> Result<Answer, reqwest::Error> {
        let method = Method::from_bytes(method.as_bytes()).unwrap();
        let mut request = self.http.request(method, format!("{}{path}", self.base));
        if let Some(token) = &self.token {
            request = request.bearer_auth(token);
        }
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        if !body.is_empty() {
            request = request.body(body);
        }
        let response = request.send().await?;
        let (status, headers) = (response.status().as_u16(), response.headers().clone());
        Ok(Answer { status, headers, body: response.bytes().await? })
    }
}

/// Says to a server what no decent client would.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Raw(SocketAddr);

impl Raw {
    pub(crate) const fn new(address: SocketAddr) -> Self {
        Self(address)
    }

    /// Writes these bytes on a connection of their own and reads the answer to its end. The request
    /// must ask for `Connection: close`.
    pub(crate) async fn say(&self, request: &[u8]) -> Answer {
        let mut stream = TcpStream::connect(self.0).await.unwrap();
        let mut heard = Vec::new();
        // A server may answer before it has read everything, and then refuse the rest.
        let _refused = patiently(stream.write_all(request)).await;
        let _reset = patiently(stream.read_to_end(&mut heard)).await;
        parse(&heard)
    }

    /// Where the server listens.
    pub(crate) const fn address(&self) -> SocketAddr {
        self.0
    }

    /// A connection to say anything on.
    pub(crate) async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.0).await.unwrap()
    }

    /// A request line and headers, for a host that is this server.
    pub(crate) async fn request(&self, line: &str, headers: Headers<'_>) -> Answer {
        let mut request = format!("{line} HTTP/1.1\r\nHost: kabar\r\nConnection: close\r\n");
        for (name, value) in headers {
            request = request + name + ": " + value + "\r\n";
        }
        self.say(format!("{request}\r\n").as_bytes()).await
    }
}

fn parse(heard: &[u8]) -> Answer {
    let end = heard.windows(4).position(|four| four == b"\r\n\r\n");
    let end = end.unwrap_or_else(|| panic!("no answer: {:?}", String::from_utf8_lossy(heard)));
    let head = std::str::from_utf8(&heard[..end]).unwrap();
    let mut lines = head.split("\r\n");
    let status = lines.next().unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    let headers: HeaderMap = lines
        .map(|line| {
            let (name, value) = line.split_once(": ").unwrap_or((line.trim_end_matches(':'), ""));
            (HeaderName::from_bytes(name.as_bytes()).unwrap(), HeaderValue::from_str(value).unwrap())
        })
        .collect();
    Answer { status, headers, body: Bytes::copy_from_slice(&heard[end + 4..]) }
}
