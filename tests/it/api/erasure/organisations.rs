//! An organization that is deleted goes with everything that it owns.

use serde_json::json;

use super::{MARKS, NUMBER, assert_unmarked, correspond};
use crate::harness::{TestServer, database, from, text, until};

#[tokio::test]
async fn an_organization_goes_with_all_that_it_owns() {
    let mut server = TestServer::start().await;
    let (kept, gone) = (server.tenant().await, server.tenant().await);
    correspond(&kept, &from(1), "kept", 3).await;
    correspond(&gone, NUMBER, MARKS[4].trim_end_matches("-inbound"), 30).await;
    let secret = "erased-inbound-plugin";
    let plugin = json!({"name": secret, "config": {"a": secret}});
    gone.api.post("/v1/plugins", &plugin).await.is(201);
    let hook = json!({"url": "https://example.com/erased-inbound", "events": ["message.received"]});
    gone.api.post("/v1/webhook_subscriptions", &hook).await.is(201);
    server.user(&gone.organisation, "ErasedName").await;
    let path = format!("/admin/v1/organizations/{}", gone.organisation);

    server.operator.delete(&path).await.is(204);
    gone.api.get("/v1/me").await.refused(401, "invalid_api_key");
    gone.get("contacts").await.refused(401, "invalid_api_key");
    server.operator.get(&path).await.refused(404, "resource_not_found");
    server.operator.patch(&path, &json!({"name": "x"})).await.refused(404, "resource_not_found");
    server.operator.delete(&path).await.is(204);
    let unknown = "/admin/v1/organizations/org_0000000000000000000000000A";
    server.operator.delete(unknown).await.refused(404, "resource_not_found");
    let listed = server.operator.get("/admin/v1/organizations").await.column("id");
    assert_eq!(listed, [json!(kept.organisation)]);
    // What WhatsApp sends to its number is nobody's, and the number is free.
    gone.hears(NUMBER, "to nobody").await;
    let other = server.organisation(&json!({"name": "Toko"})).await;
    let body = json!({"phone_number_id": gone.id, "phone_number": gone.phone, "access_token": "EAAGtests"});
    let accounts = format!("/admin/v1/organizations/{other}/accounts");
    server.operator.post(&accounts, &body).await.is(201);

    until(async || {
        let rows = "SELECT 1 FROM organisations WHERE deleted_at IS NOT NULL AND removed_at IS NOT NULL";
        database::has_rows(&server.database_url(), rows).await
    })
    .await;
    assert_eq!(text(&kept.conversation_with(&from(1)).await["contact"]["name"]), "Neighbour");
    server.stop().await;
    let left = database::dump(&server.database_url()).await;
    assert_unmarked(&left, "the database");
    for id in [&gone.key, &secret.to_owned()] {
        assert!(!left.windows(id.len()).any(|window| window == id.as_bytes()));
    }
}
