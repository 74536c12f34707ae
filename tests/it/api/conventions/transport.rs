//! HEAD, CORS and compression.

use serde_json::json;

use crate::harness::{Answer, TestServer, from};

/// Headers that may differ from call to call.
const VOLATILE: [&str; 7] = [
    "x-request-id",
    "date",
    "cache-status",
    "x-ratelimit-remaining",
    "x-ratelimit-reset",
    "ratelimit",
    "content-length",
];

fn lasting(answer: &Answer) -> Vec<(String, String)> {
    let headers = answer.headers.iter().filter(|(name, _)| !VOLATILE.contains(&name.as_str()));
    let mut headers: Vec<_> =
        headers.map(|(name, value)| (name.to_string(), value.to_str().unwrap().to_owned())).collect();
    headers.sort_unstable();
    headers
}

#[tokio::test]
async fn head_is_get_without_the_body() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let conversation = tenant.conversation_with(&from(1)).await;
    let paths = [
        tenant.path("conversations"),
        tenant.path(&format!("conversations/{}", conversation["id"].as_str().unwrap())),
        tenant.path("messages"),
        tenant.path("contacts"),
        tenant.path("conversations?limit=0"),
        tenant.path("conversations/cnv_00000000000000000000000000"),
        "/v1/me".to_owned(),
        "/v1/accounts".to_owned(),
        "/v1/users".to_owned(),
        "/v1/health".to_owned(),
        "/v1/openapi.json".to_owned(),
        "/docs".to_owned(),
        "/v1/nowhere".to_owned(),
    ];
    for path in paths {
        let (get, head) = (tenant.api.get(&path).await, tenant.api.head(&path).await);
        assert_eq!(head.status, get.status, "{path}");
        assert!(head.body.is_empty() && !get.body.is_empty(), "{path}");
        assert_eq!(lasting(&head), lasting(&get), "{path}");
    }
    let tag = tenant.get("conversations").await.etag();
    let path = tenant.path("conversations");
    let unchanged = tenant.api.call("HEAD", &path, &[("If-None-Match", &tag)], None).await;
    assert_eq!((unchanged.status, unchanged.etag()), (304, tag));
}

#[tokio::test]
async fn without_an_allow_list_no_other_origin_is_let_in() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let origin = ("Origin", "https://inbox.example.com");
    let answer = tenant.api.get_with("/v1/me", &[origin]).await;
    assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
    let ask = [origin, ("Access-Control-Request-Method", "GET")];
    let preflight = server.anyone.call("OPTIONS", "/v1/me", &ask, None).await;
    assert_eq!(preflight.header("Access-Control-Allow-Origin"), None);
}

#[tokio::test]
async fn origins_of_the_allow_list_may_read_headers_and_send_tokens() {
    let allowed = "https://inbox.example.com";
    let server = TestServer::shaped(|options| options.set("KABAR_CORS__ALLOWED_ORIGINS", allowed)).await;
    let tenant = server.tenant().await;
    let answer = tenant.api.get_with("/v1/me", &[("Origin", allowed)]).await.is(200);
    assert_eq!(answer.must("Access-Control-Allow-Origin"), allowed);
    let exposed = answer.must("Access-Control-Expose-Headers").to_ascii_lowercase();
    for header in ["etag", "x-request-id", "x-ratelimit-remaining", "retry-after"] {
        assert!(exposed.contains(header), "{header} is not in {exposed}");
    }
    let vary = answer.headers.get_all("Vary").iter().any(|value| {
        value.to_str().unwrap().to_ascii_lowercase().split(',').any(|name| name.trim() == "origin")
    });
    assert!(vary, "caches must tell origins apart: {answer:?}");
    let ask = [
        ("Origin", allowed),
        ("Access-Control-Request-Method", "PATCH"),
        ("Access-Control-Request-Headers", "authorization,content-type,if-none-match,prefer,idempotency-key"),
    ];
    let path = tenant.path("conversations/cnv_00000000000000000000000000");
    let preflight = server.anyone.call("OPTIONS", &path, &ask, None).await;
    assert!(matches!(preflight.status, 200 | 204), "{preflight:?}");
    assert_eq!(preflight.must("Access-Control-Allow-Origin"), allowed);
    assert!(preflight.must("Access-Control-Allow-Methods").contains("PATCH"));
    let headers = preflight.must("Access-Control-Allow-Headers").to_ascii_lowercase();
    for header in ["authorization", "if-none-match", "prefer", "idempotency-key"] {
        assert!(headers.contains(header), "{header} is not in {headers}");
    }
    // Even a refusal must be readable by the page that caused it.
    let refused = server.anyone.get_with("/v1/me", &[("Origin", allowed)]).await;
    refused.refused(401, "missing_api_key");
    assert_eq!(refused.must("Access-Control-Allow-Origin"), allowed);
    let stranger = tenant.api.get_with("/v1/me", &[("Origin", "https://evil.example")]).await;
    assert_eq!(stranger.header("Access-Control-Allow-Origin"), None);
}

#[tokio::test]
async fn what_is_larger_than_a_kibibyte_is_compressed_when_asked_for_under_the_same_tag() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(10).await;
    let plain = tenant.get("conversations").await;
    assert_eq!(plain.header("Content-Encoding"), None);
    assert!(plain.body.len() > 2048);
    let magic: [(&str, &[u8]); 3] =
        [("gzip", &[0x1f, 0x8b]), ("zstd", &[0x28, 0xb5, 0x2f, 0xfd]), ("br", &[])];
    for (coding, magic) in magic {
        let accept = [("Accept-Encoding", coding)];
        let packed = tenant.get_with("conversations", &accept).await.is(200);
        assert_eq!(packed.must("Content-Encoding"), coding);
        assert_eq!(packed.etag(), plain.etag());
        assert!(packed.body.starts_with(magic), "{coding}");
        assert!(packed.body.len() * 2 < plain.body.len(), "{coding}: {}", packed.body.len());
        let vary = packed
            .headers
            .get_all("Vary")
            .iter()
            .any(|value| value.to_str().unwrap().to_ascii_lowercase().contains("accept-encoding"));
        assert!(vary, "caches must tell codings apart: {packed:?}");
        let again = [("Accept-Encoding", coding), ("If-None-Match", &*plain.etag())];
        let unchanged = tenant.get_with("conversations", &again).await.is(304);
        assert_eq!(unchanged.header("Content-Encoding"), None);
    }
    let refused = tenant.get_with("conversations", &[("Accept-Encoding", "gzip;q=0")]).await;
    assert_eq!(refused.header("Content-Encoding"), None, "q=0 means never");
}

#[tokio::test]
async fn small_answers_are_never_compressed() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for coding in ["gzip", "br", "zstd"] {
        let answer = tenant.api.get_with("/v1/me", &[("Accept-Encoding", coding)]).await;
        assert_eq!((answer.header("Content-Encoding"), answer.status), (None, 200), "{coding}");
        answer.data();
        let body = json!({"phone_number": "x"});
        let (path, accept) = (tenant.path("contacts"), [("Accept-Encoding", coding)]);
        tenant.api.post_with(&path, &accept, &body).await.refused(400, "invalid_phone_number");
    }
}
