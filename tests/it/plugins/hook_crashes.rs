//! A process that is killed while hooks run: what they ask for is done once, and what they keep is kept once.
//!
//! Invariant: a hook sends one message for each message that came in and counts it. However often the process
//! dies in between, there are as many messages, each got once, and the count is that number.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kabar::simulator::WhatsAppSimulator;
use kabar_core::clock::Clock;
use serde_json::json;
use tokio_util::sync::DropGuard;

use crate::harness::restarts::{Lives, beside, patient_whatsapp};
use crate::harness::{Child, Client, InboundWebhook, Tenant, from, text, text_from, until, until_matches};
use crate::plugins::guests::Guest;

/// Servers that are killed at the same time, each with its own database and WhatsApp.
const STAGES: usize = 2;
/// Kills of each.
const KILLS: usize = 100;
const SETTLE_SECONDS: &str = "5";

struct Stage {
    lives: Lives,
    simulator: WhatsAppSimulator,
    plugin: String,
    /// Messages whose webhook was answered with 200.
    taken: usize,
    clock: Clock,
    _whatsapp: DropGuard,
}

impl Stage {
    async fn set() -> (Self, Child) {
        let address = Child::lasting_address();
        let (simulator, whatsapp) = patient_whatsapp(address).await;
        let settings = &[("KABAR_WHATSAPP__SETTLE_SECONDS", SETTLE_SECONDS)];
        let (lives, child) = Lives::begin(address, &simulator.base_url(), settings).await;
        let (plugin, clock) = (String::new(), Clock::system_clock());
        let mut stage = Self { lives, simulator, plugin, taken: 0, clock, _whatsapp: whatsapp };
        stage.deploy(&stage.lives.client(&child)).await;
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

    /// One life of the process: messages come in, and it dies so many requests later.
    async fn live_and_die(&mut self, child: Child, round: usize, requests: usize) {
        let messages: Vec<_> =
            (0..3).map(|n| text_from(&from((round + n) % 5), self.clock.read_now(), "hi")).collect();
        let client = self.lives.client(&child);
        InboundWebhook::default().messages(&self.lives.business.id, &messages).post(&client).await.is(200);
        self.taken += messages.len();
        for _ in 0..requests {
            child.anyone.get("/v1/health").await.is(200);
        }
        child.kill().await;
    }

    async fn assert_kept(&self, child: &Child) {
        let api = self.lives.client(child);
        let unfinished = async |status: &str| {
            let path = format!("/v1/plugins/{}/runs?status={status}&limit=1", self.plugin);
            !api.get(&path).await.is(200).rows().is_empty()
        };
        until(async || !unfinished("pending").await && !unfinished("failed").await).await;
        let outbound =
            async || self.lives.business.rows(&child.anyone, "messages?direction=outbound&limit=100").await;
        until_matches(outbound, |rows| {
            rows.len() >= self.taken && rows.iter().all(|row| row["status"] != "pending")
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
        child = stage.lives.again().await;
    }
    stage.assert_kept(&child).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_in_mid_run_carries_out_every_effect_once() {
    let done = Arc::<AtomicUsize>::default();
    beside(STAGES, |nth| kill_at_every_step(nth, done.clone())).await;
    assert!(done.load(Ordering::Relaxed) >= 200);
}
