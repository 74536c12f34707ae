//! What is refused, and what is stopped.

use serde_json::json;

use super::guests::Guest;
use super::tenant_plugins::{Plugin, stage};
use crate::harness::{Tenant, TestServer, from, manual_clock};

#[tokio::test]
async fn uploads_are_refused_in_plain_words() {
    let (_server, tenant) = stage().await;
    let plugin = Plugin::make(&tenant, json!({"capabilities": ["log"]})).await;
    let refused = plugin.upload(Guest::counts("n").component()).await.refused(422, "invalid_plugin");
    let message = refused["message"].as_str().unwrap();
    assert!(message.contains("kabar:hooks/kv@1.0.0") && message.contains("kv"), "{message}");
    plugin.upload(b"\0asm\x01\0\0\0".to_vec()).await.refused(422, "invalid_plugin");
    plugin.upload(vec![7; 1000]).await.refused(422, "invalid_plugin");
    let path = plugin.path("/versions");
    plugin.api.upload(&path, "application/json", vec![1]).await.refused(415, "unsupported_media_type");
    plugin.api.upload(&path, "application/wasm", Vec::new()).await.refused(400, "invalid_request");
    assert!(plugin.get("/versions").await.rows().is_empty());
}

#[tokio::test]
async fn a_component_beyond_the_limit_is_not_read() {
    let server = TestServer::shaped(|options| options.set("KABAR_HOOKS__COMPONENT_BYTES", "65536")).await;
    let tenant = server.tenant().await;
    let plugin = Plugin::make(&tenant, json!({})).await;
    plugin.upload(vec![0; 65_537]).await.refused(413, "payload_too_large");
    plugin.upload(vec![0; 65_536]).await.refused(422, "invalid_plugin");
    // Bodies of JSON keep their own limit.
    let long = json!({"name": "x".repeat(300_000)});
    tenant.api.post("/v1/plugins", &long).await.refused(413, "payload_too_large");
}

#[tokio::test]
async fn bodies_name_the_field_at_fault() {
    let (_server, tenant) = stage().await;
    for (body, code, param) in [
        (json!({}), "missing_required_field", "name"),
        (json!({"name": ""}), "invalid_field_value", "name"),
        (json!({"name": "x", "events": []}), "invalid_field_value", "events"),
        (json!({"name": "x", "events": ["message"]}), "invalid_field_value", "events"),
        (json!({"name": "x", "accounts": ["1"]}), "invalid_field_value", "accounts"),
        (json!({"name": "x", "config": {"a": 1}}), "invalid_field_value", "config"),
        (json!({"name": "x", "secrets": {"a b": "x"}}), "invalid_field_value", "secrets"),
        (
            json!({"name": "x", "allowed_hosts": ["https://a.example"]}),
            "invalid_field_value",
            "allowed_hosts",
        ),
        (json!({"name": "x", "capabilities": ["files"]}), "invalid_field_value", "capabilities"),
        (json!({"name": "x", "enabled": "yes"}), "invalid_field_value", "enabled"),
    ] {
        let refused = tenant.api.post("/v1/plugins", &body).await.refused(400, code);
        assert_eq!(refused["param"], param, "{body}");
    }
}

#[tokio::test]
async fn an_organisation_has_a_bounded_number_of_plugins() {
    let (_server, tenant) = stage().await;
    for _ in 0..50 {
        Plugin::make(&tenant, json!({})).await;
    }
    tenant.api.post("/v1/plugins", &json!({"name": "one more"})).await.refused(403, "plan_limit_reached");
}

#[tokio::test]
async fn a_key_makes_one_plugin() {
    let (_server, tenant) = stage().await;
    let call = async |body| tenant.api.post_with("/v1/plugins", &[("Idempotency-Key", "k")], &body).await;
    let first = call(json!({"name": "x"})).await.is(201);
    let again = call(json!({"name": "x"})).await.is(201);
    assert_eq!((first.data(), again.must("Idempotent-Replayed").as_str()), (again.data(), "true"));
    call(json!({"name": "y"})).await.refused(422, "idempotency_key_reuse");
    assert_eq!(tenant.api.get("/v1/plugins").await.rows().len(), 1);
}

#[tokio::test]
async fn refused_effects_are_shown_on_the_run() {
    let server = TestServer::shaped(|options| options.clock = manual_clock()).await;
    let budget =
        json!({"name": "Small", "tier": "enterprise", "write_per_minute": 6, "read_per_minute": 1_000_000});
    let tenant = server.tenant_of(&budget).await;
    tenant.shuts_window_of(&from(77)).await;
    let stranger = Tenant::letter(&from(77), "hello").to_string();
    let plugin = Plugin::running(&tenant, &Guest::sends(&stranger)).await;
    tenant.hears(&from(0), "hi").await;
    let settled = |rows: &[serde_json::Value], count: usize| {
        rows.iter().filter(|row| row["effects"][0]["status"] == "refused").count() == count
    };
    let runs = plugin.runs_when(|rows| settled(rows, 1)).await;
    assert_eq!(runs[0]["status"], "succeeded");
    assert_eq!(runs[0]["effects"][0]["error"]["code"], "outside_24h_window");
    // Three calls and one effect are spent: two more effects, and the budget is empty.
    for n in 1..=4 {
        tenant.hears(&from(n), "hi").await;
    }
    let runs = plugin.runs_when(|rows| settled(rows, 5)).await;
    let codes: Vec<_> = runs.iter().map(|run| run["effects"][0]["error"]["code"].as_str().unwrap()).collect();
    assert_eq!(codes.iter().filter(|code| **code == "rate_limit_exceeded").count(), 2, "{codes:?}");
}

#[tokio::test]
async fn the_tier_decides_what_a_run_may_use() {
    let server = TestServer::shaped(|options| options.set("KABAR_HOOKS__PRO__LOG_KIB", "1")).await;
    let line = "x".repeat(2000);
    for (tier, cut) in [("pro", true), ("free", false)] {
        let tenant = server.tenant_of(&json!({"name": "T", "tier": tier})).await;
        let plugin = Plugin::make(&tenant, json!({})).await;
        plugin.deploy(&Guest::says(&line)).await;
        let tried =
            plugin.post("/test", &json!({"event": {"type": "message.received"}})).await.is(200).data();
        assert_eq!(tried["logs_truncated"], cut, "{tier}");
        // Another tier from now on.
        let path = format!("/admin/v1/organizations/{}", tenant.organisation);
        let other = if cut { "free" } else { "pro" };
        server.operator.patch(&path, &json!({"tier": other})).await.is(200);
        let tried =
            plugin.post("/test", &json!({"event": {"type": "message.received"}})).await.is(200).data();
        assert_eq!(tried["logs_truncated"], !cut, "{other}");
    }
}

#[tokio::test]
async fn one_that_burns_its_time_holds_up_nobody_else() {
    let (server, hostile) = stage().await;
    let innocent = server.tenant().await;
    let burning = Plugin::running(&hostile, &Guest::burns_later()).await;
    let calm = Plugin::running(&innocent, &Guest::idle()).await;
    for n in 0..20 {
        hostile.hears(&from(n), "burn").await;
    }
    for n in 0..30 {
        innocent.hears(&from(n), "hi").await;
    }
    calm.until("succeeded", 30).await;
    // It gives way to everything else on the machine, and gets on all the same.
    let burnt = burning.until("failed", 2).await;
    let error = burnt.iter().find_map(|run| run["error"].as_str()).unwrap();
    assert!(error.starts_with("cpu_limit"), "{error}");
}
