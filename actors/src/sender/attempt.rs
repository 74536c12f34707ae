//! One call to WhatsApp for one pending message, and the record of how calls ended.
//!
//! Invariant: only WhatsApp's own word that it did not take the message lets it be tried again at
//! once; everything else waits for the echo, counted from the end of the call.

use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::command::Command;
use kabar_core::domain::message::{Message, MessageError, SendOutcome};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{ConversationId, MessageId};
use kabar_core::meta::errors::{Class, class_of};
use kabar_core::meta::graph::GraphOutcome;
use rand::RngExt as _;
use std::sync::Arc;
use tokio_util::task::task_tracker::TaskTrackerToken;

use crate::accounts::{Accounts, Ground, Unavailable};
use crate::slot::AccountSlot;

/// Calls for one message before it is given up: with the backoff below, about 17 minutes.
const ATTEMPTS_MAX: u32 = 10;
/// The longest pause between two calls.
const BACKOFF_MAX: Duration = Duration::from_mins(5);
/// What WhatsApp found too fast is tried again after this time; how fast then, the pace says.
const THROTTLED_PAUSE: Duration = Duration::from_secs(1);
/// How long calls under way may still be answered once the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Pause before the store is asked again.
pub(super) const STORE_RETRY: Duration = Duration::from_secs(1);

/// WhatsApp's word that the account is too fast.
#[derive(Debug, Clone, Copy)]
pub(super) struct TooFast {
    /// How long it asked us to wait.
    pub(super) pause: Option<Duration>,
}

/// A call that has ended.
pub(crate) struct Ended {
    pub(super) conversation: ConversationId,
    pub(super) id: MessageId,
    pub(super) begun_at: Timestamp,
    /// `None` when the server stops: the restarted one waits for the echo.
    pub(super) outcome: Option<SendOutcome>,
    pub(super) too_fast: Option<TooFast>,
    /// Shutdown waits until the outcome is recorded.
    _unrecorded: TaskTrackerToken,
}

/// Calls, and says what is to be recorded.
pub(super) async fn make(accounts: &Accounts, slot: &Arc<AccountSlot>, message: &Message) -> Ended {
    let ground = accounts.ground();
    let account = slot.account();
    let begun_at = ground.clock.now();
    let hurried = async {
        ground.stopping.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    let called = tokio::select! {
        called = ground.graph.send(&account, message) => Some(called),
        () = hurried => None,
    };
    let too_fast = match &called {
        Some(GraphOutcome::Transient { error, retry_after }) => {
            (class_of(error) == Class::AccountRate).then_some(TooFast { pause: *retry_after })
        }
        Some(GraphOutcome::Accepted { .. } | GraphOutcome::Refused(_) | GraphOutcome::Unknown { .. })
        | None => None,
    };
    Ended {
        conversation: message.conversation_id,
        id: message.id,
        begun_at,
        outcome: called.map(|called| outcome_of(ground, message, called)),
        too_fast,
        _unrecorded: ground.tasks.token(),
    }
}

fn outcome_of(ground: &Ground, message: &Message, called: GraphOutcome) -> SendOutcome {
    match called {
        GraphOutcome::Accepted { wamid } => {
            ground.metrics.sends_accepted.inc();
            SendOutcome::Accepted { wamid }
        }
        GraphOutcome::Refused(error) => {
            ground.metrics.sends_refused.inc();
            if class_of(&error) == Class::TokenRefused {
                SendOutcome::TokenRefused(error)
            } else {
                SendOutcome::Refused(error)
            }
        }
        GraphOutcome::Transient { error, retry_after } => retry(ground, message, error, retry_after),
        GraphOutcome::Unknown { error } if message.attempts >= ATTEMPTS_MAX => SendOutcome::Refused(error),
        GraphOutcome::Unknown { error } => {
            ground.metrics.sends_unknown.inc();
            let code = error.provider_code;
            tracing::warn!(message = %message.id, code, "answer lost; waiting for WhatsApp's echo");
            SendOutcome::Unknown { settle: ground.options.settle }
        }
    }
}

/// When to call again, or never.
fn retry(ground: &Ground, message: &Message, error: MessageError, asked: Option<Duration>) -> SendOutcome {
    let class = class_of(&error);
    let pause = match class {
        Class::AccountRate => THROTTLED_PAUSE,
        // "4^X seconds" (Meta, "Pair rate limits").
        Class::PairRate => backoff(4, message.attempts),
        Class::Transient | Class::TokenRefused | Class::Permanent => backoff(2, message.attempts),
    };
    let jittered = pause.mul_f64(rand::rng().random_range(0.8..1.2));
    let at = ground.clock.now().plus(jittered.max(asked.unwrap_or_default()));
    if class == Class::AccountRate {
        ground.metrics.sends_throttled.inc();
        return SendOutcome::Throttled { at };
    }
    if message.attempts >= ATTEMPTS_MAX {
        ground.metrics.sends_refused.inc();
        return SendOutcome::Refused(error);
    }
    ground.metrics.sends_retried.inc();
    SendOutcome::Retry { at }
}

/// 1 s after the first attempt, and so many times as long after each further one.
fn backoff(times: u64, attempts: u32) -> Duration {
    let pause = times.saturating_pow(attempts.saturating_sub(1));
    Duration::from_secs(pause).min(BACKOFF_MAX)
}

/// Records until it is durable or the server stops.
pub(super) async fn record(
    accounts: &Accounts,
    slot: &Arc<AccountSlot>,
    outcomes: impl IntoIterator<Item = (MessageId, SendOutcome)>,
) {
    let command = Command::RecordSends(outcomes.into_iter().collect());
    let ground = accounts.ground();
    loop {
        match accounts.execute(slot, command.clone(), None).await {
            // Recorded; or somebody else's by now, who waits for the echoes.
            Ok(Ok(_)) | Err(Unavailable::Elsewhere) => return,
            Ok(Err(refusal)) => {
                tracing::error!(error = cause(&refusal), "outcomes not recorded");
                return;
            }
            Err(
                Unavailable::Storage
                | Unavailable::Overloaded
                | Unavailable::Crashed
                | Unavailable::Refused
                | Unavailable::Expired { .. },
            ) => {
                let again = ground.clock.now().plus(STORE_RETRY);
                tokio::select! {
                    () = ground.clock.wait_until(again) => {}
                    () = ground.stopping.cancelled() => return,
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_their_bound() {
        let seconds = |times, attempts| backoff(times, attempts).as_secs();
        assert_eq!(
            [0, 1, 2, 3, 9, 10, 1000].map(|attempts| seconds(2, attempts)),
            [1, 1, 2, 4, 256, 300, 300]
        );
        assert_eq!([1, 2, 3, 5, 6].map(|attempts| seconds(4, attempts)), [1, 4, 16, 256, 300]);
    }
}
