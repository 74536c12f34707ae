//! What a receiver's answers bring about, by a clock that stands until it is moved on.

use std::time::Duration;

use serde_json::{Value, json};

use super::{
    attempts, deliveries, pause, set_status, stage, subscribe, until_attempts, until_deliveries, until_status,
};
use crate::harness::{Receiver, Turn, from, text, until_some};

const SECOND: Duration = Duration::from_secs(1);

/// Within a fifth of a step of the ladder.
fn is_step(pause: Duration, seconds: f64) -> bool {
    (0.8 * seconds - 0.001..=1.2 * seconds + 0.001).contains(&pause.as_secs_f64())
}

#[tokio::test]
async fn a_failing_receiver_is_tried_by_the_retry_schedule_with_fresh_signatures_and_equal_ids() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|_| Turn::status(500));
    let (_, secret) = subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "hello").await;
    for (nth, step) in [10.0, 30.0, 120.0, 600.0, 3600.0, 21_600.0, 86_400.0].into_iter().enumerate() {
        let row = until_attempts(&tenant, nth + 1).await;
        assert_eq!(row["status"], "failed");
        let pause = pause(&server, &row);
        assert!(is_step(pause, step), "{pause:?} for {step} s");
        server.clock.advance_manual(pause);
    }
    let row = until_attempts(&tenant, 8).await;
    assert_eq!((&row["status"], &row["next_attempt_at"]), (&json!("dead"), &json!(null)));
    let told = json!([500, "the receiver answered 500"]);
    assert!(attempts(&row).iter().all(|one| json!([one["status_code"], one["error"]]) == told), "{row}");
    let calls = receiver.calls();
    assert_eq!(calls.iter().map(crate::harness::Call::attempt).collect::<Vec<_>>(), [1, 2, 3, 4, 5, 6, 7, 8]);
    for header in ["X-Kirim-Event-Id", "X-Kirim-Delivery-Id"] {
        assert!(calls.iter().all(|call| call.header(header) == calls[0].header(header)), "{header}");
    }
    let times: Vec<i64> = calls.iter().map(|call| call.signers(&[&secret]).0).collect();
    assert!(times.is_sorted_by(|one, next| one < next), "{times:?}");
    assert!(calls.iter().all(|call| call.body == calls[0].body));
}

#[tokio::test]
async fn a_receiver_that_asks_for_time_gets_it_up_to_an_hour() {
    let (server, tenant) = stage().await;
    let date = |seconds: u64| {
        let at = server.clock.read_now().plus_duration(Duration::from_secs(seconds)).millis() / 1000;
        chrono::DateTime::from_timestamp(at, 0).unwrap().format("%a, %d %b %Y %H:%M:%S GMT").to_string()
    };
    for (asked, waits) in [
        ("1800".to_owned(), 1800..=1800),
        ("86400".to_owned(), 3600..=3600),
        // Less than the ladder's own step.
        ("1".to_owned(), 8..=12),
        (date(600), 599..=600),
    ] {
        let receiver = Receiver::start().await;
        let said = asked.clone();
        receiver.plays(move |_| Turn::Answer(429, vec![("Retry-After", said.clone())]));
        let (id, _) = subscribe(&tenant, &receiver).await;
        tenant.hears(&from(0), "hello").await;
        let row =
            until_deliveries(&tenant, &format!("subscription_id={id}&status=failed"), 1).await.remove(0);
        let pause = pause(&server, &row);
        assert!(
            waits.contains(&pause.as_secs()) || waits.contains(&(pause + SECOND).as_secs()),
            "{asked}: {pause:?}"
        );
        tenant.api.delete(&format!("/v1/webhook_subscriptions/{id}")).await.is(204);
    }
}

#[tokio::test]
async fn refusals_are_final_and_410_pauses_the_subscription() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&tenant, &receiver).await;
    receiver.plays(|_| Turn::status(404));
    tenant.hears(&from(0), "one").await;
    let row = until_deliveries(&tenant, "status=dead", 1).await.remove(0);
    assert_eq!(attempts(&row).len(), 1);
    assert_eq!(super::subscription(&tenant, &id).await["status"], "active");
    receiver.plays(|_| Turn::status(410));
    tenant.hears(&from(0), "two").await;
    until_status(&tenant, &id, "paused").await;
    until_deliveries(&tenant, "status=dead", 2).await;
    receiver.plays(|_| Turn::status(200));
    tenant.hears(&from(0), "three").await;
    set_status(&tenant, &id, "active").await;
    until_deliveries(&tenant, "status=delivered", 1).await;
    assert_eq!(receiver.calls().last().unwrap().said(), "three");
}

#[tokio::test]
async fn twenty_four_dead_in_a_row_disable_it_and_one_taken_between_does_not() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&tenant, &receiver).await;
    receiver.plays(|call| Turn::status(if call.said() == "fine" { 200 } else { 400 }));
    for nth in 0..23 {
        tenant.hears(&from(nth), "bad").await;
    }
    until_deliveries(&tenant, "status=dead", 23).await;
    tenant.hears(&from(0), "fine").await;
    until_deliveries(&tenant, "status=delivered", 1).await;
    for nth in 0..23 {
        tenant.hears(&from(nth), "bad").await;
    }
    until_deliveries(&tenant, "status=dead", 46).await;
    assert_eq!(super::subscription(&tenant, &id).await["status"], "active");
    tenant.hears(&from(0), "bad").await;
    until_status(&tenant, &id, "disabled").await;
    receiver.plays(|_| Turn::status(200));
    tenant.hears(&from(0), "later").await;
    // It goes on where it stood, and what was given up can be had again.
    set_status(&tenant, &id, "active").await;
    until_deliveries(&tenant, "status=delivered", 2).await;
    assert_eq!(receiver.calls().last().unwrap().said(), "later");
}

#[tokio::test]
async fn one_conversation_waits_for_its_own_failure_and_for_nobody_elses() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|call| Turn::status(if call.said() == "stuck" && call.attempt() < 3 { 503 } else { 200 }));
    subscribe(&tenant, &receiver).await;
    for (author, said) in [(0, "stuck"), (1, "a"), (0, "behind"), (1, "b"), (2, "c")] {
        tenant.hears(&from(author), said).await;
    }
    until_deliveries(&tenant, "status=delivered", 3).await;
    assert!(receiver.calls().iter().all(|call| call.said() != "behind"));
    for nth in 1..=2 {
        let failed = |row: &Value| attempts(row).len() == nth;
        let rows = until_deliveries(&tenant, "status=failed", 1).await;
        let row = if failed(&rows[0]) { rows[0].clone() } else { until_failed(&tenant, nth).await };
        server.clock.advance_manual(pause(&server, &row));
    }
    until_deliveries(&tenant, "status=delivered", 5).await;
    let said = receiver.conversations();
    assert_eq!(said[&format!("+{}", from(0))], ["stuck", "stuck", "stuck", "behind"]);
    assert_eq!(said[&format!("+{}", from(1))], ["a", "b"]);
}

/// The delivery of which so many attempts have failed.
async fn until_failed(tenant: &crate::harness::Tenant, tries: usize) -> Value {
    until_some(async || {
        let rows = deliveries(tenant, "status=failed").await;
        rows.into_iter().find(|row| attempts(row).len() == tries)
    })
    .await
}

#[tokio::test]
async fn a_redirect_is_a_failure_and_nobody_is_called_for_it() {
    let (_server, tenant) = stage().await;
    let (receiver, trap) = (Receiver::start().await, Receiver::start().await);
    let elsewhere = trap.url();
    receiver.plays(move |_| Turn::Answer(307, vec![("Location", elsewhere.clone())]));
    subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "hello").await;
    let row = until_deliveries(&tenant, "status=failed", 1).await.remove(0);
    let attempt = attempts(&row).remove(0);
    assert_eq!(attempt["status_code"], 307);
    assert!(text(&attempt["error"]).contains("redirects are not followed"), "{attempt}");
    assert_eq!(trap.count(), 0);
}

#[tokio::test]
async fn an_endless_answer_is_cut_off_and_counts_by_its_status() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|_| Turn::Endless);
    subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "hello").await;
    tenant.hears(&from(0), "again").await;
    until_deliveries(&tenant, "status=delivered", 2).await;
}

#[tokio::test]
async fn a_receiver_that_does_not_answer_is_given_up_after_ten_seconds() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    receiver.plays(|_| Turn::Hang);
    subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "hello").await;
    let row = until_deliveries(&tenant, "status=failed", 1).await.remove(0);
    let attempt = attempts(&row).remove(0);
    assert_eq!(attempt["status_code"], json!(null));
    assert_eq!(attempt["error"], "no complete answer within 10000 ms");
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn a_receiver_that_is_not_there_is_tried_again() {
    let (_server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    subscribe(&tenant, &receiver).await;
    drop(receiver);
    tenant.hears(&from(0), "hello").await;
    let row = until_deliveries(&tenant, "status=failed", 1).await.remove(0);
    assert_eq!(attempts(&row)[0]["error"], "the host cannot be reached");
}
