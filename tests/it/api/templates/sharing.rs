//! Accounts of one WhatsApp Business Account: each has rows of its own, and all are told.

use serde_json::json;

use super::{WABA, submission, tell, template_when, tenant_of, told};
use crate::harness::nodes::{heard_of, nodes};
use crate::harness::{Tenant, TestServer, text, until};

async fn second(server: &TestServer, tenant: &Tenant, waba_id: &str) -> Tenant {
    let (id, phone) = server.account_with(&tenant.organisation, json!({"waba_id": waba_id})).await;
    Tenant { id, phone, ..tenant.clone() }
}

#[tokio::test]
async fn numbers_of_one_business_account_have_the_same_templates_under_ids_of_their_own() {
    let server = TestServer::start().await;
    let one = tenant_of(&server).await;
    let two = second(&server, &one, WABA).await;
    let made = one.post("templates", &submission("promo", "id")).await.is(201).data();
    until(async || two.get("templates/promo").await.status == 200).await;
    let other = two.get("templates/promo").await.data();
    assert_ne!(made["id"], other["id"]);
    for member in ["name", "language", "status", "provider_id", "components"] {
        assert_eq!(made[member], other[member], "{member}");
    }
    tell(&server, &one, "promo", &json!({"event": "PAUSED"}));
    for tenant in [&one, &two] {
        template_when(tenant, "promo", |row| row["status"] == "paused").await;
        let types: Vec<String> = told(tenant).await.into_iter().map(|(kind, _)| kind).collect();
        assert_eq!(types, ["template.created", "template.updated"]);
    }
}

#[tokio::test]
async fn a_number_of_another_business_account_has_none_of_them() {
    let server = TestServer::start().await;
    let one = tenant_of(&server).await;
    let two = second(&server, &one, "900800700600").await;
    one.post("templates", &submission("promo", "id")).await.is(201);
    tell(&server, &one, "promo", &json!({"event": "APPROVED"}));
    template_when(&one, "promo", |row| row["status"] == "approved").await;
    assert!(two.get("templates").await.rows().is_empty());
    two.get("templates/promo").await.refused(404, "resource_not_found");
    let stranger = server.tenant().await;
    stranger.api.get(&one.path("templates")).await.refused(404, "resource_not_found");
}

#[tokio::test]
async fn any_node_takes_a_template_and_all_show_it() {
    let [one, two] = nodes(&[]).await;
    let here = tenant_of(&one).await;
    let there = heard_of(&two, &here).await;
    here.get("templates").await.is(200);
    let made = there.post("templates", &submission("promo", "id")).await.is(201).data();
    assert_eq!(here.get("templates").await.rows(), std::slice::from_ref(&made));
    assert_eq!(there.get("templates/promo").await.data(), made);
    there.post("templates", &submission("promo", "id")).await.refused(409, "template_already_exists");
    let counts = there.post("templates/sync", &json!({})).await.is(200).data();
    assert_eq!((&counts["created"], &counts["synced"]), (&json!(0), &json!(1)));
    tell(&one, &here, "promo", &json!({"event": "PAUSED"}));
    let row = template_when(&there, "promo", |row| row["status"] == "paused").await;
    assert_eq!(text(&row["id"]), text(&made["id"]));
}
