//! From a component to what it brings about, and back.

use serde_json::json;

use super::guests::Guest;
use super::tenant_plugins::{Plugin, stage};
use crate::harness::{Tenant, from, is_id, is_timestamp, text};

#[tokio::test]
async fn a_plugin_is_made_shown_changed_and_deleted() {
    let (_server, tenant) = stage().await;
    let body = json!({"name": "fallback", "description": "sends a template", "config": {"TEMPLATE": "x"},
        "secrets": {"TOKEN": "hunter2"}, "allowed_hosts": ["API.example.com"]});
    let made = tenant.api.post("/v1/plugins", &body).await.is(201).data();
    assert!(is_id("plg", &text(&made["id"])) && is_timestamp(&text(&made["created_at"])), "{made}");
    assert_eq!(made["events"], json!(["message.status"]));
    assert_eq!((&made["secrets"], &made["config"]), (&json!(["TOKEN"]), &json!({"TEMPLATE": "x"})));
    assert_eq!((&made["enabled"], &made["status"]), (&json!(true), &json!("active")));
    assert_eq!(made["allowed_hosts"], json!(["api.example.com"]));
    for key in ["accounts", "capabilities", "active_version_id", "previous_version_id", "status_reason"] {
        assert!(made[key].is_null(), "{key}");
    }
    let plugin = Plugin { id: text(&made["id"]), api: tenant.api.clone() };
    let patch = json!({"secrets": {"OTHER": "x", "TOKEN": null}, "enabled": false, "description": null});
    let changed = tenant.api.patch(&plugin.path(""), &patch).await.is(200).data();
    assert_eq!((&changed["secrets"], &changed["enabled"]), (&json!(["OTHER"]), &json!(false)));
    assert!(changed["description"].is_null() && changed["name"] == "fallback");
    assert_eq!(plugin.row().await, changed);
    let listed = tenant.api.get("/v1/plugins").await.is(200);
    assert_eq!(listed.rows(), [changed]);
    assert!(!String::from_utf8_lossy(&listed.body).contains("hunter2"));
    tenant.api.delete(&plugin.path("")).await.is(204);
    plugin.get("").await.refused(404, "resource_not_found");
    assert!(tenant.api.get("/v1/plugins").await.rows().is_empty());
}

#[tokio::test]
async fn an_event_becomes_a_run_with_a_log() {
    let (_server, tenant) = stage().await;
    let plugin = Plugin::make(&tenant, json!({})).await;
    let uploaded = plugin.upload(Guest::says("seen").component()).await.is(201).data();
    assert!(is_id("plv", &text(&uploaded["id"])) && uploaded["object"] == "plugin_version", "{uploaded}");
    assert_eq!(uploaded["sha256"].as_str().map(str::len), Some(64));
    assert_eq!(uploaded["imports"], json!(["kabar:hooks/log@1.0.0", "kabar:hooks/types@1.0.0"]));
    tenant.hears(&from(1), "before the activation").await;
    plugin.activate_version(&text(&uploaded["id"])).await;
    tenant.hears(&from(1), "after it").await;
    let runs = plugin.until("succeeded", 1).await;
    assert_eq!(runs.len(), 1, "it begins with its activation");
    let run = &runs[0];
    assert!(is_id("run", &text(&run["id"])) && is_id("evt", &text(&run["event_id"])), "{run}");
    assert_eq!((&run["attempt"], &run["error"]), (&json!(1), &json!(null)));
    assert_eq!((&run["version_id"], &run["phone_number_id"]), (&uploaded["id"], &json!(tenant.id)));
    assert!(run["usage"]["fuel"].is_u64() && run["next_attempt_at"].is_null());
    let one = plugin.get(&format!("/runs/{}", text(&run["id"]))).await.is(200).data();
    assert_eq!(one, *run);
    let logs = plugin.get("/logs").await.is(200).rows();
    assert_eq!(logs.len(), 1);
    let lines = logs[0]["lines"].as_array().unwrap();
    assert_eq!((&lines[0]["message"], &lines[0]["level"]), (&json!("seen"), &json!("info")));
    let of_run = plugin.get(&format!("/logs?run_id={}", text(&run["id"]))).await.is(200);
    assert_eq!(of_run.rows(), logs);
}

#[tokio::test]
async fn what_a_run_sends_leaves_once_and_what_it_updates_is_updated() {
    let (server, tenant) = stage().await;
    let body = Tenant::letter(&from(0), "thank you").to_string();
    let sender = Plugin::running(&tenant, &Guest::sends(&body)).await;
    let conversation = text(&tenant.conversation_with(&from(0)).await["id"]);
    let resolver = Plugin::make(&tenant, json!({"events": ["message.created"]})).await;
    resolver.deploy(&Guest::resolves(&conversation)).await;
    tenant.hears(&from(0), "hi").await;
    let runs =
        sender.runs_when(|rows| rows.first().is_some_and(|row| row["effects"][0]["status"] == "done")).await;
    let effect = &runs[0]["effects"][0];
    assert_eq!(effect["type"], "messages.send");
    let message = text(&effect["message_id"]);
    tenant.message_when(&message, |message| message["status"] == "sent").await;
    let sent: Vec<_> = server.simulator.sends().iter().map(|send| send.opaque.clone().unwrap()).collect();
    assert_eq!(sent, std::slice::from_ref(&message));
    let resolved = format!("conversations/{conversation}");
    tenant.when(&resolved, |answer| answer.data()["status"] == "resolved").await;

    // Again, the run succeeds; its message is sent already.
    let replay = format!("/runs/{}/replay", text(&runs[0]["id"]));
    sender.post(&replay, &json!(null)).await.is(200);
    sender.runs_when(|rows| rows[0]["status"] == "succeeded" && rows[0]["attempt"] == 2).await;
    let tried = test(&sender, &json!({"event_id": runs[0]["event_id"]})).await;
    let counted = tried["kv_writes"][0].clone();
    assert_eq!((&counted["op"], &counted["key"]), (&json!("add"), &json!("sent")));
    let outbound = tenant.all("messages?direction=outbound").await;
    assert_eq!(outbound.len(), 1, "{outbound:?}");
}

async fn test(plugin: &Plugin, body: &serde_json::Value) -> serde_json::Value {
    plugin.post("/test", body).await.is(200).data()
}

#[tokio::test]
async fn a_test_performs_nothing() {
    let (_server, tenant) = stage().await;
    let body = Tenant::letter(&from(0), "thank you").to_string();
    let plugin = Plugin::make(&tenant, json!({})).await;
    plugin
        .post("/test", &json!({"event": {"type": "message.status"}}))
        .await
        .refused(400, "missing_required_field");
    let version = text(&plugin.upload(Guest::sends(&body).component()).await.is(201).data()["id"]);
    let sample =
        json!({"version_id": version, "event": {"type": "message.status", "data": {"status": "failed"}}});
    let tried = test(&plugin, &sample).await;
    assert_eq!((&tried["object"], &tried["result"]), (&json!("plugin_test"), &json!("succeeded")));
    assert_eq!(tried["effects"][0]["body"]["text"]["body"], "thank you");
    assert!(tried["usage"]["memory_peak_bytes"].as_u64().unwrap() > 0);
    let events = tenant.get("events").await.envelope()["data"].clone();
    test(&plugin, &json!({"version_id": version, "event_id": events[0]["id"]})).await;
    assert!(tenant.all("messages?direction=outbound").await.is_empty());
    assert!(plugin.is_running().await.is_empty());
    for (body, status, code) in [
        (json!({"version_id": version}), 400, "missing_required_field"),
        (json!({"version_id": version, "event": {"type": "nothing"}}), 400, "invalid_field_value"),
        (
            json!({"version_id": version, "event_id": "evt_00000000000000000000000000"}),
            404,
            "resource_not_found",
        ),
        (json!({"version_id": "plv_00000000000000000000000000", "event": {}}), 404, "resource_not_found"),
    ] {
        plugin.post("/test", &body).await.refused(status, code);
    }
}

#[tokio::test]
async fn a_version_that_does_worse_is_rolled_back() {
    let (_server, tenant) = stage().await;
    let plugin = Plugin::make(&tenant, json!({})).await;
    let good = plugin.deploy(&Guest::says("good")).await;
    let bad = plugin.deploy(&Guest::rejects("bad")).await;
    let row = plugin.row().await;
    assert_eq!((&row["active_version_id"], &row["previous_version_id"]), (&json!(bad), &json!(good)));
    tenant.hears(&from(0), "one").await;
    let dead = plugin.until("dead", 1).await;
    assert_eq!((&dead[0]["error"], &dead[0]["attempt"]), (&json!("bad"), &json!(1)));
    plugin.activate_version(&good).await;
    let row = plugin.row().await;
    assert_eq!((&row["active_version_id"], &row["previous_version_id"]), (&json!(good), &json!(bad)));
    let replay = format!("/runs/{}/replay", text(&dead[0]["id"]));
    plugin.post(&replay, &json!(null)).await.is(200);
    let mended = plugin.until("succeeded", 1).await;
    assert_eq!((&mended[0]["id"], &mended[0]["attempt"]), (&dead[0]["id"], &json!(2)));
    let versions = plugin.get("/versions").await.is(200).rows();
    assert_eq!(versions.iter().map(|one| text(&one["id"])).collect::<Vec<_>>(), [bad, good]);
}

#[tokio::test]
async fn a_part_of_the_log_is_replayed() {
    let (server, tenant) = stage().await;
    for n in 0..5 {
        tenant.hears(&from(n), "early").await;
    }
    let plugin = Plugin::running(&tenant, &Guest::counts("n")).await;
    let replayed = plugin.post("/replay", &json!({"from_sequence": 1})).await.is(200).data();
    assert_eq!(replayed, json!({"enqueued": 6, "capped": false}));
    let runs = plugin.until("succeeded", 6).await;
    let first = runs.iter().map(|run| run["sequence"].as_i64().unwrap()).min().unwrap();
    let again = json!({"from_sequence": first, "to": first});
    assert_eq!(plugin.post("/replay", &again).await.is(200).data()["enqueued"], 1);
    plugin.runs_when(|rows| rows.iter().any(|row| row["attempt"] == 2 && row["status"] == "succeeded")).await;
    let future = json!({"from_time": "2030-01-01T00:00:00Z"});
    assert_eq!(plugin.post("/replay", &future).await.is(200).data()["enqueued"], 0);
    let past = json!({"from_time": "2026-06-19T00:00:00Z"});
    assert_eq!(plugin.post("/replay", &past).await.is(200).data()["enqueued"], 6);
    plugin.post("/replay", &json!({})).await.refused(400, "missing_required_field");
    let second = server.second_account(&tenant).await;
    plugin.post("/replay", &json!({"from_sequence": 1})).await.refused(400, "missing_required_field");
    let named = json!({"from_sequence": 1, "phone_number_id": second.id});
    assert_eq!(plugin.post("/replay", &named).await.is(200).data()["enqueued"], 0);
}

#[tokio::test]
async fn counters_of_parallel_runs_are_right_whichever_way_they_count() {
    for guest in [Guest::counts("n"), Guest::counts_slowly("n")] {
        let (_server, tenant) = stage().await;
        let plugin = Plugin::running(&tenant, &guest).await;
        let messages: Vec<_> =
            (0..60).map(|n| crate::harness::text_from(&from(n), tenant.clock.read_now(), "hi")).collect();
        tenant.receives(&messages).await;
        plugin.until("succeeded", 60).await;
        let attempts = plugin.is_running().await.iter().map(|run| run["attempt"].as_u64().unwrap()).max();
        assert_eq!(attempts, Some(1), "a conflict is no attempt");
        // The next value tells the one before it.
        let tried = test(&plugin, &json!({"event": {"type": "message.received"}})).await;
        let write = &tried["kv_writes"][0];
        if write["op"] == "put" {
            assert_eq!(write["value"].as_str().unwrap().bytes().next(), Some(61));
        } else {
            let teller = text(&plugin.upload(Guest::tells("n").component()).await.is(201).data()["id"]);
            let body = json!({"version_id": teller, "event": {"type": "message.received"}});
            assert_eq!(test(&plugin, &body).await["logs"][0]["message"], "60");
        }
    }
}
