//! The receiver of webhook subscriptions: takes every event and records each request; some answers are slow, so that
//! replays meet attempts that are under way.

use std::collections::{BTreeSet, HashMap};
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use sha2::Sha256;

use crate::history::{Delivery, Entry};
use crate::http_stub::{self, ReadRequest, StubAnswer};
use crate::json_rows::record_event;
use crate::recorder::Recorder;

/// The receiver. Cheap to clone.
#[derive(Debug, Clone)]
pub struct WebhookReceiver {
    /// Where it listens.
    pub address: SocketAddr,
    inner: Arc<Inner>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Secrets by the names of subscriptions.
    secrets: Mutex<HashMap<String, String>>,
    /// The newest deliveries, for replays: (subscription, delivery id, event id).
    newest: Mutex<Vec<(String, String, String)>>,
    requests: AtomicU64,
    /// Numbers of events that came, by account.
    told: Mutex<HashMap<String, BTreeSet<i64>>>,
}

/// Deliveries that are remembered for replays.
const NEWEST: usize = 64;
/// One of so many answers is slow.
const SLOW_EVERY: u64 = 16;
/// Time that a slow answer takes.
const SLOW: Duration = Duration::from_millis(400);

impl WebhookReceiver {
    /// Starts it.
    pub async fn start(
        recorder: Recorder,
        find_node: Arc<dyn Fn(u16) -> usize + Send + Sync>,
    ) -> anyhow::Result<Self> {
        let inner = Arc::<Inner>::default();
        let shared = inner.clone();
        let address = http_stub::serve(move |port, request| {
            let (recorder, inner, node) = (recorder.clone(), shared.clone(), find_node(port));
            async move { handle(&recorder, &inner, node, &request).await }
        })
        .await?;
        Ok(Self { address, inner })
    }

    /// Tells it the secret of a subscription.
    pub fn add_secret(&self, subscription: &str, secret: &str) {
        self.inner.secrets.lock().unwrap().insert(subscription.to_owned(), secret.to_owned());
    }

    /// One of the newest deliveries, 0 being the last: (subscription, delivery id, event id).
    pub fn newest_delivery(&self, back: usize) -> Option<(String, String, String)> {
        let newest = self.inner.newest.lock().unwrap();
        (!newest.is_empty()).then(|| newest[newest.len() - 1 - back % newest.len()].clone())
    }

    /// Whether every event of an account came, from the first that did to this one.
    pub fn has_all(&self, account: &str, last: i64) -> bool {
        let told = self.inner.told.lock().unwrap();
        let Some(told) = told.get(account) else { return false };
        told.first().is_some_and(|first| told.range(..=last).count() as i64 == last - first + 1)
    }

    /// Requests until now.
    pub fn requests(&self) -> u64 {
        self.inner.requests.load(Ordering::Relaxed)
    }
}

impl Inner {
    fn note_newest(&self, delivery: (String, String, String)) {
        let mut newest = self.newest.lock().unwrap();
        if newest.len() >= NEWEST {
            newest.remove(0);
        }
        newest.push(delivery);
    }
}

async fn handle(recorder: &Recorder, inner: &Inner, node: usize, request: &ReadRequest) -> StubAnswer {
    let s = recorder.now();
    let nth = inner.requests.fetch_add(1, Ordering::Relaxed);
    let header = |name: &str| {
        request.headers().get(name).and_then(|value| value.to_str().ok()).unwrap_or_default().to_owned()
    };
    let sub = request.uri().path().trim_start_matches('/').to_owned();
    let raw = std::str::from_utf8(request.body()).unwrap_or_default();
    let account = serde_json::from_str::<serde_json::Value>(raw).unwrap_or_default();
    let account = account["account"]["phone_number_id"].as_str().unwrap_or_default().to_owned();
    let event = record_event(recorder, &account, raw);
    let secret = inner.secrets.lock().unwrap().get(&sub).cloned();
    let (t, signed) = read_signature(&header("x-kirim-signature"), secret.as_deref(), request.body());
    inner.note_newest((sub.clone(), header("x-kirim-delivery-id"), header("x-kirim-event-id")));
    if nth.is_multiple_of(SLOW_EVERY) {
        tokio::time::sleep(SLOW).await;
    }
    let delivery = Delivery {
        n: node,
        event: header("x-kirim-event-id"),
        delivery: header("x-kirim-delivery-id"),
        attempt: header("x-kirim-attempt").parse().unwrap_or_default(),
        a: account,
        seq: event.seq,
        d: event.d,
        contact: event.contact,
        t,
        signed,
        s,
        e: recorder.now(),
        st: 200,
        sub,
    };
    inner.told.lock().unwrap().entry(delivery.a.clone()).or_default().insert(delivery.seq);
    recorder.record(Entry::Delivery(delivery));
    StubAnswer::Answer(200, String::new())
}

/// The time of a signature header, and whether one of its signatures is right; true while the secret is unknown.
fn read_signature(header: &str, secret: Option<&str>, body: &[u8]) -> (i64, bool) {
    let parts: Vec<(&str, &str)> = header.split(',').filter_map(|part| part.split_once('=')).collect();
    let seconds = parts.iter().find(|(name, _)| *name == "t").map_or("", |(_, value)| value);
    let Some(secret) = secret else { return (seconds.parse().unwrap_or_default(), true) };
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(seconds.as_bytes());
    mac.update(b".");
    mac.update(body);
    let expected = hex::encode(mac.finalize().into_bytes());
    let signed = parts.iter().any(|(name, value)| *name == "v1" && *value == expected);
    (seconds.parse().unwrap_or_default(), signed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn signatures_are_checked_as_the_contract_says() {
        let body = br#"{"id":"evt_0000000000000000000000000A","type":"contact.created","created_at":"2026-07-01T00:00:00.000Z","data":{}}"#;
        let header = "t=1782864000,v1=8a35f637982d50f47e9147ae6d1a26afd85190dd7782c2fb47a0f53763029f0b";
        let secret = Some("whsec_alpha_test_secret_0001");
        assert_eq!(read_signature(header, secret, body), (1_782_864_000, true));
        assert_eq!(read_signature(header, secret, b"{}"), (1_782_864_000, false));
    }
}
