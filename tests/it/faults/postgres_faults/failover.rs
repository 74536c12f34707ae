//! A synchronous standby takes the place of the primary, under load and without a restart of kabar.
//!
//! What [`Load`] was told is done is there afterwards, once, and shown to every later read. A primary that
//! was replaced is neither read from nor written to, also when it still answers.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use kabar::simulator::{StatusDelays, WhatsAppSimulator};
use serde_json::{Value, json};
use sqlx::{Connection as _, PgConnection};
use tokio::sync::Mutex;

use super::load::{Load, come_again, until_answered};
use super::nodes::{read, ring};
use super::{LISTS, WRITERS, alone_at, cut, ready};
use crate::harness::nodes::heard_of;
use crate::harness::postgres::{Postgres, Shutdown};
use crate::harness::postgres_proxy::WireTap;
use crate::harness::{Tenant, TestServer, text, until};

/// Writes in the middle of which a fault comes.
const SOME: usize = 60;

/// Checks that the event log has every number once, in order; gives how many there are.
async fn check_event_log(tenant: &Tenant) -> i64 {
    let mut last = 0;
    loop {
        let part = tenant.get(&format!("events?limit=100&after={last}")).await.envelope();
        for event in part["data"].as_array().unwrap() {
            last += 1;
            assert_eq!(event["sequence"], last);
        }
        assert_eq!(part["last_sequence"], last);
        if part["has_more"] == false {
            return last;
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_promoted_standby_of_the_list_takes_over_and_fails_back() {
    let primary = Postgres::fresh().await;
    let standby = primary.synchronous_standby().await;
    let server = alone_at(&Postgres::url_of_any([primary.port(), standby.port()])).await;
    let tenant = server.tenant().await;
    tenant.inbox(WRITERS).await;
    let mut load = Load::begin(&tenant, WRITERS, &LISTS);
    let (mut primary, mut standby) = (primary, standby);
    for _ in 0..2 {
        load.more(|progress| progress.written, SOME).await;
        let port = primary.port();
        primary.kill().await;
        load.more(|progress| progress.refused, WRITERS).await;
        standby.promote().await;
        load.more(|progress| progress.written, SOME).await;
        ready(&server).await;
        // The address of the one that died gets a standby of the one that is there.
        primary = standby;
        standby = primary.synchronous_standby_at(port).await;
    }
    load.end(&server).await;
    check_event_log(&tenant).await;
}

/// A node whose sends are reported at once; its settle time as in [`alone_at`].
async fn start_node(url: &str, simulator: Option<WhatsAppSimulator>) -> TestServer {
    TestServer::shaped(|options| {
        options.node = true;
        options.simulator = simulator;
        options.status_delay = StatusDelays::NONE;
        options.set("KABAR_DATABASE_URL", url);
        options.set("KABAR_CLUSTER__LEASE_SECONDS", "5");
        options.set("KABAR_WHATSAPP__SETTLE_SECONDS", "20");
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_nodes_go_on_at_a_promoted_standby() {
    let primary = Postgres::fresh().await;
    let standby = primary.synchronous_standby().await;
    let url = Postgres::url_of_any([primary.port(), standby.port()]);
    let one = start_node(&url, None).await;
    let two = start_node(&url, Some(one.simulator.clone())).await;
    let (here, other) = (one.tenant().await, one.tenant().await);
    let there = heard_of(&two, &here).await;
    let rows = here.inbox(1).await;
    let contact = format!("contacts/{}", text(&rows[0]["contact"]["id"]));
    // Its account is served by the second node, and its clients speak to both.
    let other_there = heard_of(&two, &other).await;
    other_there.inbox(WRITERS).await;
    let mut load = Load::begin(&other, WRITERS, &[]);
    let (over, rounds) = (AtomicBool::new(false), AtomicUsize::new(0));
    let more = async |load: &mut Load| {
        let goal = rounds.load(Ordering::Acquire) + 8;
        until(async || rounds.load(Ordering::Acquire) >= goal).await;
        load.more(|progress| progress.written, SOME).await;
    };
    let fault = async {
        more(&mut load).await;
        primary.kill().await;
        load.more(|progress| progress.refused, WRITERS).await;
        standby.promote().await;
        more(&mut load).await;
        over.store(true, Ordering::Release);
    };
    tokio::join!(ring([here.clone(), there.clone()], &contact, &over, &rounds), fault);
    ready(&one).await;
    ready(&two).await;
    load.end(&one).await;
    let [at_one, at_two] = [read(&other, "conversations").await, read(&other_there, "conversations").await];
    assert_eq!((at_one.rows(), at_one.etag()), (at_two.rows(), at_two.etag()));
    assert!(check_event_log(&here).await > 0);
    assert_eq!(check_event_log(&other).await, check_event_log(&other_there).await);
}

/// A primary that was replaced and goes on answering.
struct ReplacedPrimary<'p> {
    superuser: PgConnection,
    kabar: PgConnection,
    _server: &'p Postgres,
}

impl<'p> ReplacedPrimary<'p> {
    /// Ends all that kabar has under way there: commits that wait for the standby that is gone notice nothing.
    async fn of(server: &'p Postgres) -> Self {
        let superuser = Mutex::new(server.connect().await);
        let url = format!("{}?application_name=bystander", server.url());
        let mut kabar = PgConnection::connect(&url).await.unwrap();
        let is_primary = sqlx::query_scalar::<_, bool>("SELECT NOT pg_is_in_recovery()");
        assert!(is_primary.fetch_one(&mut kabar).await.unwrap(), "it takes itself for the primary");
        until(async || cut(&mut *superuser.lock().await).await == 0).await;
        Self { superuser: superuser.into_inner(), kabar, _server: server }
    }

    /// Sessions so far, the ended ones.
    async fn sessions(&mut self) -> i64 {
        let sql = "SELECT sessions FROM pg_stat_database WHERE datname = 'kabar'";
        sqlx::query_scalar(sql).fetch_one(&mut self.superuser).await.unwrap()
    }

    /// Rows of kabar's tables read and written so far.
    async fn work(&mut self) -> (i64, i64) {
        let sql = "SELECT sum(seq_scan + coalesce(idx_scan, 0))::bigint, \
                   sum(n_tup_ins + n_tup_upd + n_tup_del)::bigint FROM pg_stat_user_tables";
        sqlx::query_as(sql).fetch_one(&mut self.kabar).await.unwrap()
    }
}

/// Makes the server ask the hosts again and again, while the primary that was replaced answers.
async fn never_go_back(load: &mut Load, replaced: &mut ReplacedPrimary<'_>, current: &Postgres, asked: bool) {
    let (sessions, work) = (replaced.sessions().await, replaced.work().await);
    let mut superuser = current.connect().await;
    for _ in 0..5 {
        assert!(cut(&mut superuser).await > 0, "kabar is there");
        load.more(|progress| progress.written, SOME / 2).await;
    }
    if asked {
        // Statistics come a moment after the end of a session.
        let replaced = Mutex::new(&mut *replaced);
        until(async || replaced.lock().await.sessions().await != sessions).await;
    }
    assert_eq!(replaced.work().await, work, "it is neither read from nor written to");
}

async fn kept(server: &TestServer, tenant: &Tenant) -> Vec<Value> {
    server.here(tenant).all("messages?limit=100").await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_was_paused_and_replaced_is_never_used_again() {
    let primary = Postgres::fresh().await;
    let standby = primary.synchronous_standby().await;
    let mut server = alone_at(&Postgres::url_of_any([primary.port(), standby.port()])).await;
    let tenant = server.tenant().await;
    tenant.inbox(WRITERS).await;
    let mut load = Load::begin(&tenant, WRITERS, &LISTS);
    load.more(|progress| progress.written, SOME).await;
    primary.pause();
    load.more(|progress| progress.refused, WRITERS).await;
    standby.promote().await;
    load.more(|progress| progress.written, SOME).await;
    primary.resume();
    let mut replaced = ReplacedPrimary::of(&primary).await;
    never_go_back(&mut load, &mut replaced, &standby, true).await;
    load.end(&server).await;
    check_event_log(&tenant).await;
    // Nor by a server that starts when both are there, and has never seen another one.
    let (work, messages) = (replaced.work().await, kept(&server, &tenant).await);
    server.restart().await;
    assert_eq!(kept(&server, &tenant).await, messages);
    assert_eq!(replaced.work().await, work);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_address_that_moves_is_followed_although_the_old_primary_answers() {
    let primary = Postgres::fresh().await;
    let standby = primary.synchronous_standby().await;
    let wire = WireTap::to(primary.port()).await;
    let server = alone_at(&Postgres::url_at(wire.port())).await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(WRITERS).await;
    let mut load = Load::begin(&tenant, WRITERS, &LISTS);
    load.more(|progress| progress.written, SOME).await;
    standby.promote().await;
    wire.lead_to(standby.port());
    load.more(|progress| progress.written, SOME).await;
    let mut replaced = ReplacedPrimary::of(&primary).await;
    never_go_back(&mut load, &mut replaced, &standby, false).await;
    ready(&server).await;
    load.end(&server).await;
    let conversation = format!("conversations/{}", text(&rows[0]["id"]));
    tenant.patch(&conversation, &json!({"status": "open"})).await.is(200);
    check_event_log(&tenant).await;
}

/// After a crash the primary shows commits that no standby has: they are lost when the standby is promoted.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_primary_that_came_back_without_its_standby_is_not_read_from() {
    let mut primary = Postgres::fresh().await;
    let standby = primary.synchronous_standby().await;
    let server = alone_at(&Postgres::url_of_any([primary.port(), standby.port()])).await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(WRITERS).await;
    let conversation = format!("conversations/{}", text(&rows[0]["id"]));
    let resolved = json!({"status": "resolved"});
    // Pages that are not in memory.
    let unread = async |limit: usize| tenant.get(&format!("messages?status=read&limit={limit}")).await;
    unread(1).await.is(200);
    standby.pause();
    come_again(&tenant.patch(&conversation, &resolved).await);
    primary.stop(Shutdown::Immediate).await;
    primary.start().await;
    for limit in 2..5 {
        come_again(&unread(limit).await);
    }
    primary.kill().await;
    standby.resume();
    standby.promote().await;
    ready(&server).await;
    unread(5).await.is(200);
    until_answered(&[200], async || tenant.patch(&conversation, &resolved).await).await;
    assert_eq!(tenant.get(&conversation).await.data()["status"], "resolved");
}
