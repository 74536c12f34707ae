//! Requests that no client library would write.

use tokio::io::AsyncReadExt as _;

use crate::harness::{TestServer, patiently};

#[tokio::test]
async fn paths_are_taken_as_they_are_written() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let bearer = format!("Bearer {}", tenant.key);
    let raw = server.raw();
    for path in [
        "/v1/../v1/me",
        "/v1/./me",
        "//v1/me",
        "/v1//me",
        "/v1/me/",
        "/V1/me",
        "/v1/me%2f",
        "/v1%2fme",
        "/%76%31/me",
        "/v1/me;x=1",
        "/v1/..;/me",
    ] {
        let answer = raw.request(&format!("GET {path}"), &[("Authorization", &bearer)]).await;
        assert!(matches!(answer.status, 400 | 401 | 404), "{path}: {answer:?}");
        answer.refusal();
        // Without a key a spelling opens nothing that the plain one would not.
        let stranger = raw.request(&format!("GET {path}"), &[]).await;
        assert!(matches!(stranger.status, 400 | 401 | 404), "{path}: {stranger:?}");
    }
    for path in [
        "/admin/../admin/v1/organizations",
        "//admin/v1/organizations",
        "/ADMIN/v1/organizations",
        "/%61dmin/v1/organizations",
        "/v1/../admin/v1/organizations",
    ] {
        let answer = raw.request(&format!("GET {path}"), &[("Authorization", &bearer)]).await;
        assert!(matches!(answer.status, 400 | 401 | 404), "{path}: {answer:?}");
    }
    raw.request("GET http://elsewhere/v1/health", &[]).await;
    raw.request("GET /v1/me", &[("Authorization", &bearer)]).await.is(200).data();
}

#[tokio::test]
async fn broken_http_breaks_nothing() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for request in [
        "\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        "GET /v1/me HTTP/1.1\r\nAuthorization\r\n\r\n",
        "POST /v1/me HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "POST /v1/me HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        "POST /v1/me HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nnonsense",
        "\u{16}\u{3}\u{1} this is no TLS server",
    ] {
        let mut stream = server.raw().connect().await;
        tokio::io::AsyncWriteExt::write_all(&mut stream, request.as_bytes()).await.unwrap();
        tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
        let mut heard = Vec::new();
        // Whether it answers with 400 or hangs up is hyper's affair; it does not hang.
        let _reset = patiently(stream.read_to_end(&mut heard)).await;
        assert!(!heard.starts_with(b"HTTP/1.1 5"), "{request:?}: {}", String::from_utf8_lossy(&heard));
    }
    let many: Vec<(String, String)> = (0..300).map(|nth| (format!("X-{nth}"), "x".into())).collect();
    let many: Vec<(&str, &str)> = many.iter().map(|(name, value)| (&**name, &**value)).collect();
    let answer = server.raw().request("GET /v1/health", &many).await;
    assert!(answer.status == 200 || (400..500).contains(&answer.status), "{answer:?}");
    tenant.get("conversations").await.is(200);
}

#[tokio::test]
async fn a_body_that_stops_half_way_writes_nothing() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = r#"{"phone_number":"+6281200000001"}"#;
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: kabar\r\nAuthorization: Bearer {}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\n\r\n{body}",
        tenant.path("contacts"),
        tenant.key,
        body.len() + 10,
    );
    let mut stream = server.raw().connect().await;
    tokio::io::AsyncWriteExt::write_all(&mut stream, head.as_bytes()).await.unwrap();
    tokio::io::AsyncWriteExt::shutdown(&mut stream).await.unwrap();
    let mut heard = Vec::new();
    let _reset = patiently(stream.read_to_end(&mut heard)).await;
    assert!(!heard.starts_with(b"HTTP/1.1 2"), "{}", String::from_utf8_lossy(&heard));
    assert!(tenant.get("contacts").await.rows().is_empty());
}
