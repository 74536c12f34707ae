//! Answers of servers that are called: of tenants' webhooks, and of WhatsApp. `{length}` is that of the body.

use std::sync::{Arc, LazyLock, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method};
use kabar_core::clock::Clock;
use kabar_core::domain::event::{EventKind, EventType};
use kabar_core::domain::read_receipt::ReadReceipt;
use kabar_core::meta::graph::{GraphClient, GraphOutcome, RETRY_AFTER_MAX};
use kabar_core::meta::send_deadline::SendDeadline;
use kabar_core::outbound::{OutboundClient, OutboundError, OutboundRequest, SystemResolver};
use kabar_plugins::sample;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};

use super::FuzzTarget;
use crate::runtime::wait_for;
use crate::server::fill_length;

pub(super) const TARGET: FuzzTarget = FuzzTarget {
    name: "outbound_answer",
    run,
    words: &[
        "HTTP/1.1 ",
        "200 OK\r\n",
        "204 No Content\r\n",
        "100 Continue\r\n\r\n",
        "101 Switching Protocols\r\n",
        "304 ",
        "429 ",
        "500 ",
        "\r\n",
        "\n",
        "Content-Length: ",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        "ffffffffffffffff\r\n",
        "Connection: close\r\n",
        "Connection: keep-alive\r\n",
        "Location: /\r\n",
        "Retry-After: 99999999999999999999\r\n",
        "Retry-After: -1\r\n",
        "Content-Encoding: gzip\r\n",
        "messages",
        "id",
        "error",
        "code",
        "message",
        "error_data",
        "details",
        "contacts",
        "wa_id",
        "input",
        "message_status",
        "held_for_quality_assessment",
        "wamid.HBgNNjI4MTIzNDU2Nzg5MA==",
        "quality_rating",
        "verified_name",
        "\\u0000",
        "\\ud800",
    ],
    input_bytes_max: 80 << 10,
    mutations: 400,
};

/// Most bytes of an answer that the caller wants.
const ANSWER_BYTES_MAX: usize = 1000;

/// A server that answers each request on a connection with the bytes of the input, and hangs up.
struct Answering {
    url: String,
    bytes: Arc<Mutex<Vec<u8>>>,
    outbound: OutboundClient,
    graph: GraphClient,
}

static ANSWERING: LazyLock<Answering> = LazyLock::new(|| wait_for(Answering::start()));

impl Answering {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let bytes = Arc::new(Mutex::new(Vec::new()));
        let shared = bytes.clone();
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = shared.lock().unwrap_or_else(PoisonError::into_inner).clone();
                tokio::spawn(answer_once(stream, answer));
            }
        });
        let outbound = OutboundClient::new(Arc::new(SystemResolver), true).unwrap();
        let graph = GraphClient::new(&url, "v23.0").unwrap();
        Self { url, bytes, outbound, graph }
    }
}

async fn answer_once(mut stream: TcpStream, answer: Vec<u8>) {
    let mut request = Vec::new();
    while !request.windows(4).any(|part| part == b"\r\n\r\n") {
        if !stream.read_buf(&mut request).await.is_ok_and(|read| read > 0) {
            return;
        }
    }
    // The client may have had enough, and hang up.
    let _gone = stream.write_all(&answer).await;
    let _gone = stream.shutdown().await;
    let _rest = stream.read_to_end(&mut request).await;
}

/// Whatever is answered, a call ends, and what it gives is within its bounds.
fn run(input: &[u8]) {
    let answering = &*ANSWERING;
    *answering.bytes.lock().unwrap_or_else(PoisonError::into_inner) = fill_length(input);
    wait_for(async {
        call_receiver(answering).await;
        call_whatsapp(&answering.graph).await;
    });
}

async fn call_receiver(answering: &Answering) {
    let request = OutboundRequest {
        tenant: sample::event(EventType::MessageStatus).account.organisation_id,
        method: Method::POST,
        target: answering.outbound.target(&answering.url).unwrap(),
        headers: HeaderMap::new(),
        body: Bytes::from_static(b"{}"),
        timeout: Duration::from_mins(1),
        answer_bytes_max: ANSWER_BYTES_MAX,
        repeatable: true,
    };
    match answering.outbound.send(request).await {
        Ok(answer) => {
            assert!(answer.body.len() <= ANSWER_BYTES_MAX);
            assert!(answer.status.as_u16() >= 200 || answer.status.as_u16() == 101, "{}", answer.status);
        }
        Err(error) => {
            assert!(!matches!(error, OutboundError::Late(_)), "the connection has ended");
            assert!(!error.to_string().is_empty());
        }
    }
}

async fn call_whatsapp(graph: &GraphClient) {
    let sample = sample::event(EventType::MessageSent);
    let EventKind::MessageSent(message) = &sample.event.kind else { unreachable!("it was asked for") };
    let clock = Arc::new(Clock::system_clock());
    let deadline = clock.monotonic_now().saturating_plus(Duration::from_hours(1));
    let waits = match graph.send_message(&sample.account, message, SendDeadline::new(clock, deadline)).await {
        GraphOutcome::Accepted { wamid, .. } => {
            assert!(!wamid.is_empty() && !wamid.contains('\0'), "an id that cannot be kept: {wamid:?}");
            None
        }
        GraphOutcome::Transient { retry_after, .. } => retry_after,
        GraphOutcome::Refused(error)
        | GraphOutcome::AccountRefused(error)
        | GraphOutcome::Unknown { error } => {
            assert!(!error.message.is_empty() && !error.message.contains('\0'), "{error:?}");
            None
        }
    };
    let receipt = ReadReceipt { wamid: "wamid.A".into(), typing: true };
    let marked = graph.mark_read(&sample.account, &receipt).await;
    let waits = [waits, marked.err().and_then(|refusal| refusal.retry_after)];
    assert!(waits.into_iter().flatten().all(|wait| wait <= RETRY_AFTER_MAX), "{waits:?}");
    // The properties are kept as they are told.
    if let Ok(profile) = graph.fetch_profile(&sample.account).await {
        assert!(!format!("{profile:?}").contains("\\0"), "{profile:?}");
    }
}
