//! The rules: the changes that a command makes, given the loaded rows. Pure, so that tests need nothing else.
//!
//! Invariants: every row that a rule reads was loaded, or the command is not decided. A refused command
//! changes nothing. An item that WhatsApp repeats changes nothing the second time. Every visible change is
//! stamped with the draft's instant and has its event.

mod contacts;
mod conversations;
mod effects;
mod messages;
mod statuses;

use super::command::{AccountCommand, CommandRefusal, CommandReply};
use super::draft::Draft;
use super::message::InboundItem;
use super::row_needs::RowNotLoaded;

/// Reason for which a command was not carried out.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The rules refuse it; the draft is as it was.
    #[error(transparent)]
    Refused(#[from] CommandRefusal),
    /// A rule lacks a row, so nothing is decided. The draft records the row, and cannot be committed.
    #[error(transparent)]
    NotLoaded(#[from] RowNotLoaded),
}

/// Carries out one command on the draft.
///
/// # Errors
/// [`DecideError`].
pub fn decide_command(draft: &mut Draft<'_>, command: &AccountCommand) -> Result<CommandReply, DecideError> {
    let decided = apply_inbound(draft, command);
    if let Err(DecideError::NotLoaded(missing)) = &decided {
        draft.note_missing(missing.clone());
    }
    decided
}

fn apply_inbound(draft: &mut Draft<'_>, command: &AccountCommand) -> Result<CommandReply, DecideError> {
    Ok(match command {
        AccountCommand::Ingest(items) => {
            for_each(draft, items, |draft, item| match item {
                InboundItem::Message(message) => messages::receive_message(draft, message),
                InboundItem::Status(report) => statuses::report_status(draft, report),
            })?;
            CommandReply::Ingested
        }
        AccountCommand::Send(outgoing) => messages::queue_send(draft, outgoing)?,
        AccountCommand::MarkRead { wamid } => messages::mark_read(draft, wamid)?,
        AccountCommand::PatchConversation(patch) => conversations::patch_conversation(draft, patch)?,
        AccountCommand::CreateContact(contact) => contacts::create_contact(draft, contact)?,
        AccountCommand::PatchContact { id, patch } => contacts::patch_contact(draft, *id, patch)?,
        AccountCommand::BeginSends { seen, settle_by, .. } => statuses::begin_sends(draft, seen, *settle_by)?,
        AccountCommand::RecordSends(ended) => {
            for_each(draft, ended, |draft, (id, outcome)| statuses::record_send(draft, *id, outcome))?;
            CommandReply::Recorded
        }
        AccountCommand::CarryOut(orders) => {
            for_each(draft, orders, effects::carry_out)?;
            CommandReply::Recorded
        }
        AccountCommand::Configure(patch) => {
            let mut account = (*draft.account).clone();
            let changed = patch.apply(&mut account);
            CommandReply::Account(if changed { draft.write_account(account) } else { draft.account.clone() })
        }
    })
}

/// Applies a rule to each item. Items behind one that lacks a row are still decided, so that one more round
/// loads all rows that are missing.
fn for_each<T>(
    draft: &mut Draft<'_>,
    items: &[T],
    mut rule: impl FnMut(&mut Draft<'_>, &T) -> Result<(), RowNotLoaded>,
) -> Result<(), RowNotLoaded> {
    let mut ended = Ok(());
    for item in items {
        if let Err(missing) = rule(draft, item) {
            draft.note_missing(missing.clone());
            ended = Err(missing);
        }
    }
    ended
}

#[cfg(test)]
mod tests;
