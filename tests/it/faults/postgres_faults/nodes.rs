//! Several nodes, of which one dies or all lose their database.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kabar::simulator::CallGate;
use serde_json::json;

use super::load::{come_again, until_answered};
use crate::harness::nodes::{heard_of, node};
use crate::harness::postgres::{Postgres, Shutdown};
use crate::harness::postgres_proxy::WireTap;
use crate::harness::restarts::patient_whatsapp;
use crate::harness::{Answer, Business, Child, Tenant, from, patiently, text, until, until_matches};

const LEASE_SECONDS: &str = "5";

/// The answer once it is 200; until then the node asks to come again.
#[track_caller]
pub(super) fn read(tenant: &Tenant, tail: &str) -> impl Future<Output = Answer> {
    until_answered(&[200], async move || tenant.get(tail).await)
}

/// Waits until the node refuses this poll.
async fn refused(tenant: &Tenant, tail: &str) {
    come_again(&until_matches(async || tenant.get(tail).await, |answer| answer.status != 200).await);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_node_whose_database_is_away_serves_no_longer_than_its_lease() {
    let mut database = Postgres::fresh().await;
    let server = node(&database.url(), None, &[]).await;
    let tenant = server.tenant().await;
    tenant.inbox(2).await;
    let page = tenant.get("conversations").await;
    database.stop(Shutdown::Immediate).await;
    refused(&tenant, "conversations").await;
    server.anyone.get("/readyz").await.refused(503, "storage_unavailable");
    server.anyone.get("/v1/health").await.is(200);
    database.start().await;
    let again = read(&tenant, "conversations").await;
    assert_eq!((again.rows(), again.etag()), (page.rows(), page.etag()));

    database.pause();
    refused(&tenant, "conversations").await;
    database.resume();
    let again = read(&tenant, "conversations").await;
    assert_eq!((again.rows(), again.etag()), (page.rows(), page.etag()));
    tenant.hears(&from(5), "back").await;
}

/// Writes at one node what it then reads at the other, again and again.
pub(super) async fn ring(nodes: [Tenant; 2], contact: &str, over: &AtomicBool, rounds: &AtomicUsize) {
    for round in 0.. {
        if over.load(Ordering::Acquire) {
            return;
        }
        let (writer, reader) = (&nodes[round % 2], &nodes[(round / 2) % 2]);
        let name = format!("{round}");
        let change = json!({"name": name});
        until_answered(&[200], async || writer.patch(contact, &change).await).await;
        assert_eq!(read(reader, contact).await.data()["name"], name.as_str(), "a stale read");
        let [one, two] = [read(writer, "conversations").await, read(reader, "conversations").await];
        assert_eq!(two.rows()[0]["contact"]["name"], name.as_str(), "a stale page");
        assert_eq!((one.rows(), one.etag()), (two.rows(), two.etag()));
        rounds.store(round, Ordering::Release);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn nodes_whose_database_comes_and_goes_never_show_a_stale_page() {
    let mut database = Postgres::fresh().await;
    let (one, two) = (node(&database.url(), None, &[]).await, node(&database.url(), None, &[]).await);
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    let rows = here.inbox(1).await;
    let contact = format!("contacts/{}", text(&rows[0]["contact"]["id"]));
    let (over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let more = async || {
        let goal = rounds.load(Ordering::Acquire) + 8;
        until(async || rounds.load(Ordering::Acquire) >= goal).await;
    };
    let faults = async {
        for fault in 0..4 {
            more().await;
            match fault {
                0 | 3 => {
                    database.stop(Shutdown::Immediate).await;
                    database.start().await;
                }
                1 => {
                    database.stop(Shutdown::Fast).await;
                    refused(&here, "conversations").await;
                    refused(&there, "conversations").await;
                    database.start().await;
                }
                _ => {
                    database.pause();
                    refused(&here, "conversations").await;
                    refused(&there, "conversations").await;
                    database.resume();
                }
            }
        }
        more().await;
        over.store(true, Ordering::Release);
    };
    tokio::join!(ring([here.clone(), there.clone()], &contact, &over, &rounds), faults);
}

/// A node as a process of its own.
async fn process(database: &Postgres, folder: &std::path::Path, at: SocketAddr, graph: &str) -> Child {
    let address = format!("http://{at}");
    let settings = [
        ("KABAR_CLUSTER__ADDRESS", address.as_str()),
        ("KABAR_CLUSTER__LEASE_SECONDS", LEASE_SECONDS),
        ("KABAR_WHATSAPP__SETTLE_SECONDS", "20"),
    ];
    Child::start_at(at, folder, &database.url(), graph, &settings).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_killed_node_left_is_taken_over_and_sent_once() {
    let database = Postgres::fresh().await;
    let folder = tempfile::tempdir().unwrap();
    let (dying, surviving) = (Child::lasting_address(), Child::lasting_address());
    let (simulator, _whatsapp) = patient_whatsapp(surviving).await;
    let graph = simulator.base_url();
    let one = process(&database, folder.path(), dying, &graph).await;
    let two = process(&database, folder.path(), surviving, &graph).await;
    let business = Business::open(&one.anyone).await;
    let (here, there) = (one.anyone.with_token(&business.key), two.anyone.with_token(&business.key));
    let messages = format!("/v1/{}/messages", business.id);
    // The first to be asked serves the account.
    here.get(&messages).await.is(200);
    until_matches(async || there.get(&messages).await, |answer| answer.status == 200).await;

    // Of these some are called and unanswered when it dies, and some are not called yet.
    simulator.set_gate(CallGate::Held);
    let mut acknowledged = Vec::new();
    for nth in 0..60 {
        let node = if nth % 2 == 0 { &here } else { &there };
        // A lease can be lost on a busy machine; the key makes asking again harmless.
        let (body, key) = (Tenant::template(&from(nth % 40)), format!("send {nth}"));
        let headers = [("Idempotency-Key", key.as_str())];
        let sent = until_answered(&[200], async || node.post_with(&messages, &headers, &body).await).await;
        acknowledged.push(text(&sent.data()["id"]));
    }
    let mut counts = simulator.counts();
    patiently(counts.wait_for(|counts| counts.received >= 10)).await.unwrap();
    one.kill().await;
    simulator.set_gate(CallGate::Open);

    let pending = format!("{messages}?status=pending&limit=1");
    until(async || {
        let page = there.get(&pending).await;
        if page.status != 200 {
            come_again(&page);
        }
        page.status == 200 && page.rows().is_empty()
    })
    .await;
    let mut copies: BTreeMap<String, usize> = BTreeMap::new();
    for send in simulator.sends() {
        *copies.entry(send.opaque.unwrap()).or_default() += 1;
    }
    assert_eq!(copies.len(), acknowledged.len());
    for id in &acknowledged {
        assert_eq!(copies.get(id), Some(&1), "{id} was got so many times");
    }
    let rows = business.rows(&two.anyone, "messages?direction=outbound&limit=100").await;
    assert_eq!(rows.len(), acknowledged.len());
    assert_eq!(two.terminate().await.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_revoked_key_opens_no_node_that_is_cut_off_from_the_database() {
    let database = Postgres::fresh().await;
    let wire = WireTap::to(database.port()).await;
    // So long that only what is asked of the directory can end it.
    let settings = [("KABAR_CLUSTER__LEASE_SECONDS", "300")];
    let one = node(&Postgres::url_at(wire.port()), None, &settings).await;
    let two = node(&database.url(), None, &settings).await;
    let here = one.tenant().await;
    heard_of(&two, &here).await;
    here.inbox(1).await;
    here.get("conversations").await.is(200);
    wire.cut();
    drop(wire);
    let keys = format!("/admin/v1/organizations/{}/api_keys", here.organisation);
    let id = text(&two.operator.get(&keys).await.rows()[0]["id"]);
    two.operator.delete(&format!("/admin/v1/api_keys/{id}")).await.is(204);
    refused(&here, "conversations").await;
    for _ in 0..20 {
        come_again(&here.get("conversations").await);
    }
}
