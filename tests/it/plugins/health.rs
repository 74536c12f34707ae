//! Retries, rejection, and what becomes of a plugin that fails all the time.

use std::time::Duration;

use serde_json::json;

use super::guests::Guest;
use super::tenant_plugins::{Plugin, stage};
use crate::harness::{from, text, until_advancing, until_matches};

#[tokio::test]
async fn a_run_is_retried_by_the_retry_schedule_and_then_dead() {
    let (server, tenant) = stage().await;
    let plugin = Plugin::running(&tenant, &Guest::retries("not yet")).await;
    tenant.hears(&from(0), "hi").await;
    // Each pause a fifth longer than the contract's at most.
    for (tried, pause) in [5, 30, 120, 600, 3600, 21_600].into_iter().enumerate() {
        let runs = plugin.runs_when(|rows| rows.first().is_some_and(|row| row["attempt"] == tried + 1)).await;
        assert_eq!((&runs[0]["status"], &runs[0]["error"]), (&json!("failed"), &json!("not yet")));
        assert!(runs[0]["next_attempt_at"].is_string());
        server.clock.advance_manual(Duration::from_secs(pause + pause / 5 + 1));
    }
    let dead = plugin.until("dead", 1).await;
    assert_eq!((&dead[0]["attempt"], &dead[0]["next_attempt_at"]), (&json!(7), &json!(null)));
    assert_eq!(dead[0]["attempts"].as_array().map(Vec::len), Some(7));
    let filtered = plugin.get("/runs?status=dead").await.is(200);
    assert_eq!(filtered.rows(), dead);
    plugin.get("/runs?status=delivered").await.refused(400, "invalid_field_value");
}

#[tokio::test]
async fn what_fails_half_the_time_is_paused_probed_and_goes_on() {
    let (server, tenant) = stage().await;
    let plugin = Plugin::running(&tenant, &Guest::retries("down")).await;
    for n in 0..20 {
        tenant.hears(&from(n), "hi").await;
    }
    plugin.until("failed", 20).await;
    let row = plugin.row_when(|row| row["status"] == "paused").await;
    assert!(text(&row["status_reason"]).contains("half"), "{row}");
    for n in 20..40 {
        tenant.hears(&from(n), "hi").await;
    }
    let attempts =
        async || plugin.is_running().await.iter().map(|run| run["attempt"].as_u64().unwrap()).sum::<u64>();
    assert_eq!(attempts().await, 20, "what is held back is not tried");
    server.clock.advance_manual(Duration::from_mins(1));
    until_matches(attempts, |attempts| *attempts == 21).await;
    // The next probe finds it well: everything goes.
    plugin.deploy(&Guest::idle()).await;
    plugin.row_when(|row| row["status"] == "active").await;
    let succeeded = async || plugin.get("/runs?status=succeeded&limit=100").await.rows().len();
    until_advancing(&server.clock, Duration::from_secs(10), async || succeeded().await >= 40).await;
}

#[tokio::test]
async fn what_stays_paused_for_a_day_is_disabled_until_somebody_sees_to_it() {
    let (server, tenant) = stage().await;
    let plugin = Plugin::running(&tenant, &Guest::retries("down")).await;
    for n in 0..20 {
        tenant.hears(&from(n), "hi").await;
    }
    plugin.row_when(|row| row["status"] == "paused").await;
    server.clock.advance_manual(Duration::from_hours(24));
    let row = plugin.row_when(|row| row["status"] == "disabled").await;
    assert!(text(&row["status_reason"]).contains("24 hours"), "{row}");
    tenant.hears(&from(0), "more").await;
    let row = tenant.api.patch(&plugin.path(""), &json!({"enabled": true})).await.is(200).data();
    assert_eq!((&row["status"], &row["status_reason"]), (&json!("active"), &json!(null)));
}

#[tokio::test]
async fn one_that_is_stopped_goes_on_where_it_stood() {
    let (_server, tenant) = stage().await;
    let plugin = Plugin::running(&tenant, &Guest::idle()).await;
    tenant.api.patch(&plugin.path(""), &json!({"enabled": false})).await.is(200);
    for n in 0..3 {
        tenant.hears(&from(n), "hi").await;
    }
    assert!(plugin.is_running().await.is_empty());
    tenant.api.patch(&plugin.path(""), &json!({"enabled": true})).await.is(200);
    plugin.until("succeeded", 3).await;
}

#[tokio::test]
async fn the_operator_sees_all_and_has_the_last_word() {
    let (server, tenant) = stage().await;
    let other = server.tenant().await;
    let plugin = Plugin::running(&tenant, &Guest::idle()).await;
    let second = Plugin::make(&other, json!({"config": {"PRIVATE": "x"}})).await;
    let rows = server.operator.get("/admin/v1/plugins").await.is(200).rows();
    let ids: Vec<_> = rows.iter().map(|row| text(&row["plugin"]["id"])).collect();
    assert_eq!(ids, [second.id.clone(), plugin.id.clone()]);
    assert_eq!(rows[0]["plugin"]["config"], json!({}));
    assert_eq!(rows[1]["organization_id"], json!(tenant.organisation));
    let disable = format!("/admin/v1/plugins/{}/disable", plugin.id);
    let disabled = server.operator.post(&disable, &json!({"reason": "too loud"})).await.is(200).data();
    assert_eq!(
        (&disabled["plugin"]["status"], &disabled["plugin"]["status_reason"]),
        (&json!("disabled"), &json!("too loud"))
    );
    let row = tenant.api.patch(&plugin.path(""), &json!({"enabled": true})).await.is(200).data();
    assert_eq!(row["status"], "disabled");
    plugin.deploy(&Guest::says("x")).await;
    assert_eq!(plugin.row().await["status"], "disabled");
    let nobody = "/admin/v1/plugins/plg_00000000000000000000000000/disable";
    server.operator.post(nobody, &json!({})).await.refused(404, "resource_not_found");
    tenant.api.get("/admin/v1/plugins").await.refused(401, "invalid_api_key");
}
