//! Machines' clocks that disagree or are set: what is due leaves, what waits ends, and order holds.

use std::time::Duration;

use kabar::simulator::{FailureRule, RuleTrigger, RuleVerdict};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::{TimeBound, Timestamp};
use serde_json::{Value, json};

use crate::harness::{
    PAGE_LIFE, Receiver, Tenant, TestServer, Turn, from, manual_clock, text, until_advancing, until_matches,
};

const SKEW: Duration = Duration::from_secs(40);
const HOUR: Duration = Duration::from_hours(1);

/// A server at a time that only the test moves, which may call receivers on this machine.
async fn stage() -> (TestServer, Tenant) {
    let server = TestServer::shaped(|options| {
        options.clock = manual_clock();
        options.set("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true");
        options.set("KABAR_WHATSAPP__SETTLE_SECONDS", "5");
    })
    .await;
    let tenant = server.tenant().await;
    (server, tenant)
}

fn instant(value: &Value) -> Timestamp {
    TimeBound::parse(value.as_str().expect("an instant")).expect("an instant").strictly_after()
}

async fn updated_at(tenant: &Tenant, author: &str) -> Timestamp {
    instant(&tenant.conversation_with(author).await["updated_at"])
}

#[track_caller]
fn until_metric(server: &TestServer, name: &str, value: i64) -> impl Future<Output = i64> {
    until_matches(async move || server.metric(name).await, move |found| *found == value)
}

#[tokio::test]
async fn a_send_leaves_at_once_though_the_account_clock_is_ahead() {
    let (server, tenant) = stage().await;
    server.set_pace(&tenant, 1000).await;
    let now = server.clock.read_now();
    // As a commit of another node whose clock is ahead.
    server.clock.set_wall(now.plus_duration(SKEW));
    tenant.hears(&from(1), "from the future").await;
    let ahead = updated_at(&tenant, &from(1)).await;
    server.clock.set_wall(now);
    tenant.sent(&from(1)).await;
    assert!(updated_at(&tenant, &from(1)).await > ahead, "the account clock goes on from where it was");
    assert!(server.clock.read_now() < now.plus_duration(SKEW), "no time had to pass");
}

#[tokio::test]
async fn after_a_restart_with_a_clock_behind_what_waits_leaves_within_its_schedule() {
    let (mut server, tenant) = stage().await;
    // One a second: the second one waits for its turn, and time stands still.
    server.set_pace(&tenant, 1).await;
    tenant.sent(&from(1)).await;
    let waiting = text(&tenant.sends(&from(2)).await["id"]);
    assert_eq!(tenant.message(&waiting).await["status"], "pending");
    server.stop().await;
    server.clock.set_wall(server.clock.read_now().minus_duration(SKEW));
    server.start_again().await;
    tenant.message_when(&waiting, |message| message["status"] == "sent").await;

    // One that WhatsApp did not take is to be tried again after about a second.
    server.set_pace(&tenant, 1000).await;
    let busy = FailureRule {
        to: Phone::parse(&from(3)),
        trigger: RuleTrigger::Always,
        times: Some(1),
        verdict: RuleVerdict::Error(131_016),
    };
    server.simulator.set_rules(vec![busy]);
    let refused = text(&tenant.sends(&from(3)).await["id"]);
    until_metric(&server, "kabar_sends_retried_total", 1).await;
    server.stop().await;
    server.clock.set_wall(server.clock.read_now().minus_duration(SKEW));
    server.start_again().await;
    tenant.get("conversations").await.is(200);
    // Its schedule asks for the time to settle at the most.
    server.clock.advance_manual(Duration::from_secs(5));
    tenant.message_when(&refused, |message| message["status"] == "sent").await;
}

#[tokio::test]
async fn timestamps_follow_the_wall_clock_and_never_break_order() {
    let (server, tenant) = stage().await;
    let start = server.clock.read_now();
    tenant.hears(&from(1), "before").await;
    let before = updated_at(&tenant, &from(1)).await;
    server.clock.set_wall(start.plus_duration(HOUR));
    tenant.hears(&from(1), "an hour later").await;
    let later = updated_at(&tenant, &from(1)).await;
    assert_eq!(later.duration_since(before), Some(HOUR), "a step forward is followed at once");
    server.clock.set_wall(start);
    tenant.hears(&from(1), "set back").await;
    let set_back = updated_at(&tenant, &from(1)).await;
    assert_eq!(set_back, later.next(), "one millisecond a commit until the clock has caught up");
    // Another account knows nothing of the step.
    let other = server.second_account(&tenant).await;
    other.hears(&from(2), "hello").await;
    assert!(updated_at(&other, &from(2)).await < start.plus_duration(HOUR), "a step back is followed");
    server.clock.set_wall(start.plus_duration(2 * HOUR));
    tenant.hears(&from(1), "caught up").await;
    assert!(updated_at(&tenant, &from(1)).await >= start.plus_duration(2 * HOUR));
}

#[tokio::test]
async fn pages_and_long_polls_end_in_time_when_the_wall_clock_is_set() {
    let (server, tenant) = stage().await;
    tenant.inbox(1).await;
    let (list, start) = ("conversations?limit=3", server.clock.read_now());
    for wall in [start.plus_duration(HOUR), start.minus_duration(HOUR)] {
        server.clock.advance_manual(PAGE_LIFE);
        tenant.get(list).await;
        server.clock.set_wall(wall);
        assert!(tenant.get(list).await.must("Cache-Status").starts_with("kabar; hit"), "{wall}");
        server.clock.advance_manual(PAGE_LIFE);
        let fresh = tenant.get(list).await;
        assert_eq!(fresh.must("Cache-Status"), "kabar; fwd=miss", "{wall}");

        let tag = fresh.etag();
        let headers = [("If-None-Match", &*tag), ("Prefer", "wait=5")];
        let poll = tenant.get_with(list, &headers);
        let time = async {
            until_metric(&server, "kabar_waiting_polls", 1).await;
            server.clock.set_wall(start);
            server.clock.advance_manual(Duration::from_millis(4_999));
            until_metric(&server, "kabar_waiting_polls", 1).await;
            server.clock.advance_manual(Duration::from_millis(1));
        };
        tokio::join!(poll, time).0.is(304);
    }
}

#[tokio::test]
async fn deliveries_go_on_and_are_signed_by_the_wall_clock_of_their_attempt() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|call| Turn::status(if call.attempt() == 1 { 503 } else { 200 }));
    let body = json!({"url": receiver.url(), "events": ["message.received"]});
    let made = tenant.api.post("/v1/webhook_subscriptions", &body).await.is(201).data();
    let secrets = [text(&made["initial_secret"])];
    let secrets = [secrets[0].as_str()];
    let start = server.clock.read_now();
    for (nth, wall) in [start.plus_duration(HOUR), start.minus_duration(HOUR)].into_iter().enumerate() {
        server.clock.set_wall(start);
        tenant.hears(&from(nth), "hello").await;
        let first = receiver.until(2 * nth + 1).await[2 * nth].clone();
        let with_status = async |status: &str| {
            tenant.api.get(&format!("/v1/webhook_deliveries?status={status}")).await.is(200).rows()
        };
        until_matches(async || with_status("failed").await, |rows| !rows.is_empty()).await;
        server.clock.set_wall(wall);
        // A pause of ten seconds and up to a fifth more, from when the delivery worker hears that the outcome is recorded.
        let second = || receiver.calls().get(2 * nth + 1).cloned();
        until_advancing(&server.clock, Duration::from_secs(1), async || second().is_some()).await;
        let second = second().unwrap();
        let seconds = |at: Timestamp| at.millis() / 1000;
        let half_an_hour = seconds(Timestamp::EPOCH.plus_duration(HOUR / 2)) - seconds(Timestamp::EPOCH);
        assert!((0..half_an_hour).contains(&(first.signers(&secrets).0 - seconds(start))), "{wall}");
        assert!((0..half_an_hour).contains(&(second.signers(&secrets).0 - seconds(wall))), "{wall}");
        until_matches(async || with_status("delivered").await, |rows| rows.len() > nth).await;
    }
}
