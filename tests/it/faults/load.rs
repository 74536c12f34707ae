//! Many writers and pollers at once, every answer checked.
//!
//! The oracle: each writer owns some conversations, so that what it was told of them is what they
//! are until it writes again. Invariants held on every answer: no read is older than the last
//! acknowledged write, a 304 is given only for a page that is still the page, and deltas add up.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Answer, Tenant, TestServer, from, text};

const WRITERS: usize = 4;
const ROUNDS: usize = 40;
const PEOPLE: usize = 3;
const POLLERS: usize = 4;

/// What was acknowledged, by conversation: the least that a later read must show.
#[derive(Default)]
struct Acknowledged {
    stamps: Mutex<BTreeMap<String, String>>,
    over: AtomicBool,
}

impl Acknowledged {
    /// A read answered after this call's start must show at least this.
    fn so_far(&self) -> BTreeMap<String, String> {
        self.stamps.lock().unwrap().clone()
    }

    fn add(&self, row: &Value) {
        let (id, stamp) = (text(&row["id"]), text(&row["updated_at"]));
        let mut stamps = self.stamps.lock().unwrap();
        let known = stamps.entry(id).or_default();
        if *known < stamp {
            *known = stamp;
        }
    }
}

/// One writer: writes of every kind to its own people, each read back at once.
async fn write(tenant: Tenant, nth: usize, acknowledged: Arc<Acknowledged>) {
    let mut unread = [0_i64; PEOPLE];
    let mut status = ["open"; PEOPLE];
    let mut known: [Option<String>; PEOPLE] = [const { None }; PEOPLE];
    let mut last = [const { String::new() }; PEOPLE];
    for round in 0..ROUNDS {
        let who = round % PEOPLE;
        let author = from(100 * nth + who);
        match (round / PEOPLE % 4, &known[who]) {
            (1, Some(id)) => {
                status[who] = if status[who] == "open" { "pending" } else { "open" };
                let body = json!({"status": status[who]});
                let row = tenant.patch(&format!("conversations/{id}"), &body).await.is(200).data();
                acknowledged.add(&row);
            }
            (2, Some(_)) => {
                tenant.post("messages", &Tenant::letter(&author, &format!("{round}"))).await.is(200);
            }
            (3, Some(_)) => {
                let body =
                    json!({"messaging_product": "whatsapp", "status": "read", "message_id": last[who]});
                tenant.post("messages", &body).await.is(200);
                unread[who] = 0;
            }
            _ => {
                last[who] = tenant.hears(&author, &format!("{round}")).await;
                unread[who] += 1;
            }
        }
        // What was acknowledged is read, by its own path and in the list of the contact.
        let row = match &known[who] {
            Some(id) => tenant.get(&format!("conversations/{id}")).await.data(),
            None => tenant.conversation_with(&author).await,
        };
        assert_eq!(
            (&row["unread_count"], &row["status"]),
            (&json!(unread[who]), &json!(status[who])),
            "{row}"
        );
        let contact = text(&row["contact"]["id"]);
        let listed = tenant.get(&format!("conversations?contact_id={contact}")).await.rows();
        assert_eq!(listed[0]["unread_count"], unread[who], "a stale list: {listed:?}");
        known[who] = Some(text(&row["id"]));
        acknowledged.add(&row);
    }
}

/// The rows of an answer are at least as new as what had been acknowledged before it was asked for.
fn assert_fresh(page: &Answer, before: &BTreeMap<String, String>, list: &str) {
    for row in page.rows() {
        if let Some(stamp) = before.get(&text(&row["id"])) {
            assert!(text(&row["updated_at"]) >= *stamp, "{list}: {row} is older than {stamp}");
        }
    }
}

/// One poller: the same list again and again, by its tag.
async fn poll(tenant: Tenant, nth: usize, acknowledged: Arc<Acknowledged>) -> (usize, usize) {
    let list = [
        "conversations?limit=100",
        "conversations?limit=3",
        "conversations?status=open&limit=5",
        "conversations",
    ][nth % 4];
    let mut page = tenant.get(list).await;
    let (mut same, mut new) = (0, 0);
    while !acknowledged.over.load(Ordering::Acquire) {
        let before = acknowledged.so_far();
        let answer = tenant.get_if(list, &page.etag()).await;
        if answer.status == 304 {
            same += 1;
            // The page that the client still has must be fresh by the same measure.
            assert_fresh(&page, &before, list);
        } else {
            new += 1;
            assert_fresh(&answer, &before, list);
            // A row below the page may come or go: then only `has_more` tells.
            let shown = |answer: &Answer| (answer.rows(), answer.json()["has_more"].clone());
            assert_ne!(shown(&answer), shown(&page), "{list}: a false 200");
            page = answer;
        }
    }
    (same, new)
}

/// A client that keeps a copy by deltas; gives it when the load is over.
async fn sync(tenant: Tenant, acknowledged: Arc<Acknowledged>) -> BTreeMap<String, Value> {
    let mut copy = BTreeMap::new();
    let mut newest = "1970-01-01T00:00:00.000Z".to_owned();
    loop {
        let over = acknowledged.over.load(Ordering::Acquire);
        let rows = tenant.all(&format!("conversations?updated_since={newest}&limit=4")).await;
        let found = rows.iter().map(|row| text(&row["updated_at"])).max();
        for row in rows {
            // A walk over pages may meet a row again that moved on meanwhile: the newer one counts.
            let id = text(&row["id"]);
            let newer = copy
                .get(&id)
                .is_none_or(|known: &Value| text(&known["updated_at"]) <= text(&row["updated_at"]));
            if newer {
                copy.insert(id, row);
            }
        }
        // Only the first page's newest is safe to go on from, and it is the newest of them all.
        newest = found.map_or(newest.clone(), |found| found.max(newest));
        if over {
            return copy;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_read_is_stale_no_304_false_and_deltas_add_up() {
    let server =
        TestServer::shaped(|options| options.status_delay = kabar::simulator::StatusDelays::NONE).await;
    let tenant = server.tenant().await;
    let acknowledged = Arc::new(Acknowledged::default());
    let mut pollers = JoinSet::new();
    for nth in 0..POLLERS {
        pollers.spawn(poll(tenant.clone(), nth, acknowledged.clone()));
    }
    let mut copies = JoinSet::new();
    for _ in 0..2 {
        copies.spawn(sync(tenant.clone(), acknowledged.clone()));
    }
    let mut writers = JoinSet::new();
    for nth in 0..WRITERS {
        writers.spawn(write(tenant.clone(), nth, acknowledged.clone()));
    }
    while let Some(ended) = writers.join_next().await {
        ended.unwrap();
    }
    // Sends go on to their end, so that nothing moves while the copies are compared.
    for row in tenant.all("messages?direction=outbound&limit=100").await {
        tenant.message_when(&text(&row["id"]), |message| message["status"] == "read").await;
    }
    acknowledged.over.store(true, Ordering::Release);
    while let Some(ended) = pollers.join_next().await {
        let (_same, new) = ended.unwrap();
        assert!(new > 0, "the poller saw nothing happen");
    }
    let rows = tenant.all("conversations?limit=100").await;
    let fresh: BTreeMap<String, Value> = rows.into_iter().map(|row| (text(&row["id"]), row)).collect();
    assert_eq!(fresh.len(), WRITERS * PEOPLE);
    while let Some(copy) = copies.join_next().await {
        assert_eq!(copy.unwrap(), fresh, "deltas add up");
    }
    let sends = tenant.all("messages?direction=outbound&limit=100").await.len();
    assert_eq!(server.simulator.sends().len(), sends, "each was sent once");
}
