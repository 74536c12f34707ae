//! Sending again: one, many, and a part of a log.

use std::time::Duration;

use serde_json::{Value, json};

use super::{deliveries, set_status, stage, subscribe, until_attempts, until_deliveries, until_status};
use crate::harness::{
    Answer, PAGE_LIFE, Receiver, Tenant, Turn, from, keys_of, text, until_advancing, until_matches,
};

async fn replay_log(tenant: &Tenant, id: &str, from: i64, to: Option<i64>) -> Answer {
    let body = json!({"phone_number_id": tenant.id, "from_sequence": from, "to_sequence": to});
    tenant.api.post(&format!("/v1/webhook_subscriptions/{id}/replay"), &body).await
}

async fn numbers(tenant: &Tenant) -> Vec<i64> {
    let listed = tenant.get("events?types=message.received&limit=100").await.envelope();
    listed["data"].as_array().unwrap().iter().map(|event| event["sequence"].as_i64().unwrap()).collect()
}

#[tokio::test]
async fn one_is_sent_again_with_its_ids_and_a_new_signature() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (_, secret) = subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "hello").await;
    let row = until_deliveries(&tenant, "status=delivered", 1).await.remove(0);
    let path = format!("/v1/webhook_deliveries/{}/replay", text(&row["id"]));
    server.clock.advance_manual(Duration::from_mins(1));
    let answer = tenant.api.post(&path, &json!({})).await.is(200).data();
    assert_eq!((&answer["id"], &answer["status"]), (&row["id"], &json!("pending")));
    assert_eq!(keys_of(&answer), super::DELIVERY_KEYS.into());
    let calls = receiver.until(2).await;
    assert_eq!(calls[1].attempt(), 2);
    for header in ["X-Kirim-Event-Id", "X-Kirim-Delivery-Id"] {
        assert_eq!(calls[0].header(header), calls[1].header(header));
    }
    assert_eq!(calls[1].signers(&[&secret]).0 - calls[0].signers(&[&secret]).0, 60);
    until_attempts(&tenant, 2).await;
    // With a key it is sent again once.
    let key = [("Idempotency-Key", "again")];
    for replayed in ["false", "true"] {
        let answer = tenant.api.post_with(&path, &key, &json!({})).await.is(200);
        assert_eq!(answer.must("Idempotent-Replayed"), replayed);
    }
    receiver.until(3).await;
    let done = |row: &Value| row["attempts"].as_array().unwrap().len() == 3;
    until_matches(
        async || deliveries(&tenant, "status=delivered").await,
        |rows| rows.first().is_some_and(done),
    )
    .await;
    assert_eq!(receiver.count(), 3);
}

#[tokio::test]
async fn a_replay_during_an_attempt_is_a_further_attempt_whatever_became_of_that_one() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&tenant, &receiver).await;
    for (author, status) in [200, 400, 500].into_iter().enumerate() {
        let before = receiver.count();
        receiver.plays(|_| Turn::Hang);
        tenant.hears(&from(author), "one").await;
        receiver.until(before + 1).await;
        // Asked for in every way while the attempt is under way.
        let row = deliveries(&tenant, "status=pending").await.remove(0);
        let path = format!("/v1/webhook_deliveries/{}/replay", text(&row["id"]));
        tenant.api.post(&path, &json!({})).await.is(200);
        let body = json!({"subscription_id": id, "status": "pending"});
        let bulk = tenant.api.post("/v1/webhook_deliveries/bulk_replay", &body).await.is(200).data();
        assert_eq!(bulk["enqueued"], 1);
        let last = *numbers(&tenant).await.last().unwrap();
        assert_eq!(replay_log(&tenant, &id, last, None).await.is(200).data()["enqueued"], 1);
        receiver.plays(move |call| {
            Turn::status(if call.said() == "one" && call.attempt() == 1 { status } else { 200 })
        });
        receiver.until(before + 2).await;
        // It is once more, because what the contact writes next comes after that.
        tenant.hears(&from(author), "two").await;
        let calls = receiver.until(before + 3).await;
        let said: Vec<_> = calls[before..].iter().map(|call| (call.said(), call.attempt())).collect();
        assert_eq!(said, [("one".into(), 1), ("one".into(), 2), ("two".into(), 1)], "{status}");
        let done = until_deliveries(&tenant, "status=delivered", 2 * (author + 1)).await.remove(1);
        assert_eq!((&done["id"], done["attempts"].as_array().unwrap().len()), (&row["id"], 2));
        assert_eq!(done["attempts"][0]["status_code"], status, "the attempt is kept");
    }
}

#[tokio::test]
async fn many_are_sent_again_as_the_filters_say() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|call| Turn::status(if call.said() == "bad" { 400 } else { 200 }));
    let (id, _) = subscribe(&tenant, &receiver).await;
    for (author, said) in [(0, "bad"), (1, "fine"), (2, "bad"), (3, "fine")] {
        tenant.hears(&from(author), said).await;
    }
    until_deliveries(&tenant, "status=dead", 2).await;
    until_deliveries(&tenant, "status=delivered", 2).await;
    receiver.plays(|_| Turn::status(200));
    let path = "/v1/webhook_deliveries/bulk_replay";
    let body = json!({"subscription_id": id, "status": "dead", "event_type": "message.received"});
    let key = [("Idempotency-Key", "the dead")];
    let answer = tenant.api.post_with(path, &key, &body).await.is(200).data();
    assert_eq!(answer, json!({"enqueued": 2, "capped": false}));
    let again = tenant.api.post_with(path, &key, &body).await.is(200).data();
    assert_eq!(again, answer);
    until_deliveries(&tenant, "status=delivered", 4).await;
    assert_eq!(receiver.count(), 6);
    assert_eq!(tenant.api.post(path, &body).await.is(200).data()["enqueued"], 0);
    let none = json!({"subscription_id": id, "created_before": "2020-01-01T00:00:00Z"});
    assert_eq!(tenant.api.post(path, &none).await.is(200).data()["enqueued"], 0);
    for (body, code) in [
        (json!({}), "missing_required_field"),
        (json!({"subscription_id": "x"}), "invalid_field_value"),
        (json!({"subscription_id": id, "status": "x"}), "invalid_field_value"),
        (json!({"subscription_id": id, "created_after": 1}), "invalid_field_value"),
    ] {
        tenant.api.post(path, &body).await.refused(400, code);
    }
}

#[tokio::test]
async fn a_part_of_the_log_is_sent_again_and_what_is_older_than_the_subscription_too() {
    let (_server, tenant) = stage().await;
    tenant.hears(&from(0), "before").await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "one").await;
    tenant.hears(&from(0), "two").await;
    until_deliveries(&tenant, "status=delivered", 2).await;
    let numbers = numbers(&tenant).await;
    let answer = replay_log(&tenant, &id, numbers[0], Some(numbers[1])).await.is(200).data();
    assert_eq!(answer, json!({"enqueued": 2, "capped": false, "last_sequence": numbers[1]}));
    let calls = receiver.until(4).await;
    let said: Vec<String> = calls.iter().map(crate::harness::Call::said).collect();
    assert_eq!(said, ["one", "two", "before", "one"]);
    assert_eq!(calls[3].header("X-Kirim-Delivery-Id"), calls[0].header("X-Kirim-Delivery-Id"));
    until_deliveries(&tenant, "status=delivered", 3).await;
    // From the oldest that is kept; a stopped subscription gets it when it goes on.
    set_status(&tenant, &id, "paused").await;
    until_status(&tenant, &id, "paused").await;
    let answer = replay_log(&tenant, &id, 0, None).await.is(200).data();
    assert_eq!((&answer["enqueued"], &answer["capped"]), (&json!(3), &json!(false)));
    until_deliveries(&tenant, "status=pending", 3).await;
    assert_eq!(receiver.count(), 4);
    set_status(&tenant, &id, "active").await;
    receiver.until(7).await;
    let said = receiver.conversations()[&format!("+{}", from(0))][4..].to_vec();
    assert_eq!(said, ["before", "one", "two"]);
}

#[tokio::test]
async fn a_long_part_is_sent_in_steps() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&tenant, &receiver).await;
    set_status(&tenant, &id, "paused").await;
    let messages: Vec<Value> = (0..1100)
        .map(|nth| crate::harness::text_from(&from(nth % 7), server.clock.read_now(), "hi"))
        .collect();
    for part in messages.chunks(550) {
        tenant.receives(part).await;
    }
    set_status(&tenant, &id, "active").await;
    receiver.until(1100).await;
    // Else a replay could be asked for while an attempt is under way, and make a further one.
    until_deliveries(&tenant, "status=pending", 0).await;
    let first = replay_log(&tenant, &id, 1, None).await.is(200).data();
    assert_eq!((&first["enqueued"], &first["capped"]), (&json!(1000), &json!(true)));
    let next = first["last_sequence"].as_i64().unwrap() + 1;
    let second = replay_log(&tenant, &id, next, None).await.is(200).data();
    assert_eq!((&second["enqueued"], &second["capped"]), (&json!(100), &json!(false)));
    receiver.until(2200).await;
}

#[tokio::test]
async fn parts_that_are_not_kept_and_nonsense_are_refused() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "old").await;
    until_deliveries(&tenant, "status=delivered", 1).await;
    let old = numbers(&tenant).await[0];
    server.clock.advance_manual(Duration::from_hours(31 * 24));
    tenant.hears(&from(0), "new").await;
    // The purge goes by the clock, and a page read before it is served for a while.
    until_advancing(&server.clock, PAGE_LIFE, async || !numbers(&tenant).await.contains(&old)).await;
    let refused = replay_log(&tenant, &id, old, None).await.refused(410, "position_expired");
    assert_eq!(refused["param"], "from_sequence");
    let path = format!("/v1/webhook_subscriptions/{id}/replay");
    let number = &tenant.id;
    for (body, code) in [
        (json!({"from_sequence": 1}), "missing_required_field"),
        (json!({"phone_number_id": number}), "missing_required_field"),
        (json!({"phone_number_id": "x", "from_sequence": 1}), "invalid_field_value"),
        (json!({"phone_number_id": number, "from_sequence": -1}), "invalid_field_value"),
        (json!({"phone_number_id": number, "from_sequence": 9, "to_sequence": 8}), "invalid_field_value"),
    ] {
        tenant.api.post(&path, &body).await.refused(400, code);
    }
    let stranger = server.tenant().await;
    let body = json!({"phone_number_id": stranger.id, "from_sequence": 0});
    tenant.api.post(&path, &body).await.refused(404, "resource_not_found");
}
