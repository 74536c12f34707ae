//! Making, reading, changing and deleting subscriptions.

use serde_json::json;

use super::{deliveries, set_status, stage, subscribe, subscription, until_deliveries};
use crate::harness::{Receiver, TestServer, Turn, check_object, from, keys_of, text};

const PATH: &str = "/v1/webhook_subscriptions";

#[tokio::test]
async fn a_subscription_is_made_read_changed_and_deleted() {
    let (_server, tenant) = stage().await;
    let body = json!({"url": "https://hooks.example.com/a", "events": ["message.status", "message.received"],
        "description": "tracker"});
    let made = tenant.api.post(PATH, &body).await.is(201).data();
    check_object(&made);
    let mut keys = vec![
        "created_at",
        "created_by",
        "description",
        "events",
        "format",
        "id",
        "initial_secret",
        "object",
        "secrets",
        "status",
        "updated_at",
        "url",
    ];
    assert_eq!(keys_of(&made), keys.iter().copied().collect());
    assert_eq!(
        (&made["status"], &made["events"]),
        (&json!("active"), &json!(["message.received", "message.status"]))
    );
    assert_eq!(made["secrets"].as_array().unwrap().len(), 1);
    check_object(&made["secrets"][0]);
    let path = format!("{PATH}/{}", text(&made["id"]));
    let found = tenant.api.get(&path).await.is(200);
    // The secret is shown once.
    assert!(!String::from_utf8_lossy(&found.body).contains("whsec_"));
    keys.retain(|key| *key != "initial_secret");
    assert_eq!(keys_of(&found.data()), keys.iter().copied().collect());
    let changes = json!({"url": "https://hooks.example.com/b", "events": ["contact.created"], "description": null,
        "status": "paused", "unknown": 1});
    let changed = tenant.api.patch(&path, &changes).await.is(200).data();
    assert_eq!(
        (&changed["url"], &changed["events"], &changed["description"], &changed["status"]),
        (&json!("https://hooks.example.com/b"), &json!(["contact.created"]), &json!(null), &json!("paused"))
    );
    assert_eq!(tenant.api.patch(&path, &json!({})).await.is(200).data()["url"], changed["url"]);
    let deleted = tenant.api.delete(&path).await.is(204);
    assert!(deleted.body.is_empty());
    for answer in [
        tenant.api.get(&path).await,
        tenant.api.patch(&path, &json!({})).await,
        tenant.api.delete(&path).await,
        tenant.api.post(&format!("{path}/secrets"), &json!({})).await,
    ] {
        answer.refused(404, "resource_not_found");
    }
}

#[tokio::test]
async fn the_list_is_paged_newest_first_and_ones_own() {
    let (server, tenant) = stage().await;
    let mut made = Vec::new();
    for n in 0..5 {
        let body = json!({"url": format!("https://hooks.example.com/{n}"), "events": ["message.status"]});
        made.push(tenant.api.post(PATH, &body).await.is(201).data()["id"].clone());
    }
    made.reverse();
    let mut page = tenant.api.get(&format!("{PATH}?limit=2")).await;
    let mut seen = page.column("id");
    while let Some(cursor) = page.cursor() {
        page = tenant.api.get(&format!("{PATH}?limit=2&cursor={cursor}")).await;
        seen.extend(page.column("id"));
    }
    assert_eq!(seen, made);
    tenant.api.get(&format!("{PATH}?limit=0")).await.refused(400, "invalid_limit");
    tenant.api.get(&format!("{PATH}?cursor=x")).await.refused(400, "invalid_cursor");
    let stranger = server.tenant().await;
    assert!(stranger.api.get(PATH).await.rows().is_empty());
    let path = format!("{PATH}/{}", text(&made[0]));
    for answer in [
        stranger.api.get(&path).await,
        stranger.api.patch(&path, &json!({"status": "paused"})).await,
        stranger.api.delete(&path).await,
        stranger.api.post(&format!("{path}/secrets"), &json!({})).await,
        stranger
            .api
            .post(&format!("{path}/replay"), &json!({"phone_number_id": tenant.id, "from_sequence": 0}))
            .await,
    ] {
        answer.refused(404, "resource_not_found");
    }
    assert_eq!(subscription(&tenant, made[0].as_str().unwrap()).await["status"], "active");
}

#[tokio::test]
async fn a_repeated_request_makes_one_subscription_and_tells_its_secret_again() {
    let (_server, tenant) = stage().await;
    let body = json!({"url": "https://hooks.example.com/", "events": ["message.status"]});
    let key = [("Idempotency-Key", "make one")];
    let first = tenant.api.post_with(PATH, &key, &body).await.is(201);
    let again = tenant.api.post_with(PATH, &key, &body).await.is(201);
    assert_eq!(
        (first.must("Idempotent-Replayed"), again.must("Idempotent-Replayed")),
        ("false".into(), "true".into())
    );
    assert_eq!(first.data(), again.data());
    assert_eq!(tenant.api.get(PATH).await.rows().len(), 1);
    let other = json!({"url": "https://hooks.example.com/", "events": ["contact.created"]});
    tenant.api.post_with(PATH, &key, &other).await.refused(422, "idempotency_key_reuse");
    let bad = json!({"url": "http://hooks.example.com:1/", "events": ["message.status"]});
    for replayed in ["false", "true"] {
        let refused = tenant.api.post_with(PATH, &[("Idempotency-Key", "bad")], &bad).await;
        refused.refused(400, "invalid_webhook_url");
        assert_eq!(refused.must("Idempotent-Replayed"), replayed);
    }
}

#[tokio::test]
async fn a_tenant_has_a_bounded_number_of_them() {
    let server = TestServer::shaped(|options| {
        options.set("KABAR_LIMITS__WEBHOOK_SUBSCRIPTIONS_PER_ORGANIZATION", "2");
    })
    .await;
    let (tenant, other) = (server.tenant().await, server.tenant().await);
    let body = json!({"url": "https://hooks.example.com/", "events": ["message.status"]});
    let first = tenant.api.post(PATH, &body).await.is(201).data();
    tenant.api.post(PATH, &body).await.is(201);
    tenant.api.post(PATH, &body).await.refused(403, "plan_limit_reached");
    other.api.post(PATH, &body).await.is(201);
    tenant.api.delete(&format!("{PATH}/{}", text(&first["id"]))).await.is(204);
    tenant.api.post(PATH, &body).await.is(201);
}

#[tokio::test]
async fn what_comes_while_it_is_paused_comes_when_it_goes_on() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "one").await;
    receiver.until(1).await;
    until_deliveries(&tenant, "status=delivered", 1).await;
    set_status(&tenant, &id, "paused").await;
    tenant.hears(&from(0), "two").await;
    tenant.hears(&from(1), "three").await;
    // A witness who is not paused gets them; by then the paused one would have, too.
    let witness = Receiver::start().await;
    subscribe(&tenant, &witness).await;
    tenant.hears(&from(2), "four").await;
    witness.until(1).await;
    assert_eq!(receiver.count(), 1);
    set_status(&tenant, &id, "active").await;
    receiver.until(4).await;
    assert_eq!(receiver.conversations()[&format!("+{}", from(0))], ["one", "two"]);
}

#[tokio::test]
async fn a_deleted_one_gets_nothing_more_and_what_it_was_owed_is_dead() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|_| Turn::status(500));
    let (id, _) = subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "one").await;
    until_deliveries(&tenant, "status=failed", 1).await;
    tenant.api.delete(&format!("{PATH}/{id}")).await.is(204);
    let row = deliveries(&tenant, &format!("subscription_id={id}")).await.remove(0);
    assert_eq!((&row["status"], &row["next_attempt_at"]), (&json!("dead"), &json!(null)));
    tenant.clock.advance_manual(std::time::Duration::from_hours(1));
    let witness = Receiver::start().await;
    subscribe(&tenant, &witness).await;
    tenant.hears(&from(0), "two").await;
    witness.until(1).await;
    assert_eq!(receiver.count(), 1);
    // It can be seen still, and not be sent again.
    let path = format!("/v1/webhook_deliveries/{}", text(&row["id"]));
    tenant.api.get(&path).await.is(200);
    tenant.api.post(&format!("{path}/replay"), &json!({})).await.refused(404, "resource_not_found");
}

#[tokio::test]
async fn subscriptions_outlive_a_restart() {
    let (mut server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|_| Turn::status(503));
    let (id, secret) = subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "one").await;
    until_deliveries(&tenant, "status=failed", 1).await;
    let before = subscription(&tenant, &id).await;
    server.restart().await;
    assert_eq!(subscription(&tenant, &id).await, before);
    receiver.plays(|_| Turn::status(200));
    // Nobody asks for the account: it is taken up by itself.
    server.clock.advance_manual(std::time::Duration::from_mins(1));
    let calls = receiver.until(2).await;
    assert_eq!((calls[1].attempt(), calls[1].signers(&[&secret]).1.len()), (2, 1));
    assert_eq!(calls[0].header("X-Kirim-Delivery-Id"), calls[1].header("X-Kirim-Delivery-Id"));
}
