//! Contract, sections 8 and 14: turns, pace, slowing down, and what a send costs the database.

pub(crate) mod send_crashes;
mod suspension;

use std::cell::Cell;
use std::time::Duration;

use kabar::simulator::{FailureRule, NetworkFaults, RateScope, RuleTrigger, RuleVerdict};
use kabar_core::domain::phone::Phone;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::harness::database::WriteLock;
use crate::harness::{
    InboundWebhook, Tenant, TestServer, from, manual_clock, patiently, status_of, text, until,
    until_advancing, until_matches,
};

fn phone(nth: usize) -> Phone {
    Phone::parse(&from(nth)).unwrap()
}

/// The tenant's account as the operator sees it in memory.
async fn resident(server: &TestServer, tenant: &Tenant) -> Value {
    let rows = server.operator.get("/admin/v1/actors").await.rows();
    rows.into_iter().find(|row| row["phone_number_id"] == tenant.id.as_str()).expect("resident")
}

/// Sends to that many contacts, some calls at a time.
async fn accept(tenant: &Tenant, contacts: std::ops::Range<usize>) {
    let mut calls = JoinSet::new();
    for nth in contacts {
        let tenant = tenant.clone();
        calls.spawn(async move { drop(tenant.sends(&from(nth)).await) });
        if calls.len() >= 32 {
            calls.join_next().await.unwrap().unwrap();
        }
    }
    calls.join_all().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_a_send_costs_less_than_half_a_statement() {
    const MESSAGES: usize = 600;
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    server.set_pace(&tenant, 1).await;
    accept(&tenant, 0..MESSAGES).await;
    let (before, sent) = (server.server().store.statements_executed(), server.simulator.sends().len());
    server.set_pace(&tenant, 1000).await;
    // Looking at what is in memory costs no statement.
    until_matches(async || resident(&server, &tenant).await, |account| account["sending"] == 0).await;
    let statements = server.server().store.statements_executed() - before;
    let sends = u64::try_from(MESSAGES - sent).unwrap();
    assert!(statements * 2 <= sends, "{statements} statements for {sends} sends");
    for nth in 0..MESSAGES {
        assert_eq!(server.simulator.sends_to(&phone(nth)), 1);
    }
}

#[tokio::test]
async fn a_long_conversation_delays_nobody_else() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    server.set_pace(&tenant, 20).await;
    for _ in 0..40 {
        tenant.sends(&from(1)).await;
    }
    let other = tenant.sends(&from(2)).await;
    let is_sent = || server.simulator.sends_to(&phone(2)) > 0;
    // The sender knows of both conversations.
    until(async || is_sent() || resident(&server, &tenant).await["sending"] == 2).await;
    let before = server.simulator.sends_to(&phone(1));
    assert!(before < 38, "the pace lets {before} go");
    until_advancing(&server.clock, Duration::from_millis(50), async || {
        resident(&server, &tenant).await;
        is_sent()
    })
    .await;
    let sends = server.simulator.sends();
    let place = sends.iter().position(|send| send.opaque.as_deref() == other["id"].as_str()).unwrap();
    let place = u64::try_from(place).unwrap();
    // One more may have had its turn, and one have been on its way.
    assert!(place <= before + 2, "{before} had gone when the sender knew of it, and it went as {place}");
}

#[tokio::test]
async fn a_recipient_with_too_many_messages_is_delayed_alone() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    server.set_pace(&tenant, 1000).await;
    let rule = FailureRule {
        to: Some(phone(1)),
        trigger: RuleTrigger::Always,
        times: Some(3),
        verdict: RuleVerdict::Error(131_056),
    };
    server.simulator.set_rules(vec![rule]);
    let mut ids = Vec::new();
    for _ in 0..3 {
        ids.push(text(&tenant.sends(&from(1)).await["id"]));
    }
    for nth in 2..12 {
        tenant.sent(&from(nth)).await;
    }
    assert_eq!(server.simulator.sends_to(&phone(1)), 0);
    // Of the others, an outcome may be known to readers a moment before its sender knows that.
    until_matches(async || resident(&server, &tenant).await, |account| account["sending"] == 1).await;
    assert_eq!(resident(&server, &tenant).await["messages_per_second"], 1000);
    until_advancing(&server.clock, Duration::from_millis(500), async || {
        tenant.message(&ids[2]).await;
        server.simulator.sends_to(&phone(1)) >= 3
    })
    .await;
    let sends = server.simulator.sends();
    let order: Vec<_> = sends
        .into_iter()
        .filter(|send| send.to.phone() == Some(&phone(1)))
        .map(|send| send.opaque.unwrap())
        .collect();
    assert_eq!(order, ids);
}

#[tokio::test]
async fn an_account_that_is_too_fast_slows_down_loses_nothing_and_recovers() {
    const MESSAGES: usize = 60;
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    server.set_pace(&tenant, 400).await;
    server.simulator.set_rules(vec![FailureRule::rate_limit(
        10,
        Duration::from_secs(1),
        RateScope::Number,
        130_429,
    )]);
    accept(&tenant, 0..MESSAGES).await;
    let wanted = u64::try_from(MESSAGES).unwrap();
    let (slowest, counted_as_slow) = (Cell::new(u64::MAX), Cell::new(false));
    until(async || {
        let all_accepted = server.simulator.counts().borrow().accepted >= wanted;
        if !all_accepted {
            server.advance_between_calls(Duration::from_millis(50)).await;
            let pace = resident(&server, &tenant).await["messages_per_second"].as_u64().unwrap();
            if pace < slowest.get() {
                slowest.set(pace);
                let counted = server.metric("kabar_slowed_accounts").await == 1;
                counted_as_slow.set(counted_as_slow.get() || counted);
            }
        }
        all_accepted
    })
    .await;
    let (slowest, counted_as_slow) = (slowest.get(), counted_as_slow.get());
    assert!((1..=200).contains(&slowest) && counted_as_slow, "{slowest} {counted_as_slow}");
    for message in tenant.all("messages?direction=outbound&limit=100").await {
        tenant.message_when(&text(&message["id"]), |message| message["status"] == "sent").await;
    }
    for nth in 0..MESSAGES {
        assert_eq!(server.simulator.sends_to(&phone(nth)), 1);
    }
    assert!(server.metric("kabar_sends_throttled_total").await > 0);
    server.simulator.set_rules(Vec::new());
    server.clock.advance_manual(Duration::from_secs(51));
    let row = resident(&server, &tenant).await;
    assert_eq!(row["messages_per_second"], row["messages_per_second_max"]);
}

#[tokio::test]
async fn an_echo_that_an_outage_refused_gets_its_time_anew() {
    const OVER: Duration = Duration::from_secs(700);
    // Its time is over before the database is back, or after.
    for over_meanwhile in [true, false] {
        let server = TestServer::shaped(|options| {
            options.clock = manual_clock();
            options.set("KABAR_WHATSAPP__SETTLE_SECONDS", "600");
        })
        .await;
        let tenant = server.tenant().await;
        server.set_pace(&tenant, 1000).await;
        server.simulator.set_faults(NetworkFaults { drop_answer_percent: 100, ..NetworkFaults::default() });
        let id = text(&tenant.sends(&from(1)).await["id"]);
        patiently(server.simulator.counts().wait_for(|counts| counts.accepted == 1)).await.unwrap();
        server.simulator.set_faults(NetworkFaults::default());
        let mut echo = status_of(&server.simulator.sends()[0].wamid, "sent", server.clock.read_now());
        echo["biz_opaque_callback_data"] = id.as_str().into();
        let echo = InboundWebhook::default().statuses(&tenant.id, &[echo]);

        let lock = WriteLock::take(&server.database_url()).await;
        echo.post(&tenant.api).await.refused(503, "storage_unavailable");
        if over_meanwhile {
            server.clock.advance_manual(OVER);
            echo.post(&tenant.api).await.refused(503, "storage_unavailable");
        }
        lock.release().await;
        if !over_meanwhile {
            server.clock.advance_manual(OVER);
        }
        // Whatever was due has had its turn once a later message is out.
        let later = text(&tenant.sends(&from(2)).await["id"]);
        let is_sent = async || tenant.message(&later).await["status"] == "sent";
        until_advancing(&server.clock, Duration::from_millis(100), is_sent).await;
        assert_eq!(server.simulator.sends_to(&phone(1)), 1, "{over_meanwhile}: WhatsApp has it");
        echo.post(&tenant.api).await.is(200);
        assert_eq!(tenant.message(&id).await["status"], "sent");
        server.clock.advance_manual(OVER);
        tenant.sent(&from(3)).await;
        assert_eq!(server.simulator.sends_to(&phone(1)), 1, "{over_meanwhile}");
    }
}
