//! Never lost, never twice: the real binary killed at every step of a send, hundreds of times, and
//! the simulator's count of what each recipient got.
//!
//! Held to the terms of the contract's section 14: statuses are on, so that every message which
//! WhatsApp took has its echo, though it may come while nobody is at home, and is posted again.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use kabar::simulator::{CallGate, NetworkFaults, SimulatorCounts, WhatsAppSimulator};
use kabar_core::domain::address::Address;
use serde_json::Value;
use tokio_util::sync::DropGuard;

use crate::harness::restarts::{Lives, beside, calm, patient_whatsapp};
use crate::harness::{Child, Tenant, from, patiently, text};

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
    lives: Lives,
    simulator: WhatsAppSimulator,
    acknowledged: Vec<String>,
    _whatsapp: DropGuard,
}

impl Stage {
    async fn set() -> (Self, Child) {
        let address = Child::lasting_address();
        let (simulator, whatsapp) = patient_whatsapp(address).await;
        let settings = &[("KABAR_WHATSAPP__SETTLE_SECONDS", SETTLE_SECONDS)];
        let (lives, child) = Lives::begin(address, &simulator.base_url(), settings).await;
        (Self { lives, simulator, acknowledged: Vec::new(), _whatsapp: whatsapp }, child)
    }

    async fn accept(&mut self, child: &Child, to: &str) {
        let path = format!("/v1/{}/messages", self.lives.business.id);
        let sent = self.lives.client(child).post(&path, &Tenant::template(to)).await.is(200).data();
        self.acknowledged.push(text(&sent["id"]));
    }

    /// One life of the process: it takes messages and dies at this moment of sending them.
    async fn live_and_die(&mut self, child: Child, round: usize, moment: Moment) {
        let before = *self.simulator.counts().borrow();
        match moment {
            Moment::Called => self.simulator.set_gate(CallGate::Held),
            Moment::Taken => {
                let (late_answer_percent, answer_delay) = (100, Duration::from_hours(1));
                self.simulator.set_faults(NetworkFaults { late_answer_percent, answer_delay, ..calm() });
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
        let one_more = |so_far: fn(&SimulatorCounts) -> u64| {
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
        self.simulator.set_gate(CallGate::Open);
        self.simulator.set_faults(calm());
    }

    /// Everything that was acknowledged is there, and each recipient got each message once, in order.
    async fn assert_kept(&self, child: &Child) {
        let client = self.lives.client(child);
        let pending = format!("/v1/{}/messages?status=pending&limit=1", self.lives.business.id);
        patiently(async {
            let mut page = client.get(&pending).await;
            while !page.rows().is_empty() {
                let tag = page.etag();
                let next = client.get_with(&pending, &[("If-None-Match", &tag), ("Prefer", "wait=20")]).await;
                page = if next.status == 304 { page } else { next };
            }
        })
        .await;
        let rows = self.lives.business.rows(&child.anyone, "messages?direction=outbound&limit=100").await;
        let known: BTreeSet<&str> = rows.iter().map(|row| row["id"].as_str().unwrap()).collect();
        for id in &self.acknowledged {
            assert!(known.contains(id.as_str()), "{id} was acknowledged and is lost");
        }
        let mut copies: BTreeMap<String, usize> = BTreeMap::new();
        let mut orders: BTreeMap<Address, Vec<String>> = BTreeMap::new();
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
        child = stage.lives.again().await;
    }
    stage.assert_kept(&child).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_killed_at_every_step_sends_every_message_once() {
    let done = Arc::<AtomicUsize>::default();
    beside(STAGES, |nth| kill_at_every_step(nth, done.clone())).await;
    assert!(done.load(Ordering::Relaxed) >= 200);
}
