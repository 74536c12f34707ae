//! PostgreSQL stops, falls silent, is full or loses connections, in the middle of load.
//!
//! A server alone goes on answering polls from memory; everybody else is told to come again, and loses
//! nothing. What happens when a standby takes the place of the primary is tried in `failover`.

mod failover;
pub(crate) mod load;
mod nodes;
mod pauses;

use kabar::simulator::StatusDelays;
use serde_json::json;
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;

use crate::harness::postgres::{Postgres, Shutdown};
use crate::harness::postgres_proxy::WireTap;
use crate::harness::{
    Answer, InboundWebhook, Receiver, Tenant, TestServer, from, patiently, text, text_from, until,
};
use load::{Load, until_answered};

const WRITERS: usize = 4;
const LISTS: [&str; 3] = ["conversations?limit=100", "conversations?status=open&limit=2", "conversations"];

/// A server alone on this database, whose sends are reported at once.
async fn alone(database: &Postgres) -> TestServer {
    alone_at(&database.url()).await
}

async fn alone_at(url: &str) -> TestServer {
    TestServer::shaped(|options| {
        options.status_delay = StatusDelays::NONE;
        options.set("KABAR_DATABASE_URL", url);
        options.set("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true");
        // An attempt that PostgreSQL kept although it did not say so waits for this time, and the echo of
        // one that was made must come within it: longer than any fault here, shorter than our patience.
        options.set("KABAR_WHATSAPP__SETTLE_SECONDS", "20");
    })
    .await
}

#[track_caller]
fn ready(server: &TestServer) -> impl Future<Output = Answer> {
    until_answered(&[200], async move || server.anyone.get("/readyz").await)
}

/// Ends every connection of kabar's; says how many there were.
async fn cut(other: &mut PgConnection) -> i64 {
    let sql =
        "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name = 'kabar'";
    sqlx::query_scalar(sql).fetch_one(other).await.unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn stopped_and_started_in_mid_load_it_loses_nothing_and_polls_go_on() {
    let mut database = Postgres::fresh().await;
    let server = alone(&database).await;
    let tenant = server.tenant().await;
    tenant.inbox(WRITERS).await;
    let mut load = Load::begin(&tenant, WRITERS, &LISTS);
    for how in [Shutdown::Immediate, Shutdown::Fast, Shutdown::Immediate] {
        load.more(|progress| progress.written, 60).await;
        database.stop(how).await;
        load.more(|progress| progress.refused, WRITERS).await;
        load.more(|progress| progress.polled, 100).await;
        let not_ready = server.anyone.get("/readyz").await;
        assert_eq!(not_ready.refused(503, "storage_unavailable")["param"], "database");
        server.anyone.get("/v1/health").await.is(200);
        database.start().await;
        ready(&server).await;
    }
    load.more(|progress| progress.written, 60).await;
    load.end(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn connections_cut_again_and_again_cost_no_write() {
    let database = Postgres::fresh().await;
    let server = alone(&database).await;
    let tenant = server.tenant().await;
    tenant.inbox(WRITERS).await;
    let mut load = Load::begin(&tenant, WRITERS, &LISTS);
    let mut other = database.connect().await;
    for _ in 0..30 {
        load.more(|progress| progress.written, 10).await;
        cut(&mut other).await;
    }
    load.more(|progress| progress.written, 60).await;
    ready(&server).await;
    load.end(&server).await;
}

/// Whoever is told that the outcome is unknown asks again, and finds what was written the first time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_commit_whose_answer_was_lost_is_there_once() {
    let database = Postgres::fresh().await;
    let wire = WireTap::to(database.port()).await;
    let server = alone_at(&Postgres::url_at(wire.port())).await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(1).await;
    let conversation = format!("conversations/{}", text(&rows[0]["id"]));
    let receiver = Receiver::start().await;
    let wanted = json!({"url": receiver.url(), "events": ["message.created"]});
    tenant.api.post("/v1/webhook_subscriptions", &wanted).await.is(201);
    let other = Mutex::new(PgConnection::connect(&database.url()).await.unwrap());
    let (path, template) = (tenant.path("messages"), Tenant::template(&from(1)));
    let (closed, reopened) = (("resolved", "conversation.closed"), ("open", "conversation.updated"));
    for ((status, event), round) in [closed, reopened, closed].into_iter().zip(1_usize..) {
        let key = format!("lost-{round}");
        let lost = async |ask: &mut (dyn Future<Output = Answer> + Unpin), words: &[&str], there: String| {
            wire.lose_answer_to(words);
            let cut_once_kept = async {
                let kept = || sqlx::query_scalar::<_, bool>(sqlx::AssertSqlSafe(there.clone()));
                until(async || kept().fetch_one(&mut *other.lock().await).await.unwrap()).await;
                wire.cut();
            };
            tokio::join!(ask, cut_once_kept).0
        };
        let there = format!("SELECT count(*) >= {round} FROM messages WHERE direction = 'outbound'");
        let send = async || tenant.api.post_with(&path, &[("Idempotency-Key", &key)], &template).await;
        let sent =
            lost(&mut Box::pin(until_answered(&[200], send)), &[&key, "message.created"], there).await.data();
        assert_eq!(tenant.all("messages?direction=outbound").await.len(), round, "each once");
        // No further write of this account's is needed for it to be sent and told.
        tenant.message_when(&text(&sent["id"]), |message| message["status"] == "read").await;
        let told = receiver.until(round).await.pop().unwrap();
        assert_eq!(told.event()["data"]["message"]["id"], sent["id"]);
        let change = json!({"status": status});
        let id = text(&rows[0]["id"]);
        let there = format!("SELECT bool_and(status = '{status}') FROM conversations WHERE id = '{id}'");
        let patch = async || tenant.patch(&conversation, &change).await;
        let now = lost(&mut Box::pin(until_answered(&[200], patch)), &[event], there).await.data();
        assert_eq!((&now["status"], tenant.get(&conversation).await.data()), (&json!(status), now.clone()));
    }
    assert_eq!(server.simulator.sends().len(), 3);
    let events = tenant.get("events?limit=100").await.envelope();
    let events = events["data"].as_array().unwrap();
    let numbers: Vec<i64> = events.iter().map(|event| event["sequence"].as_i64().unwrap()).collect();
    assert_eq!(numbers, (1..=numbers.len().try_into().unwrap()).collect::<Vec<i64>>());
    let closed = events.iter().filter(|event| event["type"] == "conversation.closed").count();
    assert_eq!(closed, 2);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_silent_database_keeps_nobody_waiting_for_ever() {
    let database = Postgres::fresh().await;
    let server = alone(&database).await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(3).await;
    let conversation = format!("conversations/{}", text(&rows[0]["id"]));
    let page = tenant.get("conversations").await;
    database.pause();

    let path = tenant.path("messages");
    let template = Tenant::template(&from(1));
    let lost = text_from(&from(7), tenant.clock.read_now(), "while it was silent");
    let webhook = InboundWebhook::default().messages(&tenant.id, std::slice::from_ref(&lost));
    let (resolved, organisation) = (json!({"status": "resolved"}), json!({"name": "Late"}));
    let contact = json!({"phone_number": "+6281200000001"});
    let reads = async {
        for _ in 0..50 {
            tenant.get_if("conversations", &page.etag()).await.is(304);
            assert_eq!(tenant.get("conversations?limit=2").await.rows(), page.rows()[..2]);
        }
    };
    let key = [("Idempotency-Key", "k")];
    let older = tenant.path("messages?limit=3&status=read");
    // The database stands still until each of these is answered.
    let (taken, sent, patched, made, organised, unread, ready_too, ()) = tokio::join!(
        webhook.post(&tenant.api),
        tenant.api.post_with(&path, &key, &template),
        tenant.patch(&conversation, &resolved),
        tenant.post("contacts", &contact),
        server.operator.post("/admin/v1/organizations", &organisation),
        tenant.api.get(&older),
        server.anyone.get("/readyz"),
        reads,
    );
    for answer in [&taken, &sent, &patched, &made, &organised, &unread, &ready_too] {
        answer.refused(503, "storage_unavailable");
    }
    tenant.get_if("conversations", &page.etag()).await.is(304);

    database.resume();
    ready(&server).await;
    until_answered(&[200], async || webhook.post(&tenant.api).await).await;
    let send = async || tenant.api.post_with(&path, &key, &template).await;
    let sent = until_answered(&[200], send).await.data();
    until_answered(&[200], async || tenant.patch(&conversation, &resolved).await).await;
    // What was cut off may have been carried out: then the contact is there.
    let made = until_answered(&[201, 409], async || tenant.post("contacts", &contact).await).await;
    if made.status == 409 {
        made.refused(409, "contact_already_exists");
    }
    tenant.message_when(&text(&sent["id"]), |message| message["status"] == "read").await;
    assert_eq!(tenant.conversation_with(&from(7)).await["unread_count"], 1);
    assert_eq!(tenant.all("messages?direction=outbound").await.len(), 1);
    assert_eq!(server.simulator.sends().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn paused_in_mid_load_it_loses_nothing_and_polls_go_on() {
    let database = Postgres::fresh().await;
    let server = alone(&database).await;
    let tenant = server.tenant().await;
    tenant.inbox(WRITERS).await;
    let mut load = Load::begin(&tenant, WRITERS, &LISTS);
    for _ in 0..2 {
        load.more(|progress| progress.written, 60).await;
        database.pause();
        load.more(|progress| progress.refused, WRITERS).await;
        load.more(|progress| progress.polled, 100).await;
        database.resume();
        ready(&server).await;
    }
    load.more(|progress| progress.written, 60).await;
    load.end(&server).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_a_free_connection_polls_go_on_and_writes_come_again() {
    let database = Postgres::start_with(12).await;
    let server = alone(&database).await;
    let tenant = server.tenant().await;
    tenant.inbox(WRITERS).await;
    let mut other = database.connect().await;
    let mut load = Load::begin(&tenant, WRITERS, &LISTS);
    load.more(|progress| progress.written, 40).await;
    // Others take every place that kabar's connections leave.
    let mut hogs = Vec::new();
    let url = format!("{}?application_name=bystander", database.url());
    patiently(async {
        loop {
            match PgConnection::connect(&url).await {
                Ok(hog) => hogs.push(hog),
                Err(error) => {
                    let full = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
                    assert_eq!(full.as_deref(), Some("53300"), "{error}");
                    if cut(&mut other).await == 0 {
                        return;
                    }
                }
            }
        }
    })
    .await;
    load.more(|progress| progress.refused, WRITERS).await;
    load.more(|progress| progress.polled, 100).await;
    server.anyone.get("/readyz").await.refused(503, "storage_unavailable");
    drop(hogs);
    ready(&server).await;
    load.more(|progress| progress.written, 60).await;
    load.end(&server).await;
}
