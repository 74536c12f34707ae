//! What a webhook costs before its signature is verified: contract, section 28.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::harness::{
    APP_SECRET, InboundWebhook, TestServer, from, patiently, post_bytes, text, text_from, until,
    until_advancing,
};

/// Says the head of a webhook with a body of this length, and the beginning of that.
async fn opening(server: &TestServer, signature: Option<&str>, length: usize, begun: usize) -> TcpStream {
    let signature = signature.map_or(String::new(), |value| format!("X-Hub-Signature-256: {value}\r\n"));
    let head = format!(
        "POST /webhooks/whatsapp HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\n\
         Content-Length: {length}\r\n{signature}\r\n"
    );
    let mut stream = server.raw().connect().await;
    stream.write_all(head.as_bytes()).await.unwrap();
    stream.write_all(&vec![b' '; begun]).await.unwrap();
    stream
}

async fn rest_of(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    let _reset = patiently(stream.read_to_end(&mut heard)).await;
    String::from_utf8_lossy(&heard).into_owned()
}

fn forged() -> String {
    format!("sha256={}", "0".repeat(64))
}

#[tokio::test]
async fn without_a_well_formed_signature_no_body_is_read() {
    let server = TestServer::start().await;
    let hex = "0".repeat(64);
    let malformed = ["", &*hex, "sha256=", "sha256=00", &format!("sha1={hex}"), &format!("sha256={hex}0")];
    for signature in std::iter::once(None).chain(malformed.into_iter().map(Some)) {
        // The body never comes, and the answer does not wait for it.
        let heard = rest_of(&mut opening(&server, signature, 3_000_000, 0).await).await;
        assert!(heard.starts_with("HTTP/1.1 401") && heard.contains("invalid_signature"), "{heard}");
    }
    assert_eq!(server.metric("kabar_whatsapp_bad_signatures_total").await, 7);
}

#[tokio::test]
async fn a_body_at_a_path_without_one_is_not_read() {
    let server = TestServer::start().await;
    for path in ["/", "/docs", "/nowhere", "/v1/health", "/v1/me", "/admin/v1/organizations"] {
        let mut stream = server.raw().connect().await;
        let head = format!("POST {path} HTTP/1.1\r\nHost: a\r\nContent-Length: 200000\r\n\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let heard = rest_of(&mut stream).await;
        assert!(["401", "404", "405"].contains(&&heard[9..12]), "{path}: {heard}");
    }
}

#[tokio::test]
async fn unverified_bodies_share_a_budget() {
    let server = TestServer::shaped(|options| {
        options.set("KABAR_LIMITS__INGRESS_BYTES", "65536");
        options.set("KABAR_LIMITS__UNAUTHENTICATED_BYTES", "65536");
    })
    .await;
    let tenant = server.tenant().await;
    let stalled = opening(&server, Some(&forged()), 65_000, 60_000).await;
    let webhook = |name: &str| {
        let message = text_from(&from(1), tenant.clock.read_now(), name);
        let mut body =
            InboundWebhook::default().messages(&tenant.id, &[message]).body().to_string().into_bytes();
        body.resize(10_000, b' ');
        post_bytes(&server.anyone, body, APP_SECRET)
    };
    let refused = server.server().metrics.clone();
    until(async || {
        let answer = webhook("too early").await;
        answer.status == 503 && {
            answer.refused(503, "overloaded");
            true
        }
    })
    .await;
    assert!(refused.refused_bodies.get() >= 1);
    // What needs a key is not held up, nor are polls.
    tenant.post("contacts", &json!({"phone_number": "+6281200000001"})).await.is(201);
    drop(stalled);
    until(async || webhook("in time").await.status == 200).await;
    // Verified bodies give their memory back: many pass one after the other, and at once.
    for _ in 0..10 {
        webhook("again").await.is(200);
    }
}

#[tokio::test]
async fn a_webhook_that_comes_too_slowly_is_refused() {
    let server = TestServer::manual().await;
    let mut stream = opening(&server, Some(&forged()), 3_000_000, 100).await;
    let metrics = server.server().metrics.clone();
    until_advancing(&server.clock, Duration::from_secs(1), async || metrics.slow_bodies.get() == 1).await;
    let heard = rest_of(&mut stream).await;
    assert!(heard.starts_with("HTTP/1.1 400") && heard.contains("too slowly"), "{heard}");
}

#[tokio::test]
async fn big_webhooks_are_verified_by_either_secret() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let (own, _) = server.account_with(&tenant.organisation, json!({"app_secret": "its own"})).await;
    let body = |number: &str| {
        let message = text_from(&from(1), tenant.clock.read_now(), "big");
        let mut body = InboundWebhook::default().messages(number, &[message]).body().to_string().into_bytes();
        body.resize(1_000_000, b' ');
        body
    };
    post_bytes(&server.anyone, body(&own), "its own").await.is(200);
    post_bytes(&server.anyone, body(&own), APP_SECRET).await.is(200);
    post_bytes(&server.anyone, body(&tenant.id), "its own").await.refused(401, "invalid_signature");
    post_bytes(&server.anyone, body(&tenant.id), APP_SECRET).await.is(200);
    let rows = tenant.get("messages").await.rows();
    assert_eq!(rows.iter().map(|row| text(&row["content"])).collect::<Vec<_>>(), ["big"]);
}
