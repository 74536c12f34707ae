//! Contract, section 28: wrong keys and tokens.

use std::time::Duration;

use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpSocket;

use crate::harness::{OPERATOR_TOKEN, TestServer, patiently};

const PATH: &str = "/admin/v1/organizations";

#[tokio::test]
async fn an_address_with_twenty_wrong_tokens_is_kept_off_the_operators_api() {
    let server = TestServer::manual().await;
    let guesser = server.anyone.with_token("not the operator's token");
    // Without a token nothing is guessed.
    for _ in 0..30 {
        server.anyone.get(PATH).await.refused(401, "missing_api_key");
    }
    for _ in 0..20 {
        guesser.get(PATH).await.refused(401, "invalid_api_key");
    }
    for client in [&guesser, &server.operator, &server.anyone] {
        let answer = client.get(PATH).await;
        answer.refused(429, "rate_limit_exceeded");
        assert!((1..=60).contains(&answer.number("Retry-After")), "{answer:?}");
    }
    assert_eq!(server.metric("kabar_operator_token_refused_total").await, 20);
    // Another address is another client's.
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.2:0".parse().unwrap()).unwrap();
    let mut stream = patiently(socket.connect(server.address())).await.unwrap();
    let request = format!(
        "GET {PATH} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {OPERATOR_TOKEN}\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut heard = String::new();
    patiently(stream.read_to_string(&mut heard)).await.unwrap();
    assert!(heard.starts_with("HTTP/1.1 200"), "{heard}");
    server.clock.advance_manual(Duration::from_mins(1));
    server.operator.get(PATH).await.is(200);
    guesser.get(PATH).await.refused(401, "invalid_api_key");
}

#[tokio::test]
async fn wrong_api_keys_are_counted_and_shut_out_no_valid_one() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let body = json!({"label": "short", "expires_at": "2026-06-19T11:01:00Z"});
    let path = format!("{PATH}/{}/api_keys", tenant.organisation);
    let short = server.operator.post(&path, &body).await.is(201).data();
    let short = server.anyone.with_token(short["key"].as_str().unwrap());
    server.clock.advance_manual(Duration::from_mins(2));
    let guesser = server.anyone.with_token("kdv_live_000000000000000000000000");
    short.get("/v1/me").await.refused(401, "expired_api_key");
    for _ in 1..600 {
        guesser.get("/v1/me").await.refused(401, "invalid_api_key");
    }
    let answer = guesser.get("/v1/me").await;
    answer.refused(429, "rate_limit_exceeded");
    assert!(answer.number("Retry-After") >= 1);
    assert_eq!(answer.header("X-RateLimit-Limit"), None, "no tenant's budget is shown");
    assert_eq!(server.metric("kabar_api_key_refused_total").await, 601);
    tenant.api.get("/v1/me").await.is(200);
    server.operator.get(PATH).await.is(200);
}
