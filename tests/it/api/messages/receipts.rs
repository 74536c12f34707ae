//! Marking as read: the message, those before it, the unread count, and what WhatsApp is told.

use serde_json::{Value, json};

use crate::harness::graph_stub::GraphStub;
use crate::harness::{Answer, Tenant, TestServer, from, patiently, text, until_matches};

async fn read(tenant: &Tenant, wamid: &str) -> Answer {
    let body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
    tenant.post("messages", &body).await
}

async fn statuses(tenant: &Tenant) -> Vec<Value> {
    let mut rows = tenant.get("messages?direction=inbound").await.column("status");
    rows.reverse();
    rows
}

#[tokio::test]
async fn a_message_and_earlier_ones_become_read_and_later_ones_stay() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let mut wamids = Vec::new();
    for nth in 0..4 {
        wamids.push(tenant.hears(&from(1), &format!("{nth}")).await);
    }
    tenant.hears(&from(2), "somebody else").await;
    let answered = read(&tenant, &wamids[2]).await.is(200).data();
    assert_eq!((&answered["status"], &answered["message_id"]), (&json!("read"), &json!(wamids[2])));
    assert!(answered["read_at"].is_string());
    assert_eq!(statuses(&tenant).await, ["read", "read", "read", "received", "received"]);
    assert_eq!(tenant.conversation_with(&from(1)).await["unread_count"], 1);
    assert_eq!(tenant.conversation_with(&from(2)).await["unread_count"], 1);
    let mut counts = server.simulator.counts();
    patiently(counts.wait_for(|counts| counts.receipts == 1)).await.unwrap();
    assert_eq!(server.simulator.receipts(), [wamids[2].clone()]);
    read(&tenant, &wamids[3]).await.is(200);
    assert_eq!(tenant.conversation_with(&from(1)).await["unread_count"], 0);
    patiently(counts.wait_for(|counts| counts.receipts == 2)).await.unwrap();
}

#[tokio::test]
async fn reading_twice_or_backwards_changes_nothing() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let first = tenant.hears(&from(1), "1").await;
    let second = tenant.hears(&from(1), "2").await;
    let answered = read(&tenant, &second).await.is(200).data();
    let list = tenant.get("conversations").await;
    assert_eq!(read(&tenant, &second).await.is(200).data(), answered);
    assert_eq!(read(&tenant, &first).await.is(200).data()["status"], "read");
    tenant.get_if("conversations", &list.etag()).await.is(304);
    // A later message counts from one again.
    tenant.hears(&from(1), "3").await;
    assert_eq!(tenant.conversation_with(&from(1)).await["unread_count"], 1);
}

#[tokio::test]
async fn only_inbound_messages_of_this_number_can_be_read() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let other = server.second_account(&tenant).await;
    let elsewhere = other.hears(&from(1), "hello").await;
    let ours = text(&tenant.sent(&from(1)).await["message_id"]);
    for wamid in [&*elsewhere, &ours, "wamid.NOBODY"] {
        read(&tenant, wamid).await.refused(404, "resource_not_found");
    }
    assert_eq!(other.conversation_with(&from(1)).await["unread_count"], 1);
    for (body, code, param) in [
        (json!({"messaging_product": "whatsapp", "status": "read"}), "missing_required_field", "message_id"),
        (
            json!({"messaging_product": "whatsapp", "status": "read", "message_id": 1}),
            "invalid_field_value",
            "message_id",
        ),
        (
            json!({"messaging_product": "whatsapp", "status": "read", "message_id": ""}),
            "invalid_field_value",
            "message_id",
        ),
        (
            json!({"messaging_product": "whatsapp", "status": "delivered", "message_id": elsewhere}),
            "invalid_field_value",
            "status",
        ),
        (json!({"status": "read", "message_id": elsewhere}), "missing_required_field", "messaging_product"),
    ] {
        assert_eq!(tenant.post("messages", &body).await.refused(400, code)["param"], param, "{body}");
    }
}

#[tokio::test]
async fn typing_is_shown_with_the_mark_and_again_without_it() {
    let graph = GraphStub::start().await;
    let base_url = graph.base_url.clone();
    let server = TestServer::shaped(|options| options.graph = Some(base_url)).await;
    let tenant = server.tenant().await;
    let wamid = tenant.hears(&from(1), "hello").await;
    let mark = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
    let mut typing = mark.clone();
    typing["typing_indicator"] = json!({"type": "text"});
    let told = async || graph.calls("POST").into_iter().map(|call| call.body).collect::<Vec<_>>();
    for (nth, body) in [(1, &mark), (2, &typing), (3, &typing)] {
        assert_eq!(tenant.post("messages", body).await.is(200).data()["status"], "read");
        let calls = until_matches(told, |calls| calls.len() == nth).await;
        assert_eq!(&calls[nth - 1], body, "as Meta takes it");
    }
    let list = tenant.get("conversations").await;
    // Without an indicator there is nothing to tell.
    tenant.post("messages", &mark).await.is(200);
    tenant.get_if("conversations", &list.etag()).await.is(304);
    tenant.sent(&from(2)).await;
    assert_eq!(told().await.len(), 4, "the template, and no receipt before it");
    for wrong in [json!({"type": "audio"}), json!({}), json!("text")] {
        typing["typing_indicator"] = wrong;
        let answer = tenant.post("messages", &typing).await;
        assert!(answer.status == 400, "{answer:?}");
    }
}
