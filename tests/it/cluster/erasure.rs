//! Erasures over several nodes: what is deleted at one is gone at all of them.

use serde_json::json;

use crate::api::erasure::{NUMBER, assert_unmarked, correspond, log};
use crate::harness::nodes::{heard_of, nodes};
use crate::harness::{database, from, until};

#[tokio::test]
async fn a_contact_that_is_deleted_at_another_node_is_gone_at_both() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    correspond(&here, &from(1), "kept", 3).await;
    let gone = correspond(&here, NUMBER, "erased", 40).await;
    let path = format!("contacts/{}", gone.contact);
    there.get(&path).await.is(200);
    there.delete(&path).await.is(204);
    for tenant in [&here, &there] {
        tenant.get(&path).await.refused(404, "resource_not_found");
        let list = tenant.get("messages?limit=100").await.is(200);
        assert_unmarked(&list.body, "the messages of a node");
    }
    // Each node shows the number of the whole database once it has looked.
    until(async || {
        let contents = database::dump(&one.database_url()).await;
        !contents.windows(NUMBER.len()).any(|window| window == NUMBER.as_bytes())
    })
    .await;
    assert_unmarked(&database::dump(&one.database_url()).await, "the database");
    assert_eq!(log(&here).await, log(&there).await);
    assert_unmarked(json!(log(&there).await).to_string().as_bytes(), "the log");
}

#[tokio::test]
async fn keys_of_a_deleted_organization_are_refused_at_every_node() {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    correspond(&here, NUMBER, "erased", 10).await;
    there.get("contacts").await.is(200);
    let path = format!("/admin/v1/organizations/{}", here.organisation);
    one.operator.delete(&path).await.is(204);
    here.api.get("/v1/me").await.refused(401, "invalid_api_key");
    until(async || there.api.get("/v1/me").await.status == 401).await;
    two.operator.get(&path).await.refused(404, "resource_not_found");
    until(async || {
        let rows = "SELECT 1 FROM organisations WHERE removed_at IS NOT NULL";
        database::has_rows(&one.database_url(), rows).await
    })
    .await;
    assert_unmarked(&database::dump(&one.database_url()).await, "the database");
}
