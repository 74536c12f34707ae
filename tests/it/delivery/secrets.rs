//! Signing secrets, and how one takes over from another.

use std::time::Duration;

use serde_json::json;

use super::{stage, subscribe, subscription, until_deliveries};
use crate::harness::{Receiver, Tenant, check_object, from, keys_of, text};

const HOUR: Duration = Duration::from_hours(1);

async fn add(tenant: &Tenant, id: &str, body: &serde_json::Value) -> String {
    let path = format!("/v1/webhook_subscriptions/{id}/secrets");
    let made = tenant.api.post(&path, body).await.is(201).data();
    check_object(&made);
    assert_eq!(keys_of(&made), ["created_at", "created_by", "expires_at", "id", "object", "secret"].into());
    assert_eq!(made["expires_at"], json!(null));
    text(&made["secret"])
}

#[tokio::test]
async fn a_new_secret_signs_at_once_and_the_older_one_until_it_expires() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (id, first) = subscribe(&tenant, &receiver).await;
    let second = add(&tenant, &id, &json!({})).await;
    assert_ne!(first, second);
    let secrets = [first.as_str(), second.as_str()];
    tenant.hears(&from(0), "both").await;
    assert_eq!(receiver.until(1).await[0].signers(&secrets).1, [second.as_str(), first.as_str()]);
    let shown = subscription(&tenant, &id).await["secrets"].clone();
    let expiries: Vec<bool> =
        shown.as_array().unwrap().iter().map(|one| one["expires_at"].is_null()).collect();
    assert_eq!(expiries, [false, true], "{shown}");
    server.clock.advance_manual(24 * HOUR);
    tenant.hears(&from(0), "one").await;
    assert_eq!(receiver.until(2).await[1].signers(&secrets).1, [second.as_str()]);
    assert_eq!(subscription(&tenant, &id).await["secrets"].as_array().unwrap().len(), 1);
}

#[tokio::test]
async fn an_attempt_is_signed_by_the_secrets_of_its_own_time() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|_| crate::harness::Turn::status(503));
    let (id, first) = subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "hello").await;
    let row = until_deliveries(&tenant, "status=failed", 1).await.remove(0);
    // At once: the first one is out of force before the second attempt.
    let second = add(&tenant, &id, &json!({"expires_in_hours": 0})).await;
    server.clock.advance_manual(super::pause(&server, &row));
    let calls = receiver.until(2).await;
    let secrets = [first.as_str(), second.as_str()];
    assert_eq!(calls[0].signers(&secrets).1, [first.as_str()]);
    assert_eq!(calls[1].signers(&secrets).1, [second.as_str()]);
    assert_eq!(calls[0].body, calls[1].body);
}

#[tokio::test]
async fn secrets_are_made_once_per_key_and_in_bounded_number() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&tenant, &receiver).await;
    let path = format!("/v1/webhook_subscriptions/{id}/secrets");
    let key = [("Idempotency-Key", "rotate")];
    let body = json!({"expires_in_hours": 168});
    let first = tenant.api.post_with(&path, &key, &body).await.is(201).data();
    assert_eq!(tenant.api.post_with(&path, &key, &body).await.is(201).data(), first);
    for _ in 2..10 {
        add(&tenant, &id, &json!({"expires_in_hours": 168})).await;
    }
    tenant.api.post(&path, &json!({})).await.refused(403, "plan_limit_reached");
    server.clock.advance_manual(168 * HOUR);
    add(&tenant, &id, &json!({})).await;
    assert_eq!(subscription(&tenant, &id).await["secrets"].as_array().unwrap().len(), 2);
    for hours in [json!(-1), json!(169), json!(1.5), json!("1")] {
        let refused = tenant.api.post(&path, &json!({"expires_in_hours": hours})).await;
        assert_eq!(refused.refused(400, "invalid_field_value")["param"], "expires_in_hours");
    }
}
