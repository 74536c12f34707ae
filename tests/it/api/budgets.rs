//! Contract, section 3, "Budgets": every figure of the headers, by the manual clock.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Answer, NOON, TestServer, from, until};

/// `X-RateLimit-Limit`, `-Remaining`, `-Reset`, which the fields of the IETF's draft repeat.
fn quote(answer: &Answer) -> (i64, i64, i64) {
    let number = |name| answer.number(name);
    let (limit, remaining) = (number("X-RateLimit-Limit"), number("X-RateLimit-Remaining"));
    let state = answer.must("RateLimit");
    let (budget, rest) = state.split_once(';').unwrap();
    assert!(["\"read\"", "\"write\""].contains(&budget), "{state}");
    let wait = rest.strip_prefix(&format!("r={remaining};t=")).unwrap_or_else(|| panic!("{state}"));
    let is_full = remaining == limit;
    assert_eq!(wait.parse::<u64>().unwrap() == 0, is_full, "{state}");
    assert_eq!(answer.must("RateLimit-Policy"), format!("{budget};q={limit};w=60"));
    (limit, remaining, number("X-RateLimit-Reset"))
}

#[tokio::test]
async fn tiers_have_their_figures() {
    let server = TestServer::manual().await;
    for (body, write, read) in [
        (json!({"name": "F"}), 60, 600),
        (json!({"name": "F", "tier": "free"}), 60, 600),
        (json!({"name": "P", "tier": "pro"}), 600, 6000),
        (json!({"name": "E", "tier": "enterprise", "write_per_minute": 7, "read_per_minute": 9}), 7, 9),
    ] {
        let organisation = server.organisation(&body).await;
        let client = server.anyone.with_token(&server.key(&organisation).await);
        let me = client.get("/v1/me").await;
        assert_eq!(quote(&me).0, read, "{body}");
        assert_eq!(quote(&client.post("/v1/me", &json!({})).await).0, write, "{body}");
        let limits = &me.data()["rate_limits"];
        assert_eq!((&limits["write_per_minute"], &limits["read_per_minute"]), (&json!(write), &json!(read)));
    }
}

#[tokio::test]
async fn headers_count_down_and_say_when_the_bucket_is_full_again() {
    let server = TestServer::manual().await;
    let tenant = server.tenant_of(&json!({"name": "F"})).await;
    // 600 a minute: ten a second. Answers of every kind cost one and say so.
    assert_eq!(quote(&tenant.api.get("/v1/me").await), (600, 599, NOON + 1));
    assert_eq!(quote(&tenant.get("conversations").await), (600, 598, NOON + 1));
    let refused = tenant.get("conversations?limit=0").await;
    refused.refused(400, "invalid_limit");
    assert_eq!(quote(&refused), (600, 597, NOON + 1));
    assert_eq!(quote(&tenant.api.get("/v1/nowhere").await), (600, 596, NOON + 1));
    assert_eq!(quote(&tenant.api.get("/v1/999999999/contacts").await), (600, 595, NOON + 1));
    assert_eq!(quote(&tenant.api.head("/v1/me").await), (600, 594, NOON + 1));
    // Writes have a bucket of their own, one a second.
    let refused = tenant.post("contacts", &json!({})).await;
    refused.refused(400, "missing_required_field");
    assert_eq!(quote(&refused), (60, 59, NOON + 1));
    assert_eq!(quote(&tenant.api.delete(&tenant.path("contacts")).await), (60, 58, NOON + 2));
    server.clock.advance_manual(Duration::from_millis(250));
    // 594 - 1 + 2.5
    assert_eq!(quote(&tenant.api.get("/v1/me").await), (600, 595, NOON + 1));
}

#[tokio::test]
async fn an_empty_bucket_answers_429_and_says_how_long_to_wait() {
    let server = TestServer::manual().await;
    let body = json!({"name": "E", "tier": "enterprise", "write_per_minute": 2, "read_per_minute": 3});
    let tenant = server.tenant_of(&body).await;
    let page = tenant.get("conversations").await;
    for _ in 0..2 {
        tenant.api.get("/v1/me").await.is(200);
    }
    let refused = tenant.api.get("/v1/me").await;
    refused.refused(429, "rate_limit_exceeded");
    assert_eq!((quote(&refused), refused.number("Retry-After")), ((3, 0, NOON + 60), 20));
    // Preconditions come after the budget.
    let unchanged = tenant.get_if("conversations", &page.etag()).await;
    unchanged.refused(429, "rate_limit_exceeded");
    assert!(unchanged.number("Retry-After") >= 1);
    // The other class is untouched.
    tenant.post("contacts", &json!({"phone_number": "+6281200000001"})).await.is(201);
    server.clock.advance_manual(Duration::from_millis(19_999));
    let refused = tenant.api.get("/v1/me").await;
    refused.refused(429, "rate_limit_exceeded");
    assert_eq!(refused.number("Retry-After"), 1);
    server.clock.advance_manual(Duration::from_millis(1));
    tenant.api.get("/v1/me").await.is(200);
    tenant.api.get("/v1/me").await.refused(429, "rate_limit_exceeded");
    // Another tenant has its own bucket.
    server.tenant().await.api.get("/v1/me").await.is(200);
}

#[tokio::test]
async fn an_empty_write_bucket_writes_nothing_and_leaves_reads_alone() {
    let server = TestServer::manual().await;
    let body = json!({"name": "E", "tier": "enterprise", "write_per_minute": 1, "read_per_minute": 100});
    let tenant = server.tenant_of(&body).await;
    tenant.post("contacts", &json!({"phone_number": "+6281200000001"})).await.is(201);
    let refused = tenant.post("contacts", &json!({"phone_number": "+6281200000002"})).await;
    refused.refused(429, "rate_limit_exceeded");
    assert_eq!(refused.number("Retry-After"), 60);
    assert_eq!(tenant.get("contacts").await.rows().len(), 1);
}

#[tokio::test]
async fn a_304_costs_nothing() {
    let server = TestServer::manual().await;
    let tenant = server.tenant_of(&json!({"name": "F"})).await;
    tenant.hears(&from(1), "hello").await;
    let message = tenant.get("messages").await;
    let one = format!("messages/{}", message.rows()[0]["id"].as_str().unwrap());
    for tail in ["conversations", "messages", "contacts", &one] {
        let first = tenant.get(tail).await.is(200);
        let left = quote(&first);
        for _ in 0..5 {
            let unchanged = tenant.get_if(tail, &first.etag()).await.is(304);
            assert_eq!(quote(&unchanged), left, "{tail}");
        }
    }
    let left = quote(&tenant.api.get("/v1/me").await).1;
    assert_eq!(left, 600 - 6);
}

#[tokio::test]
async fn a_304_gives_its_token_back_even_if_it_was_the_last() {
    let server = TestServer::manual().await;
    let body = json!({"name": "E", "tier": "enterprise", "write_per_minute": 1, "read_per_minute": 2});
    let tenant = server.tenant_of(&body).await;
    let page = tenant.get("conversations").await;
    for _ in 0..4 {
        assert_eq!(quote(&tenant.get_if("conversations", &page.etag()).await.is(304)).1, 1);
    }
    assert_eq!(quote(&tenant.api.get("/v1/me").await.is(200)).1, 0);
    tenant.get_if("conversations", &page.etag()).await.refused(429, "rate_limit_exceeded");
}

#[tokio::test]
async fn a_request_that_asks_to_wait_costs_one_whatever_it_answers() {
    let server = TestServer::manual().await;
    let tenant = server.tenant_of(&json!({"name": "F"})).await;
    let page = tenant.get("conversations").await;
    assert_eq!(quote(&page).1, 599);
    let headers = [("If-None-Match", &*page.etag()), ("Prefer", "wait=1")];
    let path = tenant.path("conversations");
    let asked = tenant.api.get_with(&path, &headers);
    let time_passes = async {
        until(async || server.server().metrics.waiting_polls.get() > 0).await;
        server.clock.advance_manual(Duration::from_secs(1));
    };
    let (unchanged, ()) = tokio::join!(asked, time_passes);
    let unchanged = unchanged.is(304);
    assert_eq!(unchanged.must("Preference-Applied"), "wait=1");
    // 598, and a second's ten cap it at 600; so it is measured by the next one.
    let after = quote(&tenant.api.get("/v1/me").await).1;
    assert_eq!(after, 599);
    let stale = tenant.get_with("conversations", &[("If-None-Match", "\"x\""), ("Prefer", "wait=1")]).await;
    assert_eq!(quote(&stale.is(200)).1, 598, "answered at once, it costs one as well");
}

#[tokio::test]
async fn a_new_limit_holds_from_the_next_request_on() {
    let server = TestServer::manual().await;
    let body = json!({"name": "E", "tier": "enterprise", "write_per_minute": 10, "read_per_minute": 10});
    let tenant = server.tenant_of(&body).await;
    assert_eq!(quote(&tenant.api.get("/v1/me").await).0, 10);
    let path = format!("/admin/v1/organizations/{}", tenant.organisation);
    server.operator.patch(&path, &json!({"read_per_minute": 5})).await.is(200);
    let (limit, remaining, _) = quote(&tenant.api.get("/v1/me").await);
    assert_eq!((limit, remaining), (5, 4));
}

#[tokio::test]
async fn strangers_spend_nobodys_budget() {
    let server = TestServer::manual().await;
    let tenant = server.tenant_of(&json!({"name": "F"})).await;
    for _ in 0..3 {
        server.anyone.get("/v1/me").await.refused(401, "missing_api_key");
    }
    server.anyone.get("/v1/health").await.is(200);
    assert_eq!(quote(&tenant.api.get("/v1/me").await).1, 599);
}
