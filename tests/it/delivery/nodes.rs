//! Several nodes on one PostgreSQL: whoever serves an account brings its events, wherever tenants speak.

use serde_json::{Value, json};

use super::{
    attempts, deliveries, set_status, subscribe, subscription, until_attempts, until_deliveries, until_status,
};
use crate::harness::nodes::{heard_of, nodes, until_known};
use crate::harness::{Receiver, Turn, from, text, until_matches};

const LOOPBACK: &[(&str, &str)] = &[("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true")];

#[tokio::test]
async fn what_is_said_at_one_node_holds_where_the_account_is_served() {
    let [one, two] = nodes(LOOPBACK).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    here.hears(&from(0), "before").await;
    let receiver = Receiver::start().await;
    let (id, secret) = subscribe(&there, &receiver).await;
    here.hears(&from(0), "one").await;
    let calls = receiver.until(1).await;
    assert_eq!((calls[0].said().as_str(), calls[0].signers(&[&secret]).1.len()), ("one", 1));
    let row = until_deliveries(&there, "status=delivered", 1).await.remove(0);
    assert_eq!(deliveries(&here, "").await, std::slice::from_ref(&row));
    // A replay, a replay of the log and a pause, each at the node that does not serve the account.
    let path = format!("/v1/webhook_deliveries/{}/replay", text(&row["id"]));
    there.api.post(&path, &json!({})).await.is(200);
    assert_eq!(receiver.until(2).await[1].attempt(), 2);
    // Else the next replay could be asked for while this one is under way, and make a further attempt.
    until_attempts(&there, 2).await;
    until_known(&here, &format!("/v1/webhook_subscriptions/{id}")).await;
    let body = json!({"phone_number_id": here.id, "from_sequence": 0});
    let path = format!("/v1/webhook_subscriptions/{id}/replay");
    assert_eq!(there.api.post(&path, &body).await.is(200).data()["enqueued"], 2);
    let said: Vec<String> = receiver.until(4).await[2..].iter().map(crate::harness::Call::said).collect();
    assert_eq!(said, ["before", "one"]);
    set_status(&there, &id, "paused").await;
    until_status(&here, &id, "paused").await;
    here.hears(&from(0), "two").await;
    set_status(&there, &id, "active").await;
    assert_eq!(receiver.until(5).await[4].said(), "two");
    assert_eq!(
        (one.metric("kabar_delivery_workers").await, two.metric("kabar_delivery_workers").await),
        (1, 0)
    );
    there.api.delete(&format!("/v1/webhook_subscriptions/{id}")).await.is(204);
    let path = format!("/v1/webhook_subscriptions/{id}");
    until_matches(async || here.api.get(&path).await, |answer| answer.status == 404).await;
}

#[tokio::test]
async fn a_replay_at_one_node_outlasts_the_attempt_that_is_under_way_at_another() {
    let [one, two] = nodes(LOOPBACK).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    let receiver = Receiver::start().await;
    subscribe(&here, &receiver).await;
    for round in 0..3 {
        receiver.plays(|_| Turn::Hang);
        here.hears(&from(round), "hello").await;
        receiver.until(2 * round + 1).await;
        let row = deliveries(&there, "status=pending").await.remove(0);
        let path = format!("/v1/webhook_deliveries/{}/replay", text(&row["id"]));
        there.api.post(&path, &json!({})).await.is(200);
        receiver.plays(|_| Turn::status(200));
        let calls = receiver.until(2 * round + 2).await;
        assert_eq!((calls[2 * round].attempt(), calls[2 * round + 1].attempt()), (1, 2));
        let done = until_deliveries(&here, "status=delivered", round + 1).await.remove(0);
        assert_eq!((&done["id"], attempts(&done).len()), (&row["id"], 2));
    }
}

#[tokio::test]
async fn an_attempt_of_a_node_that_hands_over_does_not_end_a_replay_at_its_successor() {
    let [mut one, two] = nodes(LOOPBACK).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&here, &receiver).await;
    receiver.plays(|_| Turn::Hang);
    here.hears(&from(0), "hello").await;
    receiver.until(1).await;
    // While the attempt is under way it is asked for again, and its node hands the account over. Being
    // paused, the subscription shows what has become of the replay.
    set_status(&there, &id, "paused").await;
    until_status(&here, &id, "paused").await;
    let row = deliveries(&there, "status=pending").await.remove(0);
    let path = format!("/v1/webhook_deliveries/{}/replay", text(&row["id"]));
    there.api.post(&path, &json!({})).await.is(200);
    receiver.plays(|_| Turn::status(200));
    one.stop().await;
    until_deliveries(&there, "status=pending", 1).await;
    assert_eq!(receiver.count(), 1);
    set_status(&there, &id, "active").await;
    receiver.until(2).await;
    until_deliveries(&there, "status=delivered", 1).await;
}

#[tokio::test]
async fn the_node_that_takes_over_brings_what_was_left() {
    let [mut one, two] = nodes(LOOPBACK).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&here, &receiver).await;
    here.hears(&from(0), "one").await;
    receiver.until(1).await;
    until_deliveries(&here, "status=delivered", 1).await;
    set_status(&here, &id, "paused").await;
    here.hears(&from(0), "two").await;
    here.hears(&from(1), "three").await;
    until_known(&there, &format!("/v1/webhook_subscriptions/{id}")).await;
    one.stop().await;
    let known: Value = until_status(&there, &id, "paused").await;
    assert_eq!(known, subscription(&there, &id).await);
    set_status(&there, &id, "active").await;
    there.hears(&from(0), "four").await;
    receiver.until(4).await;
    until_deliveries(&there, "status=delivered", 4).await;
    assert_eq!(receiver.conversations()[&format!("+{}", from(0))], ["one", "two", "four"]);
    assert_eq!(receiver.count(), 4, "each once, since nobody died");
}
