//! Contract, sections 3 and 12: scopes of keys and of the operator's tokens.

use serde_json::{Value, json};

use crate::harness::nodes::nodes;
use crate::harness::{Client, Tenant, TestServer, check_object, from, text, until_matches};

const TOKENS: &str = "/admin/v1/operator_tokens";

/// A client with a key of the tenant's that has these scopes.
async fn scoped(server: &TestServer, tenant: &Tenant, scopes: &[&str]) -> Client {
    let path = format!("/admin/v1/organizations/{}/api_keys", tenant.organisation);
    let made = server.operator.post(&path, &json!({"label": "k", "scopes": scopes})).await.is(201).data();
    assert_eq!(made["scopes"], json!(scopes));
    let client = server.anyone.with_token(&text(&made["key"]));
    assert_eq!(client.get("/v1/me").await.is(200).data()["api_key"]["scopes"], json!(scopes));
    client
}

/// A client with a named token of the operator's, and the token's row.
async fn named(maker: &Client, anyone: &Client, name: &str, scopes: &[&str]) -> (Client, Value) {
    let made = maker.post(TOKENS, &json!({"name": name, "scopes": scopes})).await.is(201).data();
    check_object(&made);
    (anyone.with_token(&text(&made["token"])), made)
}

#[tokio::test]
async fn a_key_does_what_its_scopes_say_and_nothing_else() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let reads = [
        ("read", tenant.path("conversations")),
        ("read", tenant.path("messages")),
        ("read", tenant.path("contacts")),
        ("read", tenant.path("templates")),
        ("read", tenant.path("events")),
        ("read", "/v1/accounts".to_owned()),
        ("read", "/v1/users".to_owned()),
        ("read or plugins", "/v1/plugins".to_owned()),
        ("read or webhooks", "/v1/webhook_subscriptions".to_owned()),
        ("read or webhooks", "/v1/webhook_deliveries".to_owned()),
    ];
    let writes = [
        ("write", tenant.path("messages"), Tenant::template("6281200000001")),
        ("write", tenant.path("contacts"), json!({"phone_number": "+6281200000077"})),
        ("plugins", "/v1/plugins".to_owned(), json!({"name": "p"})),
        (
            "webhooks",
            "/v1/webhook_subscriptions".to_owned(),
            json!({"url": "https://hooks.example.com/x", "events": ["message.received"]}),
        ),
    ];
    for scope in ["read", "write", "plugins", "webhooks"] {
        let client = scoped(&server, &tenant, &[scope]).await;
        for (needed, path) in &reads {
            let answer = client.get(path).await;
            if needed.split(" or ").any(|one| one == scope) {
                answer.is(200);
            } else {
                let error = answer.refused(403, "insufficient_scope");
                assert!(text(&error["message"]).contains(needed), "{error}");
                assert!(answer.header("X-RateLimit-Limit").is_some(), "a refusal costs a token, and says so");
            }
        }
        for (needed, path, body) in &writes {
            let answer = client.post(path, body).await;
            if *needed == scope {
                assert!(answer.status < 300, "{scope} {path}: {answer:?}");
            } else {
                answer.refused(403, "insufficient_scope");
            }
        }
    }
    // What another key has had cached shows nothing to a key that may not read it.
    let page = tenant.get("conversations").await;
    tenant.get_if("conversations", &page.etag()).await.is(304);
    let writer = scoped(&server, &tenant, &["write"]).await;
    let tag = page.etag();
    let again = writer.get_with(&tenant.path("conversations"), &[("If-None-Match", tag.as_str())]).await;
    again.refused(403, "insufficient_scope");
    writer.get(&tenant.path("events/stream")).await.refused(403, "insufficient_scope");
}

#[tokio::test]
async fn keys_have_all_scopes_unless_they_are_told_otherwise() {
    let server = TestServer::start().await;
    let organisation = server.organisation(&json!({"name": "O"})).await;
    let path = format!("/admin/v1/organizations/{organisation}/api_keys");
    let made = server.operator.post(&path, &json!({"label": "k", "scopes": null})).await.is(201).data();
    assert_eq!(made["scopes"], json!(["read", "write", "plugins", "webhooks"]));
    check_object(&server.operator.get(&path).await.rows()[0]);
    for scopes in [json!([]), json!("read"), json!(["read", "read"]), json!(["manage"]), json!([1])] {
        let body = json!({"label": "k", "scopes": scopes});
        let error = server.operator.post(&path, &body).await.refused(400, "invalid_field_value");
        assert_eq!(error["param"], "scopes", "{scopes}");
    }
}

#[tokio::test]
async fn named_tokens_do_what_their_scopes_say() {
    let mut server = TestServer::start().await;
    let organisation = server.organisation(&json!({"name": "O"})).await;
    let root = format!("/admin/v1/organizations/{organisation}");
    let (reader, made) = named(&server.operator, &server.anyone, "Rani", &["read"]).await;
    assert_eq!(made["created_by"], json!({"type": "operator", "id": null, "name": null}));
    assert!(
        text(&made["token"]).starts_with("kdv_op_") && text(&made["token"]).ends_with(&text(&made["last4"]))
    );
    let (manager, _) = named(&server.operator, &server.anyone, "deploy", &["read", "manage"]).await;
    let (changer, _) = named(&server.operator, &server.anyone, "cron", &["manage"]).await;
    let (keeper, _) = named(&server.operator, &server.anyone, "keeper", &["manage", "secrets"]).await;
    reader.get(&root).await.is(200);
    changer.get(&root).await.refused(403, "insufficient_scope");
    reader.patch(&root, &json!({"name": "x"})).await.refused(403, "insufficient_scope");
    changer.patch(&root, &json!({"name": "x"})).await.is(200);
    let (keys, body) = (format!("{root}/api_keys"), json!({"label": "k"}));
    reader.get(&keys).await.is(200);
    let error = manager.post(&keys, &body).await.refused(403, "insufficient_scope");
    assert!(text(&error["message"]).contains("secrets"), "{error}");
    let key = keeper.post(&keys, &body).await.is(201).data();
    // A key is revoked by every token that may change things.
    changer.delete(&format!("/admin/v1/api_keys/{}", text(&key["id"]))).await.is(204);
    let account =
        json!({"phone_number_id": "987654321", "phone_number": "+6281200000009", "access_token": "x"});
    manager.post(&format!("{root}/accounts"), &account).await.refused(403, "insufficient_scope");
    keeper.post(&format!("{root}/accounts"), &account).await.is(201);
    let account = "/admin/v1/accounts/987654321";
    manager.patch(account, &json!({"messages_per_second": 7})).await.is(200);
    for secret in ["access_token", "app_secret"] {
        let body = json!({secret: "a-new-secret-of-some-length"});
        manager.patch(account, &body).await.refused(403, "insufficient_scope");
        keeper.patch(account, &body).await.is(200);
    }
    // No token makes one that may do more than itself.
    let body = json!({"name": "more", "scopes": ["read"]});
    keeper.post(TOKENS, &body).await.refused(403, "insufficient_scope");
    let (_, made) = named(&keeper, &server.anyone, "same", &["manage", "secrets"]).await;
    assert_eq!(
        (&made["created_by"]["type"], &made["created_by"]["name"]),
        (&json!("operator"), &json!("keeper"))
    );
    // None of them is a tenant's key, and no wrong one is let in.
    reader.get("/v1/me").await.refused(401, "invalid_api_key");
    let rows = reader.get(TOKENS).await.rows();
    let names: Vec<String> = rows.iter().map(|row| text(&row["name"])).collect();
    assert_eq!(names, ["same", "keeper", "cron", "deploy", "Rani"]);
    assert!(rows.iter().all(|row| row["token"].is_null()));
    server.restart().await;
    assert_eq!(reader.get(TOKENS).await.rows().len(), 5);
}

#[tokio::test]
async fn a_token_ends_when_it_is_revoked_or_expires() {
    let server = TestServer::manual().await;
    let body = json!({"name": "short", "scopes": ["read", "manage"], "expires_at": "2026-06-19T11:01:00Z"});
    let short = server.operator.post(TOKENS, &body).await.is(201).data();
    let short = server.anyone.with_token(&text(&short["token"]));
    let (own, made) = named(&server.operator, &server.anyone, "own", &["read", "manage"]).await;
    let path = format!("{TOKENS}/{}", text(&made["id"]));
    short.get(TOKENS).await.is(200);
    server.clock.advance_manual(std::time::Duration::from_mins(2));
    short.get(TOKENS).await.refused(401, "expired_api_key");
    own.delete(&path).await.is(204);
    own.get(TOKENS).await.refused(401, "invalid_api_key");
    server.operator.delete(&path).await.refused(404, "resource_not_found");
    server.operator.delete(&format!("{TOKENS}/x")).await.refused(400, "invalid_field_value");
    assert_eq!(server.metric("kabar_operator_token_refused_total").await, 2);
}

#[tokio::test]
async fn a_token_made_or_revoked_at_one_node_is_known_at_the_others() {
    let [one, two] = nodes(&[]).await;
    let (here, made) = named(&one.operator, &one.anyone, "both", &["read", "manage"]).await;
    let there = two.anyone.with_token(&text(&made["token"]));
    until_matches(async || there.get(TOKENS).await, |answer| answer.status == 200).await;
    here.delete(&format!("{TOKENS}/{}", text(&made["id"]))).await.is(204);
    until_matches(async || there.get(TOKENS).await, |answer| answer.status == 401).await;
}
