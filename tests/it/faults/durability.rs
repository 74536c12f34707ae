//! What was acknowledged is there: after an orderly restart, after SIGTERM, after SIGKILL.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{
    Business, Child, Client, InboundWebhook, OPERATOR_TOKEN, TestServer, database, from, text, text_from,
    until,
};

#[tokio::test]
async fn after_an_orderly_restart_everything_is_as_it_was() {
    let mut server = TestServer::start().await;
    let tenant = server.tenant().await;
    let user = server.user(&tenant.organisation, "Rani").await;
    let rows = tenant.inbox(5).await;
    let path = |nth: usize| format!("conversations/{}", text(&rows[nth]["id"]));
    tenant.patch(&path(0), &json!({"status": "resolved"})).await.is(200);
    tenant.patch(&path(1), &json!({"assigned_to": user["id"]})).await.is(200);
    tenant.post("contacts", &json!({"phone_number": "+6281200000001", "metadata": {"a": [1]}})).await.is(201);
    let sent = tenant.sent(&from(2)).await;
    tenant.learns_that(&text(&sent["message_id"]), "delivered").await;
    let lists =
        ["conversations?limit=2", "conversations?updated_since=2020-01-01T00:00:00Z", "messages", "contacts"];
    let mut before = Vec::new();
    for list in lists {
        before.push((tenant.get(list).await.etag(), tenant.all(list).await));
    }
    server.restart().await;
    for (list, (tag, rows)) in lists.iter().zip(&before) {
        tenant.get_if(list, tag).await.is(304);
        assert_eq!(tenant.all(list).await, *rows, "{list}");
    }
    // Life goes on where it was: the clock, the ladder, the log.
    tenant.learns_that(&text(&sent["message_id"]), "read").await;
    tenant.hears(&from(0), "back?").await;
    let row = tenant.conversation_with(&from(0)).await;
    assert_eq!(row["status"], "open");
    let newest = before[0].1.iter().map(|row| text(&row["updated_at"])).max().unwrap();
    assert!(text(&row["updated_at"]) > newest, "the account clock never goes back");
}

#[tokio::test]
async fn a_message_pending_at_the_stop_is_sent_after_the_start() {
    // The restarted server cannot know that WhatsApp refused it, so it waits for an echo first.
    let mut server = TestServer::shaped(|options| options.set("KABAR_WHATSAPP__SETTLE_SECONDS", "1")).await;
    let tenant = server.tenant().await;
    let phone = kabar_core::domain::phone::Phone::parse(&from(1)).unwrap();
    let failure = kabar::simulator::RecipientFailure::always(131_016);
    server.simulator.set_failure(phone.clone(), Some(failure));
    let id = text(&tenant.sends(&from(1)).await["id"]);
    server.stop().await;
    server.simulator.set_failure(phone.clone(), None);
    server.start_again().await;
    tenant.message_when(&id, |message| message["status"] == "sent").await;
    assert_eq!(server.simulator.sends_to(&phone), 1);
}

/// The log as its readers find it after a crash: gapless, and one event for each row that was made.
async fn log_agrees(process: &Client, business: &Business, messages: &[Value], contacts: &[Value]) {
    let (events, after) = business.log(process).await;
    let numbers: Vec<i64> = events.iter().map(|event| event["sequence"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=after).collect::<Vec<_>>());
    let actors = process.with_token(OPERATOR_TOKEN).get("/admin/v1/actors").await.rows();
    assert_eq!(actors[0]["sequence"], after, "the next event gets the next number");
    let told = |kind: &str, noun: &str| -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for event in events.iter().filter(|event| event["type"] == kind) {
            *counts.entry(text(&event["data"][noun]["id"])).or_default() += 1;
        }
        counts
    };
    let once = |rows: Vec<&Value>| -> BTreeMap<String, usize> {
        rows.into_iter().map(|row| (text(&row["id"]), 1)).collect()
    };
    let direction = |way: &str| messages.iter().filter(|row| row["direction"] == way).collect();
    assert_eq!(told("message.received", "message"), once(direction("inbound")));
    assert_eq!(told("message.created", "message"), once(direction("outbound")));
    assert_eq!(told("contact.created", "contact"), once(contacts.iter().collect()));
    let renamed = contacts.iter().filter(|row| row["name"] == "B").collect();
    assert_eq!(told("contact.updated", "contact"), once(renamed));
}

/// What one writer was told is done.
#[derive(Default)]
struct Acknowledged {
    /// WhatsApp's ids of messages that were taken in.
    heard: Vec<String>,
    /// Contacts by id, as they were answered last.
    contacts: BTreeMap<String, Value>,
    /// Sends by idempotency key.
    sends: BTreeMap<String, Value>,
}

/// Writes of every kind until the process no longer answers.
async fn write_until_it_dies(
    process: Client,
    business: Arc<Business>,
    nth: usize,
    done: Arc<AtomicUsize>,
) -> Acknowledged {
    let client = process.with_token(&business.key);
    let clock = kabar_core::clock::Clock::system_clock();
    let json = [("Content-Type", "application/json")];
    let contacts = format!("/v1/{}/contacts", business.id);
    let messages = format!("/v1/{}/messages", business.id);
    let mut acknowledged = Acknowledged::default();
    for round in 0.. {
        let message = text_from(&from(nth), clock.read_now(), &format!("{nth}-{round}"));
        let webhook = InboundWebhook::default().messages(&business.id, std::slice::from_ref(&message));
        let Ok(answer) = webhook.attempt(&process).await else { break };
        answer.is(200);
        acknowledged.heard.push(text(&message["id"]));
        let body = json!({"phone_number": format!("+62899{nth:03}{round:05}"), "name": "A"}).to_string();
        let Ok(answer) = client.attempt("POST", &contacts, &json, body.into()).await else { break };
        let made = answer.is(201).data();
        acknowledged.contacts.insert(text(&made["id"]), made.clone());
        let path = format!("{contacts}/{}", text(&made["id"]));
        let Ok(answer) = client.attempt("PATCH", &path, &json, br#"{"name":"B"}"#.to_vec()).await else {
            // Unanswered: it may have happened or not.
            acknowledged.contacts.remove(&text(&made["id"]));
            break;
        };
        acknowledged.contacts.insert(text(&made["id"]), answer.is(200).data());
        let key = format!("k-{nth}-{round}");
        let headers = [json[0], ("Idempotency-Key", &*key)];
        let template = crate::harness::Tenant::template(&from(nth)).to_string();
        let Ok(answer) = client.attempt("POST", &messages, &headers, template.into()).await else { break };
        acknowledged.sends.insert(key.clone(), answer.is(200).data());
        done.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

async fn everything_is_there(process: &Client, business: &Business, all: &[Acknowledged]) {
    let messages = business.rows(process, "messages?limit=100").await;
    let wamids: Vec<&Value> = messages.iter().map(|row| &row["message_id"]).collect();
    let contacts = business.rows(process, "contacts?limit=100").await;
    let by_id: BTreeMap<&str, &Value> =
        contacts.iter().map(|row| (row["id"].as_str().unwrap(), row)).collect();
    for acknowledged in all {
        for wamid in &acknowledged.heard {
            let count = wamids.iter().filter(|known| ***known == **wamid).count();
            assert_eq!(count, 1, "{wamid}");
        }
        for (id, contact) in &acknowledged.contacts {
            assert_eq!(by_id.get(id.as_str()), Some(&contact), "{id}");
        }
        // A key that was answered is answered alike again, and makes no second message.
        let client = process.with_token(&business.key);
        let path = format!("/v1/{}/messages", business.id);
        for (key, sent) in &acknowledged.sends {
            assert!(messages.iter().any(|row| row["id"] == sent["id"]), "{key}");
            let template = crate::harness::Tenant::template(text(&sent["to"]).trim_start_matches('+'));
            let answer = client.post_with(&path, &[("Idempotency-Key", key)], &template).await.is(200);
            assert_eq!((answer.must("Idempotent-Replayed").as_str(), &answer.data()), ("true", sent));
        }
    }
    let unread: u64 = business
        .rows(process, "conversations?limit=100")
        .await
        .iter()
        .map(|row| row["unread_count"].as_u64().unwrap())
        .sum();
    let inbound = messages.iter().filter(|row| row["direction"] == "inbound").count();
    assert_eq!(usize::try_from(unread).unwrap(), inbound, "counts agree with rows");
    log_agrees(process, business, &messages, &contacts).await;
}

/// Runs writers against a child, ends it in the middle, and looks after a restart.
async fn ended_in_mid_load(by_sigterm: bool) {
    let folder = tempfile::tempdir().unwrap();
    let url = database::chosen(folder.path()).await;
    // WhatsApp is away: sends stay pending, which is all the same to what is acknowledged.
    let graph = "http://127.0.0.1:9";
    let child = Child::start(folder.path(), &url, graph).await;
    let business = Arc::new(Business::open(&child.anyone).await);
    let done = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for nth in 0..6 {
        writers.spawn(write_until_it_dies(child.anyone.clone(), business.clone(), nth, done.clone()));
    }
    until(async || done.load(Ordering::Relaxed) >= 60).await;
    if by_sigterm {
        assert_eq!(child.terminate().await.code(), Some(0), "an orderly end");
    } else {
        child.kill().await;
    }
    let all = writers.join_all().await;
    assert!(all.iter().map(|one| one.heard.len()).sum::<usize>() >= 60);
    let again = Child::start(folder.path(), &url, graph).await;
    everything_is_there(&again.anyone, &business, &all).await;
    assert_eq!(again.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigkill_in_mid_load_loses_nothing_that_was_acknowledged() {
    Box::pin(ended_in_mid_load(false)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn sigterm_in_mid_load_loses_nothing_and_exits_with_0() {
    Box::pin(ended_in_mid_load(true)).await;
}
