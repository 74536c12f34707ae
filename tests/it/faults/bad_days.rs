//! The scripts of the documentation, played against the real server: whatever WhatsApp does, each
//! message reaches its recipient once, in its conversation's order, and ends as read.

use std::collections::{BTreeSet, HashMap};
use std::path::Path;
use std::time::Duration;

use kabar::simulator::{SimulatorScript, StatusDelays};
use kabar_core::domain::phone::Phone;
use serde_json::Value;

use crate::harness::{Tenant, TestServer, from, manual_clock, text, until_advancing};

const PEOPLE: usize = 10;
const MESSAGES_EACH: usize = 4;
/// How far the time moves at once. The echo of a send has hundreds of these to arrive in before the
/// send is given up for lost, so that a slow machine does not decide what happens.
const STEP: Duration = Duration::from_secs(5);
const SETTLE_SECONDS: &str = "3600";

fn script(name: &str) -> SimulatorScript {
    let examples = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/examples/simulator");
    SimulatorScript::load_file(&examples.join(name)).unwrap()
}

/// The statuses that were seen of a message, in no order: they may arrive in any.
fn seen(message: &Value) -> BTreeSet<String> {
    let history = message["status_history"].as_array().unwrap();
    let seen: BTreeSet<String> = history.iter().map(|seen| text(&seen["status"])).collect();
    assert_eq!(seen.len(), history.len(), "each once: {message}");
    seen
}

/// Moves the time on until everything that there is to know of every message is known.
async fn all_is_known(server: &TestServer, tenant: &Tenant) {
    let all = ["pending", "sent", "delivered", "read"].map(str::to_owned).into();
    until_advancing(&server.clock, STEP, async || {
        let rows = tenant.get("messages?direction=outbound&limit=100").await.rows();
        assert!(rows.iter().all(|row| row["status"] != "failed"), "{rows:?}");
        let known = rows.len() == PEOPLE * MESSAGES_EACH && rows.iter().all(|row| seen(row) == all);
        assert!(!known || rows.iter().all(|row| row["status"] == "read"), "{rows:?}");
        known
    })
    .await;
}

async fn survives(name: &str) {
    let server = TestServer::shaped(|options| {
        options.clock = manual_clock();
        options.status_delay = StatusDelays::NONE;
        options.script = Some(script(name));
        options.set("KABAR_WHATSAPP__SETTLE_SECONDS", SETTLE_SECONDS);
    })
    .await;
    // Steps of seconds would bring crowds of customers.
    server.simulator.set_traffic(0);
    let tenant = server.tenant().await;
    let mut sent: HashMap<String, Vec<Value>> = HashMap::new();
    for nth in 0..PEOPLE * MESSAGES_EACH {
        let to = from(nth % PEOPLE);
        let message = tenant.sends(&to).await;
        sent.entry(to).or_default().push(message["id"].clone());
    }
    all_is_known(&server, &tenant).await;
    let received = server.simulator.sends();
    for (to, ids) in sent {
        let phone = Phone::parse(&to).unwrap();
        let got: Vec<Value> = received
            .iter()
            .filter(|send| send.to.phone() == Some(&phone))
            .map(|send| send.opaque.clone().unwrap().into())
            .collect();
        assert_eq!(got, ids, "{name}: {to}");
    }
}

#[tokio::test]
async fn an_outage() {
    survives("outage.toml").await;
}

#[tokio::test]
async fn limited_rates() {
    survives("rate-limits.toml").await;
}

#[tokio::test]
async fn failures_and_lost_answers() {
    survives("flaky.toml").await;
}

#[tokio::test]
async fn webhooks_twice_and_in_disorder() {
    survives("disorder.toml").await;
}
