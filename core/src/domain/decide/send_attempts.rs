//! Rules of attempts to send: each is counted before it is made, and its outcome is recorded after.

use std::sync::Arc;
use std::time::Duration;

use super::{account_recovery, for_each, identities, parked_items, statuses};
use crate::domain::command::CommandReply;
use crate::domain::draft::Draft;
use crate::domain::due_time::DueTime;
use crate::domain::message::{Message, SendOutcome, WaitingMessage};
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::status::MessageStatus;
use crate::ids::MessageId;

/// Counts an attempt before it is made: after a crash in the middle of it the row must not look untried.
/// Clients see nothing of attempts, so the row keeps its `updated_at`.
pub(super) fn begin_sends(
    draft: &mut Draft<'_>,
    seen: &[WaitingMessage],
    settle_by: DueTime,
) -> Result<CommandReply, RowNotLoaded> {
    let mut begun = Vec::new();
    for_each(draft, seen, |draft, seen| {
        begun.extend(begin_send(draft, seen, settle_by)?);
        Ok(())
    })?;
    Ok(CommandReply::Sends(begun))
}

/// Begins an attempt, unless the row differs from the one that the sender saw. The values are compared, not
/// times: an attempt that another sender has begun or postponed since changes at least one of them.
fn begin_send(
    draft: &mut Draft<'_>,
    seen: &WaitingMessage,
    settle_by: DueTime,
) -> Result<Option<Arc<Message>>, RowNotLoaded> {
    let Some(known) = draft.loaded_rows().find_message(seen.id)? else { return Ok(None) };
    if known.as_waiting() != Some(*seen) {
        return Ok(None);
    }
    let mut message = (**known).clone();
    message.attempts = message.attempts.saturating_add(1);
    message.next_attempt_at = Some(settle_by);
    Ok(Some(draft.note_attempt(message)))
}

/// Records the outcome of a call. The outcome of a message that is gone is dropped.
pub(super) fn record_send(
    draft: &mut Draft<'_>,
    id: MessageId,
    outcome: &SendOutcome,
) -> Result<(), RowNotLoaded> {
    let Some(known) = draft.loaded_rows().find_message(id)?.cloned() else { return Ok(()) };
    let mut message = (*known).clone();
    let moved = match outcome {
        SendOutcome::Accepted { wamid, hold_reason, .. } => {
            message.wamid = message.wamid.or_else(|| wamid.clone());
            statuses::accept_message(&mut message, hold_reason.as_ref(), draft.now)
        }
        SendOutcome::Refused(error) => statuses::fail_message(&mut message, error, draft.now),
        SendOutcome::AccountRefused(error) => {
            account_recovery::degrade_account(draft, &error.message);
            message.attempts = message.attempts.saturating_sub(1);
            put_off(draft, message, Duration::ZERO);
            return Ok(());
        }
        SendOutcome::Retry { wait } | SendOutcome::Unknown { settle: wait } => {
            put_off(draft, message, *wait);
            return Ok(());
        }
        SendOutcome::Throttled { wait } => {
            message.attempts = message.attempts.saturating_sub(1);
            put_off(draft, message, *wait);
            return Ok(());
        }
    };
    let message = if message == *known { known.clone() } else { draft.write_message(message) };
    account_recovery::end_recovery(draft);
    if moved {
        statuses::announce_status(draft, &message, known.status, draft.now);
    }
    match outcome {
        SendOutcome::Accepted { wamid, recipient, .. } => {
            if let Some(wamid) = wamid {
                parked_items::apply_parked(draft, &message, wamid)?;
            }
            identities::learn_about(draft, message.contact_id, recipient, draft.now)
        }
        SendOutcome::Refused(_)
        | SendOutcome::AccountRefused(_)
        | SendOutcome::Retry { .. }
        | SendOutcome::Unknown { .. }
        | SendOutcome::Throttled { .. } => Ok(()),
    }
}

/// Postpones a message, unless WhatsApp has reported its outcome in the meantime.
fn put_off(draft: &mut Draft<'_>, mut message: Message, wait: Duration) {
    if message.status == MessageStatus::Pending {
        message.next_attempt_at = Some(DueTime::after_wait(draft.wall_now, wait));
        draft.note_attempt(message);
    }
}
