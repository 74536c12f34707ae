//! Contract, section 26: when keys and tokens were used last.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::nodes::{heard_of, nodes};
use crate::harness::{Client, TestServer, text, until_matches};

const TOKENS: &str = "/admin/v1/operator_tokens";

/// The time at which the first row of a list was used last.
async fn last_use(operator: &Client, list: &str) -> Value {
    operator.get(list).await.rows()[0]["last_used_at"].clone()
}

#[tokio::test]
async fn uses_are_shown_to_the_minute() {
    let mut server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let other = server.key(&tenant.organisation).await;
    let keys = format!("/admin/v1/organizations/{}/api_keys", tenant.organisation);
    let other = server.anyone.with_token(&other);
    assert_eq!(last_use(&server.operator, &keys).await, Value::Null);
    let body = json!({"name": "Rani", "scopes": ["read"]});
    let token = server.operator.post(TOKENS, &body).await.is(201).data();
    let token = server.anyone.with_token(&text(&token["token"]));
    assert_eq!(last_use(&server.operator, TOKENS).await, Value::Null);
    let first = format!("{}", server.clock.read_now());
    other.get("/v1/me").await.is(200);
    token.get(&keys).await.is(200);
    assert_eq!(last_use(&server.operator, &keys).await, json!(first));
    assert_eq!(last_use(&server.operator, TOKENS).await, json!(first));
    server.clock.advance_manual(Duration::from_secs(59));
    other.get("/v1/me").await.is(200);
    assert_eq!(last_use(&server.operator, &keys).await, json!(first));
    server.clock.advance_manual(Duration::from_secs(1));
    let second = format!("{}", server.clock.read_now());
    // A request that is refused is a use as well, and so is one that costs nothing.
    other.get(&tenant.path("conversations/x")).await.refused(400, "invalid_field_value");
    token.get(TOKENS).await.is(200);
    assert_eq!(last_use(&server.operator, &keys).await, json!(second));
    server.restart().await;
    assert_eq!(last_use(&server.operator, &keys).await, json!(second));
    assert_eq!(last_use(&server.operator, TOKENS).await, json!(second));
}

#[tokio::test]
async fn a_use_at_one_node_is_seen_at_the_others() {
    let [one, mut two] = nodes(&[]).await;
    let here = one.tenant().await;
    let key = one.key(&here.organisation).await;
    let there = heard_of(&two, &here).await;
    let keys = format!("/admin/v1/organizations/{}/api_keys", here.organisation);
    assert_eq!(last_use(&one.operator, &keys).await, Value::Null);
    let newest = two.anyone.with_token(&key);
    until_matches(async || newest.get("/v1/me").await, |answer| answer.status == 200).await;
    drop(there);
    two.stop().await;
    assert!(last_use(&one.operator, &keys).await.is_string());
}
