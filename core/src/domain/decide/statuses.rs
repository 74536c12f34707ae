//! Rules of statuses: what WhatsApp reports about messages that we sent.

use std::sync::Arc;

use crate::domain::account::AccountStatus;
use crate::domain::command::Reply;
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;
use crate::domain::message::{Direction, Message, MessageError, SendOutcome, StatusReport};
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;
use crate::ids::MessageId;

pub(super) fn report(draft: &mut Draft<'_>, report: &StatusReport) {
    let facts = draft.facts();
    let echoed = report.echo.and_then(|id| facts.message(id));
    let known = facts.message_of(&report.wamid).or(echoed).cloned();
    match known {
        Some(message) if message.direction == Direction::Outbound => apply(draft, &message, report),
        // Nobody reports statuses of what a contact wrote.
        Some(_) => {}
        None => draft.park(report.clone()),
    }
}

fn apply(draft: &mut Draft<'_>, known: &Arc<Message>, report: &StatusReport) {
    let mut message = (**known).clone();
    if message.wamid.is_none() {
        message.wamid = Some(report.wamid.clone());
    }
    message.history.keep_reported(report.status, report.at);
    let moved = step(&mut message, report.status, report.error.clone());
    if message == **known {
        return;
    }
    let message = draft.write_message(message);
    if moved {
        announce(draft, &message, known.status, report.at);
    }
    let waiting = draft.take_parked(&report.wamid);
    let mut latest = message;
    for parked in waiting {
        apply(draft, &latest, &parked);
        latest = draft.facts().message(latest.id).cloned().unwrap_or(latest);
    }
}

/// Moves the current status up the ladder, if it yields.
fn step(message: &mut Message, next: MessageStatus, error: Option<MessageError>) -> bool {
    let moved = message.status.yields_to(next);
    if moved {
        message.status = next;
        message.error = if next == MessageStatus::Failed { error } else { None };
        message.next_attempt_at = None;
    }
    moved
}

fn announce(draft: &mut Draft<'_>, message: &Message, previous: MessageStatus, occurred_at: Timestamp) {
    if message.status == MessageStatus::Sent {
        draft.emit(EventKind::MessageSent(message.clone()));
    }
    draft.emit(EventKind::MessageStatus { message: message.clone(), previous, occurred_at });
}

/// An attempt counts before it is made: a crash in the middle of it must not look as if nothing had
/// been tried. Clients see nothing of attempts, so the row keeps its `updated_at`.
pub(super) fn begin_sends(draft: &mut Draft<'_>, ids: &[MessageId], settle_by: Timestamp) -> Reply {
    let waiting = ids.iter().filter_map(|id| draft.facts().message(*id).cloned());
    // Whoever comes second, with an older picture, finds the message begun and not due.
    let now = draft.now;
    let due = |message: &Arc<Message>| {
        message.status == MessageStatus::Pending && message.next_attempt_at <= Some(now)
    };
    let waiting: Vec<_> = waiting.filter(due).collect();
    let begun = waiting.iter().map(|message| {
        let mut message = (**message).clone();
        message.attempts = message.attempts.saturating_add(1);
        message.next_attempt_at = Some(settle_by);
        draft.note_attempt(message)
    });
    Reply::Sends(begun.collect())
}

/// Takes note of how a call ended. A message that is gone has no use for it.
pub(super) fn record_send(draft: &mut Draft<'_>, id: MessageId, outcome: &SendOutcome) {
    let Some(known) = draft.facts().message(id).cloned() else { return };
    let mut message = (*known).clone();
    let moved = match outcome {
        SendOutcome::Accepted { wamid } => {
            message.wamid.get_or_insert_with(|| wamid.clone());
            message.history.keep_own(MessageStatus::Sent, draft.now);
            step(&mut message, MessageStatus::Sent, None)
        }
        SendOutcome::Refused(error) => fail(&mut message, error, draft.now),
        SendOutcome::TokenRefused(error) => {
            degrade(draft);
            fail(&mut message, error, draft.now)
        }
        SendOutcome::Retry { at } => return put_off(draft, message, *at),
        SendOutcome::Unknown { settle } => {
            let until = draft.now.plus(*settle);
            return put_off(draft, message, until);
        }
        SendOutcome::Throttled { at } => {
            message.attempts = message.attempts.saturating_sub(1);
            return put_off(draft, message, *at);
        }
    };
    let message = if message == *known { known.clone() } else { draft.write_message(message) };
    if moved {
        announce(draft, &message, known.status, draft.now);
    }
    if let SendOutcome::Accepted { wamid } = outcome {
        for parked in draft.take_parked(wamid) {
            let latest = draft.facts().message(id).cloned().unwrap_or_else(|| message.clone());
            apply(draft, &latest, &parked);
        }
    }
}

/// Lets a message wait, unless WhatsApp has told meanwhile what became of it.
fn put_off(draft: &mut Draft<'_>, mut message: Message, until: Timestamp) {
    if message.status == MessageStatus::Pending {
        message.next_attempt_at = Some(until);
        draft.note_attempt(message);
    }
}

fn fail(message: &mut Message, error: &MessageError, at: Timestamp) -> bool {
    let moved = step(message, MessageStatus::Failed, Some(error.clone()));
    if moved {
        message.history.keep_own(MessageStatus::Failed, at);
    }
    moved
}

/// WhatsApp does not take the account's token: nothing more is sent until the operator acts.
fn degrade(draft: &mut Draft<'_>) {
    if draft.account.status == AccountStatus::Connected {
        let mut account = (*draft.account).clone();
        account.status = AccountStatus::Degraded;
        draft.write_account(account);
    }
}
