//! Contract, section 7: me, accounts, users.

use serde_json::{Value, json};

use crate::harness::{TestServer, check_object, keys_of};

#[tokio::test]
async fn me_tells_organisation_key_and_budgets() {
    let server = TestServer::start().await;
    let tenant = server.tenant_of(&json!({"name": "Warung", "tier": "pro"})).await;
    let me = tenant.api.get("/v1/me").await.data();
    assert_eq!(keys_of(&me), ["api_key", "organization", "rate_limits"].into());
    let organization = json!({"id": tenant.organisation, "object": "organization", "name": "Warung"});
    assert_eq!(me["organization"], organization);
    assert_eq!(keys_of(&me["api_key"]), ["id", "label", "last4", "object", "scopes"].into());
    assert_eq!((&me["api_key"]["object"], &me["api_key"]["label"]), (&json!("api_key"), &json!("test")));
    assert!(tenant.key.ends_with(me["api_key"]["last4"].as_str().unwrap()));
    let limits = json!({"tier": "pro", "write_per_minute": 600, "read_per_minute": 6000});
    assert_eq!(me["rate_limits"], limits);
}

#[tokio::test]
async fn accounts_are_the_connected_ones_unless_all_are_asked_for() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let second = server.second_account(&tenant).await;
    server.tenant().await;
    let path = format!("/admin/v1/accounts/{}", second.id);
    server.operator.patch(&path, &json!({"status": "disconnected"})).await.is(200);
    let connected = tenant.api.get("/v1/accounts").await.rows();
    assert_eq!(connected.len(), 1);
    check_object(&connected[0]);
    assert_eq!(
        (&connected[0]["phone_number_id"], &connected[0]["phone_number"]),
        (&json!(tenant.id), &json!(tenant.phone))
    );
    assert_eq!((&connected[0]["name"], &connected[0]["status"]), (&json!("Shop"), &json!("connected")));
    assert_eq!(tenant.api.get("/v1/accounts?status=connected").await.rows(), connected);
    let all = tenant.api.get("/v1/accounts?status=all").await;
    let mut statuses: Vec<Value> = all.column("status");
    statuses.sort_by_key(ToString::to_string);
    assert_eq!(statuses, ["connected", "disconnected"]);
    assert!(!String::from_utf8_lossy(&all.body).contains("EAAG"), "tokens are nobody's business");
    for bad in ["disconnected", "", "ALL"] {
        let error =
            tenant.api.get(&format!("/v1/accounts?status={bad}")).await.refused(400, "invalid_field_value");
        assert_eq!(error["param"], "status");
    }
    // A disconnected number can still be read.
    second.hears(&crate::harness::from(1), "late").await;
    assert_eq!(second.get("conversations").await.status, 200);
}

#[tokio::test]
async fn users_are_the_tenants_own() {
    let server = TestServer::start().await;
    let (ours, theirs) = (server.tenant().await, server.tenant().await);
    let rani = server.user(&ours.organisation, "Rani").await;
    let path = format!("/admin/v1/organizations/{}/users", ours.organisation);
    let bayu = server.operator.post(&path, &json!({"name": "Bayu"})).await.is(201).data();
    assert_eq!(bayu["email"], Value::Null);
    server.user(&theirs.organisation, "Siti").await;
    let rows = ours.api.get("/v1/users").await.rows();
    rows.iter().for_each(check_object);
    assert_eq!(rows, [bayu, rani]);
    assert_eq!(theirs.api.get("/v1/users").await.rows().len(), 1);
}
