//! The bounds of a call, with and without an account.

use std::sync::atomic::{AtomicU32, Ordering};

use kabar_core::domain::address::Address;
use kabar_core::domain::command::CommandReply;
use kabar_core::domain::message::{MessageKind, OutgoingMessage};
use kabar_core::domain::message_details::MessageSource;
use kabar_core::domain::time::Timestamp;

use super::*;
use crate::accounts::tests::fixture::AccountFixture;
use crate::context::AccountRegistryOptions;

const SECOND: Duration = Duration::from_secs(1);

#[test]
fn a_call_is_made_only_if_it_ends_before_its_attempt_has_settled() {
    let begun = MonotonicInstant::from_millis(1_000_000);
    for (settle, latest) in [(60, 30), (3_600, 3_570), (20, 10), (1, 0)] {
        let (settle, latest) = (settle * SECOND, latest * SECOND);
        let leaves = |now| leaves_time(now, begun.saturating_plus(settle), settle);
        assert!(leaves(begun) && leaves(begun.saturating_plus(latest)), "{settle:?}");
        assert!(
            !leaves(begun.saturating_plus(latest + SECOND)) && !leaves(begun.saturating_plus(2 * settle)),
            "{settle:?}"
        );
    }
}

/// As a process that was stopped between the durable attempt and its call.
#[tokio::test]
async fn no_call_is_made_for_an_attempt_that_was_begun_too_long_ago() {
    let fixture = AccountFixture::open(AccountRegistryOptions::default()).await;
    let parts = fixture.sender_parts().await;
    let settle = AccountRegistryOptions::default().settle;
    let unrecorded = || UnrecordedSend::count_call(&parts);
    let CommandReply::Message(message) = fixture.run(AccountCommand::Send(template())).await else {
        unreachable!()
    };
    let settles_at = fixture.clock.monotonic_now().saturating_plus(settle);
    let made = call_graph(&parts, &message, settles_at, unrecorded()).await;
    assert!(
        matches!(made.outcome, Some(SendOutcome::Retry { .. })),
        "it is tried, and the address has no listener"
    );
    fixture.clock.advance_manual(settle.mul_f64(0.8));
    let skipped = call_graph(&parts, &message, settles_at, unrecorded()).await;
    assert!(skipped.outcome.is_none() && fixture.says("kabar_sends_skipped_total 1"));
}

fn template() -> OutgoingMessage {
    OutgoingMessage {
        to: Address::parse("+628120000001").unwrap(),
        kind: MessageKind::Template,
        content: "hello".into(),
        payload: "{}".into(),
        context: None,
        reaction: None,
        template: None,
        callback_data: None,
        source: MessageSource::Api,
    }
}

#[tokio::test]
async fn a_call_takes_no_step_after_its_end() {
    let clock = Clock::manual_clock(Timestamp::from_seconds(1_000_000));
    let end = clock.monotonic_now().saturating_plus(SECOND);
    assert_eq!(run_before(&clock, end, async { 1 }).await, Some(1));
    let steps = AtomicU32::new(0);
    let call = async {
        steps.fetch_add(1, Ordering::Relaxed);
        // As a process that is stopped while it connects, and goes on when everything is over.
        clock.advance_manual(2 * SECOND);
        tokio::task::yield_now().await;
        steps.fetch_add(1, Ordering::Relaxed);
    };
    assert_eq!((run_before(&clock, end, call).await, steps.load(Ordering::Relaxed)), (None, 1));
}
