//! WhatsApp as kabar's caller: posts signed webhooks to nodes, and repeats each until a node answers 200.
//!
//! Invariant: every attempt is recorded; an item is given up only when the run ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use hmac::{Hmac, KeyInit as _, Mac as _};
use rand::RngExt as _;
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::sync::mpsc::UnboundedReceiver;

use crate::graph_stub::StatusReport;
use crate::history::{Entry, InboundItem};
use crate::http_client::{Ask, HttpClient};
use crate::kabar_server::APP_SECRET;
use crate::recorder::Recorder;

/// Patience with one attempt.
const PATIENCE: Duration = Duration::from_secs(10);
/// Reports that are on their way at the same time.
const REPORTERS: usize = 4;

/// Posts webhooks. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WhatsAppClient {
    recorder: Recorder,
    addresses: Arc<Vec<std::net::SocketAddr>>,
    /// Clears when the run ends.
    running: Arc<AtomicBool>,
    /// Items that no node has taken yet.
    open: Arc<AtomicU64>,
}

impl WhatsAppClient {
    /// A client of nodes at these addresses.
    pub fn new(recorder: Recorder, addresses: Vec<std::net::SocketAddr>) -> Self {
        let running = Arc::new(AtomicBool::new(true));
        Self { recorder, addresses: Arc::new(addresses), running, open: Arc::default() }
    }

    /// Items that no node has taken yet.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Gives up what is not taken yet.
    pub fn end(&self) {
        self.running.store(false, Ordering::Relaxed);
    }

    /// Counts an item that is not taken yet.
    pub fn add_open(&self) {
        self.open.fetch_add(1, Ordering::Relaxed);
    }

    /// Posts one item until a node takes it; whether one did.
    pub async fn deliver(&self, item: &InboundItem, first_node: usize) -> bool {
        let body = webhook_body(item, wall_seconds());
        let signature = sign(&body);
        let headers = [("X-Hub-Signature-256", signature.as_str())];
        let ask = Ask {
            method: "POST",
            path: "/webhooks/whatsapp",
            headers: &headers,
            body: Some(Bytes::from(body)),
            ..Ask::default()
        };
        let mut node = first_node % self.addresses.len();
        let mut pause = 50;
        while self.running.load(Ordering::Relaxed) {
            let mut client = HttpClient::new(self.addresses[node], PATIENCE);
            let s = self.recorder.now();
            let st = client.send(&ask).await.map_or(0, |answer| answer.status);
            let e = self.recorder.now();
            self.recorder.record(Entry::Inbound(InboundItem { n: node, s, e, st, ..item.clone() }));
            if st == 200 {
                self.open.fetch_sub(1, Ordering::Relaxed);
                return true;
            }
            node = rand::rng().random_range(0..self.addresses.len());
            tokio::time::sleep(Duration::from_millis(pause)).await;
            pause = (pause * 2).min(800);
        }
        false
    }

    /// Posts what becomes of messages, until the run ends.
    pub fn report_statuses(&self, mut reports: UnboundedReceiver<StatusReport>) {
        let (queue, taken) = (self.clone(), Arc::new(tokio::sync::Semaphore::new(REPORTERS * 16)));
        tokio::spawn(async move {
            while let Some(report) = reports.recv().await {
                let Ok(permit) = taken.clone().acquire_owned().await else { return };
                let client = queue.clone();
                client.open.fetch_add(3, Ordering::Relaxed);
                tokio::spawn(async move {
                    client.report(&report).await;
                    drop(permit);
                });
            }
        });
    }

    /// Statuses come shuffled now and then, and twice now and then.
    async fn report(&self, report: &StatusReport) {
        let mut statuses = vec!["sent", "delivered", "read"];
        let (swap, twice, node) = {
            let mut rng = rand::rng();
            (rng.random_bool(0.2), rng.random_bool(0.1), rng.random_range(0..self.addresses.len()))
        };
        if swap {
            statuses.swap(1, 2);
        }
        if twice {
            statuses.push("delivered");
            self.open.fetch_add(1, Ordering::Relaxed);
        }
        for (nth, status) in statuses.into_iter().enumerate() {
            let item = InboundItem {
                a: report.account.clone(),
                what: status.to_owned(),
                wamid: report.wamid.clone(),
                id: report.id.clone(),
                from: report.to.clone(),
                ..InboundItem::default()
            };
            self.deliver(&item, node + nth).await;
        }
    }
}

fn wall_seconds() -> u64 {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    since.map(|since| since.as_secs()).unwrap_or_default()
}

fn webhook_body(item: &InboundItem, seconds: u64) -> String {
    let mut value = json!({"messaging_product": "whatsapp",
        "metadata": {"display_phone_number": "12025550100", "phone_number_id": item.a}});
    let timestamp = seconds.to_string();
    if item.what == "message" {
        value["contacts"] = json!([{"profile": {"name": format!("N{}", item.from)}, "wa_id": item.from}]);
        value["messages"] = json!([{"from": item.from, "id": item.wamid, "timestamp": timestamp,
            "type": "text", "text": {"body": item.text}}]);
    } else {
        value["statuses"] = json!([status_item(item, &timestamp)]);
    }
    json!({"object": "whatsapp_business_account",
        "entry": [{"id": "102290129340398", "changes": [{"field": "messages", "value": value}]}]})
    .to_string()
}

fn status_item(item: &InboundItem, timestamp: &str) -> Value {
    json!({"id": item.wamid, "status": item.what, "timestamp": timestamp,
        "recipient_id": item.from, "biz_opaque_callback_data": item.id})
}

fn sign(body: &str) -> String {
    let mut mac = Hmac::<Sha256>::new_from_slice(APP_SECRET.as_bytes()).unwrap();
    mac.update(body.as_bytes());
    format!("sha256={}", hex::encode(mac.finalize().into_bytes()))
}
