//! Contract, section 3, "Idempotency": one key, one outcome.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Answer, Tenant, TestServer, from, text, until_matches};

const KEY: &str = "order-4711";

async fn send(tenant: &Tenant, key: &str, body: &Value) -> Answer {
    tenant.api.post_with(&tenant.path("messages"), &[("Idempotency-Key", key)], body).await
}

fn replayed(answer: &Answer) -> bool {
    match &*answer.must("Idempotent-Replayed") {
        "true" => true,
        "false" => false,
        other => panic!("Idempotent-Replayed: {other}"),
    }
}

#[tokio::test]
async fn a_repeated_send_is_answered_alike_under_a_new_request_id_and_sent_once() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = Tenant::template(&from(1));
    let first = send(&tenant, KEY, &body).await.is(200);
    let again = send(&tenant, KEY, &body).await.is(200);
    assert!(!replayed(&first) && replayed(&again));
    assert_eq!(first.data(), again.data());
    assert_ne!(first.must("X-Request-Id"), again.must("X-Request-Id"));
    // Keys in another order are the same JSON.
    let turned = json!({"type": "template", "to": from(1), "messaging_product": "whatsapp",
        "template": {"language": {"code": "en_US"}, "name": "hello_world"}});
    assert!(replayed(&send(&tenant, KEY, &turned).await.is(200)));
    assert_eq!(tenant.get("messages").await.rows().len(), 1);
    tenant.message_when(&text(&first.data()["id"]), |message| message["status"] == "sent").await;
    assert_eq!(server.simulator.sends().len(), 1);
    // The stored answer does not move with the message.
    assert_eq!(send(&tenant, KEY, &body).await.data(), first.data());
}

#[tokio::test]
async fn a_key_belongs_to_one_call() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let second = server.second_account(&tenant).await;
    let body = Tenant::template(&from(1));
    send(&tenant, KEY, &body).await.is(200);
    send(&tenant, KEY, &Tenant::template(&from(2))).await.refused(422, "idempotency_key_reuse");
    send(&second, KEY, &body).await.refused(422, "idempotency_key_reuse");
    let headers = [("Idempotency-Key", KEY)];
    let contact = json!({"phone_number": "+6281200000001"});
    let answer = tenant.api.post_with(&tenant.path("contacts"), &headers, &contact).await;
    answer.refused(422, "idempotency_key_reuse");
    assert_eq!(tenant.get("messages").await.rows().len(), 1);
    assert_eq!(second.get("messages").await.rows().len(), 0);
    // Another tenant's key of the same name is another key.
    let other = server.tenant().await;
    assert!(!replayed(&send(&other, KEY, &body).await.is(200)));
}

#[tokio::test]
async fn without_a_key_two_equal_sends_are_two_messages() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let first = tenant.sends(&from(1)).await;
    assert_ne!(first["id"], tenant.sends(&from(1)).await["id"]);
    let answer = tenant.post("messages", &Tenant::template(&from(1))).await;
    assert_eq!(answer.header("Idempotent-Replayed"), None);
}

#[tokio::test]
async fn concurrent_calls_with_one_key_make_one_message() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let mut calls = JoinSet::new();
    for _ in 0..20 {
        let tenant = tenant.clone();
        calls.spawn(async move { send(&tenant, KEY, &Tenant::template(&from(1))).await });
    }
    let answers = calls.join_all().await;
    let first = answers.iter().filter(|answer| !replayed(answer)).count();
    assert_eq!(first, 1, "one of them is the first");
    assert!(answers.iter().all(|answer| answer.data() == answers[0].data()));
    assert_eq!(tenant.get("messages").await.rows().len(), 1);
}

#[tokio::test]
async fn refusals_of_the_handler_are_stored_and_those_at_the_door_are_not() {
    let server = TestServer::manual().await;
    let body = json!({"name": "E", "tier": "enterprise", "write_per_minute": 3, "read_per_minute": 1000});
    let tenant = server.tenant_of(&body).await;
    tenant.shuts_window_of(&from(1)).await;
    let letter = Tenant::letter(&from(1), "hello");
    let first = send(&tenant, KEY, &letter).await;
    let error = first.refused(422, "outside_24h_window");
    assert!(!replayed(&first));
    // The window opens, but this key's outcome is decided.
    tenant.hears(&from(1), "hi").await;
    let again = send(&tenant, KEY, &letter).await;
    assert!(replayed(&again));
    assert_eq!(again.refused(422, "outside_24h_window")["message"], error["message"]);
    // 401 and 429 decide nothing.
    let stranger = Tenant { api: server.anyone.with_token("kdv_live_nobody"), ..tenant.clone() };
    send(&stranger, "second", &letter).await.refused(401, "invalid_api_key");
    send(&tenant, "second", &letter).await.is(200);
    send(&tenant, "third", &letter).await.refused(429, "rate_limit_exceeded");
    let path = format!("/admin/v1/organizations/{}", tenant.organisation);
    // A minute's worth a millisecond, so that no time has to pass.
    server.operator.patch(&path, &json!({"write_per_minute": 10_000_000})).await.is(200);
    let retried = async || {
        server.clock.advance_manual(Duration::from_secs(1));
        send(&tenant, "third", &letter).await
    };
    assert!(!replayed(&until_matches(retried, |answer| answer.status != 429).await.is(200)));
}

#[tokio::test]
async fn contacts_and_receipts_are_idempotent_too() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let headers = [("Idempotency-Key", "c1")];
    let contact = json!({"phone_number": "+6281200000001"});
    let path = tenant.path("contacts");
    let first = tenant.api.post_with(&path, &headers, &contact).await.is(201);
    let again = tenant.api.post_with(&path, &headers, &contact).await.is(201);
    assert!(replayed(&again));
    assert_eq!(first.data(), again.data());
    let other = tenant.api.post_with(&path, &[("Idempotency-Key", "c2")], &contact).await;
    other.refused(409, "contact_already_exists");
    let wamid = tenant.hears(&from(2), "hello").await;
    let receipt = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
    let first = send(&tenant, "r1", &receipt).await.is(200);
    let again = send(&tenant, "r1", &receipt).await.is(200);
    assert!(!replayed(&first) && replayed(&again) && first.data() == again.data());
}

#[tokio::test]
async fn a_key_survives_a_restart() {
    let mut server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = Tenant::template(&from(1));
    let first = send(&tenant, KEY, &body).await.is(200);
    server.restart().await;
    let again = send(&tenant, KEY, &body).await.is(200);
    assert!(replayed(&again));
    assert_eq!(first.data(), again.data());
    send(&tenant, KEY, &Tenant::template(&from(2))).await.refused(422, "idempotency_key_reuse");
    assert_eq!(tenant.get("messages").await.rows().len(), 1);
}

#[tokio::test]
async fn a_key_is_forgotten_after_24_hours() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let body = Tenant::template(&from(1));
    let first = send(&tenant, KEY, &body).await.is(200);
    server.clock.advance_manual(std::time::Duration::from_hours(24) - std::time::Duration::from_mins(1));
    assert!(replayed(&send(&tenant, KEY, &body).await.is(200)));
    server.clock.advance_manual(std::time::Duration::from_mins(2));
    let later = send(&tenant, KEY, &body).await.is(200);
    assert!(!replayed(&later));
    assert_ne!(later.data()["id"], first.data()["id"]);
}

#[tokio::test]
async fn keys_of_the_wrong_form_are_refused() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = Tenant::template(&from(1));
    for bad in ["", "é", "a\tb", &"x".repeat(256)] {
        send(&tenant, bad, &body).await.refused(400, "invalid_field_value");
    }
    for (nth, good) in ["!", "~", "with a blank", &"x".repeat(255)].into_iter().enumerate() {
        send(&tenant, good, &body).await.is(200);
        assert_eq!(tenant.get("messages").await.rows().len(), nth + 1);
    }
    let twice = [("Idempotency-Key", "a"), ("Idempotency-Key", "b")];
    let answer = tenant.api.post_with(&tenant.path("messages"), &twice, &body).await;
    answer.refused(400, "invalid_field_value");
}

#[tokio::test]
async fn malformed_bodies_with_a_key_are_refused_alike_each_time() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let headers = [("Idempotency-Key", KEY), ("Content-Type", "application/json")];
    for _ in 0..2 {
        let answer = tenant.api.bytes("POST", &tenant.path("messages"), &headers, b"{".to_vec()).await;
        answer.refused(400, "invalid_request");
    }
    for _ in 0..2 {
        let error = send(&tenant, "k2", &json!({"messaging_product": "whatsapp"})).await;
        error.refused(400, "missing_required_field");
    }
}
