//! A receiver of webhooks that does as it is told and remembers every call.
//!
//! Invariant: a call is remembered before it is answered, in the order of arrival.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Body, Frame, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use kabar_core::domain::account::Secret;
use kabar_core::meta::signature;
use reqwest::header::HeaderMap;
use serde_json::Value;
use sha2::Sha256;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::patiently;

/// What the receiver does with a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Answers with this status and these headers.
    Answer(u16, Vec<(&'static str, String)>),
    /// Answers 200 with a body that has no end.
    Endless,
    /// Does not answer until it plays something else.
    Hang,
}

impl Turn {
    /// Answers with this status.
    pub(crate) const fn status(status: u16) -> Self {
        Self::Answer(status, Vec::new())
    }
}

/// A call.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    pub(crate) method: String,
    pub(crate) target: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Call {
    /// A header that must be there, once.
    #[track_caller]
    pub(crate) fn header(&self, name: &str) -> String {
        let mut values = self.headers.get_all(name).iter();
        let value = values.next().unwrap_or_else(|| panic!("no {name} in {self:?}"));
        assert!(values.next().is_none(), "{name} twice");
        value.to_str().unwrap().to_owned()
    }

    /// The event.
    #[track_caller]
    pub(crate) fn event(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }

    /// The event's number.
    #[track_caller]
    pub(crate) fn sequence(&self) -> i64 {
        self.event()["sequence"].as_i64().expect("a number")
    }

    /// The number of the contact whose message it tells of.
    #[track_caller]
    pub(crate) fn author(&self) -> String {
        self.event()["data"]["message"]["from"].as_str().expect("a message").to_owned()
    }

    /// The text of the message it tells of.
    #[track_caller]
    pub(crate) fn said(&self) -> String {
        self.event()["data"]["message"]["content"].as_str().expect("a message").to_owned()
    }

    pub(crate) fn attempt(&self) -> u32 {
        self.header("X-Kirim-Attempt").parse().unwrap()
    }

    /// The time of the signature, and which of these secrets signed, in the header's order.
    #[track_caller]
    pub(crate) fn signers<'a>(&self, secrets: &[&'a str]) -> (i64, Vec<&'a str>) {
        let header = self.header("X-Kirim-Signature");
        let mut parts = header.split(',');
        let seconds = parts.next().and_then(|part| part.strip_prefix("t=")).expect("t first");
        let signed = [seconds.as_bytes(), b".", &self.body].concat();
        let hex_of =
            |secret: &str| signature::sign_body(&Secret::new(secret), &signed)["sha256=".len()..].to_owned();
        let signers = parts.map(|part| {
            let hex = part.strip_prefix("v1=").expect("v1 after t");
            *secrets.iter().find(|secret| hex_of(secret) == hex).expect("a known secret")
        });
        (seconds.parse().unwrap(), signers.collect())
    }
}

impl Call {
    /// Which of these secrets signed after Standard Webhooks, in the header's order.
    #[track_caller]
    pub(crate) fn standard_signers<'a>(&self, secrets: &[&'a str]) -> Vec<&'a str> {
        let (id, seconds) = (self.header("webhook-id"), self.header("webhook-timestamp"));
        let signed = [id.as_bytes(), b".", seconds.as_bytes(), b".", &self.body].concat();
        let sign = |secret: &str| {
            let key = STANDARD.decode(secret.strip_prefix("whsec_").unwrap()).unwrap();
            let mut mac = Hmac::<Sha256>::new_from_slice(&key).unwrap();
            mac.update(&signed);
            format!("v1,{}", STANDARD.encode(mac.finalize().into_bytes()))
        };
        let header = self.header("webhook-signature");
        let find = |part: &str| *secrets.iter().find(|secret| sign(secret) == part).expect("a known secret");
        header.split(' ').map(find).collect()
    }
}

/// A body without an end.
struct Endless;

impl Body for Endless {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[b'x'; 8192])))))
    }
}

type Play = Arc<dyn Fn(&Call) -> Turn + Send + Sync>;

struct Shared {
    play: watch::Sender<Play>,
    calls: Mutex<Vec<Call>>,
    count: watch::Sender<usize>,
}

/// See the module. It ends with this value.
pub(crate) struct Receiver {
    pub(crate) port: u16,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl Receiver {
    /// One that answers 200.
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let play: Play = Arc::new(|_: &Call| Turn::status(200));
        let (play, count) = (watch::Sender::new(play), watch::Sender::new(0));
        let shared = Arc::new(Shared { play, calls: Mutex::default(), count });
        let mut tasks = JoinSet::new();
        let serving = shared.clone();
        tasks.spawn(async move {
            let mut talks = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                let shared = serving.clone();
                let service = service_fn(move |request| {
                    let shared = shared.clone();
                    async move { Ok::<_, Infallible>(shared.take(request).await) }
                });
                talks.spawn(async move {
                    let io = TokioIo::new(stream);
                    // A server that is killed hangs up.
                    let _ended =
                        hyper::server::conn::http1::Builder::new().serve_connection(io, service).await;
                });
            }
        });
        Self { port, shared, _tasks: tasks }
    }

    pub(crate) fn url(&self) -> String {
        format!("http://127.0.0.1:{}/hook?a=b%20c", self.port)
    }

    /// What it does from now on; whoever hangs is judged anew.
    pub(crate) fn plays(&self, play: impl Fn(&Call) -> Turn + Send + Sync + 'static) {
        self.shared.play.send_replace(Arc::new(play));
    }

    pub(crate) fn calls(&self) -> Vec<Call> {
        self.shared.calls.lock().unwrap().clone()
    }

    /// How many calls there were.
    pub(crate) fn count(&self) -> usize {
        *self.shared.count.borrow()
    }

    /// Returns when there were so many calls.
    pub(crate) async fn until(&self, calls: usize) -> Vec<Call> {
        let mut count = self.shared.count.subscribe();
        patiently(count.wait_for(|count| *count >= calls)).await.unwrap();
        self.calls()
    }

    /// What was said to it by each author, in order of arrival.
    pub(crate) fn conversations(&self) -> BTreeMap<String, Vec<String>> {
        let mut said = BTreeMap::<_, Vec<_>>::new();
        for call in self.calls() {
            said.entry(call.author()).or_default().push(call.said());
        }
        said
    }
}

impl Shared {
    async fn take(&self, request: Request<Incoming>) -> Response<BoxBody<Bytes, Infallible>> {
        let (head, body) = request.into_parts();
        let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
        let (method, target) = (head.method.to_string(), head.uri.to_string());
        let call = Call { method, target, headers: head.headers, body };
        self.calls.lock().unwrap().push(call.clone());
        self.count.send_modify(|count| *count += 1);
        let mut play = self.play.subscribe();
        loop {
            let turn = play.borrow_and_update()(&call);
            match turn {
                Turn::Answer(status, headers) => {
                    let mut answer = Response::builder().status(status);
                    for (name, value) in headers {
                        answer = answer.header(name, value);
                    }
                    return answer.body(Full::default().boxed()).unwrap();
                }
                Turn::Endless => return Response::new(Endless.boxed()),
                // The receiver ends with the test.
                Turn::Hang if play.changed().await.is_err() => std::future::pending().await,
                Turn::Hang => {}
            }
        }
    }
}
