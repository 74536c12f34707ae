//! Runs about a contact that is deleted go with it, and so do their logs. The plugin is told of the deletion.

use serde_json::json;

use super::guests::Guest;
use super::tenant_plugins::{Plugin, stage};
use crate::harness::{from, text, until};

#[tokio::test]
async fn runs_about_a_deleted_contact_go_with_their_logs() {
    let (server, tenant) = stage().await;
    let events = json!({"events": ["message.received", "contact.deleted"]});
    let plugin = Plugin::make(&tenant, events).await;
    plugin.deploy(&Guest::says("a line about somebody")).await;
    tenant.hears(&from(0), "hi").await;
    tenant.hears(&from(1), "hi").await;
    let before = plugin.until("succeeded", 2).await;
    assert_eq!(plugin.get("/logs").await.rows().len(), 2);
    let gone = text(&tenant.conversation_with(&from(0)).await["contact"]["id"]);
    tenant.delete(&format!("contacts/{gone}")).await.is(204);
    until(async || server.metric("kabar_erasures_pending").await == 0).await;
    // One about the neighbour is left, and one that tells of the deletion has come.
    let after = plugin.until("succeeded", 2).await;
    let types: Vec<_> = after.iter().map(|run| text(&run["event_type"])).collect();
    assert_eq!(types, ["contact.deleted", "message.received"]);
    let left: Vec<_> = before.iter().filter(|run| after.contains(run)).collect();
    assert_eq!(left.len(), 1);
    let removed = before.iter().find(|run| !after.contains(run)).unwrap();
    plugin.get(&format!("/runs/{}", text(&removed["id"]))).await.refused(404, "resource_not_found");
    until(async || plugin.get("/logs").await.rows().len() == 2).await;
    let logs = plugin.get("/logs").await.rows();
    assert!(logs.iter().all(|log| log["run_id"] != removed["id"]), "{logs:?}");
}
