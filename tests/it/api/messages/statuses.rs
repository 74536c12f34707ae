//! The ladder: statuses come in any order, twice, and before the message itself.

use kabar::simulator::{NetworkFaults, StatusDelays};
use kabar_core::domain::time::Timestamp;
use serde_json::{Value, json};

use crate::harness::{NOON, TestServer, fresh_wamid, from, patiently, status_of, text};

/// WhatsApp's own time of a status, in whole seconds.
fn at(second: i64) -> Timestamp {
    Timestamp::from_seconds(NOON + second)
}

/// Every order of three.
const ORDERS: [[&str; 3]; 6] = [
    ["sent", "delivered", "read"],
    ["sent", "read", "delivered"],
    ["delivered", "sent", "read"],
    ["delivered", "read", "sent"],
    ["read", "sent", "delivered"],
    ["read", "delivered", "sent"],
];

fn second_of(status: &str) -> i64 {
    match status {
        "sent" => 1,
        "delivered" => 2,
        _ => 3,
    }
}

fn when(message: &Value, status: &str) -> Value {
    let history = message["status_history"].as_array().unwrap();
    let found: Vec<&Value> = history.iter().filter(|seen| seen["status"] == status).collect();
    assert!(found.len() <= 1, "{status} stands twice in {history:?}");
    found.first().map_or(Value::Null, |seen| seen["at"].clone())
}

#[tokio::test]
async fn whatever_the_order_the_end_is_the_same() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    server.set_pace(&tenant, 1000).await;
    for order in ORDERS {
        for together in [false, true] {
            let message = tenant.sent(&from(1)).await;
            let wamid = text(&message["message_id"]);
            let reports: Vec<Value> =
                order.iter().map(|status| status_of(&wamid, status, at(second_of(status)))).collect();
            if together {
                tenant.learns(&reports).await;
            } else {
                for report in &reports {
                    tenant.learns(std::slice::from_ref(report)).await;
                }
            }
            let end = tenant.message(&text(&message["id"])).await;
            assert_eq!(end["status"], "read", "{order:?}");
            for (status, member) in [("sent", "sent_at"), ("delivered", "delivered_at"), ("read", "read_at")]
            {
                let expected = at(second_of(status)).to_string();
                assert_eq!(when(&end, status), expected, "{order:?}");
                assert_eq!(end[member], expected, "{order:?}");
            }
            // The same again changes nothing.
            tenant.learns(&reports).await;
            assert_eq!(tenant.message(&text(&message["id"])).await, end);
        }
    }
}

#[tokio::test]
async fn failed_yields_only_to_proof_of_delivery() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    server.set_pace(&tenant, 1000).await;
    for (reports, end, error) in [
        (vec!["failed"], "failed", true),
        (vec!["failed", "sent"], "failed", true),
        (vec!["failed", "delivered"], "delivered", false),
        (vec!["failed", "read"], "read", false),
        (vec!["delivered", "failed"], "delivered", false),
        (vec!["read", "failed"], "read", false),
        (vec!["failed", "failed"], "failed", true),
    ] {
        let message = tenant.sent(&from(1)).await;
        let wamid = text(&message["message_id"]);
        for status in &reports {
            tenant.learns_that(&wamid, status).await;
        }
        let now = tenant.message(&text(&message["id"])).await;
        assert_eq!((&now["status"], now["error"].is_object()), (&json!(end), error), "{reports:?}");
        assert!(now["failed_at"].is_string(), "the sighting is kept: {reports:?}");
    }
}

#[tokio::test]
async fn a_repeated_status_changes_nothing_and_wakes_nobody() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let message = tenant.sent(&from(1)).await;
    let (id, wamid) = (text(&message["id"]), text(&message["message_id"]));
    tenant.learns_that(&wamid, "delivered").await;
    let tail = format!("messages/{id}");
    let page = tenant.get(&tail).await;
    let list = tenant.get("conversations").await;
    tenant.learns_that(&wamid, "delivered").await;
    tenant.learns_that(&wamid, "delivered").await;
    tenant.get_if(&tail, &page.etag()).await.is(304);
    tenant.get_if("conversations", &list.etag()).await.is(304);
}

#[tokio::test]
async fn statuses_before_the_answer_are_kept_for_the_message() {
    let server = TestServer::shaped(|options| options.status_delay = StatusDelays::NONE).await;
    server.simulator.set_faults(NetworkFaults { early_status_percent: 100, ..NetworkFaults::default() });
    let tenant = server.tenant().await;
    let id = text(&tenant.sends(&from(1)).await["id"]);
    let end = tenant.message_when(&id, |message| message["status"] == "read").await;
    let history: Vec<String> =
        end["status_history"].as_array().unwrap().iter().map(|seen| text(&seen["status"])).collect();
    assert_eq!(history, ["pending", "sent", "delivered", "read"]);
    assert!(end["message_id"].is_string());
    assert_eq!(server.simulator.sends().len(), 1);
}

/// WhatsApp takes every message and every answer is lost: the echo in a status settles each, and
/// nobody gets a message twice.
#[tokio::test]
async fn a_send_whose_answer_is_lost_is_settled_by_the_echo() {
    let server = TestServer::shaped(|options| {
        options.status_delay = StatusDelays::NONE;
        options.set("KABAR_WHATSAPP__SETTLE_SECONDS", "30");
    })
    .await;
    server.simulator.set_faults(NetworkFaults { drop_answer_percent: 100, ..NetworkFaults::default() });
    let tenant = server.tenant().await;
    let mut ids = Vec::new();
    for nth in 0..12 {
        ids.push(text(&tenant.sends(&from(nth % 4)).await["id"]));
    }
    for id in ids {
        tenant.message_when(&id, |message| message["status"] == "read").await;
    }
    assert_eq!(server.simulator.sends().len(), 12, "each exactly once");
}

/// Neither answer nor echo: after the time to settle the message is tried again.
#[tokio::test]
async fn a_send_of_which_nothing_is_heard_is_tried_again_in_time() {
    let server = TestServer::shaped(|options| options.set("KABAR_WHATSAPP__SETTLE_SECONDS", "1")).await;
    server.simulator.set_faults(NetworkFaults { drop_answer_percent: 100, ..NetworkFaults::default() });
    let tenant = server.tenant().await;
    let first = text(&tenant.sends(&from(1)).await["id"]);
    let second = text(&tenant.sends(&from(1)).await["id"]);
    let mut counts = server.simulator.counts();
    patiently(counts.wait_for(|counts| counts.accepted >= 1)).await.unwrap();
    assert_eq!(tenant.message(&second).await["status"], "pending", "it waits for the one before it");
    server.simulator.set_faults(NetworkFaults::default());
    tenant.message_when(&first, |message| message["status"] == "sent").await;
    tenant.message_when(&second, |message| message["status"] == "sent").await;
    let order: Vec<_> = server.simulator.sends().into_iter().filter_map(|send| send.opaque).collect();
    assert_eq!(order.first(), Some(&first));
    assert_eq!(order.last(), Some(&second));
}

#[tokio::test]
async fn a_status_for_a_message_nobody_knows_is_200_and_harmless() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.learns_that(&fresh_wamid(), "delivered").await;
    let heard = tenant.hears(&from(1), "hello").await;
    // Nobody reports on what a contact wrote.
    let before = tenant.get("messages").await.rows();
    tenant.learns_that(&heard, "read").await;
    assert_eq!(tenant.get("messages").await.rows(), before);
}

#[tokio::test]
async fn under_duplicates_and_disorder_every_send_ends_as_read_and_was_made_once() {
    let server = TestServer::shaped(|options| options.status_delay = StatusDelays::NONE).await;
    server.simulator.set_faults(NetworkFaults {
        duplicate_percent: 50,
        early_status_percent: 50,
        batch_items_max: 5,
        ..NetworkFaults::default()
    });
    let tenant = server.tenant().await;
    let mut ids = Vec::new();
    for nth in 0..30 {
        ids.push(text(&tenant.sends(&from(nth)).await["id"]));
    }
    for id in ids {
        let end = tenant.message_when(&id, |message| message["status"] == "read").await;
        assert_eq!(end["status_history"].as_array().unwrap().len(), 4, "{end}");
    }
    assert_eq!(server.simulator.sends().len(), 30);
}

#[tokio::test]
async fn statuses_of_an_unknown_word_are_left_out() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let message = tenant.sent(&from(1)).await;
    let wamid = text(&message["message_id"]);
    let odd = [status_of(&wamid, "teleported", at(1)), status_of(&wamid, "delivered", at(2))];
    tenant.learns(&odd).await;
    assert_eq!(tenant.message(&text(&message["id"])).await["status"], "delivered");
}
