//! The stand-in for Meta's Graph API: takes sends, records each, and tells what becomes of them by webhooks.
//!
//! Invariants: each call is recorded with what the stub did; whatever it took, statuses of it are posted until a
//! node has answered 200, like WhatsApp does. Which calls are answered late, never, or refused follows from mode
//! and message.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU8, AtomicU64, Ordering};
use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::mpsc::UnboundedSender;

use crate::history::{Entry, GraphCall};
use crate::http_stub::{self, ReadRequest, StubAnswer};
use crate::recorder::Recorder;

/// How the stub answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum GraphMode {
    /// At once.
    Prompt = 0,
    /// It takes the message and does not answer for eight seconds.
    Silent = 1,
    /// It takes the message and ends the connection.
    Lossy = 2,
}

/// A text that begins so is refused with WhatsApp's 131047, for which the hook sends a template.
pub const REFUSED_TEXT: &str = "window ";
/// How long a silent stub holds a call.
const SILENCE: Duration = Duration::from_secs(8);

/// Something that WhatsApp tells of a message.
#[derive(Debug, Clone)]
pub struct StatusReport {
    /// The account.
    pub account: String,
    /// The message's wamid.
    pub wamid: String,
    /// The message's id (`biz_opaque_callback_data`).
    pub id: String,
    /// The recipient.
    pub to: String,
}

/// The stub.
#[derive(Debug)]
pub struct GraphStub {
    /// Where it listens.
    pub address: SocketAddr,
    mode: Arc<AtomicU8>,
    requests: Arc<AtomicU64>,
}

struct Inner {
    recorder: Recorder,
    reports: UnboundedSender<StatusReport>,
    mode: Arc<AtomicU8>,
    wamids: AtomicU64,
    requests: Arc<AtomicU64>,
    find_node: Arc<dyn Fn(u16) -> usize + Send + Sync>,
}

impl GraphStub {
    /// Starts it; reports of what it took go to the sender of webhooks.
    pub async fn start(
        recorder: Recorder,
        reports: UnboundedSender<StatusReport>,
        find_node: Arc<dyn Fn(u16) -> usize + Send + Sync>,
    ) -> anyhow::Result<Self> {
        let (mode, requests) = (Arc::<AtomicU8>::default(), Arc::<AtomicU64>::default());
        let wamids = AtomicU64::new(1);
        let inner = Arc::new(Inner {
            recorder,
            reports,
            mode: mode.clone(),
            wamids,
            requests: requests.clone(),
            find_node,
        });
        let address = http_stub::serve(move |port, request| handle(inner.clone(), port, request)).await?;
        Ok(Self { address, mode, requests })
    }

    /// Changes how it answers from now on.
    pub fn set_mode(&self, mode: GraphMode) {
        self.mode.store(mode as u8, Ordering::Relaxed);
    }

    /// Calls until now.
    pub fn requests(&self) -> u64 {
        self.requests.load(Ordering::Relaxed)
    }
}

async fn handle(inner: Arc<Inner>, port: u16, request: ReadRequest) -> StubAnswer {
    if request.method() == "GET" {
        // A look at a number: it has no properties.
        return StubAnswer::Answer(200, "{}".to_owned());
    }
    let s = inner.recorder.now();
    inner.requests.fetch_add(1, Ordering::Relaxed);
    let account = request.uri().path().split('/').nth(2).unwrap_or_default().to_owned();
    let body: Value = serde_json::from_slice(request.body()).unwrap_or_default();
    let member = |name: &str| body[name].as_str().unwrap_or_default().to_owned();
    if member("status") == "read" {
        return StubAnswer::Answer(200, json!({"success": true}).to_string());
    }
    let mut call = GraphCall {
        n: (inner.find_node)(port),
        a: account.clone(),
        id: member("biz_opaque_callback_data"),
        to: member("to"),
        kind: member("type"),
        text: body["text"]["body"].as_str().unwrap_or_default().to_owned(),
        s,
        ..GraphCall::default()
    };
    let refused = call.text.starts_with(REFUSED_TEXT);
    call.taken = !refused;
    let mode = inner.mode.load(Ordering::Relaxed);
    let outcome = if refused {
        "131047".clone_into(&mut call.answer);
        let error = json!({"message": "Re-engagement message", "type": "OAuthException", "code": 131_047});
        StubAnswer::Answer(400, json!({"error": error}).to_string())
    } else {
        call.wamid = format!("wamid.OUT{}", inner.wamids.fetch_add(1, Ordering::Relaxed));
        let (id, to) = (call.id.clone(), call.to.clone());
        let _ended = inner.reports.send(StatusReport { account, wamid: call.wamid.clone(), id, to });
        ["ok", "silent", "lost"][usize::from(mode.min(2))].clone_into(&mut call.answer);
        StubAnswer::Answer(200, accepted(&call))
    };
    // It is recorded before it is answered: the caller may die, and the call was made all the same.
    call.e = inner.recorder.now();
    inner.recorder.record(Entry::Call(call));
    match mode {
        _ if refused => outcome,
        1 => {
            tokio::time::sleep(SILENCE).await;
            outcome
        }
        2 => StubAnswer::Hangup,
        _ => outcome,
    }
}

fn accepted(call: &GraphCall) -> String {
    json!({"messaging_product": "whatsapp", "contacts": [{"input": call.to, "wa_id": call.to}],
        "messages": [{"id": call.wamid}]})
    .to_string()
}
