//! Rules of statuses: WhatsApp's reports about messages that we sent.

use std::sync::Arc;
use std::time::Duration;

use super::for_each;
use crate::domain::account::AccountStatus;
use crate::domain::command::CommandReply;
use crate::domain::draft::Draft;
use crate::domain::due_time::DueTime;
use crate::domain::event::EventKind;
use crate::domain::message::{Direction, Message, MessageError, SendOutcome, StatusReport, WaitingMessage};
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;
use crate::ids::MessageId;

pub(super) fn report_status(draft: &mut Draft<'_>, report: &StatusReport) -> Result<(), RowNotLoaded> {
    let facts = draft.loaded_rows();
    let known = match (facts.message_of(&report.wamid)?, report.echo) {
        (None, Some(echo)) => facts.find_message(echo)?,
        (known, _) => known,
    };
    match known.cloned() {
        Some(message) if message.direction == Direction::Outbound => apply_status(draft, &message, report),
        // WhatsApp reports no statuses of messages that a contact wrote.
        Some(_) => Ok(()),
        None => draft.park_status(report.clone()),
    }
}

fn apply_status(
    draft: &mut Draft<'_>,
    known: &Arc<Message>,
    report: &StatusReport,
) -> Result<(), RowNotLoaded> {
    let mut message = (**known).clone();
    if message.wamid.is_none() {
        message.wamid = Some(report.wamid.clone());
    }
    message.history.keep_reported(report.status, report.at);
    let moved = advance_status(&mut message, report.status, report.error.clone());
    if message == **known {
        return Ok(());
    }
    let message = draft.write_message(message);
    if moved {
        announce_status(draft, &message, known.status, report.at);
    }
    apply_parked(draft, &message, &report.wamid)
}

/// Applies the statuses that waited for a message until it got this id of WhatsApp's.
fn apply_parked(draft: &mut Draft<'_>, message: &Arc<Message>, wamid: &Arc<str>) -> Result<(), RowNotLoaded> {
    for parked in draft.take_parked(wamid)? {
        let latest = draft.loaded_rows().find_message(message.id)?.unwrap_or(message).clone();
        apply_status(draft, &latest, &parked)?;
    }
    Ok(())
}

/// Advances the current status, if it yields to `next`.
fn advance_status(message: &mut Message, next: MessageStatus, error: Option<MessageError>) -> bool {
    let moved = message.status.yields_to(next);
    if moved {
        message.status = next;
        message.error = if next == MessageStatus::Failed { error } else { None };
        message.next_attempt_at = None;
    }
    moved
}

fn announce_status(
    draft: &mut Draft<'_>,
    message: &Message,
    previous: MessageStatus,
    occurred_at: Timestamp,
) {
    if message.status == MessageStatus::Sent {
        draft.emit_event(EventKind::MessageSent(message.clone()));
    }
    draft.emit_event(EventKind::MessageStatus { message: message.clone(), previous, occurred_at });
}

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
        SendOutcome::Accepted { wamid } => {
            message.wamid.get_or_insert_with(|| wamid.clone());
            message.history.keep_own(MessageStatus::Sent, draft.now);
            advance_status(&mut message, MessageStatus::Sent, None)
        }
        SendOutcome::Refused(error) => fail_message(&mut message, error, draft.now),
        SendOutcome::TokenRefused(error) => {
            degrade_account(draft);
            fail_message(&mut message, error, draft.now)
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
    if moved {
        announce_status(draft, &message, known.status, draft.now);
    }
    match outcome {
        SendOutcome::Accepted { wamid } => apply_parked(draft, &message, wamid),
        SendOutcome::Refused(_)
        | SendOutcome::TokenRefused(_)
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

fn fail_message(message: &mut Message, error: &MessageError, at: Timestamp) -> bool {
    let moved = advance_status(message, MessageStatus::Failed, Some(error.clone()));
    if moved {
        message.history.keep_own(MessageStatus::Failed, at);
    }
    moved
}

/// Marks the account as degraded, because WhatsApp refuses its token: nothing more is sent until the operator
/// acts.
fn degrade_account(draft: &mut Draft<'_>) {
    if draft.account.status == AccountStatus::Connected {
        let mut account = (*draft.account).clone();
        account.status = AccountStatus::Degraded;
        draft.write_account(account);
    }
}
