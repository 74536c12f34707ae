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
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::schedule::{ATTEMPTS_MAX, JITTER_MAX, PAIR_RATE_BASE, retry_backoff};
use super::sender_parts::SenderParts;
use crate::context::Context;
use crate::error::AccountError;
use crate::retry::pause_for_retry;

/// Pause before a message that WhatsApp throttled is tried again; the send rate then limits its speed.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);
/// Time that calls under way have to be answered once the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

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
    pub(super) fn count_call(parts: &SenderParts) -> Self {
        Self { _call: parts.graph_calls.unrecorded.token(), _task: parts.context.tasks.token() }
    }
}

/// Makes the call, and returns the outcome to record. `settles_at` is the time at which the durable attempt has
/// settled.
pub(super) async fn call_graph(
    parts: &SenderParts,
    message: &Message,
    settles_at: MonotonicInstant,
    unrecorded: UnrecordedSend,
) -> FinishedSend {
    let context = &*parts.context;
    let account = parts.account.current_account();
    // A call that gets no permit while its attempt counts is not made.
    let permit = parts.graph_calls.calls.acquire(account.organisation_id);
    let permit = run_before(&context.clock, settles_at, permit).await.and_then(Result::ok);
    let begun_at = context.clock.monotonic_now();
    let ended = move |outcome, too_fast| FinishedSend {
        conversation: message.conversation_id,
        id: message.id,
        begun_at,
        outcome,
        too_fast,
        _unrecorded: unrecorded,
    };
    if permit.is_none() || !leaves_time(begun_at, settles_at, context.options.settle) {
        context.metrics.sends_skipped.inc();
        tracing::warn!(message = %message.id, "call not made: its attempt was begun too long ago");
        return ended(None, None);
    }
    let hurried = async {
        context.stopping.cancelled().await;
        surroundings::sleep(LAST_ANSWERS).await;
    };
    let deadline = SendDeadline::new(context.clock.clone(), settles_at);
    let sending = parts.graph_calls.client.send_message(&account, message, deadline);
    let called = tokio::select! {
        called = run_before(&context.clock, settles_at, sending) => {
            Some(called.unwrap_or_else(broken_off))
        }
        () = hurried => None,
    };
    drop(permit);
    let too_fast = match &called {
        Some(GraphOutcome::Transient { error, retry_after }) => {
            (class_of(error) == ErrorClass::AccountRate).then_some(TooFast { pause: *retry_after })
        }
        Some(
            GraphOutcome::Accepted { .. }
            | GraphOutcome::Refused(_)
            | GraphOutcome::AccountRefused(_)
            | GraphOutcome::Unknown { .. },
        )
        | None => None,
    };
    ended(called.map(|called| outcome_of(context, message, called)), too_fast)
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

fn outcome_of(context: &Context, message: &Message, called: GraphOutcome) -> SendOutcome {
    match called {
        GraphOutcome::Accepted { wamid, hold_reason, recipient } => {
            context.metrics.sends_accepted.inc();
            SendOutcome::Accepted { wamid: Some(wamid), hold_reason, recipient }
        }
        GraphOutcome::Refused(error) => {
            context.metrics.sends_refused.inc();
            SendOutcome::Refused(error)
        }
        GraphOutcome::AccountRefused(error) => {
            context.metrics.sends_refused.inc();
            SendOutcome::AccountRefused(error)
        }
        GraphOutcome::Transient { error, retry_after } => retry_at(context, message, error, retry_after),
        GraphOutcome::Unknown { error } if message.attempts >= ATTEMPTS_MAX => SendOutcome::Refused(error),
        GraphOutcome::Unknown { error } => {
            context.metrics.sends_unknown.inc();
            let code = error.provider_code;
            tracing::warn!(message = %message.id, code, "answer lost; waiting for WhatsApp's echo");
            SendOutcome::Unknown { settle: context.options.settle }
        }
    }
}

/// Decides if and when a message is tried again.
fn retry_at(
    context: &Context,
    message: &Message,
    error: MessageError,
    asked: Option<Duration>,
) -> SendOutcome {
    let class = class_of(&error);
    let pause = match class {
        ErrorClass::AccountRate => THROTTLED_PAUSE,
        ErrorClass::PairRate => retry_backoff(PAIR_RATE_BASE, message.attempts),
        ErrorClass::Transient | ErrorClass::AccountRefused | ErrorClass::Permanent => {
            retry_backoff(2, message.attempts)
        }
    };
    let jittered = pause.mul_f64(rand::rng().random_range(0.8..JITTER_MAX));
    let wait = jittered.max(asked.unwrap_or_default());
    if class == ErrorClass::AccountRate {
        context.metrics.sends_throttled.inc();
        return SendOutcome::Throttled { wait };
    }
    if message.attempts >= ATTEMPTS_MAX {
        context.metrics.sends_refused.inc();
        return SendOutcome::Refused(error);
    }
    context.metrics.sends_retried.inc();
    SendOutcome::Retry { wait }
}

/// Records until it is durable or the server stops.
pub(super) async fn record_outcomes(
    parts: &SenderParts,
    outcomes: impl IntoIterator<Item = (MessageId, SendOutcome)>,
) {
    let outcomes: Vec<_> = outcomes.into_iter().collect();
    if record_together(parts, outcomes.clone()).await == Recorded::Refused {
        // One of them holds up the others.
        for (id, outcome) in outcomes {
            record_alone(parts, id, outcome).await;
        }
    }
}

/// Records one outcome; without WhatsApp's id where the database refuses that.
async fn record_alone(parts: &SenderParts, id: MessageId, mut outcome: SendOutcome) {
    while record_together(parts, vec![(id, outcome.clone())]).await == Recorded::Refused {
        let given = match &mut outcome {
            SendOutcome::Accepted { wamid, .. } => wamid.take(),
            SendOutcome::Refused(_)
            | SendOutcome::AccountRefused(_)
            | SendOutcome::Retry { .. }
            | SendOutcome::Unknown { .. }
            | SendOutcome::Throttled { .. } => None,
        };
        let Some(wamid) = given else {
            tracing::error!(message = %id, "outcome not recorded: the database refuses it");
            return;
        };
        tracing::error!(message = %id, wamid = &*wamid, "WhatsApp gave an id that another message has");
    }
}

/// End of an attempt to record outcomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Recorded {
    /// They are durable, or another node's to record.
    Ended,
    /// The database refuses them.
    Refused,
}

/// Records in one commit; tries again until it is durable, is refused, or the server stops.
async fn record_together(parts: &SenderParts, outcomes: Vec<(MessageId, SendOutcome)>) -> Recorded {
    let context = &*parts.context;
    let command = AccountCommand::RecordSends(outcomes);
    loop {
        match parts.account.execute_command(command.clone()).await {
            // Recorded; or another node owns the account, and waits for the echoes.
            Ok(Ok(_)) | Err(AccountError::Elsewhere) => return Recorded::Ended,
            Ok(Err(refusal)) => {
                tracing::error!(error = cause(&refusal), "outcomes not recorded");
                return Recorded::Ended;
            }
            Err(AccountError::Refused) => return Recorded::Refused,
            Err(
                AccountError::Storage
                | AccountError::Overloaded
                | AccountError::Crashed
                | AccountError::Expired { .. }
                | AccountError::Ambiguous,
            ) => {
                if !pause_for_retry(&context.clock, &context.stopping).await {
                    return Recorded::Ended;
                }
            }
        }
    }
}

#[cfg(test)]
mod tests;
