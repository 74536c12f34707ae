//! Contract, section 3, "Auth": who is let in, and when no longer.

use std::time::Duration;

use serde_json::json;

use crate::harness::{TestServer, database, from, text};

#[tokio::test]
async fn without_a_key_nothing_of_v1_answers_but_health_and_the_document() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for path in [
        "/v1/me".to_owned(),
        "/v1/accounts".to_owned(),
        "/v1/users".to_owned(),
        tenant.path("conversations"),
        tenant.path("messages"),
        tenant.path("contacts"),
        "/v1/123/conversations".to_owned(),
        "/v1/nowhere".to_owned(),
    ] {
        let answer = server.anyone.get(&path).await;
        answer.refused(401, "missing_api_key");
        assert_eq!(answer.header("X-RateLimit-Limit"), None, "nobody's budget is quoted to a stranger");
        server.anyone.post(&path, &json!({})).await.refused(401, "missing_api_key");
    }
    for path in
        ["/v1/health", "/v1/openapi.json", "/v1/openapi-3.1.json", "/v1/openapi.yaml", "/docs", "/readyz"]
    {
        server.anyone.get(path).await.is(200);
    }
}

#[tokio::test]
async fn only_a_bearer_token_of_the_right_form_is_looked_up() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let missing = ["Basic dXNlcjpwYXNz", "", "Bearer", "Bearer ", "Digest x", "kdv_live_x"];
    for value in missing {
        let answer = server.anyone.get_with("/v1/me", &[("Authorization", value)]).await;
        let error = answer.refusal();
        assert_eq!(answer.status, 401, "{value:?} {error}");
    }
    let mut flipped = tenant.key.clone();
    let last = flipped.pop().unwrap();
    flipped.push(if last == 'A' { 'B' } else { 'A' });
    let unknown = [flipped, tenant.key.to_uppercase(), format!("{}x", tenant.key), "x".repeat(4_000)];
    for key in unknown {
        server.anyone.with_token(&key).get("/v1/me").await.refused(401, "invalid_api_key");
    }
    // The scheme's case does not matter (RFC 9110, 11.1).
    for scheme in ["Bearer", "bearer", "BEARER"] {
        let value = format!("{scheme} {}", tenant.key);
        server.anyone.get_with("/v1/me", &[("Authorization", &value)]).await.is(200);
    }
}

#[tokio::test]
async fn keys_are_shown_once_and_have_the_documented_form() {
    let server = TestServer::start().await;
    for (sandbox, prefix) in [(false, "kdv_live_"), (true, "kdv_test_")] {
        let organisation = server.organisation(&json!({"name": "O", "sandbox": sandbox})).await;
        let path = format!("/admin/v1/organizations/{organisation}/api_keys");
        let made = server.operator.post(&path, &json!({"label": "inbox"})).await.is(201).data();
        let key = text(&made["key"]);
        let secret = key.strip_prefix(prefix).expect(prefix);
        let base64url = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
        assert!(secret.len() == 24 && secret.chars().all(base64url), "{key}");
        assert_eq!(made["last4"], secret[20..]);
        let me = server.anyone.with_token(&key).get("/v1/me").await.data();
        assert_eq!((&me["api_key"]["id"], &me["api_key"]["last4"]), (&made["id"], &made["last4"]));
        let listed = server.operator.get(&path).await;
        assert!(!String::from_utf8_lossy(&listed.body).contains(&key));
        let kept = database::bytes_of_keys(&server.database_url()).await;
        let holds = |text: &str| kept.windows(text.len()).any(|bytes| bytes == text.as_bytes());
        assert!(holds(&text(&made["id"])) && !holds(secret));
    }
}

#[tokio::test]
async fn an_expired_key_says_so_from_its_instant_on() {
    let server = TestServer::manual().await;
    let organisation = server.organisation(&json!({"name": "O"})).await;
    let path = format!("/admin/v1/organizations/{organisation}/api_keys");
    let body = json!({"label": "short", "expires_at": "2026-06-19T18:01:00+07:00"});
    let made = server.operator.post(&path, &body).await.is(201).data();
    assert_eq!(made["expires_at"], "2026-06-19T11:01:00.000Z");
    let client = server.anyone.with_token(&text(&made["key"]));
    client.get("/v1/me").await.is(200);
    server.clock.advance_manual(Duration::from_millis(59_999));
    client.get("/v1/me").await.is(200);
    server.clock.advance_manual(Duration::from_millis(1));
    client.get("/v1/me").await.refused(401, "expired_api_key");
    for bad in ["2026-06-19T10:00:00Z", "soon", ""] {
        let body = json!({"label": "late", "expires_at": bad});
        server.operator.post(&path, &body).await.refused(400, "invalid_field_value");
    }
}

#[tokio::test]
async fn a_revoked_key_fails_on_its_next_request_even_where_a_page_is_cached() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let page = tenant.get("conversations").await;
    tenant.get_if("conversations", &page.etag()).await.is(304);
    let id = text(&tenant.api.get("/v1/me").await.data()["api_key"]["id"]);
    let path = format!("/admin/v1/api_keys/{id}");
    let gone = server.operator.delete(&path).await.is(204);
    assert!(gone.body.is_empty());
    tenant.get("conversations").await.refused(401, "invalid_api_key");
    tenant.get_if("conversations", &page.etag()).await.refused(401, "invalid_api_key");
    tenant.api.get("/v1/me").await.refused(401, "invalid_api_key");
    server.operator.delete(&path).await.refused(404, "resource_not_found");
    let other = server.key(&tenant.organisation).await;
    let again = server.anyone.with_token(&other).get(&tenant.path("conversations")).await;
    assert_eq!(again.rows(), page.rows(), "the tenant's other keys go on");
}

#[tokio::test]
async fn a_suspended_organisation_is_refused_until_it_is_let_in_again() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let page = tenant.get("conversations").await;
    let path = format!("/admin/v1/organizations/{}", tenant.organisation);
    server.operator.patch(&path, &json!({"suspended": true})).await.is(200);
    tenant.get("conversations").await.refused(403, "organization_suspended");
    tenant.get_if("conversations", &page.etag()).await.refused(403, "organization_suspended");
    tenant.post("messages", &json!({})).await.refused(403, "organization_suspended");
    // What WhatsApp brings is kept all the same.
    tenant.hears(&from(1), "are you there?").await;
    server.operator.patch(&path, &json!({"suspended": false})).await.is(200);
    assert_eq!(tenant.get("conversations").await.rows().len(), 1);
}
