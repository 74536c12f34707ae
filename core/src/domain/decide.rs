//! The rules: what a command changes, given what is known. Pure, so that tests need nothing else.
//!
//! Invariants: what a rule looks at was loaded, or the command is not decided; a refused command changes nothing; the same item of WhatsApp's twice changes
//! nothing the second time; every visible change is stamped with the draft's instant and has its
//! event.

mod contacts;
mod conversations;
mod effects;
mod messages;
mod statuses;

use super::command::{Command, Refusal, Reply};
use super::draft::Draft;
use super::message::Inbound;
use super::need::NotLoaded;

/// Why a command brought nothing about.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecideError {
    /// The rules refuse it; the draft is as it was.
    #[error(transparent)]
    Refused(#[from] Refusal),
    /// A rule lacks a row, so nothing is decided. The draft knows which, and cannot be committed.
    #[error(transparent)]
    NotLoaded(#[from] NotLoaded),
}

/// Carries out one command on the draft.
///
/// # Errors
/// See [`DecideError`].
pub fn decide(draft: &mut Draft<'_>, command: &Command) -> Result<Reply, DecideError> {
    let decided = apply(draft, command);
    if let Err(DecideError::NotLoaded(missing)) = &decided {
        draft.note_missing(missing.clone());
    }
    decided
}

fn apply(draft: &mut Draft<'_>, command: &Command) -> Result<Reply, DecideError> {
    Ok(match command {
        Command::Ingest(items) => {
            for_each(draft, items, |draft, item| match item {
                Inbound::Message(message) => messages::receive(draft, message),
                Inbound::Status(report) => statuses::report(draft, report),
            })?;
            Reply::Ingested
        }
        Command::Send(outgoing) => messages::send(draft, outgoing)?,
        Command::MarkRead { wamid } => messages::mark_read(draft, wamid)?,
        Command::PatchConversation(patch) => conversations::patch(draft, patch)?,
        Command::CreateContact(contact) => contacts::create(draft, contact)?,
        Command::PatchContact { id, patch } => contacts::patch(draft, *id, patch)?,
        Command::BeginSends { seen, settle_by, .. } => statuses::begin_sends(draft, seen, *settle_by)?,
        Command::RecordSends(ended) => {
            for_each(draft, ended, |draft, (id, outcome)| statuses::record_send(draft, *id, outcome))?;
            Reply::Recorded
        }
        Command::CarryOut(orders) => {
            for_each(draft, orders, effects::carry_out)?;
            Reply::Recorded
        }
        Command::Configure(patch) => {
            let mut account = (*draft.account).clone();
            let changed = patch.apply(&mut account);
            Reply::Account(if changed { draft.write_account(account) } else { draft.account.clone() })
        }
    })
}

/// Applies a rule to each item. Items behind one that lacks a row are looked at all the same, so that one more
/// round loads what all of them lack.
fn for_each<T>(
    draft: &mut Draft<'_>,
    items: &[T],
    mut rule: impl FnMut(&mut Draft<'_>, &T) -> Result<(), NotLoaded>,
) -> Result<(), NotLoaded> {
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
