//! Contract, section 28: the sends of a suspended organisation stand still and go on afterwards, in order.

use std::time::Duration;

use serde_json::json;

use super::phone;
use crate::harness::{Tenant, TestServer, from, text, until, until_advancing};

async fn set_suspended(server: &TestServer, tenant: &Tenant, suspended: bool) {
    let path = format!("/admin/v1/organizations/{}", tenant.organisation);
    server.operator.patch(&path, &json!({"suspended": suspended})).await.is(200);
}

/// A witness: another tenant's message leaves, so by then one of the suspended tenant would have, too.
async fn another_is_sent(server: &TestServer) {
    server.tenant().await.sent(&from(99)).await;
}

#[tokio::test]
async fn what_waits_is_sent_in_order_afterwards_also_by_a_server_that_was_restarted() {
    let mut server = TestServer::manual().await;
    let tenant = server.tenant().await;
    server.set_pace(&tenant, 1).await;
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(text(&tenant.sends(&from(1)).await["id"]));
    }
    until(async || server.simulator.sends_to(&phone(1)) > 0).await;
    // What is under way ends.
    tenant.message_when(&ids[0], |message| message["sent_at"].is_string()).await;
    let before = server.simulator.sends_to(&phone(1));
    assert!(before < 5, "the pace lets {before} go");
    set_suspended(&server, &tenant, true).await;
    server.clock.advance_manual(Duration::from_mins(10));
    another_is_sent(&server).await;
    assert_eq!(server.simulator.sends_to(&phone(1)), before);
    // WhatsApp is heard all the same.
    tenant.hears(&from(2), "are you there?").await;
    server.restart().await;
    another_is_sent(&server).await;
    assert_eq!(server.simulator.sends_to(&phone(1)), before);
    set_suspended(&server, &tenant, false).await;
    until_advancing(&server.clock, Duration::from_millis(500), async || {
        server.simulator.sends_to(&phone(1)) >= 5
    })
    .await;
    let sends = server.simulator.sends().into_iter().filter(|send| send.to.phone() == Some(&phone(1)));
    assert_eq!(sends.map(|send| send.opaque.unwrap()).collect::<Vec<_>>(), ids, "each once, in order");
    tenant.conversation_with(&from(2)).await;
}

#[tokio::test]
async fn what_waits_is_sent_without_a_restart_too() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    server.set_pace(&tenant, 1).await;
    for nth in 0..4 {
        tenant.sends(&from(nth)).await;
    }
    set_suspended(&server, &tenant, true).await;
    another_is_sent(&server).await;
    set_suspended(&server, &tenant, false).await;
    until_advancing(&server.clock, Duration::from_millis(500), async || {
        (0..4).all(|nth| server.simulator.sends_to(&phone(nth)) == 1)
    })
    .await;
}
