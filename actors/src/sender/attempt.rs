//! One call to WhatsApp for one pending message, and its report.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::command::Command;
use kabar_core::domain::message::{Message, MessageError, SendOutcome};
use kabar_core::meta::errors::is_token_refused;
use kabar_core::meta::graph::GraphOutcome;
use rand::RngExt as _;

use crate::accounts::Accounts;
use crate::slot::AccountSlot;

/// Calls for one message before it is given up: with the backoff below, about 17 minutes.
const ATTEMPTS_MAX: u32 = 10;
/// The longest pause between two calls.
const BACKOFF_MAX: Duration = Duration::from_mins(5);
/// How long calls under way may still be answered once the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Pause before the store is asked again.
pub(super) const STORE_RETRY: Duration = Duration::from_secs(1);

/// Calls, and reports until the report is durable or the server stops.
pub(super) async fn run(accounts: &Accounts, slot: &Arc<AccountSlot>, message: &Message) {
    let ground = accounts.ground();
    let account = slot.account();
    let hurried = async {
        ground.stopping.cancelled().await;
        tokio::time::sleep(LAST_ANSWERS).await;
    };
    let called = tokio::select! {
        called = ground.graph.send(&account, message) => called,
        // The outcome is unknown; the restarted server waits for the echo.
        () = hurried => return,
    };
    let outcome = match called {
        GraphOutcome::Accepted { wamid } => {
            ground.metrics.sends_accepted.inc();
            SendOutcome::Accepted { wamid }
        }
        GraphOutcome::Refused(error) => {
            ground.metrics.sends_refused.inc();
            if is_token_refused(&error) {
                SendOutcome::TokenRefused(error)
            } else {
                SendOutcome::Refused(error)
            }
        }
        GraphOutcome::Transient { error, retry_after } => retry(accounts, message, error, retry_after),
        GraphOutcome::Unknown { error } if message.attempts >= ATTEMPTS_MAX => SendOutcome::Refused(error),
        GraphOutcome::Unknown { error } => {
            ground.metrics.sends_unknown.inc();
            let code = error.provider_code;
            tracing::warn!(message = %message.id, code, "answer lost; waiting for WhatsApp's echo");
            return;
        }
    };
    let command = Command::RecordSend { id: message.id, outcome };
    loop {
        match accounts.execute(slot, command.clone(), None).await {
            Ok(Ok(_)) => return,
            Ok(Err(refusal)) => {
                tracing::error!(message = %message.id, error = cause(&refusal), "outcome not recorded");
                return;
            }
            Err(_unavailable) => {
                let again = ground.clock.now().plus(STORE_RETRY);
                tokio::select! {
                    () = ground.clock.wait_until(again) => {}
                    () = ground.stopping.cancelled() => return,
                }
            }
        }
    }
}

/// When to call again: 1, 2, 4 … seconds, ±20 %, or as WhatsApp asks; or never.
fn retry(
    accounts: &Accounts,
    message: &Message,
    error: MessageError,
    asked: Option<Duration>,
) -> SendOutcome {
    let ground = accounts.ground();
    if message.attempts >= ATTEMPTS_MAX {
        ground.metrics.sends_refused.inc();
        return SendOutcome::Refused(error);
    }
    ground.metrics.sends_retried.inc();
    let before = message.attempts.saturating_sub(1).min(20);
    let base = Duration::from_secs(1_u64 << before).min(BACKOFF_MAX);
    let jittered = base.mul_f64(rand::rng().random_range(0.8..1.2));
    SendOutcome::Retry { at: ground.clock.now().plus(jittered.max(asked.unwrap_or_default())) }
}
