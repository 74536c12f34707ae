//! A process that is killed while hooks run: what they ask for is done once, and what they keep is kept once.
//!
//! Invariant: a hook sends one message for each message that came in and counts it. However often the process
//! dies in between, there are as many messages, each got once, and the count is that number.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kabar::simulate::{SimulatedNumber, Simulator, SimulatorOptions, StatusDelays, WebhookRetry};
use kabar_core::clock::Clock;
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::phone::Phone;
use serde_json::json;
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::task::JoinSet;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::durability::Business;
use crate::harness::{
    APP_SECRET, Child, Client, Tenant, Webhook, database, from, patiently, text, text_from,
};
use crate::hooks::guests::Guest;

/// Servers that are killed at the same time, each with its own database and WhatsApp.
const STAGES: usize = 2;
/// Kills of each.
const KILLS: usize = 100;
const SETTLE_SECONDS: &str = "5";

struct Stage {
    folder: TempDir,
    database_url: String,
    address: SocketAddr,
    simulator: Simulator,
    business: Business,
    plugin: String,
    /// Messages whose webhook was answered with 200.
    taken: usize,
    clock: Clock,
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
            plugin: String::new(),
            taken: 0,
            clock: Clock::system(),
            _stop: stop.drop_guard(),
        };
        let child = stage.again().await;
        stage.business = Business::open(&child.anyone).await;
        stage.deploy(&stage.client(&child)).await;
        (stage, child)
    }

    async fn deploy(&mut self, api: &Client) {
        let body = json!({"name": "answers", "events": ["message.received"]});
        self.plugin = text(&api.post("/v1/plugins", &body).await.is(201).data()["id"]);
        let answer = Tenant::letter(&from(0), "thank you").to_string();
        let version = self.upload(api, &Guest::sends(&answer)).await;
        let activate = format!("/v1/plugins/{}/activate", self.plugin);
        api.post(&activate, &json!({"version_id": version})).await.is(200);
    }

    async fn upload(&self, api: &Client, guest: &Guest) -> String {
        let path = format!("/v1/plugins/{}/versions", self.plugin);
        text(&api.upload(&path, "application/wasm", guest.component()).await.is(201).data()["id"])
    }

    fn client(&self, child: &Child) -> Client {
        child.anyone.with_token(&self.business.key)
    }

    /// Starts the server, for the first time or once more.
    async fn again(&self) -> Child {
        let settings = [("KABAR_WHATSAPP__SETTLE_SECONDS", SETTLE_SECONDS)];
        let (folder, graph) = (self.folder.path(), self.simulator.base_url());
        Child::start_at(self.address, folder, &self.database_url, &graph, &settings).await
    }

    /// One life of the process: messages come in, and it dies so many requests later.
    async fn live_and_die(&mut self, child: Child, round: usize, requests: usize) {
        let messages: Vec<_> =
            (0..3).map(|n| text_from(&from((round + n) % 5), self.clock.now(), "hi")).collect();
        let client = self.client(&child);
        Webhook::default().messages(&self.business.id, &messages).post(&client).await.is(200);
        self.taken += messages.len();
        for _ in 0..requests {
            child.anyone.get("/v1/health").await.is(200);
        }
        child.kill().await;
    }

    async fn assert_kept(&self, child: &Child) {
        let api = self.client(child);
        let unfinished = async |status: &str| {
            let path = format!("/v1/plugins/{}/runs?status={status}&limit=1", self.plugin);
            !api.get(&path).await.is(200).rows().is_empty()
        };
        patiently(async {
            while unfinished("pending").await || unfinished("failed").await {
                tokio::task::yield_now().await;
            }
        })
        .await;
        let outbound =
            async || self.business.rows(&child.anyone, "messages?direction=outbound&limit=100").await;
        patiently(async {
            let sent = |rows: &[serde_json::Value]| rows.iter().all(|row| row["status"] != "pending");
            loop {
                let rows = outbound().await;
                if rows.len() >= self.taken && sent(&rows) {
                    return;
                }
                tokio::task::yield_now().await;
            }
        })
        .await;
        assert_eq!(outbound().await.len(), self.taken, "one message for each that came in");
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        for send in self.simulator.sends() {
            *copies.entry(send.opaque.unwrap()).or_default() += 1;
        }
        assert_eq!((copies.len(), copies.values().max()), (self.taken, Some(&1)), "each got once");
        let teller = self.upload(&api, &Guest::tells("sent")).await;
        let test = format!("/v1/plugins/{}/test", self.plugin);
        let body = json!({"version_id": teller, "event": {"type": "message.received"}});
        let told = api.post(&test, &body).await.is(200).data();
        assert_eq!(told["logs"][0]["message"], self.taken.to_string());
    }
}

async fn kill_at_every_step(nth: usize, done: Arc<AtomicUsize>) {
    let (mut stage, mut child) = Stage::set().await;
    for round in 0..KILLS {
        stage.live_and_die(child, round, (round * 7 + nth * 13) % 30).await;
        done.fetch_add(1, Ordering::Relaxed);
        child = stage.again().await;
    }
    stage.assert_kept(&child).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_in_mid_run_carries_out_every_effect_once() {
    let done = Arc::<AtomicUsize>::default();
    let mut stages = JoinSet::new();
    for nth in 0..STAGES {
        stages.spawn(kill_at_every_step(nth, done.clone()));
    }
    stages.join_all().await;
    assert!(done.load(Ordering::Relaxed) >= 200);
}
