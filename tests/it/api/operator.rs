//! Contract, section 12: the operator's calls.

use serde_json::{Value, json};

use crate::harness::{TestServer, check_object, from, keys_of, text};

const ORGANIZATIONS: &str = "/admin/v1/organizations";

#[tokio::test]
async fn organisations_are_made_listed_read_and_changed() {
    let server = TestServer::start().await;
    let made = server.operator.post(ORGANIZATIONS, &json!({"name": "Warung"})).await.is(201).data();
    check_object(&made);
    for (key, value) in [
        ("name", json!("Warung")),
        ("tier", json!("free")),
        ("write_per_minute", json!(60)),
        ("read_per_minute", json!(600)),
        ("sandbox", json!(false)),
        ("suspended", json!(false)),
    ] {
        assert_eq!(made[key], value, "{key}");
    }
    let path = format!("{ORGANIZATIONS}/{}", text(&made["id"]));
    assert_eq!(server.operator.get(&path).await.data(), made);
    let body = json!({"name": "Toko", "tier": "enterprise", "write_per_minute": 5, "read_per_minute": 50});
    let changed = server.operator.patch(&path, &body).await.is(200).data();
    for key in keys_of(&body) {
        assert_eq!(changed[key], body[key], "{key}");
    }
    assert_eq!(server.operator.get(ORGANIZATIONS).await.rows(), [changed]);
    let unknown = format!("{ORGANIZATIONS}/org_00000000000000000000000000");
    server.operator.get(&unknown).await.refused(404, "resource_not_found");
    server.operator.patch(&unknown, &json!({})).await.refused(404, "resource_not_found");
    server.operator.get(&format!("{ORGANIZATIONS}/x")).await.refused(400, "invalid_field_value");
    for tail in ["users", "api_keys", "accounts"] {
        let body = json!({"name": "x", "label": "x", "phone_number_id": "123456789", "phone_number": "+6281200000001", "access_token": "x"});
        server.operator.post(&format!("{unknown}/{tail}"), &body).await.refused(404, "resource_not_found");
    }
}

#[tokio::test]
async fn organisations_of_no_documented_form_are_refused() {
    let server = TestServer::start().await;
    for (body, code, param) in [
        (json!({}), "missing_required_field", "name"),
        (json!({"name": ""}), "invalid_field_value", "name"),
        (json!({"name": 1}), "invalid_field_value", "name"),
        (json!({"name": "x".repeat(201)}), "invalid_field_value", "name"),
        (json!({"name": "x", "tier": "gold"}), "invalid_field_value", "tier"),
        (json!({"name": "x", "sandbox": "yes"}), "invalid_field_value", "sandbox"),
        (
            json!({"name": "x", "tier": "enterprise", "read_per_minute": 0}),
            "invalid_field_value",
            "read_per_minute",
        ),
        (
            json!({"name": "x", "tier": "enterprise", "write_per_minute": -1}),
            "invalid_field_value",
            "write_per_minute",
        ),
        (
            json!({"name": "x", "tier": "enterprise", "write_per_minute": 1.5}),
            "invalid_field_value",
            "write_per_minute",
        ),
        (
            json!({"name": "x", "tier": "free", "write_per_minute": 1}),
            "invalid_field_value",
            "write_per_minute",
        ),
    ] {
        let error = server.operator.post(ORGANIZATIONS, &body).await.refused(400, code);
        assert_eq!(error["param"], param, "{body}");
    }
    assert!(server.operator.get(ORGANIZATIONS).await.rows().is_empty());
}

#[tokio::test]
async fn a_number_belongs_to_one_organisation_at_a_time() {
    let server = TestServer::start().await;
    let (first, second) = (server.tenant().await, server.tenant().await);
    let body = json!({"phone_number_id": first.id, "phone_number": first.phone, "access_token": "x"});
    let path = format!("{ORGANIZATIONS}/{}/accounts", second.organisation);
    server.operator.post(&path, &body).await.refused(409, "account_already_connected");
    assert_eq!(second.api.get("/v1/accounts?status=all").await.rows().len(), 1);
    let answer = server.operator.post(&path, &json!({"phone_number_id": "987654321", "phone_number": "6281200000009", "access_token": "secret-token", "app_secret": "secret-of-the-app"})).await.is(201);
    check_object(&answer.data());
    assert_eq!((&answer.data()["status"], &answer.data()["name"]), (&json!("connected"), &Value::Null));
    assert!(!String::from_utf8_lossy(&answer.body).contains("secret-"), "secrets go in and never out");
    for (change, code, param) in [
        (json!({"phone_number_id": "12345"}), "invalid_field_value", "phone_number_id"),
        (json!({"phone_number_id": null}), "missing_required_field", "phone_number_id"),
        (json!({"phone_number": "x"}), "invalid_phone_number", "phone_number"),
        (json!({"access_token": null}), "missing_required_field", "access_token"),
        (json!({"access_token": "a b"}), "invalid_field_value", "access_token"),
    ] {
        let mut body =
            json!({"phone_number_id": "555666777", "phone_number": "+6281200000008", "access_token": "x"});
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        assert_eq!(server.operator.post(&path, &body).await.refused(400, code)["param"], param, "{change}");
    }
}

#[tokio::test]
async fn accounts_are_changed_by_their_number() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let path = format!("/admin/v1/accounts/{}", tenant.id);
    let changed = server.operator.patch(&path, &json!({"status": "disconnected"})).await.is(200).data();
    assert_eq!(
        (&changed["phone_number_id"], &changed["status"]),
        (&json!(tenant.id), &json!("disconnected"))
    );
    server.operator.patch(&path, &json!({"status": "connected", "messages_per_second": 5})).await.is(200);
    for (body, param) in [
        (json!({"status": "degraded"}), "status"),
        (json!({"messages_per_second": 0}), "messages_per_second"),
        (json!({"messages_per_second": "5"}), "messages_per_second"),
        (json!({"access_token": ""}), "access_token"),
    ] {
        assert_eq!(
            server.operator.patch(&path, &body).await.refused(400, "invalid_field_value")["param"],
            param
        );
    }
    let unknown =
        server.operator.patch("/admin/v1/accounts/999999999", &json!({"status": "connected"})).await;
    unknown.refused(404, "resource_not_found");
    server.operator.patch("/admin/v1/accounts/12", &json!({})).await.refused(400, "invalid_field_value");
}

#[tokio::test]
async fn keys_and_users_need_their_fields() {
    let server = TestServer::start().await;
    let organisation = server.organisation(&json!({"name": "O"})).await;
    let of = |tail: &str| format!("{ORGANIZATIONS}/{organisation}/{tail}");
    for (tail, body, code, param) in [
        ("api_keys", json!({}), "missing_required_field", "label"),
        ("api_keys", json!({"label": ""}), "invalid_field_value", "label"),
        ("api_keys", json!({"label": "x", "expires_at": 1}), "invalid_field_value", "expires_at"),
        ("users", json!({}), "missing_required_field", "name"),
        ("users", json!({"name": ""}), "invalid_field_value", "name"),
        ("users", json!({"name": "x", "email": 1}), "invalid_field_value", "email"),
    ] {
        assert_eq!(
            server.operator.post(&of(tail), &body).await.refused(400, code)["param"],
            param,
            "{tail} {body}"
        );
    }
    server
        .operator
        .delete("/admin/v1/api_keys/key_00000000000000000000000000")
        .await
        .refused(404, "resource_not_found");
    server.operator.delete("/admin/v1/api_keys/x").await.refused(400, "invalid_field_value");
}

#[tokio::test]
async fn actors_tell_how_resident_accounts_are() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(3).await;
    tenant.get("conversations").await;
    tenant.get("conversations").await;
    let actors = server.operator.get("/admin/v1/actors").await;
    let row = actors.json()["data"][0].clone();
    assert_eq!((&row["phone_number_id"], &row["conversations"]), (&json!(tenant.id), &json!(3)));
    assert!(row["sequence"].as_i64().unwrap() >= 3);
    assert_eq!(
        (&row["horizon"], &row["waiting_polls"], &row["mailbox_depth"]),
        (&Value::Null, &json!(0), &json!(0))
    );
    assert!(row["cache_hit_ratio"].as_f64().unwrap() > 0.0);
    assert!(row["cycles_per_second"].is_number());
}

#[tokio::test]
async fn the_operator_has_no_budget_and_everything_survives_a_restart() {
    let mut server = TestServer::start().await;
    let tenant = server.tenant().await;
    server.user(&tenant.organisation, "Rani").await;
    tenant.hears(&from(1), "hello").await;
    // Before the list of keys, which shows their last use.
    let (users, accounts) =
        (tenant.api.get("/v1/users").await.rows(), tenant.api.get("/v1/accounts").await.rows());
    let lists = [ORGANIZATIONS.to_owned(), format!("{ORGANIZATIONS}/{}/api_keys", tenant.organisation)];
    let mut before = Vec::new();
    for list in &lists {
        let page = server.operator.get(list).await;
        assert_eq!(page.header("X-RateLimit-Limit"), None);
        before.push(page.rows());
    }
    server.restart().await;
    for (list, rows) in lists.iter().zip(before) {
        assert_eq!(server.operator.get(list).await.rows(), rows);
    }
    assert_eq!(tenant.api.get("/v1/users").await.rows(), users);
    assert_eq!(tenant.api.get("/v1/accounts").await.rows(), accounts);
}
