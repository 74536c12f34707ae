//! Contract, section 9: the log tells everything once, in order, without gaps.

mod expiry;
mod lists;
mod stream;
mod stream_ends;

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{
    Answer, Tenant, TestServer, check_object, from, is_id, is_timestamp, keys_of, text, until_matches,
};

/// Every type of the contract.
const TYPES: [&str; 10] = [
    "message.received",
    "message.created",
    "message.sent",
    "message.status",
    "conversation.created",
    "conversation.assigned",
    "conversation.closed",
    "conversation.updated",
    "contact.created",
    "contact.updated",
];

/// A part of the log, its envelope checked.
#[derive(Debug)]
struct Part {
    events: Vec<Value>,
    last_sequence: i64,
    has_more: bool,
    cursor: Option<String>,
}

impl Part {
    #[track_caller]
    fn of(answer: &Answer) -> Self {
        let body = answer.envelope();
        let keys = ["data", "has_more", "last_sequence", "next_cursor", "request_id"];
        assert_eq!(keys_of(&body), keys.into(), "{body}");
        let part = Self {
            events: body["data"].as_array().unwrap().clone(),
            last_sequence: body["last_sequence"].as_i64().unwrap(),
            has_more: body["has_more"].as_bool().unwrap(),
            cursor: body["next_cursor"].as_str().map(str::to_owned),
        };
        assert_eq!(part.has_more, part.cursor.is_some(), "{body}");
        part
    }

    fn sequences(&self) -> Vec<i64> {
        self.events.iter().map(sequence).collect()
    }
}

fn sequence(event: &Value) -> i64 {
    event["sequence"].as_i64().unwrap()
}

async fn part(tenant: &Tenant, tail: &str) -> Part {
    Part::of(&tenant.get(tail).await)
}

/// The whole log, read in parts.
async fn log(tenant: &Tenant) -> Vec<Value> {
    let mut part = part(tenant, "events?limit=100").await;
    let mut events = part.events;
    while part.has_more {
        part = self::part(tenant, &format!("events?limit=100&after={}", part.last_sequence)).await;
        events.extend(part.events);
    }
    events
}

/// Returns once so many streams wait.
#[track_caller]
fn streaming(server: &TestServer, streams: i64) -> impl Future<Output = i64> {
    let count_streams = async move || {
        let actors = server.operator.get("/admin/v1/actors").await;
        let rows = actors.json()["data"].as_array().unwrap().clone();
        rows.iter().map(|row| row["event_streams"].as_i64().unwrap()).sum()
    };
    until_matches(count_streams, move |count| *count == streams)
}

/// Causes an event of every type; gives the id of the message that was sent.
async fn live(server: &TestServer, tenant: &Tenant) -> String {
    let user = server.user(&tenant.organisation, "Rani").await;
    tenant.hears(&from(0), "hello").await;
    let thread = tenant.conversation_with(&from(0)).await;
    let path = format!("conversations/{}", text(&thread["id"]));
    tenant.patch(&path, &json!({"assigned_to": user["id"]})).await.is(200);
    tenant.patch(&path, &json!({"status": "pending"})).await.is(200);
    tenant.patch(&path, &json!({"status": "resolved"})).await.is(200);
    let contact = format!("contacts/{}", text(&thread["contact"]["id"]));
    tenant.patch(&contact, &json!({"name": "Sari", "metadata": {"a": [1]}})).await.is(200);
    let sent = tenant.sent(&from(0)).await;
    tenant.learns_that(&text(&sent["message_id"]), "delivered").await;
    text(&sent["id"])
}

#[track_caller]
fn check_event(event: &Value, tenant: &Tenant) {
    let keys = ["account", "created_at", "data", "id", "livemode", "sequence", "type"];
    assert_eq!(keys_of(event), keys.into(), "{event}");
    assert!(is_id("evt", event["id"].as_str().unwrap()), "{event}");
    assert!(is_timestamp(event["created_at"].as_str().unwrap()), "{event}");
    assert_eq!(event["livemode"], true);
    assert_eq!(keys_of(&event["account"]), ["id", "phone_number_id"].into());
    assert_eq!(event["account"]["phone_number_id"], tenant.id);
    let kind = text(&event["type"]);
    let (noun, _) = kind.split_once('.').unwrap();
    let subject = &event["data"][noun];
    check_object(subject);
    assert_eq!(subject["object"], noun);
    if kind == "message.status" {
        let keys = ["message", "occurred_at", "previous_status", "status"];
        assert_eq!(keys_of(&event["data"]), keys.into());
        assert_eq!(event["data"]["status"], subject["status"]);
        assert_ne!(event["data"]["previous_status"], subject["status"]);
        assert!(is_timestamp(event["data"]["occurred_at"].as_str().unwrap()));
    } else {
        assert_eq!(keys_of(&event["data"]), [noun].into());
        // The commit that told it is the one that changed it.
        assert_eq!(event["created_at"], subject["updated_at"], "{event}");
    }
}

#[tokio::test]
async fn every_type_is_told_once_in_order_with_what_was_then() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    assert!(log(&tenant).await.is_empty());
    let id = live(&server, &tenant).await;
    let events = log(&tenant).await;
    for event in &events {
        check_event(event, &tenant);
    }
    let numbers: Vec<i64> = events.iter().map(sequence).collect();
    assert_eq!(numbers, (1..=i64::try_from(events.len()).unwrap()).collect::<Vec<_>>());
    let ids: BTreeSet<&str> = events.iter().map(|event| event["id"].as_str().unwrap()).collect();
    assert_eq!(ids.len(), events.len());
    let kinds: Vec<String> = events.iter().map(|event| text(&event["type"])).collect();
    let expected = [
        "contact.created",
        "conversation.created",
        "message.received",
        "conversation.assigned",
        "conversation.updated",
        "conversation.closed",
        "contact.updated",
        "conversation.updated",
        "message.created",
        "message.sent",
        "message.status",
        "message.status",
    ];
    assert_eq!(kinds, expected);
    assert_eq!(kinds.iter().map(String::as_str).collect::<BTreeSet<_>>(), TYPES.into());
    // Each shows its own moment: the newest is how things are, the older ones are how they were.
    let last = &events[11]["data"];
    assert_eq!(last["message"], tenant.message(&id).await);
    assert_eq!((&last["previous_status"], &last["status"]), (&json!("sent"), &json!("delivered")));
    assert_eq!(events[8]["data"]["message"]["status"], "pending");
    assert_eq!(events[0]["data"]["contact"]["metadata"], json!({}));
    assert_eq!(events[6]["data"]["contact"]["metadata"], json!({"a": [1]}));
    assert_eq!(events[3]["data"]["conversation"]["assignee"]["name"], "Rani");
    assert_eq!(events[7]["data"]["conversation"]["contact"]["name"], "Sari");
    assert_eq!(events[1]["data"]["conversation"]["whatsapp_account"]["phone_number"], tenant.phone);
}

#[tokio::test]
async fn a_change_that_changes_nothing_is_not_told() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    live(&server, &tenant).await;
    let before = log(&tenant).await;
    let thread = tenant.conversation_with(&from(0)).await;
    let path = format!("conversations/{}", text(&thread["id"]));
    tenant.patch(&path, &json!({"status": thread["status"]})).await.is(200);
    let contact = format!("contacts/{}", text(&thread["contact"]["id"]));
    tenant.patch(&contact, &json!({"name": "Sari"})).await.is(200);
    let wamid = text(&before[11]["data"]["message"]["message_id"]);
    tenant.learns_that(&wamid, "delivered").await;
    assert_eq!(log(&tenant).await, before);
}

#[tokio::test]
async fn a_sandbox_is_not_live_and_logs_are_each_their_own() {
    let server = TestServer::start().await;
    let sandbox = json!({"name": "Try", "tier": "enterprise", "sandbox": true,
        "write_per_minute": 1_000_000, "read_per_minute": 1_000_000});
    let tenant = server.tenant_of(&sandbox).await;
    let second = server.second_account(&tenant).await;
    tenant.hears(&from(0), "hello").await;
    second.hears(&from(1), "hello").await;
    for account in [&tenant, &second] {
        let events = log(account).await;
        assert_eq!(events.iter().map(sequence).collect::<Vec<_>>(), [1, 2, 3]);
        for event in events {
            assert_eq!(event["livemode"], false);
            assert_eq!(event["account"]["phone_number_id"], account.id);
        }
    }
    let stranger = server.tenant().await;
    stranger.api.get(&tenant.path("events")).await.refused(404, "resource_not_found");
    stranger.api.get(&tenant.path("events/stream")).await.refused(404, "resource_not_found");
}
