//! WhatsApp's list: taken over by a sync, and looked at daily.

use std::time::Duration;

use serde_json::json;

use super::{WABA, submission, tell, tenant_of, told};
use crate::harness::graph_stub::GraphStub;
use crate::harness::{Tenant, TestServer, manual_clock, until, until_advancing};

#[tokio::test]
async fn a_sync_takes_over_whatsapps_list_page_by_page() {
    let server = TestServer::start().await;
    let tenant = tenant_of(&server).await;
    let other = server.account_with(&tenant.organisation, json!({"waba_id": WABA})).await;
    let other = Tenant { id: other.0, phone: other.1, ..tenant.clone() };
    for nth in 0..103 {
        other.post("templates", &submission(&format!("promo_{nth}"), "id")).await.is(201);
    }
    let counts = tenant.post("templates/sync", &json!({})).await.is(200).data();
    assert_eq!(counts["synced"], 103);
    assert_eq!(tenant.all("templates?limit=100").await.len(), 103);
    let counts = tenant.post("templates/sync", &json!({})).await.is(200).data();
    assert_eq!(counts, json!({"created": 0, "updated": 0, "synced": 103}));
    // What is gone at WhatsApp goes here; nothing goes when the list cannot be read.
    tell(&server, &other, "promo_7", &json!({"event": "DELETED"}));
    until(async || tenant.get("templates/promo_7").await.status == 404).await;
    let path = format!("/admin/v1/accounts/{}", tenant.id);
    server.operator.patch(&path, &json!({"access_token": "expired"})).await.is(200);
    tenant.post("templates/sync", &json!({})).await.refused(422, "whatsapp_error");
    assert_eq!(tenant.all("templates?limit=100").await.len(), 102);
    let entries = tenant.api.get("/v1/audit?action=template.synced").await.rows();
    assert_eq!(entries.len(), 2, "a sync that WhatsApp refused has changed nothing");
}

#[tokio::test]
async fn a_look_at_the_list_is_made_daily() {
    let graph = GraphStub::start().await;
    let row = |status: &str| {
        json!({"data": [{"id": "7", "name": "promo", "language": "id", "status": status, "category": "UTILITY",
            "components": [{"type": "BODY", "text": "Halo"}]}]})
    };
    graph.answer_templates_with(200, row("APPROVED"));
    let base_url = graph.base_url.clone();
    let server = TestServer::shaped(|options| {
        (options.graph, options.clock) = (Some(base_url), manual_clock());
    })
    .await;
    let tenant = tenant_of(&server).await;
    until(async || tenant.get("templates/promo").await.status == 200).await;
    graph.answer_templates_with(200, row("PAUSED"));
    let is_told = async || tenant.get("templates/promo").await.data()["status"] == "paused";
    until_advancing(&server.clock, Duration::from_hours(1), is_told).await;
    // One that is gone goes, and a list that does not come takes nothing away.
    graph.answer_templates_with(500, json!({"error": {"code": 2}}));
    let failures = server.metric("kabar_template_sync_failures_total").await;
    let failed = async || server.metric("kabar_template_sync_failures_total").await > failures;
    until_advancing(&server.clock, Duration::from_hours(1), failed).await;
    assert_eq!(tenant.get("templates").await.rows().len(), 1);
    graph.answer_templates_with(200, json!({"data": []}));
    let is_gone = async || tenant.get("templates").await.rows().is_empty();
    until_advancing(&server.clock, Duration::from_hours(1), is_gone).await;
    assert_eq!(told(&tenant).await.pop().unwrap().0, "template.deleted");
}
