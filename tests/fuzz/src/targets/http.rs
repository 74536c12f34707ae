//! All bytes of a connection: heads and bodies of requests. `{key}`, `{number}` and `{length}` are filled in.

use super::FuzzTarget;
use crate::runtime::wait_for;
use crate::server::{FirstAnswer, server};

pub(super) const TARGET: FuzzTarget = FuzzTarget {
    name: "http",
    run,
    words: &[
        "\r\n",
        "\n",
        "\r",
        "\r\n\r\n",
        ": ",
        "GET ",
        "POST ",
        "PATCH ",
        "DELETE ",
        "OPTIONS ",
        "HEAD ",
        "CONNECT ",
        " HTTP/1.1",
        " HTTP/1.0",
        " HTTP/2.0",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        "Host: kabar\r\n",
        "Authorization: Bearer {key}\r\n",
        "Content-Length: {length}\r\n",
        "Content-Length: 0\r\n",
        "Transfer-Encoding: chunked\r\n",
        "0\r\n\r\n",
        "Expect: 100-continue\r\n",
        "Connection: close\r\n",
        "Connection: Upgrade\r\nUpgrade: h2c\r\n",
        "Content-Encoding: gzip\r\n",
        "Accept-Encoding: gzip, br\r\n",
        "Idempotency-Key: a\r\n",
        "If-None-Match: *\r\n",
        "Range: bytes=0-1\r\n",
        "Origin: http://a\r\n",
        "X-Kabar-Forwarded: 1\r\n",
        "Cookie: a=b\r\n",
        "/v1/{number}/messages",
        "/v1/{number}/conversations",
        "?limit=1",
        "&cursor=AA",
        "&after=0",
        "%00",
        "%2e%2e/",
        "?",
        "#",
        "{key}",
        "{number}",
        "application/json",
    ],
    input_bytes_max: 64 << 10,
    mutations: 300,
};

/// Statuses that are a fault of the server's, whatever was sent.
const FAULTS: [u16; 3] = [500, 502, 504];

/// The server answers or hangs up, its answer is what it says, and the next client is served.
fn run(input: &[u8]) {
    let server = server();
    wait_for(async {
        let bytes = server.send_bytes(&server.fill_places(input)).await;
        if let Some(answer) = FirstAnswer::parse(&bytes) {
            assert!((100..600).contains(&answer.status) && !FAULTS.contains(&answer.status), "{answer:?}");
            check_body(&answer);
        }
        let health = server.exchange("GET /v1/health", "", b"").await;
        assert_eq!(health.status, 200, "{health:?}");
    });
}

/// A whole body that is said to be JSON is.
fn check_body(answer: &FirstAnswer) {
    let json = answer.header("content-type").is_some_and(|kind| kind.starts_with("application/json"));
    let plain = answer.header("content-encoding").is_none();
    let length = answer.header("content-length").and_then(|length| length.parse::<usize>().ok());
    // Longer ones are of several requests, and none is that of HEAD.
    if json && plain && length == Some(answer.body.len()) && !answer.body.is_empty() {
        answer.json();
    }
}
