//! Contract, section 5: sending, and what WhatsApp then gets.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Tenant, TestServer, check_object, from, patiently, text};

mod lists;
mod outcomes;
mod receipts;
mod recovery;
mod refusals;
mod statuses;

/// Waits until the simulator has so many sends; gives the last one's body.
async fn delivered(server: &TestServer, sends: u64) -> Value {
    let mut counts = server.simulator.counts();
    patiently(counts.wait_for(|counts| counts.accepted >= sends)).await.unwrap();
    server.simulator.sends().last().unwrap().body.clone()
}

/// One sendable object of each type, and the one line that it is shown as.
fn sendables() -> Vec<(&'static str, Value, String)> {
    let row = json!({"id": "r1", "title": "Row", "description": "d".repeat(72)});
    let own = |text: &str| text.to_owned();
    vec![
        ("text", json!({"body": "hello\nthere", "preview_url": true}), own("hello\nthere")),
        ("image", json!({"link": "https://example.com/a.jpg", "caption": "a cat"}), own("a cat")),
        ("video", json!({"id": "123"}), own("[video]")),
        ("audio", json!({"link": "https://example.com/a.ogg"}), own("[audio]")),
        ("document", json!({"id": "123", "filename": "bill.pdf"}), own("bill.pdf")),
        ("sticker", json!({"id": "123"}), own("[sticker]")),
        (
            "template",
            json!({"name": "hello_world", "language": {"code": "en_US"}, "components": [{"type": "body", "parameters": [{"type": "text", "text": "x"}]}]}),
            own("[template] hello_world"),
        ),
        (
            "interactive",
            json!({"type": "button", "body": {"text": "Which?"}, "action": {"buttons": [{"type": "reply", "reply": {"id": "a", "title": "A"}}]}}),
            own("Which?"),
        ),
        (
            "interactive",
            json!({"type": "list", "body": {"text": "Choose"}, "action": {"button": "Open", "sections": [{"title": "S", "rows": [row]}]}}),
            own("Choose"),
        ),
        (
            "interactive",
            json!({"type": "cta_url", "body": {"text": "Look"}, "action": {"name": "cta_url", "parameters": {"display_text": "Go", "url": "https://example.com"}}}),
            own("Look"),
        ),
        (
            "location",
            json!({"latitude": -6.2, "longitude": 106.8, "name": "Monas", "address": "Jakarta"}),
            own("📍 Monas, Jakarta"),
        ),
        (
            "contacts",
            json!([{"name": {"formatted_name": "Ani", "first_name": "Ani"}, "phones": [{"phone": "+6281200000009"}]}]),
            own("👤 Ani"),
        ),
        ("reaction", json!({"message_id": "wamid.X", "emoji": "👍"}), own("👍")),
    ]
}

#[tokio::test]
async fn every_type_is_accepted_and_reaches_whatsapp_as_it_was_written() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let to = from(1);
    tenant.hears(&to, "hello").await;
    let mut sends = 0;
    for (kind, object, content) in sendables() {
        let mut body =
            json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": kind});
        body[kind] = object.clone();
        let message = tenant.post("messages", &body).await.is(200).data();
        check_object(&message);
        assert_eq!((&message["status"], &message["direction"]), (&json!("pending"), &json!("outbound")));
        assert_eq!((&message["type"], &message["payload"]), (&json!(kind), &object));
        assert_eq!(message["content"], content, "{kind}");
        assert_eq!((&message["from"], &message["to"]), (&json!(tenant.phone), &json!(format!("+{to}"))));
        assert_eq!(
            (&message["message_id"], &message["error"], &message["context"]),
            (&Value::Null, &Value::Null, &Value::Null)
        );
        sends += 1;
        let mut received = delivered(&server, sends).await;
        assert_eq!(received["biz_opaque_callback_data"], message["id"]);
        received.as_object_mut().unwrap().remove("biz_opaque_callback_data");
        assert_eq!(received, body, "{kind}");
        tenant.message_when(&text(&message["id"]), |message| message["status"] == "sent").await;
    }
}

#[tokio::test]
async fn a_send_is_durable_pending_then_sent_with_whatsapps_id() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let pending = tenant.sends(&from(1)).await;
    let sent = tenant.message_when(&text(&pending["id"]), |message| message["status"] == "sent").await;
    let recorded = server.simulator.sends().pop().unwrap();
    assert_eq!(sent["message_id"], recorded.wamid);
    assert_eq!(recorded.opaque.as_deref(), pending["id"].as_str());
    assert!(sent["sent_at"].is_string() && sent["delivered_at"].is_null() && sent["failed_at"].is_null());
    let statuses: Vec<String> =
        sent["status_history"].as_array().unwrap().iter().map(|seen| text(&seen["status"])).collect();
    assert_eq!(statuses, ["pending", "sent"]);
    assert_eq!(sent["created_at"], pending["created_at"]);
    assert!(text(&sent["updated_at"]) > text(&pending["updated_at"]));
    // It made the conversation and the contact, and no window.
    let row = tenant.conversation_with(&from(1)).await;
    assert_eq!((&row["id"], &row["unread_count"]), (&pending["conversation_id"], &json!(0)));
    assert_eq!((&row["last_inbound_at"], &row["last_message_at"]), (&Value::Null, &pending["created_at"]));
}

#[tokio::test]
async fn numbers_context_and_language_are_normalised() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let mut body = Tenant::template("+62 812-0000-0007");
    body["template"]["language"] = json!("id");
    body["context"] = json!({"message_id": "wamid.ASKED"});
    let message = tenant.post("messages", &body).await.is(200).data();
    assert_eq!(
        (&message["to"], &message["context"]["message_id"]),
        (&json!("+6281200000007"), &json!("wamid.ASKED"))
    );
    let received = delivered(&server, 1).await;
    assert_eq!(
        (&received["to"], &received["context"]),
        (&json!("6281200000007"), &json!({"message_id": "wamid.ASKED"}))
    );
    assert_eq!(received["template"]["language"], json!({"code": "id"}));
}

#[tokio::test]
async fn members_that_are_unknown_are_passed_on() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let mut body = Tenant::template(&from(1));
    body["template"]["namespace"] = json!("of_later");
    tenant.post("messages", &body).await.is(200);
    assert_eq!(delivered(&server, 1).await["template"]["namespace"], "of_later");
}

#[tokio::test]
async fn within_24_hours_of_the_last_inbound_message_anything_may_be_sent() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let letter = Tenant::letter(&from(1), "hello");
    tenant.shuts_window_of(&from(1)).await;
    tenant.post("messages", &letter).await.refused(422, "outside_24h_window");
    tenant.post("messages", &Tenant::template(&from(1))).await.is(200);
    tenant.post("messages", &letter).await.refused(422, "outside_24h_window");
    tenant.hears(&from(1), "hello").await;
    tenant.post("messages", &letter).await.is(200);
    server.clock.advance_manual(Duration::from_secs(86_400 - 10));
    tenant.post("messages", &letter).await.is(200);
    server.clock.advance_manual(Duration::from_secs(10));
    tenant.post("messages", &letter).await.refused(422, "outside_24h_window");
    let reaction = json!({"messaging_product": "whatsapp", "to": from(1), "type": "reaction", "reaction": {"message_id": "wamid.X", "emoji": ""}});
    tenant.post("messages", &reaction).await.is(200);
    // A window belongs to one contact.
    tenant.hears(&from(2), "hello").await;
    tenant.post("messages", &letter).await.refused(422, "outside_24h_window");
}

#[tokio::test]
async fn whatsapp_decides_where_the_window_is_not_known() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let day = Duration::from_hours(24);
    let late = server.clock.read_now().minus_duration(2 * day);
    tenant.receives(&[crate::harness::text_from(&from(1), late, "hello")]).await;
    // A newer message may have come before the number was connected here.
    tenant.post("messages", &Tenant::letter(&from(1), "x")).await.is(200);
    server.clock.advance_manual(day);
    tenant.post("messages", &Tenant::letter(&from(1), "x")).await.refused(422, "outside_24h_window");
    // Nothing is known of this contact.
    tenant.post("messages", &Tenant::letter(&from(2), "x")).await.is(200);
}

#[tokio::test]
async fn an_account_that_is_not_connected_sends_nothing() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let path = format!("/admin/v1/accounts/{}", tenant.id);
    server.operator.patch(&path, &json!({"status": "disconnected"})).await.is(200);
    tenant.post("messages", &Tenant::template(&from(1))).await.refused(422, "account_not_connected");
    assert_eq!(tenant.get("messages?direction=outbound").await.rows().len(), 0);
    server.operator.patch(&path, &json!({"status": "connected"})).await.is(200);
    tenant.sent(&from(1)).await;
}
