//! A node that is told to stop, under load: its clients and those of the other nodes miss nothing.

use std::sync::atomic::{AtomicBool, Ordering};

use kabar::simulator::CallGate;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::resident_at;
use crate::harness::nodes::{heard_of, nodes};
use crate::harness::{InboundWebhook, Tenant, TestServer, from, patiently, text_from, until};

/// How often a node is stopped and started again.
const STOPS: usize = 4;

/// Reads and writes at a node that stays, until told otherwise; gives the number of answers.
async fn use_node(tenant: &Tenant, author: usize, over: &AtomicBool) -> usize {
    let mut answers = 0;
    while !over.load(Ordering::Acquire) {
        let message = text_from(&from(author), tenant.clock.read_now(), "halo");
        let webhook = InboundWebhook::default().messages(&tenant.id, &[message]);
        webhook.post(&tenant.api).await.is(200);
        tenant.get("conversations").await.is(200);
        let key = format!("message {answers} of {}", tenant.clock.read_now().millis());
        let (path, headers) = (tenant.path("messages"), [("Idempotency-Key", key.as_str())]);
        let sent = tenant.api.post_with(&path, &headers, &Tenant::template(&from(author))).await.is(200);
        assert_eq!(sent.header("Idempotent-Replayed"), Some("false"));
        answers += 3;
    }
    answers
}

/// Half of a request to send a message, under a key.
async fn begin_upload(node: &TestServer, tenant: &Tenant, key: &str) -> (TcpStream, String) {
    let body = Tenant::template(&from(77)).to_string();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: kabar\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Idempotency-Key: {key}\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        tenant.path("messages"),
        tenant.key,
        body.len()
    );
    let mut stream = node.raw().connect().await;
    let (first, rest) = body.split_at(body.len() / 2);
    stream.write_all(format!("{head}{first}").as_bytes()).await.unwrap();
    (stream, rest.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_that_stops_is_missed_by_nobody_though_whatsapp_is_silent_and_an_upload_slow() {
    let [mut one, mut two] = nodes(&[]).await;
    let tenant = one.tenant().await;
    heard_of(&two, &tenant).await;
    tenant.inbox(1).await;
    // Calls to WhatsApp hang.
    one.simulator.set_gate(CallGate::Held);
    for stop in 0..STOPS {
        if resident_at(&one, &tenant).await.is_none() {
            std::mem::swap(&mut one, &mut two);
        }
        let (here, there) = (heard_of(&one, &tenant).await, heard_of(&two, &tenant).await);
        here.post("messages", &Tenant::template(&from(5))).await.is(200);
        let key = format!("upload {stop}");
        let (mut upload, rest) = begin_upload(&one, &here, &key).await;
        let over = AtomicBool::new(false);
        let finish_upload = async {
            // The other one serves the account by now, and the rest of the body arrives here.
            until(async || resident_at(&two, &tenant).await.is_some()).await;
            upload.write_all(rest.as_bytes()).await.unwrap();
            let mut answer = Vec::new();
            patiently(upload.read_to_end(&mut answer)).await.unwrap();
            let answer = String::from_utf8_lossy(&answer);
            assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
            // The key went along, and is known at the node that took the request over.
            let (path, headers) = (there.path("messages"), [("Idempotency-Key", key.as_str())]);
            let again = there.api.post_with(&path, &headers, &Tenant::template(&from(77))).await.is(200);
            assert_eq!(again.header("Idempotent-Replayed"), Some("true"));
        };
        let stopping = async {
            tokio::join!(one.stop(), finish_upload);
            over.store(true, Ordering::Release);
        };
        let (answers, ()) = tokio::join!(use_node(&there, 1, &over), stopping);
        assert!(answers > 0);
        one.start_again().await;
    }
}
