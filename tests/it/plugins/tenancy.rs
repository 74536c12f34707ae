//! Another tenant's plugins are nobody's.

use serde_json::json;

use super::guests::Guest;
use super::tenant_plugins::{Plugin, stage};
use crate::harness::{from, text};

#[tokio::test]
async fn ids_of_another_organisation_are_not_found() {
    let (server, tenant) = stage().await;
    let plugin = Plugin::running(&tenant, &Guest::idle()).await;
    tenant.hears(&from(0), "hi").await;
    let run = text(&plugin.until("succeeded", 1).await[0]["id"]);
    let version = text(&plugin.row().await["active_version_id"]);
    let event = text(&tenant.get("events").await.envelope()["data"][0]["id"]);
    let other = server.tenant().await;
    let thief = Plugin { id: plugin.id.clone(), api: other.api.clone() };
    for tail in ["", "/versions", "/runs", "/logs", &format!("/runs/{run}")] {
        thief.get(tail).await.refused(404, "resource_not_found");
    }
    other.api.patch(&thief.path(""), &json!({"enabled": false})).await.refused(404, "resource_not_found");
    other.api.delete(&thief.path("")).await.refused(404, "resource_not_found");
    thief.upload(Guest::idle().component()).await.refused(404, "resource_not_found");
    for (tail, body) in [
        ("/activate", json!({"version_id": version})),
        ("/test", json!({"event_id": event})),
        ("/replay", json!({"from_sequence": 1})),
        (&format!("/runs/{run}/replay"), json!(null)),
    ] {
        thief.post(tail, &body).await.refused(404, "resource_not_found");
    }
    // Nor can they be reached through a plugin of one's own.
    let own = Plugin::running(&other, &Guest::idle()).await;
    own.get(&format!("/runs/{run}")).await.refused(404, "resource_not_found");
    own.post("/activate", &json!({"version_id": version})).await.refused(404, "resource_not_found");
    own.post("/test", &json!({"event_id": event})).await.refused(404, "resource_not_found");
    own.post(&format!("/runs/{run}/replay"), &json!(null)).await.refused(404, "resource_not_found");
    let named = json!({"from_sequence": 1, "phone_number_id": tenant.id});
    own.post("/replay", &named).await.refused(404, "resource_not_found");
    let foreign = json!({"name": "x", "accounts": [tenant.id]});
    other.api.post("/v1/plugins", &foreign).await.refused(404, "resource_not_found");
    assert_eq!(plugin.row().await["enabled"], true);
}

#[tokio::test]
async fn a_plugin_hears_the_numbers_that_it_names() {
    let (server, tenant) = stage().await;
    let second = server.second_account(&tenant).await;
    let plugin = Plugin::make(&tenant, json!({"accounts": [second.id]})).await;
    plugin.deploy(&Guest::idle()).await;
    tenant.hears(&from(0), "not for it").await;
    second.hears(&from(0), "for it").await;
    let runs = plugin.until("succeeded", 1).await;
    assert_eq!((runs.len(), &runs[0]["phone_number_id"]), (1, &json!(second.id)));
    // From now on all; what it did not hear before is not told afterwards.
    tenant.api.patch(&plugin.path(""), &json!({"accounts": null})).await.is(200);
    tenant.hears(&from(1), "for it too").await;
    let runs = plugin.until("succeeded", 2).await;
    assert_eq!((runs.len(), &runs[0]["phone_number_id"]), (2, &json!(tenant.id)));
}
