//! Contract, section 28: the hooks of a suspended organisation stand still and go on afterwards, in order.

use std::time::Duration;

use serde_json::json;

use super::guests::Guest;
use super::tenant_plugins::{Plugin, stage};
use crate::harness::{Tenant, TestServer, from, until_matches};

async fn set_suspended(server: &TestServer, tenant: &Tenant, suspended: bool) {
    let path = format!("/admin/v1/organizations/{}", tenant.organisation);
    server.operator.patch(&path, &json!({"suspended": suspended})).await.is(200);
}

#[tokio::test]
async fn events_meanwhile_are_handled_afterwards_and_so_is_what_hooks_ask_for() {
    let (mut server, tenant) = stage().await;
    let answer = Tenant::letter(&from(0), "thank you").to_string();
    let plugin = Plugin::running(&tenant, &Guest::sends(&answer)).await;
    set_suspended(&server, &tenant, true).await;
    for nth in 0..3 {
        tenant.hears(&from(nth), "hi").await;
    }
    // Another tenant's hooks run, so by then those would have, too.
    let other = server.tenant().await;
    let witness = Plugin::running(&other, &Guest::says("seen")).await;
    other.hears(&from(0), "hi").await;
    witness.until("succeeded", 1).await;
    server.restart().await;
    set_suspended(&server, &tenant, false).await;
    let runs = plugin.until("succeeded", 3).await;
    assert!(runs.len() == 3 && runs.iter().all(|run| run["attempt"] == 1), "{runs:?}");
    let sent = async || tenant.get("messages?direction=outbound").await.rows();
    until_matches(sent, |rows| rows.len() == 3).await;
    // None was made before the tenant went on.
    let logged = tenant.get("events?types=message.received,message.created&limit=100").await.json();
    let types: Vec<_> =
        logged["data"].as_array().unwrap().iter().map(|event| event["type"].as_str().unwrap()).collect();
    let first_sent = types.iter().position(|kind| *kind == "message.created").unwrap();
    assert!(types[..first_sent].iter().filter(|kind| **kind == "message.received").count() == 4, "{types:?}");
}

#[tokio::test]
async fn the_day_after_which_a_failing_plugin_is_disabled_does_not_run_meanwhile() {
    let (server, tenant) = stage().await;
    let plugin = Plugin::running(&tenant, &Guest::retries("down")).await;
    for nth in 0..20 {
        tenant.hears(&from(nth), "hi").await;
    }
    plugin.row_when(|row| row["status"] == "paused").await;
    let attempts =
        async || plugin.is_running().await.iter().map(|run| run["attempt"].as_u64().unwrap()).sum::<u64>();
    until_matches(attempts, |attempts| *attempts == 20).await;
    set_suspended(&server, &tenant, true).await;
    server.clock.advance_manual(Duration::from_hours(30));
    set_suspended(&server, &tenant, false).await;
    // One is tried a minute later; it fails, and the plugin stays paused.
    crate::harness::until_advancing(&server.clock, Duration::from_secs(20), async || attempts().await > 20)
        .await;
    assert_eq!(plugin.row().await["status"], "paused");
}
