//! Contract, section 28: a tenant that is suspended at one node stands still at every node, and goes on at every node.

use serde_json::json;

use crate::harness::nodes::{heard_of, nodes};
use crate::harness::{Receiver, Tenant, TestServer, from, until, until_matches};

/// A further tenant of this node is told of an event; by then one of the suspended tenant would have been brought.
async fn another_is_told(node: &TestServer) {
    let (other, receiver) = (node.tenant().await, Receiver::start().await);
    let body = json!({"url": receiver.url(), "events": ["message.received"]});
    other.api.post("/v1/webhook_subscriptions", &body).await.is(201);
    other.hears(&from(0), "hello").await;
    receiver.until(1).await;
}

#[tokio::test]
async fn webhooks_and_sends_of_an_account_here_follow_what_the_operator_says_elsewhere() {
    let [one, two] = nodes(&[("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true")]).await;
    let here = one.tenant().await;
    heard_of(&two, &here).await;
    let receiver = Receiver::start().await;
    let body = json!({"url": receiver.url(), "events": ["message.received"]});
    here.api.post("/v1/webhook_subscriptions", &body).await.is(201);
    here.hears(&from(0), "one").await;
    receiver.until(1).await;
    one.set_pace(&here, 1).await;
    let mut sent = Vec::new();
    for _ in 0..3 {
        sent.push(here.post("messages", &Tenant::template(&from(0))).await.is(200).data()["id"].clone());
    }
    let path = format!("/admin/v1/organizations/{}", here.organisation);
    two.operator.patch(&path, &json!({"suspended": true})).await.is(200);
    until_matches(async || here.api.get("/v1/me").await, |answer| answer.status == 403).await;
    here.hears(&from(0), "two").await;
    here.hears(&from(0), "three").await;
    another_is_told(&one).await;
    assert_eq!(receiver.count(), 1);
    two.operator.patch(&path, &json!({"suspended": false})).await.is(200);
    receiver.until(3).await;
    assert_eq!(receiver.conversations()[&format!("+{}", from(0))], ["one", "two", "three"]);
    until(async || one.simulator.sends().len() == 3).await;
    let opaque: Vec<_> = one.simulator.sends().into_iter().map(|send| json!(send.opaque)).collect();
    assert_eq!(opaque, sent);
}
