//! The stand-in for WhatsApp, met the way the server meets it: over HTTP, read by core's own reader.

mod calls;
mod graph;
mod occasions;
mod page;
mod receiver;
mod rules;
mod scripts;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kabar::simulator::{
    NetworkFaults, RecipientFailure, SimulatedNumber, SimulatorCounts, SimulatorOptions, StatusDelays,
    WhatsAppSimulator,
};
use kabar_core::clock::Clock;
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::inbound::{InboundFact, InboundItem, InboundMessage, ItemOwner, StatusReport};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::status::MessageStatus::{Delivered, Failed, Read, Sent};
use kabar_core::domain::time::Timestamp;
use receiver::Receiver;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

const ID: &str = "100200300400501";
const OPAQUE: &str = "msg_00000000000000000000000007";
/// Far above what anything here takes; only a test that would fail reaches it.
const WAIT_TIMEOUT: Duration = Duration::from_secs(20);

struct Stage {
    simulator: WhatsAppSimulator,
    receiver: Receiver,
    http: reqwest::Client,
    tasks: TaskTracker,
    stop: DropGuard,
}

fn number() -> SimulatedNumber {
    SimulatedNumber {
        phone_number_id: PhoneNumberId::parse(ID).unwrap(),
        phone: Phone::parse("+12025550100").unwrap(),
        waba_id: "900800700".into(),
    }
}

/// A stand-in and a receiver that checks every signature. `shape` changes the options.
async fn stage(shape: impl FnOnce(&mut SimulatorOptions)) -> Stage {
    let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
    let secret = Secret::new("s3cret");
    let receiver = Receiver::start(secret.clone(), &tasks, stop.clone()).await;
    let mut options = SimulatorOptions::new(&receiver.url, secret);
    options.numbers = vec![number()];
    options.status_delay = StatusDelays::NONE;
    options.webhook_retry.first = Duration::from_millis(1);
    shape(&mut options);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let simulator = WhatsAppSimulator::start(listener, options, &tasks, stop.clone()).unwrap();
    Stage { simulator, receiver, http: reqwest::Client::new(), tasks, stop: stop.drop_guard() }
}

fn text_to(to: &str) -> Value {
    json!({"messaging_product": "whatsapp", "recipient_type": "individual", "to": to, "type": "text",
        "text": {"body": "hello"}, "biz_opaque_callback_data": OPAQUE})
}

impl Stage {
    async fn post(&self, id: &str, token: &str, body: &Value) -> Result<(u16, Value), reqwest::Error> {
        let url = format!("{}/v23.0/{id}/messages", self.simulator.base_url());
        let answer = self.http.post(url).bearer_auth(token).json(body).send().await?;
        Ok((answer.status().as_u16(), answer.json().await?))
    }

    async fn send(&self, to: &str) -> (u16, Value) {
        self.post(ID, "t0ken", &text_to(to)).await.unwrap()
    }

    async fn item(&mut self) -> InboundItem {
        tokio::time::timeout(WAIT_TIMEOUT, self.receiver.items.recv()).await.unwrap().unwrap()
    }

    async fn status(&mut self) -> StatusReport {
        let InboundFact::Status(report) = self.item().await.fact else { panic!("no customer was to write") };
        *report
    }

    async fn message(&mut self) -> InboundMessage {
        loop {
            if let InboundFact::Message(message) = self.item().await.fact {
                return *message;
            }
        }
    }

    async fn counted(&self, reached: impl FnMut(&SimulatorCounts) -> bool) -> SimulatorCounts {
        let mut counts = self.simulator.counts();
        *tokio::time::timeout(WAIT_TIMEOUT, counts.wait_for(reached)).await.unwrap().unwrap()
    }
}

#[tokio::test]
async fn a_send_is_answered_and_its_statuses_follow_in_order() {
    let mut stage = stage(|_| {}).await;
    let (status, answer) = stage.send("+1 202 555 0141").await;
    assert_eq!(status, 200);
    let contact = &answer["contacts"][0];
    assert_eq!((&contact["input"], &contact["wa_id"]), (&json!("+1 202 555 0141"), &json!("12025550141")));
    assert!(contact.get("user_id").is_none(), "a number was addressed");
    let wamid = answer["messages"][0]["id"].as_str().unwrap();
    for expected in [Sent, Delivered, Read] {
        let report = stage.status().await;
        assert_eq!((report.status, &*report.wamid, report.error), (expected, wamid, None));
        assert_eq!(report.echo.unwrap().to_string(), OPAQUE);
        let recipient = report.recipient.unwrap();
        assert!(recipient.user_id.unwrap().as_str().starts_with("US."));
        assert_eq!(recipient.wa_id.or(recipient.phone).unwrap().as_digits(), "12025550141");
        assert!(report.pricing.unwrap().contains("free_customer_service"));
    }
    let sends = stage.simulator.sends();
    assert_eq!((sends.len(), &*sends[0].wamid, sends[0].opaque.as_deref()), (1, wamid, Some(OPAQUE)));
    assert_eq!(sends[0].body, text_to("+1 202 555 0141"));
    assert_eq!(stage.simulator.sends_to(&Phone::parse("+12025550141").unwrap()), 1);
    let counts = stage.counted(|counts| counts.delivered == 3).await;
    assert_eq!((counts.accepted, counts.refused, counts.given_up, counts.inbound), (1, 0, 0, 0));
}

#[tokio::test]
async fn delays_are_the_clocks() {
    let clock = Arc::new(Clock::manual_clock(Timestamp::from_seconds(1_781_866_800)));
    let mut stage = stage(|options| {
        options.clock = clock.clone();
        options.status_delay = StatusDelays {
            sent: Duration::from_secs(1),
            delivered: Duration::from_secs(10),
            read: Duration::from_secs(100),
        };
    })
    .await;
    stage.send("12025550141").await;
    for (wait, expected) in [(1, Sent), (10, Delivered), (100, Read)] {
        assert!(stage.receiver.items.try_recv().is_err());
        clock.advance_manual(Duration::from_secs(wait));
        let report = stage.status().await;
        assert_eq!((report.status, report.at), (expected, clock.read_now()));
    }
}

#[tokio::test]
async fn recipients_fail_as_asked() {
    let flaky = Phone::parse("+12025550142").unwrap();
    let mut stage = stage(|options| {
        options.failures.insert(flaky.clone(), RecipientFailure { code: 131_056, times: Some(1) });
    })
    .await;

    let (status, _) = stage.send("12025131026").await;
    assert_eq!(status, 200, "WhatsApp tells this one later");
    let report = stage.status().await;
    let error = report.error.unwrap();
    assert_eq!((report.status, error.provider_code), (Failed, Some(131_026)));
    assert_eq!(&*error.code, "recipient_not_on_whatsapp");

    for (to, http, code) in [("12025132001", 404, 132_001), ("12025131016", 500, 131_016)] {
        let (status, answer) = stage.send(to).await;
        assert_eq!((status, &answer["error"]["code"]), (http, &json!(code)));
    }
    let (status, answer) = stage.send(flaky.as_digits()).await;
    assert_eq!((status, &answer["error"]["code"]), (400, &json!(131_056)));
    assert_eq!(stage.send(flaky.as_digits()).await.0, 200);
    assert_eq!(stage.status().await.status, Sent);
    stage.simulator.set_failure(flaky.clone(), Some(RecipientFailure::always(2)));
    assert_eq!(stage.send(flaky.as_digits()).await.0, 503);
    assert_eq!(stage.simulator.sends_to(&flaky), 1);
}

#[tokio::test]
async fn calls_that_meta_would_refuse_are_refused() {
    let stage = stage(|_| {}).await;
    let ok = text_to("12025550141");
    let with = |name: &str, value: Value| {
        let mut body = ok.clone();
        body[name] = value;
        body
    };
    let (status, answer) = stage.post(ID, "expired-1", &ok).await.unwrap();
    assert_eq!((status, &answer["error"]["code"]), (401, &json!(190)));
    for (id, body) in [
        ("100200300400599", ok.clone()),
        (ID, json!([])),
        (ID, with("messaging_product", json!("telex"))),
        (ID, with("to", json!("nobody"))),
        (ID, with("type", json!("image"))),
        (ID, with("text", json!({"body": ""}))),
        (ID, json!({"messaging_product": "whatsapp", "status": "read"})),
    ] {
        let (status, answer) = stage.post(id, "t0ken", &body).await.unwrap();
        assert_eq!((status, &answer["error"]["code"]), (400, &json!(100)), "{body}");
    }
    let elsewhere = format!("{}/v23.0/{ID}/media", stage.simulator.base_url());
    let answer = stage.http.post(elsewhere).send().await.unwrap();
    assert_eq!(answer.status().as_u16(), 404);
    assert!(answer.json::<Value>().await.unwrap()["error"]["code"].is_number());
    assert_eq!(stage.simulator.counts().borrow().accepted, 0);
}

#[tokio::test]
async fn read_receipts_are_taken_and_numbers_can_be_added() {
    let mut stage = stage(|options| options.numbers.clear()).await;
    let receipt = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.IN1"});
    assert_eq!(stage.post(ID, "t0ken", &receipt).await.unwrap().0, 400);
    stage.simulator.add_number(number());
    assert_eq!(stage.post(ID, "t0ken", &receipt).await.unwrap(), (200, json!({"success": true})));
    assert_eq!(stage.simulator.receipts(), ["wamid.IN1"]);
    stage.send("12025550141").await;
    assert_eq!(stage.status().await.status, Sent);
}

#[tokio::test]
async fn a_webhook_that_is_not_taken_comes_again() {
    let mut stage = stage(|_| {}).await;
    stage.receiver.refuse(2, 503);
    stage.send("12025550141").await;
    let counts = stage.counted(|counts| counts.delivered == 3).await;
    assert_eq!(counts.failed_posts, 2);
    for expected in [Sent, Delivered, Read] {
        assert_eq!(stage.status().await.status, expected);
    }
}

#[tokio::test]
async fn retries_towards_the_receiver_end() {
    let stage = stage(|options| options.webhook_retry.attempts = 2).await;
    stage.receiver.refuse(2, 401);
    stage.send("12025550141").await;
    let counts = stage.counted(|counts| counts.delivered == 2).await;
    assert_eq!((counts.given_up, counts.failed_posts), (1, 2));
}

#[tokio::test]
async fn network_faults_happen_when_asked_for() {
    let mut stage = stage(|options| {
        options.faults = NetworkFaults {
            duplicate_percent: 100,
            early_status_percent: 100,
            batch_items_max: 6,
            ..NetworkFaults::default()
        };
    })
    .await;
    stage.send("12025550141").await;
    let first = stage.receiver.items.try_recv();
    assert!(first.is_ok(), "the first status came before the answer");
    stage.counted(|counts| counts.delivered == 6).await;
    let mut seen = HashMap::new();
    for _ in 0..5 {
        *seen.entry(stage.status().await.status).or_insert(0) += 1;
    }
    assert_eq!(seen, HashMap::from([(Sent, 1), (Delivered, 2), (Read, 2)]));

    let dropping = NetworkFaults { drop_answer_percent: 100, ..NetworkFaults::default() };
    stage.simulator.set_faults(dropping);
    let lost = stage.post(ID, "t0ken", &text_to("12025550143")).await.unwrap_err();
    assert!(lost.is_request(), "no answer, rather than one that cannot be read: {lost:?}");
    assert_eq!(stage.simulator.sends_to(&Phone::parse("12025550143").unwrap()), 1);
    assert_eq!(stage.status().await.status, Sent);
}

/// The number of a message's author.
fn author_of(message: &InboundMessage) -> Phone {
    let ItemOwner::Person(party) = &message.owner else { panic!("{message:?}") };
    party.phone.clone().or_else(|| party.wa_id.clone()).unwrap()
}

/// What each customer wrote, in order, without what differs from start to start.
async fn conversations(seed: u64, messages: usize) -> HashMap<Phone, Vec<(String, String)>> {
    let mut stage = stage(|options| (options.seed, options.traffic_per_minute) = (seed, 60_000)).await;
    let mut said: HashMap<Phone, Vec<_>> = HashMap::new();
    for _ in 0..messages {
        let message = stage.message().await;
        let author = author_of(&message);
        assert!(author.as_digits().starts_with("447700900") && message.owner.party().name.is_some());
        let line = (message.kind.as_str().to_owned(), message.content.to_string());
        said.entry(author).or_default().push(line);
    }
    said
}

#[tokio::test]
async fn the_same_seed_brings_the_same_traffic() {
    let (first, again) = tokio::join!(conversations(5, 150), conversations(5, 150));
    let mut compared = 0;
    for (author, lines) in &first {
        // Customers' lanes overtake each other, one customer's messages do not.
        for (line, same) in lines.iter().zip(again.get(author).into_iter().flatten()) {
            assert_eq!(line, same);
            compared += 1;
        }
    }
    assert!(compared > 30, "only {compared} of 150 messages could be compared");
    let kinds: std::collections::BTreeSet<_> = first.values().flatten().map(|(kind, _)| kind).collect();
    assert!(kinds.len() >= 3, "{kinds:?}");
    assert_ne!(first, conversations(6, 150).await);
}

#[tokio::test]
async fn traffic_has_a_rate_and_people_answer() {
    let clock = Arc::new(Clock::manual_clock(Timestamp::from_seconds(1_781_866_800)));
    let mut stage = stage(|options| {
        options.clock = clock.clone();
        options.reply_percent = 100;
    })
    .await;
    stage.simulator.set_traffic(6);
    stage.counted(|counts| counts.inbound == 1).await;
    clock.advance_manual(Duration::from_secs(50));
    // One at once, then five of ten seconds each, give or take half.
    let counts = stage.counted(|counts| counts.inbound >= 4).await;
    assert!(counts.inbound <= 12, "{counts:?}");

    stage.send("12025550141").await;
    clock.advance_manual(Duration::from_secs(20));
    let reply = loop {
        let message = stage.message().await;
        if author_of(&message).as_digits() == "12025550141" {
            break message;
        }
    };
    assert!(!reply.content.is_empty() && reply.owner.party().name.is_some());
}

#[tokio::test]
async fn in_silence_nobody_answers() {
    let stage = stage(|options| options.reply_percent = 100).await;
    stage.send("12025550141").await;
    let counts = stage.counted(|counts| counts.delivered == 3).await;
    assert_eq!(counts.inbound, 0);
}

#[tokio::test]
async fn it_stops_when_told() {
    let stage = stage(|options| options.traffic_per_minute = 600).await;
    drop(stage.stop);
    stage.tasks.close();
    tokio::time::timeout(WAIT_TIMEOUT, stage.tasks.wait()).await.unwrap();
}
