//! Never lost, never twice: the real binary killed at every step of a send, hundreds of times, and
//! the simulator's count of what each recipient got.
//!
//! Held to the terms of the contract's section 14: statuses are on, so that every message which
//! WhatsApp took has its echo, though it may come while nobody is at home, and is posted again.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kabar::simulate::{
    Counts, Gate, Mischief, SimulatedNumber, Simulator, SimulatorOptions, StatusDelays, WebhookRetry,
};
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::phone::Phone;
use serde_json::Value;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::durability::Business;
use crate::harness::{APP_SECRET, Child, Tenant, database, from, patiently, text};

/// Servers that are killed at the same time, each with its own database and WhatsApp.
const STAGES: usize = 3;
/// Kills of each, and the time to settle after which what WhatsApp never got is sent again.
const KILLS: usize = 70;
const SETTLE_SECONDS: &str = "5";
/// Contacts who get a message in every other round, so that order is seen across kills.
const REGULARS: usize = 4;

/// When the process dies.
#[derive(Debug, Clone, Copy)]
enum Moment {
    /// The client has its 200; the call may not have been made.
    Acknowledged,
    /// WhatsApp has the call and has not looked at it.
    Called,
    /// WhatsApp has taken the message and not answered.
    Taken,
    /// WhatsApp has answered; the answer may not have been recorded.
    Answered,
    /// After so many further requests: anywhere.
    Later(u32),
}

struct Stage {
    folder: TempDir,
    database_url: String,
    address: SocketAddr,
    simulator: Simulator,
    business: Business,
    acknowledged: Vec<String>,
    _stop: DropGuard,
}

impl Stage {
    async fn set() -> (Self, Child) {
        let folder = tempfile::tempdir().unwrap();
        let address = Child::lasting_address();
        let (tasks, stop) = (TaskTracker::new(), CancellationToken::new());
        let webhooks = format!("http://{address}/webhooks/whatsapp");
        let mut options = SimulatorOptions::new(&webhooks, Secret::new(APP_SECRET));
        options.status_delay = StatusDelays::NONE;
        options.mischief = calm();
        let (first, longest) = (Duration::from_millis(10), Duration::from_millis(50));
        options.webhook_retry = WebhookRetry { first, longest, attempts: 100_000 };
        options.numbers = vec![SimulatedNumber {
            phone_number_id: PhoneNumberId::parse("100200300400999").unwrap(),
            phone: Phone::parse("+12025550999").unwrap(),
            waba_id: "102290129340398".into(),
        }];
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let simulator = Simulator::start(listener, options, &tasks, stop.clone()).unwrap();
        let database_url = database::chosen(folder.path()).await;
        let mut stage = Self {
            folder,
            database_url,
            address,
            simulator,
            business: Business { key: String::new(), id: String::new() },
            acknowledged: Vec::new(),
            _stop: stop.drop_guard(),
        };
        let child = stage.again().await;
        stage.business = Business::open(&child.anyone).await;
        (stage, child)
    }

    /// Starts the server, for the first time or once more.
    async fn again(&self) -> Child {
        let settings = [("KABAR_WHATSAPP__SETTLE_SECONDS", SETTLE_SECONDS)];
        let (folder, graph) = (self.folder.path(), self.simulator.base_url());
        Child::start_at(self.address, folder, &self.database_url, &graph, &settings).await
    }

    async fn accept(&mut self, child: &Child, to: &str) {
        let client = child.anyone.with_token(&self.business.key);
        let path = format!("/v1/{}/messages", self.business.id);
        let sent = client.post(&path, &Tenant::template(to)).await.is(200).data();
        self.acknowledged.push(text(&sent["id"]));
    }

    /// One life of the process: it takes messages and dies at this moment of sending them.
    async fn live_and_die(&mut self, child: Child, round: usize, moment: Moment) {
        let before = *self.simulator.counts().borrow();
        match moment {
            Moment::Called => self.simulator.set_gate(Gate::Held),
            Moment::Taken => {
                let (late_answer_percent, answer_delay) = (100, Duration::from_hours(1));
                self.simulator.set_mischief(Mischief { late_answer_percent, answer_delay, ..calm() });
            }
            Moment::Acknowledged | Moment::Answered | Moment::Later(_) => {}
        }
        if round.is_multiple_of(2) {
            self.accept(&child, &from(round / 2 % REGULARS)).await;
        }
        // Two to somebody new, so that something can leave whatever the regulars wait for.
        for _ in 0..2 {
            self.accept(&child, &from(1000 + round)).await;
        }
        let one_more = |so_far: fn(&Counts) -> u64| {
            let mut counts = self.simulator.counts();
            async move {
                patiently(counts.wait_for(|counts| so_far(counts) > so_far(&before))).await.unwrap();
            }
        };
        match moment {
            Moment::Acknowledged => {}
            Moment::Called => one_more(|counts| counts.received).await,
            Moment::Taken => one_more(|counts| counts.accepted).await,
            Moment::Answered => one_more(|counts| counts.answered).await,
            Moment::Later(requests) => {
                for _ in 0..requests {
                    child.anyone.get("/v1/health").await.is(200);
                }
            }
        }
        child.kill().await;
        self.simulator.set_gate(Gate::Open);
        self.simulator.set_mischief(calm());
    }

    /// Everything that was acknowledged is there, and each recipient got each message once, in order.
    async fn assert_kept(&self, child: &Child) {
        let client = child.anyone.with_token(&self.business.key);
        let pending = format!("/v1/{}/messages?status=pending&limit=1", self.business.id);
        patiently(async {
            let mut page = client.get(&pending).await;
            while !page.rows().is_empty() {
                let tag = page.etag();
                let next = client.get_with(&pending, &[("If-None-Match", &tag), ("Prefer", "wait=20")]).await;
                page = if next.status == 304 { page } else { next };
            }
        })
        .await;
        let rows = self.business.rows(&child.anyone, "messages?direction=outbound&limit=100").await;
        let known: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        for id in &self.acknowledged {
            assert!(known.contains(id.as_str()), "{id} was acknowledged and is lost");
        }
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        let mut orders: BTreeMap<Phone, Vec<String>> = BTreeMap::new();
        for send in self.simulator.sends() {
            let id = send.opaque.unwrap();
            *copies.entry(id.clone()).or_default() += 1;
            orders.entry(send.to).or_default().push(id);
        }
        for Row { id, status } in rows.iter().map(Row::of) {
            assert_eq!(copies.get(id), Some(&1), "{id}, which is {status}, was got so many times");
            assert!(matches!(status, "sent" | "delivered" | "read"), "{id} is {status}");
        }
        assert_eq!(copies.len(), rows.len(), "what was got was sent");
        // Ids of one account are in the order of acceptance.
        for (to, order) in orders {
            assert!(order.is_sorted(), "{to:?} got them in another order: {order:?}");
        }
    }
}

struct Row<'a> {
    id: &'a str,
    status: &'a str,
}

impl<'a> Row<'a> {
    fn of(row: &'a Value) -> Self {
        Self { id: row["id"].as_str().unwrap(), status: row["status"].as_str().unwrap() }
    }
}

fn calm() -> Mischief {
    Mischief { batch_items_max: 50, ..Mischief::default() }
}

async fn kill_at_every_step(nth: usize, done: Arc<AtomicUsize>) {
    let (mut stage, mut child) = Stage::set().await;
    for round in 0..KILLS {
        let moment = match round % 6 {
            0 => Moment::Acknowledged,
            1 => Moment::Called,
            2 => Moment::Taken,
            3 => Moment::Answered,
            _ => Moment::Later(u32::try_from((round * 7 + nth * 13) % 40).unwrap()),
        };
        stage.live_and_die(child, round, moment).await;
        done.fetch_add(1, Ordering::Relaxed);
        child = stage.again().await;
    }
    stage.assert_kept(&child).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_at_every_step_sends_every_message_once() {
    let done = Arc::<AtomicUsize>::default();
    let mut stages = JoinSet::new();
    for nth in 0..STAGES {
        stages.spawn(kill_at_every_step(nth, done.clone()));
    }
    stages.join_all().await;
    assert!(done.load(Ordering::Relaxed) >= 200);
}
