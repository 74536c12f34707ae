//! Contract, section 24: subscriptions in the form of Meta's own webhooks.

use std::time::Duration;

use serde_json::{Value, json};

use super::{stage, subscription, until_attempts, until_deliveries};
use crate::harness::graph_stub::GraphStub;
use crate::harness::{
    Call, InboundWebhook, Receiver, Tenant, TestServer, Turn, from, incoming, keys_of, status_of, text,
    text_from,
};

const PATH: &str = "/v1/webhook_subscriptions";
const PUBLIC: &str = "https://kabar.example.com";

/// A server whose messages the stand-in takes, or refuses as it is told.
async fn sending_stage() -> (TestServer, Tenant, GraphStub) {
    let graph = GraphStub::start().await;
    let base_url = graph.base_url.clone();
    let server = TestServer::shaped(|options| {
        options.graph = Some(base_url);
        options.set("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true");
        options.set("KABAR_PUBLIC_URL", PUBLIC);
    })
    .await;
    let tenant = server.tenant().await;
    (server, tenant, graph)
}

/// A subscription in this form; gives its id and its secret.
async fn subscribe_to(
    tenant: &Tenant,
    receiver: &Receiver,
    format: &str,
    events: &[&str],
) -> (String, String) {
    let body = json!({"url": receiver.url(), "events": events, "format": format});
    let made = tenant.api.post(PATH, &body).await.is(201).data();
    assert_eq!(made["format"], format);
    (text(&made["id"]), text(&made["initial_secret"]))
}

/// The value of the only change.
#[track_caller]
fn value_of(call: &Call) -> Value {
    let body = call.event();
    assert_eq!(body["object"], "whatsapp_business_account");
    let entries = body["entry"].as_array().unwrap();
    let changes = entries[0]["changes"].as_array().unwrap();
    assert_eq!((entries.len(), changes.len(), &changes[0]["field"]), (1, 1, &json!("messages")));
    changes[0]["value"].clone()
}

/// The only status.
#[track_caller]
fn status_in(call: &Call) -> Value {
    assert_eq!(
        (call.header("X-Kirim-Event").as_str(), call.header("X-Kirim-Source").as_str()),
        ("message.status", "meta")
    );
    let value = value_of(call);
    assert_eq!(value["statuses"].as_array().unwrap().len(), 1, "{value}");
    value["statuses"][0].clone()
}

#[tokio::test]
async fn each_message_comes_as_it_came_with_its_own_card() {
    let (server, tenant, _graph) = sending_stage().await;
    let receiver = Receiver::start().await;
    let (_, secret) = subscribe_to(&tenant, &receiver, "meta", &["message.received"]).await;
    let mut first = text_from(&from(0), tenant.clock.read_now(), "hello");
    first["unheard_of"] = json!({"n": 1.5});
    let image = json!({"id": "900", "mime_type": "image/jpeg", "sha256": "c2hh"});
    let second = incoming(&from(1), tenant.clock.read_now(), "image", image);
    tenant.receives(&[first.clone(), second.clone()]).await;
    let calls = receiver.until(2).await;
    for (item, author) in [(&first, from(0)), (&second, from(1))] {
        let wamid = text(&item["id"]);
        let call = calls.iter().find(|call| call.header("X-Kirim-Event-Id") == wamid).expect("its id");
        assert_eq!(
            (call.header("X-Kirim-Event").as_str(), call.header("X-Kirim-Source").as_str()),
            ("message.received", "meta")
        );
        let value = value_of(call);
        assert_eq!(value["messages"], json!([item]));
        assert_eq!(value["contacts"], json!([{"profile": {"name": format!("N{author}")}, "wa_id": author}]));
        assert_eq!(value["metadata"]["phone_number_id"], tenant.id.as_str());
        assert_eq!(call.event()["entry"][0]["id"], "102290129340398");
        let kirim = call.event()["kirim"].clone();
        let row = tenant.all("messages").await.into_iter().find(|row| row["message_id"] == wamid).unwrap();
        assert_eq!(
            (&kirim["message_id"], &kirim["conversation_id"], &kirim["contact_id"]),
            (&row["id"], &row["conversation_id"], &row["contact_id"])
        );
        assert_eq!(kirim["delivery_id"], call.header("X-Kirim-Delivery-Id"));
        assert_eq!(
            kirim["contact"],
            json!({"name": format!("N{author}"), "phone_number": format!("+{author}"), "user_id": null})
        );
        let media = format!("{PUBLIC}/v1/{}/messages/{}/media", tenant.id, text(&row["id"]));
        let expected =
            if *item == second { (json!(media), json!("pending")) } else { (Value::Null, Value::Null) };
        assert_eq!((kirim["media_url"].clone(), kirim["media_status"].clone()), expected);
        assert_eq!(call.signers(&[&secret]).1, [secret.as_str()]);
        assert_eq!(call.standard_signers(&[&secret]), [secret.as_str()]);
    }
    drop(server);
}

#[tokio::test]
async fn what_whatsapp_reports_comes_once_with_the_clients_own_data() {
    let (_server, tenant, _graph) = sending_stage().await;
    let receiver = Receiver::start().await;
    subscribe_to(&tenant, &receiver, "meta", &["message.status"]).await;
    let own = Receiver::start().await;
    subscribe_to(&tenant, &own, "kabar", &["message.status"]).await;
    let mut wamids = Vec::new();
    for data in [Some("order 7"), None] {
        let mut body = Tenant::template(&from(0));
        if let Some(data) = data {
            body["biz_opaque_callback_data"] = json!(data);
        }
        let id = text(&tenant.post("messages", &body).await.is(200).data()["id"]);
        let row = tenant.message_when(&id, |row| row["status"] == "sent").await;
        wamids.push((id, text(&row["message_id"])));
    }
    // The local status is told in kabar's form only; what comes next shows that.
    own.until(2).await;
    assert_eq!(receiver.count(), 0);
    let mut reports = Vec::new();
    for (id, wamid) in &wamids {
        for status in ["sent", "delivered", "delivered", "read"] {
            let mut report = status_of(wamid, status, tenant.clock.read_now());
            report["biz_opaque_callback_data"] = json!(id);
            reports.push(report);
        }
    }
    tenant.learns(&reports).await;
    let calls = receiver.until(6).await;
    for ((_, wamid), data) in wamids.iter().zip([Some("order 7"), None]) {
        let told: Vec<(String, Value)> = calls
            .iter()
            .map(|call| (call.header("X-Kirim-Event-Id"), status_in(call)))
            .filter(|(_, status)| status["id"] == wamid.as_str())
            .collect();
        let words: Vec<&Value> = told.iter().map(|(_, status)| &status["status"]).collect();
        assert_eq!(words, ["sent", "delivered", "read"]);
        for (event_id, status) in &told {
            assert_eq!(*event_id, format!("{wamid}:{}", text(&status["status"])));
            assert_eq!(status.get("biz_opaque_callback_data"), data.map(|data| json!(data)).as_ref());
        }
    }
    // In kabar's form a status is told when it moves.
    let words: Vec<String> =
        own.until(6).await.iter().map(|call| text(&call.event()["data"]["status"])).collect();
    assert_eq!(words.iter().filter(|word| *word == "sent").count(), 2);
    let reported = tenant.get("events?types=message.status_reported").await.envelope();
    let reported = reported["data"].as_array().unwrap();
    assert_eq!(reported.len(), 2);
    assert_eq!(keys_of(&reported[0]["data"]), ["message", "occurred_at", "status"].into());
    assert_eq!(reported[0]["data"]["status"], "sent");
    let rows = until_deliveries(&tenant, "status=delivered", 12).await;
    assert!(rows.iter().all(|row| row["event_type"] == "message.status"));
}

#[tokio::test]
async fn a_send_that_whatsapp_refuses_comes_under_our_id() {
    let (_server, tenant, graph) = sending_stage().await;
    let receiver = Receiver::start().await;
    subscribe_to(&tenant, &receiver, "meta", &["message.status"]).await;
    graph.answer_with(
        400,
        json!({"error": {"message": "(#131026) Message undeliverable", "type": "OAuthException",
            "code": 131_026, "error_data": {"messaging_product": "whatsapp", "details": "Not on WhatsApp."}}}),
    );
    let id = text(&tenant.sends(&from(0)).await["id"]);
    let call = receiver.until(1).await.remove(0);
    let status = status_in(&call);
    assert_eq!((&status["id"], &status["status"]), (&json!(id), &json!("failed")));
    assert_eq!((&status["recipient_id"], &status["errors"][0]["code"]), (&json!(from(0)), &json!(131_026)));
    assert_eq!(call.header("X-Kirim-Event-Id"), format!("{id}:failed"));
}

#[tokio::test]
async fn other_events_have_the_members_of_kirimdevs() {
    let (_server, tenant, _graph) = sending_stage().await;
    let receiver = Receiver::start().await;
    subscribe_to(&tenant, &receiver, "meta", &["message.sent"]).await;
    let row = tenant.sent(&from(0)).await;
    let call = receiver.until(1).await.remove(0);
    let body = call.event();
    assert_eq!(call.header("X-Kirim-Source"), "kirim");
    assert_eq!((&body["type"], &body["data"]["session"]), (&json!("message.sent"), &json!(tenant.id)));
    assert_eq!(call.header("X-Kirim-Event-Id"), text(&body["id"]));
    assert_eq!(
        (&body["data"]["message"]["id"], &body["data"]["message"]["provider_id"]),
        (&row["id"], &row["message_id"])
    );
    assert_eq!(body["data"]["contact"]["phone_number"], format!("+{}", from(0)));
}

#[tokio::test]
async fn bodies_are_read_and_written_many_at_a_time() {
    const MESSAGES: usize = 200;
    let (server, tenant, _graph) = sending_stage().await;
    let receiver = Receiver::start().await;
    subscribe_to(&tenant, &receiver, "meta", &["message.received"]).await;
    let messages: Vec<Value> =
        (0..MESSAGES).map(|nth| text_from(&from(nth), tenant.clock.read_now(), "hello")).collect();
    let before = server.server().store.statements_executed();
    tenant.receives(&messages).await;
    receiver.until(MESSAGES).await;
    let statements = server.server().store.statements_executed() - before;
    assert!(
        statements * 2 <= MESSAGES.try_into().unwrap(),
        "{statements} statements for {MESSAGES} deliveries"
    );
}

#[tokio::test]
async fn the_form_can_be_changed() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let body = json!({"url": receiver.url(), "events": ["message.received"]});
    let made = tenant.api.post(PATH, &body).await.is(201).data();
    let (id, path) = (text(&made["id"]), format!("{PATH}/{}", text(&made["id"])));
    assert_eq!(made["format"], "kabar");
    receiver.plays(|_| Turn::status(500));
    tenant.hears(&from(0), "one").await;
    until_attempts(&tenant, 1).await;
    for bad in [json!("Meta"), json!(1), json!("")] {
        let refused = tenant.api.patch(&path, &json!({"format": bad})).await;
        refused.refused(400, "invalid_field_value");
    }
    assert_eq!(tenant.api.patch(&path, &json!({"format": "meta"})).await.is(200).data()["format"], "meta");
    assert_eq!(subscription(&tenant, &id).await["format"], "meta");
    receiver.plays(|_| Turn::status(200));
    // What is still open comes in the new form.
    tenant.clock.advance_manual(Duration::from_mins(1));
    let calls = receiver.until(2).await;
    let sources: Vec<String> = calls.iter().map(|call| call.header("X-Kirim-Source")).collect();
    assert_eq!(sources, ["kirim", "meta"]);
    assert_eq!(value_of(&calls[1])["messages"][0]["text"]["body"], "one");
    tenant.api.patch(&path, &json!({"format": "kabar"})).await.is(200);
    tenant.hears(&from(0), "two").await;
    assert_eq!(receiver.until(3).await[2].said(), "two");
}

#[tokio::test]
async fn every_attempt_sends_the_same_bytes_also_after_a_restart() {
    let (mut server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|_| Turn::status(503));
    subscribe_to(&tenant, &receiver, "meta", &["message.received"]).await;
    tenant.hears(&from(0), "hello").await;
    until_attempts(&tenant, 1).await;
    let contact = text(&tenant.all("contacts").await[0]["id"]);
    tenant.patch(&format!("contacts/{contact}"), &json!({"name": "Another"})).await.is(200);
    tenant.clock.advance_manual(Duration::from_mins(1));
    receiver.until(2).await;
    until_attempts(&tenant, 2).await;
    server.restart().await;
    receiver.plays(|_| Turn::status(200));
    server.clock.advance_manual(Duration::from_mins(5));
    let calls = receiver.until(3).await;
    assert!(calls.iter().all(|call| call.body == calls[0].body));
    assert_eq!(calls[2].event()["kirim"]["media_url"], Value::Null);
}

#[tokio::test]
async fn what_was_taken_back_is_not_brought_again() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|_| Turn::status(500));
    subscribe_to(&tenant, &receiver, "meta", &["message.received"]).await;
    let wamid = tenant.hears(&from(0), "a secret").await;
    until_attempts(&tenant, 1).await;
    let at = tenant.clock.read_now().millis() / 1000;
    let revoke = json!({"from": from(0), "id": "wamid.REVOKE", "type": "revoke", "timestamp": at.to_string(),
        "revoke": {"original_message_id": wamid}});
    InboundWebhook::default().messages(&tenant.id, &[revoke]).post(&tenant.api).await.is(200);
    receiver.plays(|_| Turn::status(200));
    tenant.clock.advance_manual(Duration::from_mins(1));
    let calls = receiver.until(2).await;
    assert!(String::from_utf8_lossy(&calls[0].body).contains("a secret"));
    assert!(!String::from_utf8_lossy(&calls[1].body).contains("a secret"));
    let value = value_of(&calls[1]);
    assert_eq!((&value["messages"][0]["id"], &value["messages"][0]["text"]), (&json!(wamid), &json!({})));
    // A replay brings no more than that.
    let id = calls[1].header("X-Kirim-Delivery-Id");
    tenant.api.post(&format!("/v1/webhook_deliveries/{id}/replay"), &json!({})).await.is(200);
    assert_eq!(receiver.until(3).await[2].body, calls[1].body);
}
