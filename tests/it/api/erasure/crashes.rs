//! The real binary killed in the middle of an erasure: the next life goes on with it.

use serde_json::{Value, json};

use super::{MARKS, NUMBER, assert_unmarked};
use crate::harness::restarts::{Environment, Lives};
use crate::harness::{Child, InboundWebhook, database, text, text_from, until};

const SETTINGS: Environment = &[("KABAR_LOG__LEVEL", "info,kabar_actors=error")];
/// Contacts that are deleted, one in each life.
const CONTACTS: usize = 4;
/// Messages of each.
const MESSAGES: usize = 900;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_erasure_goes_on_after_a_kill() {
    let (lives, mut child) = Lives::begin(Child::lasting_address(), "http://127.0.0.1:9", SETTINGS).await;
    let clock = kabar_core::clock::Clock::system_clock();
    let author = |nth: usize| format!("{}{nth}", &NUMBER[..NUMBER.len() - 1]);
    let texts = |nth: usize| -> Vec<Value> {
        let one = |count| text_from(&author(nth), clock.read_now(), &format!("{} {count}", MARKS[4]));
        (0..MESSAGES).map(one).collect()
    };
    for nth in 0..CONTACTS {
        let webhook = InboundWebhook::default().messages(&lives.business.id, &texts(nth));
        webhook.post(&child.anyone).await.is(200);
    }
    for nth in 0..CONTACTS {
        let api = lives.client(&child);
        let path = |tail: &str| format!("/v1/{}/{tail}", lives.business.id);
        let found = api.get(&path(&format!("contacts?phone=%2B{}", author(nth)))).await.rows();
        let id = text(&found[0]["id"]);
        api.delete(&path(&format!("contacts/{id}"))).await.is(204);
        // Some of it is erased, or nothing yet.
        for _ in 0..nth * 10 {
            child.anyone.get("/v1/health").await.is(200);
        }
        child.kill().await;
        child = lives.again().await;
        let api = lives.client(&child);
        api.get(&path(&format!("contacts/{id}"))).await.refused(404, "resource_not_found");
        let listed = api.get(&path("messages?limit=100")).await.rows();
        assert!(listed.iter().all(|row| row["contact_id"] != id.as_str()), "{listed:?}");
    }
    until(async || {
        let metrics = child.anyone.get("/metrics").await.is(200);
        String::from_utf8_lossy(&metrics.body).contains("kabar_erasures_pending 0")
    })
    .await;
    let (log, _) = lives.business.log(&child.anyone).await;
    assert_unmarked(json!(log).to_string().as_bytes(), "the log");
    let erased = log.iter().filter(|event| event["data"] == json!({})).count();
    assert!(erased >= CONTACTS * MESSAGES, "{erased}");
    assert!(child.terminate().await.success());
    assert_unmarked(&database::dump(lives.database_url()).await, "the database");
}
