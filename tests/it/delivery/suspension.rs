//! Contract, section 28: the webhooks of a suspended organisation stand still and go on afterwards, in order.

use std::time::Duration;

use kabar_core::clock::Clock;
use serde_json::json;

use super::{attempts, stage, subscribe, until_attempts, until_deliveries};
use crate::harness::restarts::{Environment, Lives};
use crate::harness::{
    Child, InboundWebhook, OPERATOR_TOKEN, Receiver, Tenant, TestServer, Turn, from, text, text_from,
    until_matches,
};

async fn set_suspended(server: &TestServer, tenant: &Tenant, suspended: bool) {
    let path = format!("/admin/v1/organizations/{}", tenant.organisation);
    server.operator.patch(&path, &json!({"suspended": suspended})).await.is(200);
}

/// A witness: another tenant's event is brought, so by then one of the suspended tenant would have been, too.
async fn another_is_told(server: &TestServer) {
    let (other, receiver) = (server.tenant().await, Receiver::start().await);
    subscribe(&other, &receiver).await;
    other.hears(&from(0), "hello").await;
    receiver.until(1).await;
}

#[tokio::test]
async fn what_comes_meanwhile_is_brought_in_order_afterwards_and_uses_up_no_attempt() {
    let (mut server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "one").await;
    receiver.until(1).await;
    until_deliveries(&tenant, "status=delivered", 1).await;
    set_suspended(&server, &tenant, true).await;
    tenant.hears(&from(0), "two").await;
    another_is_told(&server).await;
    assert_eq!(receiver.count(), 1);
    // A restart changes nothing.
    server.restart().await;
    tenant.hears(&from(1), "three").await;
    tenant.hears(&from(0), "four").await;
    another_is_told(&server).await;
    assert_eq!(receiver.count(), 1);
    set_suspended(&server, &tenant, false).await;
    let calls = receiver.until(4).await;
    assert!(calls.iter().all(|call| call.attempt() == 1));
    assert_eq!(receiver.conversations()[&format!("+{}", from(0))], ["one", "two", "four"]);
    let told = until_deliveries(&tenant, "status=delivered", 4).await;
    assert!(told.iter().all(|row| attempts(row).len() == 1), "{told:?}");
}

#[tokio::test]
async fn an_attempt_that_becomes_due_meanwhile_is_made_afterwards() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|_| Turn::status(503));
    subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "one").await;
    until_attempts(&tenant, 1).await;
    set_suspended(&server, &tenant, true).await;
    server.clock.advance_manual(Duration::from_hours(72));
    another_is_told(&server).await;
    assert_eq!(receiver.count(), 1);
    receiver.plays(|_| Turn::status(200));
    set_suspended(&server, &tenant, false).await;
    let calls = receiver.until(2).await;
    assert_eq!(calls[1].attempt(), 2);
    until_deliveries(&tenant, "status=delivered", 1).await;
}

const SETTINGS: Environment = &[("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true")];

#[tokio::test]
async fn a_server_that_is_killed_meanwhile_brings_all_of_it_afterwards() {
    let (lives, child) = Lives::begin(Child::lasting_address(), "http://127.0.0.1:9", SETTINGS).await;
    let (receiver, clock) = (Receiver::start().await, Clock::system_clock());
    let api = lives.client(&child);
    let body = json!({"url": receiver.url(), "events": ["message.received"]});
    api.post("/v1/webhook_subscriptions", &body).await.is(201);
    let organisation = text(&api.get("/v1/me").await.data()["organization"]["id"]);
    let path = format!("/admin/v1/organizations/{organisation}");
    let say = async |child: &Child, said: &str| {
        let message = text_from(&from(0), clock.read_now(), said);
        InboundWebhook::default().messages(&lives.business.id, &[message]).post(&child.anyone).await.is(200);
    };
    let suspend = async |child: &Child, suspended: bool| {
        let operator = child.anyone.with_token(OPERATOR_TOKEN);
        operator.patch(&path, &json!({"suspended": suspended})).await.is(200);
    };
    say(&child, "one").await;
    receiver.until(1).await;
    suspend(&child, true).await;
    say(&child, "two").await;
    child.kill().await;
    let child = lives.again().await;
    say(&child, "three").await;
    child.kill().await;
    let child = lives.again().await;
    assert_eq!(receiver.count(), 1);
    suspend(&child, false).await;
    receiver.until(3).await;
    assert_eq!(receiver.conversations()[&format!("+{}", from(0))], ["one", "two", "three"]);
    let api = lives.client(&child);
    let delivered = async || api.get("/v1/webhook_deliveries?status=delivered").await.rows().len();
    until_matches(delivered, |rows| *rows == 3).await;
}
