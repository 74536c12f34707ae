//! Rules of statuses: the progress of a message that we sent.

use std::sync::Arc;

use super::{account_recovery, identities};
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;
use crate::domain::inbound::StatusReport;
use crate::domain::message::{Message, MessageError};
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::status::MessageStatus;
use crate::domain::time::Timestamp;

/// Applies a status to its message.
pub(super) fn apply_status(
    draft: &mut Draft<'_>,
    known: &Arc<Message>,
    report: &StatusReport,
) -> Result<(), RowNotLoaded> {
    let mut message = (**known).clone();
    if message.wamid.is_none() {
        message.wamid = Some(report.wamid.clone());
    }
    let first = message.history.keep_reported(report.status, report.at);
    let moved = advance_status(&mut message, report.status.as_current(), report.error.clone());
    if report.status == MessageStatus::Played {
        // A message that was listened to was read, although WhatsApp may not say so.
        message.history.keep_own(MessageStatus::Read, report.at);
    }
    if message.status != MessageStatus::Pending {
        message.details.hold_reason = None;
    }
    if report.pricing.is_some() && message.details.pricing_at.is_none_or(|known| known <= report.at) {
        message.details.pricing.clone_from(&report.pricing);
        message.details.pricing_at = Some(report.at);
    }
    if message != **known {
        let message = draft.write_message(message);
        if moved {
            announce_status(draft, &message, known.status, report.at);
        } else if first {
            draft.emit_event(EventKind::MessageStatusReported {
                message: (*message).clone(),
                status: report.status,
                occurred_at: report.at,
            });
        }
    }
    if let Some(recipient) = &report.recipient {
        identities::learn_about(draft, known.contact_id, recipient, report.at.min(draft.now))?;
    }
    if let Some(error) = report.error.as_ref().filter(|_| report.refuses_account) {
        account_recovery::degrade_account(draft, &error.message);
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

/// Tells of a status that has moved.
pub(super) fn announce_status(
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

/// Records that WhatsApp refused a message for good.
pub(super) fn fail_message(message: &mut Message, error: &MessageError, at: Timestamp) -> bool {
    let moved = advance_status(message, MessageStatus::Failed, Some(error.clone()));
    if moved {
        message.history.keep_own(MessageStatus::Failed, at);
    }
    moved
}

/// Records that WhatsApp has a message: sent, or held back until a status decides.
pub(super) fn accept_message(message: &mut Message, hold_reason: Option<&Arc<str>>, at: Timestamp) -> bool {
    let Some(reason) = hold_reason else {
        message.history.keep_own(MessageStatus::Sent, at);
        return advance_status(message, MessageStatus::Sent, None);
    };
    if message.status == MessageStatus::Pending {
        message.details.hold_reason = Some(reason.clone());
        message.next_attempt_at = None;
    }
    false
}
