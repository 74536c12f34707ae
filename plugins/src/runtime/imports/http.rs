//! `http`: calls to allowed hosts, the one effect that happens while a hook runs.
//!
//! Invariant: a request that leaves here names an allowed host and carries an `idempotency-key`.
//! [`crate::HttpFetcher`] guards scheme, addresses and redirects.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::uri::Uri;
use http::{HeaderName, HeaderValue};

use crate::invocation::OutboundMode;
use crate::ports::{FetchAnswer, FetchError, FetchRequest};
use crate::report::HttpCall;
use crate::runtime::bindings::kabar::hooks::http::{Host, HttpError, Request, Response};
use crate::runtime::guest_state::GuestState;

const METHODS: [&str; 6] = ["GET", "POST", "PUT", "PATCH", "DELETE", "HEAD"];
const IDEMPOTENCY_KEY: &str = "idempotency-key";
/// Headers that a hook must not set: the transport fixes them, or they would name another host.
const RESERVED: [&str; 9] = [
    "host",
    "content-length",
    "connection",
    "transfer-encoding",
    "upgrade",
    "te",
    "trailer",
    "expect",
    "proxy-connection",
];
const HEADERS_MAX: usize = 64;
const HEADER_BYTES_MAX: usize = 16 << 10;
const URL_BYTES_MAX: usize = 8 << 10;

fn invalid_request(why: &str) -> HttpError {
    HttpError::InvalidRequest(why.to_owned())
}

/// Host and, where it is not the scheme's own, port.
fn host_of(uri: &Uri) -> Option<String> {
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let own = match uri.scheme_str()? {
        "https" => 443,
        "http" => 80,
        _ => return None,
    };
    let port = authority.port_u16().filter(|port| *port != own);
    Some(port.map_or_else(|| authority.host().to_owned(), |port| format!("{}:{port}", authority.host())))
}

type HeaderList = Vec<(Arc<str>, Arc<str>)>;

fn read_headers(given: &[(String, String)]) -> Result<HeaderList, HttpError> {
    let bytes: usize = given.iter().map(|(name, value)| name.len() + value.len()).sum();
    if given.len() > HEADERS_MAX || bytes > HEADER_BYTES_MAX {
        return Err(invalid_request("at most 64 headers with 16 KiB in all"));
    }
    let read = |(name, value): &(String, String)| {
        let name = name.to_ascii_lowercase();
        let sound = HeaderName::from_bytes(name.as_bytes()).is_ok() && HeaderValue::from_str(value).is_ok();
        if !sound || RESERVED.contains(&name.as_str()) {
            return Err(HttpError::InvalidRequest(format!("the header {name:?} cannot be sent")));
        }
        Ok((name.into(), value.as_str().into()))
    };
    given.iter().map(read).collect()
}

impl GuestState {
    fn fetch_request(&self, request: Request) -> Result<FetchRequest, HttpError> {
        let limits = &self.invocation.limits;
        let method = request.method.to_ascii_uppercase();
        if !METHODS.contains(&method.as_str()) {
            return Err(invalid_request("the method must be GET, POST, PUT, PATCH, DELETE or HEAD"));
        }
        let uri: Option<Uri> =
            (request.url.len() <= URL_BYTES_MAX).then(|| request.url.parse().ok()).flatten();
        let host = uri.as_ref().and_then(host_of);
        let host = host.ok_or_else(|| {
            invalid_request("the URL must be https:// and a host, without user or password")
        })?;
        if !self.invocation.allowed_hosts.permits_host(&host) {
            return Err(HttpError::HostNotAllowed(host));
        }
        let body: Bytes = request.body.unwrap_or_default().into();
        if body.len() > limits.http_bytes {
            return Err(HttpError::InvalidRequest(format!("the body may have {} bytes", limits.http_bytes)));
        }
        let mut headers = read_headers(&request.headers)?;
        if !headers.iter().any(|(name, _)| name.as_ref() == IDEMPOTENCY_KEY) {
            let number = self.http_calls.len() + 1;
            let key = format!("{}-{}-{number}", self.invocation.event.id, self.invocation.plugin);
            headers.push((IDEMPOTENCY_KEY.into(), key.into()));
        }
        let asked = request.timeout_ms.map_or(limits.http_timeout, |ms| Duration::from_millis(ms.into()));
        Ok(FetchRequest {
            organisation_id: self.invocation.organisation_id,
            method: method.into(),
            url: request.url.into(),
            headers,
            body,
            timeout: asked.min(limits.http_timeout),
            answer_bytes_max: limits.http_bytes,
        })
    }

    async fn perform_request(&mut self, request: FetchRequest) -> Result<FetchAnswer, FetchError> {
        let (method, url, bytes_max) =
            (request.method.clone(), request.url.clone(), request.answer_bytes_max);
        // Recorded before it is made: a run that is stopped meanwhile has made the call all the same.
        let place = self.http_calls.len();
        let unanswered = Err("no answer before the run ended".into());
        self.http_calls.push(HttpCall { method, url, body: None, answer: unanswered });
        let answer = match self.invocation.outbound {
            OutboundMode::Captured => {
                if let Some(call) = self.http_calls.get_mut(place) {
                    call.body = Some(request.body);
                }
                Ok(FetchAnswer { status: 200, headers: Vec::new(), body: Bytes::from_static(b"{}") })
            }
            OutboundMode::Performed => {
                let fetch = self.fetch.clone();
                fetch.fetch(request).await
            }
        };
        let answer = answer.and_then(|answer| {
            if answer.body.len() > bytes_max { Err(FetchError::TooLarge) } else { Ok(answer) }
        });
        if let Some(call) = self.http_calls.get_mut(place) {
            call.answer = match &answer {
                Ok(answer) => Ok(answer.status),
                Err(error) => Err(error.to_string().into()),
            };
        }
        answer
    }
}

impl Host for GuestState {
    async fn fetch(&mut self, request: Request) -> wasmtime::Result<Result<Response, HttpError>> {
        self.charge_host_call()?;
        let calls_max = usize::try_from(self.invocation.limits.http_calls).unwrap_or(usize::MAX);
        if self.http_calls.len() >= calls_max {
            return Ok(Err(HttpError::TooManyCalls));
        }
        let request = match self.fetch_request(request) {
            Ok(request) => request,
            Err(refused) => return Ok(Err(refused)),
        };
        Ok(match self.perform_request(request).await {
            Ok(answer) => Ok(Response {
                status: answer.status,
                headers: answer.headers.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect(),
                body: answer.body.into(),
            }),
            Err(FetchError::TimedOut) => Err(HttpError::TimedOut),
            Err(FetchError::TooLarge) => Err(HttpError::TooLarge),
            Err(error @ (FetchError::Refused(_) | FetchError::Failed(_))) => {
                Err(HttpError::Failed(error.to_string()))
            }
        })
    }
}
