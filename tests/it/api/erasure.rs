//! Contract, section 26: a contact that is deleted leaves nothing behind, and takes nothing of its neighbours along.

mod crashes;
mod exports;
mod organisations;
mod retention;

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{
    Answer, InboundWebhook, Receiver, Tenant, TestServer, database, from, manual_clock, status_of, text,
    text_from, until,
};

/// The number of the contact that is deleted, as Meta writes it; no other text contains it.
pub(crate) const NUMBER: &str = "6287755500017";
/// What only that contact's rows show.
const MARKS: [&str; 8] = [
    NUMBER,
    "ErasedName",
    "erased@example.com",
    "erased-metadata",
    "erased-inbound",
    "erased-outbound",
    "erased-callback",
    "N6287755500017",
];

/// Fails if a mark occurs in these bytes.
#[track_caller]
pub(crate) fn assert_unmarked(bytes: &[u8], place: &str) {
    for mark in MARKS {
        let found = bytes.windows(mark.len()).position(|window| window == mark.as_bytes());
        let near =
            found.map(|at| String::from_utf8_lossy(&bytes[at.saturating_sub(80)..at + 60]).into_owned());
        assert_eq!(near, None, "{mark} in {place}");
    }
}

/// The rows of an answer, or its data, without what differs from call to call.
fn shown(answer: &Answer) -> Value {
    let mut envelope = answer.clone().is(200).json();
    envelope.as_object_mut().unwrap().remove("request_id");
    envelope
}

/// Every event of the log.
pub(crate) async fn log(tenant: &Tenant) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let page = tenant.get(&format!("events?limit=100&after={after}")).await.is(200).json();
        events.extend(page["data"].as_array().unwrap().iter().cloned());
        after = page["last_sequence"].as_i64().unwrap();
        if page["has_more"] == false {
            return events;
        }
    }
}

fn preferences_of(tenant: &Tenant, author: &str) -> InboundWebhook {
    let value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "12025550100", "phone_number_id": tenant.id},
        "contacts": [{"profile": {"name": format!("N{author}")}, "wa_id": author}],
        "user_preferences": [{"wa_id": author, "detail": "User requested to stop", "value": "stop",
            "category": "marketing_messages", "timestamp": "1781866000"}]});
    InboundWebhook::default().field("user_preferences", &value)
}

fn status_to(wamid: &str, status: &str, tenant: &Tenant, recipient: &str) -> Value {
    let mut report = status_of(wamid, status, tenant.clock.read_now());
    report["recipient_id"] = json!(recipient);
    report
}

/// Everything that a contact can leave: messages both ways with their statuses, answers under keys, items about
/// messages that are not there, values that are told whole, names and metadata.
pub(crate) struct Correspondence {
    pub(crate) contact: String,
    conversation: String,
    /// What was said first, with WhatsApp's id.
    first: Value,
    outbound: Vec<Value>,
    key: String,
    letter: Value,
}

pub(crate) async fn correspond(tenant: &Tenant, author: &str, mark: &str, many: usize) -> Correspondence {
    let first = text_from(author, tenant.clock.read_now(), &format!("{mark}-inbound first"));
    tenant.receives(std::slice::from_ref(&first)).await;
    for nth in 0..many {
        let filler = "x".repeat(nth * 37 % 900);
        tenant.hears(author, &format!("{mark}-inbound {nth} {filler} {mark}-inbound")).await;
    }
    let conversation = tenant.conversation_with(author).await;
    let contact = text(&conversation["contact"]["id"]);
    let change = json!({"name": if mark == "erased" { "ErasedName" } else { "Neighbour" },
        "email": format!("{mark}@example.com"), "metadata": {"note": format!("{mark}-metadata")}});
    tenant.patch(&format!("contacts/{contact}"), &change).await.is(200);
    let mut letter = Tenant::letter(author, &format!("{mark}-outbound"));
    letter["biz_opaque_callback_data"] = json!(format!("{mark}-callback"));
    let key = format!("key of {mark}");
    let path = tenant.path("messages");
    let keyed = tenant.api.post_with(&path, &[("Idempotency-Key", &key)], &letter).await.is(200).data();
    let mut outbound =
        vec![tenant.message_when(&text(&keyed["id"]), |row| row["message_id"].is_string()).await];
    for _ in 0..3 {
        outbound.push(tenant.sent(author).await);
    }
    for message in &outbound {
        let wamid = text(&message["message_id"]);
        tenant.learns(&[status_to(&wamid, "delivered", tenant, author)]).await;
    }
    // Of messages that this server never had, and a value that is told whole.
    tenant.learns(&[status_to(&format!("wamid.{mark}"), "sent", tenant, author)]).await;
    preferences_of(tenant, author).post(&tenant.api).await.is(200);
    Correspondence { contact, conversation: text(&conversation["id"]), first, outbound, key, letter }
}

/// What clients are shown of a contact.
async fn pages_of(tenant: &Tenant, of: &Correspondence) -> Vec<Value> {
    let mut pages = Vec::new();
    for tail in [
        format!("contacts/{}", of.contact),
        format!("conversations/{}", of.conversation),
        format!("conversations?contact_id={}", of.contact),
        format!("messages?conversation_id={}&limit=100", of.conversation),
        format!("messages/{}", text(&of.outbound[0]["id"])),
        format!("messages/{}/raw", text(&of.outbound[0]["id"])),
    ] {
        pages.push(shown(&tenant.get(&tail).await));
    }
    pages
}

async fn until_erased(server: &TestServer) {
    until(async || server.metric("kabar_erasures_pending").await == 0).await;
}

const SKIPPED: &str = "kabar_whatsapp_items_skipped_total{reason=\"erased\",field=\"other\"}";

/// What WhatsApp sends about it afterwards is skipped, and what was answered under a key is not done again.
async fn assert_skipped(server: &TestServer, tenant: &Tenant, gone: &Correspondence) {
    tenant.receives(std::slice::from_ref(&gone.first)).await;
    let wamid = text(&gone.outbound[1]["message_id"]);
    tenant.learns(&[status_to(&wamid, "read", tenant, NUMBER)]).await;
    tenant.learns(&[status_to("wamid.erased", "delivered", tenant, NUMBER)]).await;
    preferences_of(tenant, NUMBER).post(&tenant.api).await.is(200);
    let path = tenant.path("messages");
    let repeated = tenant.api.post_with(&path, &[("Idempotency-Key", &gone.key)], &gone.letter).await;
    repeated.refused(404, "resource_not_found");
    assert!(server.metric(SKIPPED).await >= 4);
}

#[tokio::test]
async fn nothing_of_a_deleted_contact_is_left_and_nothing_else_is_touched() {
    let mut server = TestServer::shaped(|options| options.clock = manual_clock()).await;
    let tenant = server.tenant().await;
    let neighbour = correspond(&tenant, &from(1), "kept", 20).await;
    let gone = correspond(&tenant, NUMBER, "erased", 120).await;
    let (kept, before) = (pages_of(&tenant, &neighbour).await, log(&tenant).await);
    let list = tenant.get("conversations").await;

    tenant.delete(&format!("contacts/{}", gone.contact)).await.is(204);
    // At once: no list, no look-up and no search shows it, and no tag is kept.
    for tail in [
        format!("contacts/{}", gone.contact),
        format!("conversations/{}", gone.conversation),
        format!("messages/{}", text(&gone.outbound[0]["id"])),
        format!("messages/{}/raw", text(&gone.outbound[0]["id"])),
    ] {
        tenant.get(&tail).await.refused(404, "resource_not_found");
    }
    tenant.delete(&format!("contacts/{}", gone.contact)).await.refused(404, "resource_not_found");
    for tail in [
        "conversations?limit=100".to_owned(),
        "contacts?limit=100".to_owned(),
        format!("contacts?phone=%2B{NUMBER}"),
        "contacts?search=erased".to_owned(),
        format!("messages?conversation_id={}", gone.conversation),
        "messages?limit=100".to_owned(),
    ] {
        assert_unmarked(&tenant.get(&tail).await.is(200).body, &tail);
    }
    let newer = tenant.get_if("conversations", &list.etag()).await.is(200);
    assert_eq!(newer.rows().len(), list.rows().len() - 1);
    tenant.get_if("conversations", &newer.etag()).await.is(304);

    until_erased(&server).await;
    // The log keeps number, id and type of every event, and what it tells of others.
    let after = log(&tenant).await;
    assert_unmarked(json!(after).to_string().as_bytes(), "the log");
    assert_eq!(after.len(), before.len() + 2);
    for (was, is) in before.iter().zip(&after) {
        assert_eq!((&was["id"], &was["type"], &was["sequence"]), (&is["id"], &is["type"], &is["sequence"]));
        assert!(is["data"] == json!({}) || is == was, "{is}");
    }
    assert!(after.iter().filter(|event| event["data"] == json!({})).count() > 120);
    let told: Vec<&Value> = after[before.len()..].iter().collect();
    assert_eq!(
        (&told[0]["type"], &told[1]["type"]),
        (&json!("conversation.deleted"), &json!("contact.deleted"))
    );
    assert_eq!(told[0]["data"]["conversation"]["id"], gone.conversation.as_str());
    assert_eq!(
        told[1]["data"],
        json!({"contact": {"id": gone.contact, "object": "contact", "deleted": true}})
    );
    assert_eq!(pages_of(&tenant, &neighbour).await, kept);

    server.stop().await;
    assert_unmarked(&database::dump(&server.database_url()).await, "the database");
    server.start_again().await;
    assert_eq!(pages_of(&tenant, &neighbour).await, kept);

    assert_skipped(&server, &tenant, &gone).await;
    assert_eq!(log(&tenant).await, after);

    // The person is a new contact.
    tenant.hears(NUMBER, "hello again").await;
    let again = tenant.conversation_with(NUMBER).await;
    assert_ne!(again["contact"]["id"], gone.contact.as_str());
    assert_eq!(tenant.get(&format!("contacts?phone=%2B{NUMBER}")).await.rows().len(), 1);
}

#[tokio::test]
async fn a_stop_just_after_the_deletion_leaves_nothing() {
    let mut server = TestServer::start().await;
    let tenant = server.tenant().await;
    let gone = correspond(&tenant, NUMBER, "erased", 300).await;
    tenant.delete(&format!("contacts/{}", gone.contact)).await.is(204);
    server.stop().await;
    assert_unmarked(&database::dump(&server.database_url()).await, "the database");
}

#[tokio::test]
async fn a_receiver_that_was_down_is_told_events_without_data() {
    let server = TestServer::shaped(|options| {
        options.clock = manual_clock();
        options.set("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true");
    })
    .await;
    let tenant = server.tenant().await;
    let receiver = Receiver::start().await;
    for format in ["kabar", "meta"] {
        let types = ["message.received", "contact.created", "contact.deleted", "conversation.deleted"];
        let body = json!({"url": receiver.url(), "events": types, "format": format});
        let made = tenant.api.post("/v1/webhook_subscriptions", &body).await.is(201).data();
        let path = format!("/v1/webhook_subscriptions/{}", text(&made["id"]));
        tenant.api.patch(&path, &json!({"status": "paused"})).await.is(200);
    }
    let gone = correspond(&tenant, NUMBER, "erased", 5).await;
    tenant.hears(&from(1), "of the neighbour").await;
    tenant.delete(&format!("contacts/{}", gone.contact)).await.is(204);
    until_erased(&server).await;
    for row in tenant.api.get("/v1/webhook_subscriptions").await.rows() {
        let path = format!("/v1/webhook_subscriptions/{}", text(&row["id"]));
        tenant.api.patch(&path, &json!({"status": "active"})).await.is(200);
    }
    // Of the contact: six messages, its creation and two tombstones; of the neighbour a message and a creation. In
    // Meta's form nothing is told of what was erased.
    let (kabar, meta) = (6 + 1 + 2 + 1 + 1, 2 + 1 + 1);
    let calls = receiver.until(kabar + meta).await;
    for call in &calls {
        assert_unmarked(&call.body, "a delivery");
    }
    let empty = calls.iter().filter(|call| call.event()["data"] == json!({}));
    assert_eq!(empty.filter(|call| call.header("X-Kirim-Event") == "message.received").count(), 6);
    let deleted = calls.iter().filter(|call| call.header("X-Kirim-Event") == "contact.deleted");
    assert_eq!(deleted.count(), 2);
}

#[tokio::test]
async fn a_held_poll_is_answered_and_a_waiting_message_is_not_sent() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(0), "hello").await;
    let conversation = tenant.conversation_with(&from(0)).await;
    let contact = text(&conversation["contact"]["id"]);
    let list = tenant.get("conversations").await;
    // The pace lets one leave and no more: the rest waits.
    server.set_pace(&tenant, 1).await;
    let mut waiting = Vec::new();
    for nth in 0..5 {
        let letter = Tenant::letter(&from(0), &format!("letter {nth}"));
        waiting.push(text(&tenant.post("messages", &letter).await.is(200).data()["id"]));
    }
    let tag = list.etag();
    let newest = tenant.get("conversations").await;
    let held_tag = newest.etag();
    let headers = [("If-None-Match", held_tag.as_str()), ("Prefer", "wait=30")];
    let held = tenant.get_with("conversations", &headers);
    let deleting = async {
        until(async || server.metric("kabar_waiting_polls").await == 1).await;
        tenant.delete(&format!("contacts/{contact}")).await.is(204);
    };
    let (answer, ()) = tokio::join!(held, deleting);
    assert_ne!(answer.is(200).etag(), tag);
    until_erased(&server).await;
    for id in &waiting {
        tenant.get(&format!("messages/{id}")).await.refused(404, "resource_not_found");
    }
    until(async || {
        server.clock.advance_manual(Duration::from_secs(1));
        server.metric("kabar_sending_conversations").await == 0
    })
    .await;
    assert!(server.metric("kabar_sends_accepted_total").await <= 1);
}

#[tokio::test]
async fn those_that_were_merged_into_a_contact_go_with_it() {
    let mut server = TestServer::start().await;
    let tenant = server.tenant().await;
    // Two contacts, which one message with both identifiers makes one.
    tenant.hears(NUMBER, "erased-inbound by number").await;
    let mut by_id = text_from("", tenant.clock.read_now(), "erased-inbound by id");
    by_id["from_user_id"] = json!("ID.6287755500017");
    let value = |message: &Value| json!({"messaging_product": "whatsapp", "metadata": {"phone_number_id": tenant.id}, "messages": [message]});
    InboundWebhook::default().value(&value(&by_id)).post(&tenant.api).await.is(200);
    let rows = tenant.all("contacts?limit=100").await;
    assert_eq!(rows.len(), 2, "{rows:?}");
    let mut both = text_from(NUMBER, tenant.clock.read_now(), "erased-inbound of both");
    both["from_user_id"] = json!("ID.6287755500017");
    InboundWebhook::default().value(&value(&both)).post(&tenant.api).await.is(200);
    let left = tenant.all("contacts?limit=100").await;
    assert_eq!(left.len(), 1, "{left:?}");
    let merged = rows.iter().find(|row| row["id"] != left[0]["id"]).unwrap();
    let merged = text(&merged["id"]);
    tenant.get(&format!("contacts/{merged}")).await.is(200);
    // The one that was merged stands for the one that is left.
    tenant.delete(&format!("contacts/{merged}")).await.is(204);
    for id in [&merged, &text(&left[0]["id"])] {
        tenant.get(&format!("contacts/{id}")).await.refused(404, "resource_not_found");
    }
    let deleted = log(&tenant).await;
    assert_eq!(deleted.iter().filter(|event| event["type"] == "contact.deleted").count(), 2);
    server.stop().await;
    assert_unmarked(&database::dump(&server.database_url()).await, "the database");
}
