//! A stand-in for Meta's Graph API that gives the answer that a test wrote, and remembers every call.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http_body_util::{BodyExt as _, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio::task::JoinSet;

use super::fresh_wamid;

/// End of the paths of calls about templates.
const TEMPLATES: &str = "/message_templates";

/// A call: its method, its path, and its body as JSON.
#[derive(Debug, Clone)]
pub(crate) struct GraphCall {
    pub(crate) method: String,
    pub(crate) path: String,
    pub(crate) body: Value,
}

#[derive(Default)]
struct Shared {
    /// Status and body of the answers to messages; `None` accepts every message under a fresh id.
    answer: Mutex<Option<(u16, Value)>>,
    /// Status and body of the answers to calls for templates; `None` is an answer that cannot be read.
    templates: Mutex<Option<(u16, Value)>>,
    /// Templates that were submitted, in Meta's form.
    submitted: Mutex<Vec<Value>>,
    /// Status and body of the answers to calls that read.
    profile: Mutex<Option<(u16, Value)>>,
    calls: Mutex<Vec<GraphCall>>,
    /// `true` while answers to messages are kept back.
    held: watch::Sender<bool>,
}

/// See the module. It ends with this value.
pub(crate) struct GraphStub {
    pub(crate) base_url: String,
    shared: Arc<Shared>,
    _tasks: JoinSet<()>,
}

impl GraphStub {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base_url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared::default());
        let mut tasks = JoinSet::new();
        let serving = shared.clone();
        tasks.spawn(async move {
            let mut connections = JoinSet::new();
            loop {
                let Ok((stream, _)) = listener.accept().await else { return };
                let shared = serving.clone();
                connections.spawn(async move {
                    let service = service_fn(move |request| answer(shared.clone(), request));
                    let http = hyper::server::conn::http1::Builder::new();
                    let _broken = http.serve_connection(TokioIo::new(stream), service).await;
                });
            }
        });
        Self { base_url, shared, _tasks: tasks }
    }

    /// Answers every message like this from now on.
    pub(crate) fn answer_with(&self, status: u16, body: Value) {
        *self.shared.answer.lock().unwrap() = Some((status, body));
    }

    /// Accepts every message from now on.
    pub(crate) fn accept(&self) {
        *self.shared.answer.lock().unwrap() = None;
    }

    /// Answers every call that reads like this from now on.
    pub(crate) fn answer_reads_with(&self, status: u16, body: Value) {
        *self.shared.profile.lock().unwrap() = Some((status, body));
    }

    /// Answers every call for templates like this from now on.
    pub(crate) fn answer_templates_with(&self, status: u16, body: Value) {
        *self.shared.templates.lock().unwrap() = Some((status, body));
    }

    /// Keeps answers to messages back, or gives them.
    pub(crate) fn hold(&self, held: bool) {
        self.shared.held.send_replace(held);
    }

    /// The calls of a method so far, but for those about templates.
    pub(crate) fn calls(&self, method: &str) -> Vec<GraphCall> {
        let calls = self.shared.calls.lock().unwrap();
        let others = calls.iter().filter(|call| !call.path.ends_with(TEMPLATES));
        others.filter(|call| call.method == method).cloned().collect()
    }
}

/// Answers calls about templates: what was submitted is pending, and is the list from then on.
fn answer_about_templates(shared: &Shared, method: &hyper::Method, mut submission: Value) -> (u16, Value) {
    let mut submitted = shared.submitted.lock().unwrap();
    if method == hyper::Method::POST {
        submission["id"] = json!((5_570_001 + submitted.len()).to_string());
        submission["status"] = json!("PENDING");
        submitted.push(submission.clone());
        return (200, submission);
    }
    let set = shared.templates.lock().unwrap().clone();
    let own = || if submitted.is_empty() { json!({"id": "1"}) } else { json!({"data": *submitted}) };
    set.unwrap_or_else(|| (200, own()))
}

async fn answer(
    shared: Arc<Shared>,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    let (head, body) = request.into_parts();
    let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
    let body: Value = serde_json::from_slice(&body).unwrap_or(Value::Null);
    let call = GraphCall { method: head.method.to_string(), path: head.uri.path().to_owned(), body };
    let (to, about_templates) = (call.body["to"].clone(), call.path.ends_with(TEMPLATES));
    let submission = call.body.clone();
    shared.calls.lock().unwrap().push(call);
    let (status, body) = if about_templates {
        answer_about_templates(&shared, &head.method, submission)
    } else if head.method == hyper::Method::GET {
        let profile = shared.profile.lock().unwrap().clone();
        profile.unwrap_or_else(|| (200, json!({"id": "1"})))
    } else {
        let mut held = shared.held.subscribe();
        let _ended = held.wait_for(|held| !held).await;
        let answer = shared.answer.lock().unwrap().clone();
        let accepted = || {
            json!({"messaging_product": "whatsapp", "contacts": [{"input": to, "wa_id": to}],
                "messages": [{"id": fresh_wamid()}]})
        };
        answer.unwrap_or_else(|| (200, accepted()))
    };
    let response = Response::builder().status(status).header("content-type", "application/json");
    Ok(response.body(Full::new(Bytes::from(body.to_string()))).unwrap())
}
