//! One call to WhatsApp for one pending message, and the record of its outcome.
//!
//! Invariant: a message is tried again at once only when WhatsApp answers that it did not take it. Everything
//! else waits for the echo, counted from the end of the call. No call is made, or goes on, once the time to
//! settle of its durable attempt is over: another owner may be sending the message then.

use std::future::poll_fn;
use std::pin::pin;
use std::task::Poll;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::clock::Clock;
use kabar_core::domain::command::AccountCommand;
use kabar_core::domain::message::{Message, MessageError, SendOutcome};
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::ids::{ConversationId, MessageId};
use kabar_core::meta::errors::{ErrorClass, class_of, message_error};
use kabar_core::meta::graph::{GraphOutcome, TOTAL_TIMEOUT};
use kabar_core::meta::send_deadline::SendDeadline;
use kabar_core::surroundings;
use rand::RngExt as _;
use std::sync::Arc;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::schedule::{ATTEMPTS_MAX, JITTER_MAX, PAIR_RATE_BASE, retry_backoff};
use crate::account_entry::AccountEntry;
use crate::accounts::{AccountError, AccountRegistry, Context};

/// Pause before a message that WhatsApp throttled is tried again; the send rate then limits its speed.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);
/// Time that calls under way have to be answered once the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Pause before the store is asked again.
pub(super) const STORE_RETRY: Duration = Duration::from_secs(1);

/// WhatsApp's answer that the account sends too fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooFast {
    /// Wait that WhatsApp asked for.
    pub(super) pause: Option<Duration>,
}

/// A call that has ended.
pub(crate) struct FinishedSend {
    pub(super) conversation: ConversationId,
    pub(super) id: MessageId,
    pub(super) begun_at: MonotonicInstant,
    /// `None` when there is nothing to record: the call was not made, or the server stops. The message waits
    /// until it has settled.
    pub(super) outcome: Option<SendOutcome>,
    pub(super) too_fast: Option<TooFast>,
    _unrecorded: UnrecordedSend,
}

/// Guard of a call that is about to be made, is under way, or has no recorded outcome yet. A node that stops
/// waits for it a while before it hands its accounts over, and shutdown in any case.
pub(crate) struct UnrecordedSend {
    _call: TaskTrackerToken,
    _task: TaskTrackerToken,
}

impl UnrecordedSend {
    /// Counts one more call.
    pub(super) fn count_call(ground: &Context) -> Self {
        Self { _call: ground.calls.token(), _task: ground.tasks.token() }
    }
}

/// Makes the call, and returns the outcome to record. `settles_at` is the time at which the durable attempt has
/// settled.
pub(super) async fn call_graph(
    accounts: &AccountRegistry,
    slot: &Arc<AccountEntry>,
    message: &Message,
    settles_at: MonotonicInstant,
    unrecorded: UnrecordedSend,
) -> FinishedSend {
    let ground = accounts.context();
    let account = slot.current_account();
    let begun_at = ground.clock.monotonic_now();
    let ended = move |outcome, too_fast| FinishedSend {
        conversation: message.conversation_id,
        id: message.id,
        begun_at,
        outcome,
        too_fast,
        _unrecorded: unrecorded,
    };
    if !leaves_time(begun_at, settles_at, ground.options.settle) {
        ground.metrics.sends_skipped.inc();
        tracing::warn!(message = %message.id, "call not made: its attempt was begun too long ago");
        return ended(None, None);
    }
    let hurried = async {
        ground.stopping.cancelled().await;
        surroundings::sleep(LAST_ANSWERS).await;
    };
    let deadline = SendDeadline::new(ground.clock.clone(), settles_at);
    let called = tokio::select! {
        called = run_before(&ground.clock, settles_at, ground.graph.send_message(&account, message, deadline)) => {
            Some(called.unwrap_or_else(broken_off))
        }
        () = hurried => None,
    };
    let too_fast = match &called {
        Some(GraphOutcome::Transient { error, retry_after }) => {
            (class_of(error) == ErrorClass::AccountRate).then_some(TooFast { pause: *retry_after })
        }
        Some(GraphOutcome::Accepted { .. } | GraphOutcome::Refused(_) | GraphOutcome::Unknown { .. })
        | None => None,
    };
    ended(called.map(|called| outcome_of(ground, message, called)), too_fast)
}

/// Returns `true` when a call that begins at `now` ends, by its own time limit, before its attempt has settled.
/// Where the time to settle is short, the call gets at least half of it.
fn leaves_time(now: MonotonicInstant, settles_at: MonotonicInstant, settle: Duration) -> bool {
    settles_at.saturating_since(now).is_some_and(|left| left >= TOTAL_TIMEOUT.min(settle / 2))
}

/// Polls a call until `end`. The clock is read before each step of the call, so that a process that was stopped
/// while it connected does not go on with the request afterwards.
async fn run_before<T>(clock: &Clock, end: MonotonicInstant, call: impl Future<Output = T>) -> Option<T> {
    let (mut call, mut ended) = (pin!(call), pin!(clock.wait_until(end)));
    poll_fn(|context| {
        if clock.monotonic_now() >= end || ended.as_mut().poll(context).is_ready() {
            return Poll::Ready(None);
        }
        call.as_mut().poll(context).map(Some)
    })
    .await
}

/// Returns the outcome of a call that was given up: parts of it may have been sent.
fn broken_off() -> GraphOutcome {
    GraphOutcome::Unknown {
        error: message_error(None, "the call to WhatsApp was not answered while it counted"),
    }
}

fn outcome_of(ground: &Context, message: &Message, called: GraphOutcome) -> SendOutcome {
    match called {
        GraphOutcome::Accepted { wamid } => {
            ground.metrics.sends_accepted.inc();
            SendOutcome::Accepted { wamid }
        }
        GraphOutcome::Refused(error) => {
            ground.metrics.sends_refused.inc();
            if class_of(&error) == ErrorClass::TokenRefused {
                SendOutcome::TokenRefused(error)
            } else {
                SendOutcome::Refused(error)
            }
        }
        GraphOutcome::Transient { error, retry_after } => retry_at(ground, message, error, retry_after),
        GraphOutcome::Unknown { error } if message.attempts >= ATTEMPTS_MAX => SendOutcome::Refused(error),
        GraphOutcome::Unknown { error } => {
            ground.metrics.sends_unknown.inc();
            let code = error.provider_code;
            tracing::warn!(message = %message.id, code, "answer lost; waiting for WhatsApp's echo");
            SendOutcome::Unknown { settle: ground.options.settle }
        }
    }
}

/// Decides if and when a message is tried again.
fn retry_at(
    ground: &Context,
    message: &Message,
    error: MessageError,
    asked: Option<Duration>,
) -> SendOutcome {
    let class = class_of(&error);
    let pause = match class {
        ErrorClass::AccountRate => THROTTLED_PAUSE,
        ErrorClass::PairRate => retry_backoff(PAIR_RATE_BASE, message.attempts),
        ErrorClass::Transient | ErrorClass::TokenRefused | ErrorClass::Permanent => {
            retry_backoff(2, message.attempts)
        }
    };
    let jittered = pause.mul_f64(rand::rng().random_range(0.8..JITTER_MAX));
    let wait = jittered.max(asked.unwrap_or_default());
    if class == ErrorClass::AccountRate {
        ground.metrics.sends_throttled.inc();
        return SendOutcome::Throttled { wait };
    }
    if message.attempts >= ATTEMPTS_MAX {
        ground.metrics.sends_refused.inc();
        return SendOutcome::Refused(error);
    }
    ground.metrics.sends_retried.inc();
    SendOutcome::Retry { wait }
}

/// Records until it is durable or the server stops.
pub(super) async fn record_outcomes(
    accounts: &AccountRegistry,
    slot: &Arc<AccountEntry>,
    outcomes: impl IntoIterator<Item = (MessageId, SendOutcome)>,
) {
    let command = AccountCommand::RecordSends(outcomes.into_iter().collect());
    let ground = accounts.context();
    loop {
        match accounts.execute_command(slot, command.clone(), None).await {
            // Recorded; or another node owns the account, and waits for the echoes.
            Ok(Ok(_)) | Err(AccountError::Elsewhere) => return,
            Ok(Err(refusal)) => {
                tracing::error!(error = cause(&refusal), "outcomes not recorded");
                return;
            }
            Err(
                AccountError::Storage
                | AccountError::Overloaded
                | AccountError::Crashed
                | AccountError::Refused
                | AccountError::Expired { .. },
            ) => {
                tokio::select! {
                    () = ground.clock.sleep_for(STORE_RETRY) => {}
                    () = ground.stopping.cancelled() => return,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU32, Ordering};

    use kabar_core::domain::command::CommandReply;
    use kabar_core::domain::message::{MessageKind, OutgoingMessage};
    use kabar_core::domain::phone::Phone;
    use kabar_core::domain::time::Timestamp;

    use super::*;
    use crate::accounts::AccountRegistryOptions;
    use crate::accounts::tests::fixture::Context;

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
        let ground = Context::open(AccountRegistryOptions::default()).await;
        let settle = AccountRegistryOptions::default().settle;
        let unrecorded = || UnrecordedSend::count_call(ground.accounts.context());
        let CommandReply::Message(message) = ground.run(AccountCommand::Send(template())).await else {
            unreachable!()
        };
        let settles_at = ground.clock.monotonic_now().saturating_plus(settle);
        let made = call_graph(&ground.accounts, &ground.slot, &message, settles_at, unrecorded()).await;
        assert!(matches!(made.outcome, Some(SendOutcome::Retry { .. })), "it is tried: nobody listens there");
        ground.clock.advance_manual(settle.mul_f64(0.8));
        let skipped = call_graph(&ground.accounts, &ground.slot, &message, settles_at, unrecorded()).await;
        assert!(skipped.outcome.is_none() && ground.says("kabar_sends_skipped_total 1"));
    }

    fn template() -> OutgoingMessage {
        OutgoingMessage {
            to: Phone::parse("+628120000001").unwrap(),
            kind: MessageKind::Template,
            content: "hello".into(),
            payload: "{}".into(),
            context: None,
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
}
