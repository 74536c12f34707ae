//! At least once, in order: the real binary killed in the middle of deliveries, hundreds of times, with a
//! receiver that counts.
//!
//! What a crash may do: bring an event again, with the same ids. What it may not: leave one out, bring a
//! conversation's events in another order than they happened, or take one for another.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kabar_core::clock::Clock;
use serde_json::json;

use crate::harness::restarts::{Environment, Lives, beside};
use crate::harness::{Call, Child, InboundWebhook, Receiver, Turn, from, text, text_from, until};

/// Servers that are killed at the same time, each with its own database and receiver.
const STAGES: usize = 3;
/// Kills of each.
const KILLS: usize = 70;
/// Contacts who write in every life, so that order is seen across kills.
const AUTHORS: usize = 5;
/// What each of them says in a life.
const TEXTS: usize = 3;

/// When the process dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// WhatsApp has its 200; nothing may have been brought.
    Acknowledged,
    /// The receiver has some of it and has not answered.
    Called,
    /// The receiver has answered; the outcome may not have been recorded.
    Answered,
    /// The receiver has refused some of it.
    Refused,
    /// After so many further requests: anywhere.
    Later(u32),
}

/// The log says little of what is refused on purpose.
const SETTINGS: Environment =
    &[("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true"), ("KABAR_LOG__LEVEL", "info,kabar_actors=error")];

struct Stage {
    lives: Lives,
    receiver: Receiver,
    clock: Clock,
}

impl Stage {
    async fn set() -> (Self, Child) {
        let (lives, child) = Lives::begin(Child::lasting_address(), "http://127.0.0.1:9", SETTINGS).await;
        let stage = Self { lives, receiver: Receiver::start().await, clock: Clock::system_clock() };
        let body = json!({"url": stage.receiver.url(), "events": ["message.received"]});
        stage.lives.client(&child).post("/v1/webhook_subscriptions", &body).await.is(201);
        (stage, child)
    }

    /// One life of the process: contacts write, and it dies at this moment of telling the receiver.
    async fn live_and_die(&mut self, child: Child, life: usize, moment: Moment) {
        match moment {
            // One conversation is let through, so that something has been answered when it dies.
            Moment::Called => self
                .receiver
                .plays(|call| if call.author().ends_with(&from(0)) { Turn::status(200) } else { Turn::Hang }),
            Moment::Refused => self.receiver.plays(|call| {
                Turn::status(if call.author().ends_with(&from(1)) && call.attempt() == 1 { 503 } else { 200 })
            }),
            Moment::Acknowledged | Moment::Answered | Moment::Later(_) => {}
        }
        let before = self.receiver.count();
        let at = self.clock.read_now();
        let texts: Vec<_> = (0..TEXTS)
            .flat_map(|nth| (0..AUTHORS).map(move |author| (nth, author)))
            .map(|(nth, author)| text_from(&from(author), at, &format!("{life:03}.{nth}")))
            .collect();
        InboundWebhook::default().messages(&self.lives.business.id, &texts).post(&child.anyone).await.is(200);
        match moment {
            Moment::Acknowledged => {}
            // Each of the others has one on its way, which hangs, or one of a life before.
            Moment::Called => drop(self.receiver.until(before + AUTHORS).await),
            Moment::Answered | Moment::Refused => drop(self.receiver.until(before + 2 + life % 11).await),
            Moment::Later(requests) => {
                for _ in 0..requests {
                    child.anyone.get("/v1/health").await.is(200);
                }
            }
        }
        child.kill().await;
        self.receiver.plays(|_| Turn::status(200));
    }

    /// Every event is brought in the end, each conversation's first in the order in which it happened, and
    /// what is brought twice is the same both times.
    async fn assert_told(&self, child: &Child) {
        let api = self.lives.client(child);
        let unfinished = async |status: &str| {
            let path = format!("/v1/webhook_deliveries?limit=1&status={status}");
            !api.get(&path).await.rows().is_empty()
        };
        until(async || !unfinished("pending").await && !unfinished("failed").await).await;
        let calls = self.receiver.calls();
        let mut events: BTreeMap<i64, &Call> = BTreeMap::new();
        let mut conversations: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for call in &calls {
            let known = *events.entry(call.sequence()).or_insert_with(|| {
                conversations.entry(call.author()).or_default().push(call.said());
                call
            });
            for header in ["X-Kirim-Event-Id", "X-Kirim-Delivery-Id", "X-Kirim-Event"] {
                assert_eq!(call.header(header), known.header(header), "of event {}", call.sequence());
            }
            assert_eq!(call.body, known.body, "of event {}", call.sequence());
            assert!(call.attempt() >= known.attempt());
        }
        let said: Vec<String> =
            (0..KILLS).flat_map(|life| (0..TEXTS).map(move |nth| format!("{life:03}.{nth}"))).collect();
        assert_eq!(conversations.len(), AUTHORS);
        for (author, told) in &conversations {
            assert_eq!(*told, said, "{author}");
        }
        // The log has them, and no others.
        let (mut listed, _) = self.lives.business.log(&child.anyone).await;
        listed.retain(|event| event["type"] == "message.received");
        let ids: Vec<String> = events.values().map(|call| call.header("X-Kirim-Event-Id")).collect();
        assert_eq!(ids, listed.iter().map(|event| text(&event["id"])).collect::<Vec<_>>());
    }
}

async fn kill_in_the_middle(nth: usize, done: Arc<AtomicUsize>) {
    let (mut stage, mut child) = Stage::set().await;
    for life in 0..KILLS {
        let moment = match life % 6 {
            0 => Moment::Acknowledged,
            1 => Moment::Called,
            2 => Moment::Answered,
            3 => Moment::Refused,
            _ => Moment::Later(u32::try_from((life * 7 + nth * 13) % 40).unwrap()),
        };
        stage.live_and_die(child, life, moment).await;
        done.fetch_add(1, Ordering::Relaxed);
        child = stage.lives.again().await;
    }
    stage.assert_told(&child).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_in_the_middle_tells_everything_at_least_once_and_in_order() {
    let done = Arc::<AtomicUsize>::default();
    beside(STAGES, |nth| kill_in_the_middle(nth, done.clone())).await;
    assert!(done.load(Ordering::Relaxed) >= 200);
}
