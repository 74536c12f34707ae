//! The span of a request: ids, method, path template and status, and nothing that a client or a person wrote.

use serde_json::json;

use crate::harness::{RecordedSpan, SpanRecorder, Tenant, TestServer, from, text};

/// Returns the span of the request with this id.
#[track_caller]
fn span_of(recorder: &SpanRecorder, request_id: &str) -> RecordedSpan {
    let spans = recorder.spans_of("http.request");
    let found = spans.into_iter().find(|span| span.field("request_id") == request_id);
    found.unwrap_or_else(|| panic!("{request_id} has no span"))
}

/// Paths of all resources that are polled, below the tenant's account.
async fn polled_paths(tenant: &Tenant) -> Vec<String> {
    let rows = tenant.inbox(1).await;
    let mut paths = vec![format!("conversations/{}", text(&rows[0]["id"]))];
    for list in ["messages", "contacts"] {
        let rows = tenant.get(list).await.rows();
        paths.push(format!("{list}/{}", text(&rows[0]["id"])));
    }
    // A webhook has taught the business account.
    let body = json!({"name": "promo", "category": "UTILITY", "language": "id",
        "components": [{"type": "BODY", "text": "Halo"}]});
    tenant.post("templates", &body).await.is(201);
    paths.extend(["templates/promo".to_owned(), "templates?limit=7".to_owned()]);
    let lists = ["conversations?limit=7", "messages?limit=7", "contacts?limit=7", "events?limit=7"];
    paths.extend(lists.map(str::to_owned));
    paths
}

#[tokio::test]
async fn a_request_has_a_span_with_ids_only() {
    let (recorder, _recording) = SpanRecorder::start();
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let account = text(&tenant.api.get("/v1/accounts").await.rows()[0]["id"]);

    let secret = format!("messages?cursor=s3cret&limit=7&to={}", from(1));
    let answer = tenant.get(&secret).await.is(400);
    let span = span_of(&recorder, &answer.must("X-Request-Id"));
    let expected = [
        ("request_id", answer.must("X-Request-Id")),
        ("method", "GET".to_owned()),
        ("route", "/v1/{phone_number_id}/messages".to_owned()),
        ("organisation", tenant.organisation.clone()),
        ("account", account),
        ("status", "400".to_owned()),
    ];
    assert_eq!(span.fields, expected.into());

    for (answer, route, status) in [
        (server.anyone.head("/v1/health").await, "/v1/health", "200"),
        (tenant.api.get("/v1/nothing/s3cret").await, "unknown", "404"),
        (server.anyone.get(&tenant.path("contacts")).await, "/v1/{phone_number_id}/contacts", "401"),
        (
            server.operator.post("/admin/v1/organizations", &json!({"name": "s3cret"})).await,
            "/admin/v1/organizations",
            "201",
        ),
    ] {
        let span = span_of(&recorder, &answer.must("X-Request-Id"));
        assert_eq!((span.field("route"), span.field("status")), (route, status));
    }
    let known = ["request_id", "method", "route", "organisation", "account", "cached", "status"];
    for span in recorder.spans_of("http.request") {
        for (name, value) in &span.fields {
            assert!(known.contains(name), "{name}");
            for private in ["s3cret", &tenant.key, &tenant.id, &tenant.phone, &from(1)] {
                assert!(!value.contains(private), "{name} tells {value}");
            }
        }
    }
}

#[tokio::test]
async fn every_polled_resource_is_answered_from_its_cached_page() {
    let (recorder, _recording) = SpanRecorder::start();
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    for path in polled_paths(&tenant).await {
        let first = tenant.get(&path).await.is(200);
        let again = tenant.get(&path).await.is(200);
        let unchanged = tenant.get_if(&path, &first.etag()).await.is(304);
        for answer in [again, unchanged] {
            let span = span_of(&recorder, &answer.must("X-Request-Id"));
            assert_eq!(span.field("cached"), "true", "{path}");
        }
        let waiting = tenant.get_with(&path, &[("Prefer", "wait=1")]).await.is(200);
        assert_eq!(span_of(&recorder, &waiting.must("X-Request-Id")).field("cached"), "", "{path}");
    }
}
