//! Contract, section 28: connections, heads and bodies of strangers.

use std::net::SocketAddr;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};

use crate::harness::{Child, TestServer, database, patiently, text, until, until_advancing};

const HEALTH: &[u8] = b"GET /v1/health HTTP/1.1\r\nHost: kabar\r\nConnection: close\r\n\r\n";

/// Reads until the server closes the connection.
async fn rest_of(stream: &mut TcpStream) -> String {
    let mut heard = Vec::new();
    // A reset is an end as well.
    let _end = patiently(stream.read_to_end(&mut heard)).await;
    String::from_utf8_lossy(&heard).into_owned()
}

/// A client that says this and nothing more.
async fn opening(server: SocketAddr, bytes: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(server).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    stream
}

/// The whole answer to a request from another address of this machine.
async fn ask_from(client: &str, server: SocketAddr, request: &[u8]) -> String {
    let socket = TcpSocket::new_v4().unwrap();
    socket.bind(SocketAddr::new(client.parse().unwrap(), 0)).unwrap();
    let mut stream = patiently(socket.connect(server)).await.unwrap();
    stream.write_all(request).await.unwrap();
    rest_of(&mut stream).await
}

#[tokio::test]
async fn a_head_that_does_not_come_ends_the_connection() {
    let server = TestServer::shaped(|options| {
        options.set("KABAR_LIMITS__HEAD_SECONDS", "3");
        options.set("KABAR_LIMITS__CONNECTION_IDLE_SECONDS", "3600");
    })
    .await;
    let openings = [
        "",
        "\r\n",
        "P",
        "GET / HTTP/1.1\r\n",
        "GET / HTTP/1.1\r\nHost: kabar\r\nX-Slow: ",
        "PRI * HTTP/2.0\r\n\r\nSM",
        "GET /v1/health HTTP/1.1\r\nHost: kabar\r\n\r\nGET /v1/hea",
    ];
    let ended = openings.map(async |bytes| {
        let heard = rest_of(&mut opening(server.address(), bytes.as_bytes()).await).await;
        assert_eq!(heard.starts_with("HTTP/1.1 200"), bytes.ends_with("/hea"), "{bytes:?}: {heard}");
    });
    join_all(ended).await;
    assert_eq!(server.server().metrics.overdue_connections.get(), 7);
    // A client that has sent a whole head is not hung up on, as long as the answer may take.
    let tenant = server.tenant().await;
    let page = tenant.get("conversations").await;
    let headers = [("Prefer", "wait=60"), ("If-None-Match", &*page.etag())];
    let path = tenant.path("conversations");
    let held = tenant.api.get_with(&path, &headers);
    let meanwhile = async {
        rest_of(&mut opening(server.address(), b"").await).await;
        tenant.hears(&crate::harness::from(1), "hello").await;
    };
    let (answer, ()) = tokio::join!(held, meanwhile);
    assert_eq!(answer.is(200).rows().len(), 1);
}

#[tokio::test]
async fn a_connection_without_a_request_ends() {
    let server =
        TestServer::shaped(|options| options.set("KABAR_LIMITS__CONNECTION_IDLE_SECONDS", "1")).await;
    let request = b"GET /v1/health HTTP/1.1\r\nHost: kabar\r\n\r\n";
    let mut kept = opening(server.address(), request).await;
    assert!(rest_of(&mut kept).await.starts_with("HTTP/1.1 200"));
    // HTTP/2, whose connections a client keeps busy with frames that are no requests: preface, SETTINGS, PING.
    let mut frames = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0".to_vec();
    frames.extend(b"\0\0\x08\x06\0\0\0\0\x0012345678");
    let mut second = opening(server.address(), &frames).await;
    let heard = rest_of(&mut second).await;
    assert!(heard.contains("12345678"), "the ping was answered: {heard:?}");
    assert!(server.server().metrics.overdue_connections.get() >= 2);
}

#[tokio::test]
async fn an_address_has_its_share_of_the_connections() {
    let server =
        TestServer::shaped(|options| options.set("KABAR_LIMITS__CONNECTIONS_PER_ADDRESS", "4")).await;
    let metrics = server.server().metrics.clone();
    let mut silent = Vec::new();
    for _ in 0..4 {
        silent.push(opening(server.address(), b"").await);
    }
    until(async || metrics.connections.get() == 4).await;
    assert_eq!(rest_of(&mut opening(server.address(), b"").await).await, "");
    assert_eq!(metrics.refused_connections.get(), 1);
    let other = ask_from("127.0.0.2", server.address(), HEALTH).await;
    assert!(other.starts_with("HTTP/1.1 200"), "{other}");
    silent.pop();
    until(async || ask_from("127.0.0.1", server.address(), HEALTH).await.starts_with("HTTP/1.1 200")).await;
}

#[tokio::test]
async fn health_checks_may_have_a_listener_of_their_own() {
    let server = TestServer::shaped(|options| {
        options.set("KABAR_HEALTH_LISTEN", "127.0.0.1:0");
        options.set("KABAR_LIMITS__CONNECTIONS", "16");
    })
    .await;
    let mut silent = Vec::new();
    for _ in 0..16 {
        silent.push(opening(server.address(), b"").await);
    }
    let metrics = server.server().metrics.clone();
    until(async || metrics.connections.get() == 16).await;
    let health = server.server().health_address().expect("there is one");
    let ask = async |path: &str| {
        let request = format!("GET {path} HTTP/1.1\r\nHost: kabar\r\nConnection: close\r\n\r\n");
        ask_from("127.0.0.1", health, request.as_bytes()).await
    };
    for path in ["/v1/health", "/readyz", "/metrics"] {
        let answer = ask(path).await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
    for path in ["/", "/docs", "/v1/me", "/admin/v1/organizations", "/webhooks/whatsapp", "/nothing"] {
        let answer = ask(path).await;
        assert!(answer.starts_with("HTTP/1.1 404") && answer.contains("route_not_found"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn a_process_with_few_descriptors_goes_on_accepting() {
    let folder = tempfile::tempdir().unwrap();
    let database_url = database::chosen(folder.path()).await;
    let child = Child::start_with_descriptors(256, folder.path(), &database_url).await;
    let address = child.address();
    let mut silent = Vec::new();
    for _ in 0..300 {
        silent.push(opening(address, b"").await);
    }
    let answer = ask_from("127.0.0.2", address, HEALTH).await;
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    let request = b"GET /metrics HTTP/1.1\r\nHost: kabar\r\nConnection: close\r\n\r\n";
    let metrics = ask_from("127.0.0.2", address, request).await;
    let refused = metrics.lines().find_map(|line| line.strip_prefix("kabar_refused_connections_total "));
    assert_eq!(refused, Some("204"), "of 192 connections one address has 96");
    child.kill().await;
}

#[tokio::test]
async fn a_request_of_http_1_1_has_exactly_one_host() {
    let server = TestServer::start().await;
    let raw = server.raw();
    for (hosts, version, status) in [
        ("", "1.1", 400),
        ("Host: a\r\nHost: a\r\n", "1.1", 400),
        ("Host: a\r\nhost: b\r\n", "1.1", 400),
        ("Host: a\r\n", "1.1", 200),
        ("Host:\r\n", "1.1", 200),
        ("", "1.0", 200),
    ] {
        let request = format!("GET /v1/health HTTP/{version}\r\n{hosts}Connection: close\r\n\r\n");
        let answer = raw.say(request.as_bytes()).await.is(status);
        if status == 400 {
            answer.refused(400, "invalid_request");
        }
    }
}

#[tokio::test]
async fn a_bare_line_feed_is_refused() {
    let server = TestServer::start().await;
    for request in [
        "GET /v1/health HTTP/1.1\nHost: a\r\nConnection: close\r\n\r\n",
        "GET /v1/health HTTP/1.1\r\nHost: a\nConnection: close\r\n\r\n",
        "GET /v1/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\n",
        "GET /v1/health HTTP/1.1\r\nHost: a\r\nX: y\nContent-Length: 0\r\nConnection: close\r\n\r\n",
        "\nGET /v1/health HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n",
    ] {
        server.raw().say(request.as_bytes()).await.is(400);
        // Nor in pieces.
        let mut stream = server.raw().connect().await;
        stream.set_nodelay(true).unwrap();
        for byte in request.as_bytes() {
            // It may be refused before the last byte.
            let _refused = stream.write_all(&[*byte]).await;
            tokio::task::yield_now().await;
        }
        let heard = rest_of(&mut stream).await;
        assert!(heard.starts_with("HTTP/1.1 400"), "{request:?}: {heard}");
    }
    // In a body a line feed is a byte as any other.
    let tenant = server.tenant().await;
    let body = "{\n\"phone_number\"\n:\n\"+6281200000001\"\n}";
    let request = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        tenant.path("contacts"),
        tenant.key,
        body.len(),
    );
    server.raw().say(request.as_bytes()).await.is(201);
}

#[tokio::test]
async fn a_body_that_comes_too_slowly_is_refused() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: 33\r\n\r\n{{\"phone_number\":",
        tenant.path("contacts"),
        tenant.key,
    );
    let mut stream = opening(server.address(), head.as_bytes()).await;
    let metrics = server.server().metrics.clone();
    until_advancing(&server.clock, Duration::from_secs(1), async || metrics.slow_bodies.get() == 1).await;
    let heard = rest_of(&mut stream).await;
    assert!(heard.starts_with("HTTP/1.1 400") && heard.contains("too slowly"), "{heard}");
    assert!(tenant.get("contacts").await.rows().is_empty());
    // A body that is there at once has no clock.
    let made = tenant.post("contacts", &json!({"phone_number": "+6281200000001"})).await.is(201).data();
    assert_eq!(text(&made["phone_number"]), "+6281200000001");
}
