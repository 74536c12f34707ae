//! Contract, section 1: ids, instants, envelopes, objects, request ids.

use serde_json::{Value, json};

use crate::harness::{TestServer, check_object, from, is_id, keys_of, text};

mod transport;

#[tokio::test]
async fn every_key_of_every_object_is_there_and_every_instant_has_three_decimals() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    // A contact who never wrote leaves most members empty.
    tenant.post("contacts", &json!({"phone_number": "+6281200000099"})).await.is(201);
    tenant.sent(&from(2)).await;
    let failing = text(&tenant.sends("+12025132001").await["id"]);
    tenant.message_when(&failing, |message| message["status"] == "failed").await;
    server.user(&tenant.organisation, "Rani").await;
    let mut seen = 0;
    for tail in ["conversations", "messages", "contacts"] {
        for row in tenant.all(tail).await {
            check_object(&row);
            let one = tenant.get(&format!("{tail}/{}", text(&row["id"]))).await.data();
            assert_eq!(one, row, "one by itself is as in the list");
            seen += 1;
        }
    }
    assert_eq!(seen, 3 + 3 + 4, "conversations, messages, contacts");
    for path in ["/v1/accounts", "/v1/users"] {
        let rows = tenant.api.get(path).await.rows();
        assert_eq!(rows.len(), 1);
        rows.iter().for_each(check_object);
    }
    let organisation = format!("/admin/v1/organizations/{}", tenant.organisation);
    check_object(&server.operator.get(&organisation).await.data());
    let keys = server.operator.get(&format!("{organisation}/api_keys")).await.rows();
    keys.iter().for_each(check_object);
    assert!(keys[0].get("key").is_none(), "a secret is shown once");
}

#[tokio::test]
async fn nested_objects_have_the_documented_keys() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let user = server.user(&tenant.organisation, "Rani").await;
    let author = from(1);
    tenant.hears(&author, "hello").await;
    let id = text(&tenant.conversation_with(&author).await["id"]);
    let conversation =
        tenant.patch(&format!("conversations/{id}"), &json!({"assigned_to": user["id"]})).await.data();
    assert_eq!(keys_of(&conversation["contact"]), ["id", "name", "phone_number", "user_id"].into());
    assert_eq!(conversation["contact"]["name"], format!("N{author}"));
    assert_eq!(conversation["whatsapp_account"], json!({"phone_number": tenant.phone}));
    let assignee = json!({"id": user["id"], "name": "Rani", "email": "rani@example.com"});
    assert_eq!(conversation["assignee"], assignee);
    let failing = text(&tenant.sends("+12025132001").await["id"]);
    let failed = tenant.message_when(&failing, |message| message["status"] == "failed").await;
    assert_eq!(keys_of(&failed["error"]), ["code", "message", "provider_code"].into());
    let history = failed["status_history"].as_array().unwrap();
    assert!(history.iter().all(|sighting| keys_of(sighting) == ["at", "status"].into()), "{history:?}");
}

#[tokio::test]
async fn the_request_id_is_the_headers_on_hits_refusals_and_304_and_never_repeats() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let mut ids = Vec::new();
    let mut tag = String::new();
    for _ in 0..3 {
        let page = tenant.get("conversations").await;
        page.rows();
        tag = page.etag();
        ids.push(page.must("X-Request-Id"));
    }
    ids.push(tenant.get_if("conversations", &tag).await.is(304).must("X-Request-Id"));
    for path in ["/v1/me", "/v1/health", "/readyz", "/nowhere", "/v1/nowhere", "/docs", "/metrics"] {
        let answer = tenant.api.get(path).await;
        if path.ends_with("nowhere") {
            answer.refused(404, "route_not_found");
        }
        ids.push(answer.must("X-Request-Id"));
    }
    assert!(ids.iter().all(|id| is_id("req", id)), "{ids:?}");
    ids.sort_unstable();
    ids.dedup();
    assert_eq!(ids.len(), 11, "no id twice");
}

#[tokio::test]
async fn a_request_id_of_the_clients_is_not_taken_over() {
    let server = TestServer::start().await;
    let answer = server.anyone.get_with("/v1/health", &[("X-Request-Id", "req_mine")]).await;
    assert_ne!(answer.is(200).must("X-Request-Id"), "req_mine");
}

#[tokio::test]
async fn an_empty_list_is_a_whole_page() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for tail in ["conversations", "messages", "contacts"] {
        let page = tenant.get(tail).await;
        assert!(page.rows().is_empty());
        assert_eq!((&page.json()["has_more"], &page.json()["next_cursor"]), (&json!(false), &Value::Null));
    }
}

#[tokio::test]
async fn keys_that_nobody_asked_for_are_ignored() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = json!({"phone_number": "+6281200000001", "name": "Ani", "surprise": {"deep": [1]}});
    let contact = tenant.post("contacts", &body).await.is(201).data();
    let path = format!("contacts/{}", text(&contact["id"]));
    let patched = tenant.patch(&path, &json!({"name": "Budi", "phone_number": "+1", "x": 1})).await.data();
    assert_eq!((&patched["name"], &patched["phone_number"]), (&json!("Budi"), &json!("+6281200000001")));
    assert_eq!(tenant.get("conversations?surprise=1&surprise=2").await.rows().len(), 0);
}

#[tokio::test]
async fn ids_are_made_in_the_order_of_time() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(5).await;
    for tail in ["conversations", "messages", "contacts"] {
        let ids: Vec<String> = tenant.get(tail).await.column("id").iter().map(text).collect();
        let mut descending = ids.clone();
        descending.sort_unstable_by(|a, b| b.cmp(a));
        assert_eq!(ids, descending, "{tail}");
    }
}
