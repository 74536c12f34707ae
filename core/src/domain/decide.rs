//! The rules: what a command changes, given what is known. Pure, so that tests need nothing else.
//!
//! Invariants: a refused command changes nothing; the same item of WhatsApp's twice changes
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

/// Carries out one command on the draft.
///
/// # Errors
/// A [`Refusal`]; the draft is then as it was.
pub fn decide(draft: &mut Draft<'_>, command: &Command) -> Result<Reply, Refusal> {
    match command {
        Command::Ingest(items) => {
            for item in items {
                match item {
                    Inbound::Message(message) => messages::receive(draft, message),
                    Inbound::Status(report) => statuses::report(draft, report),
                }
            }
            Ok(Reply::Ingested)
        }
        Command::Send(outgoing) => messages::send(draft, outgoing),
        Command::MarkRead { wamid } => messages::mark_read(draft, wamid),
        Command::PatchConversation(patch) => conversations::patch(draft, patch),
        Command::CreateContact(contact) => contacts::create(draft, contact),
        Command::PatchContact { id, patch } => contacts::patch(draft, *id, patch),
        Command::BeginSends { ids, settle_by, .. } => Ok(statuses::begin_sends(draft, ids, *settle_by)),
        Command::RecordSends(ended) => {
            for (id, outcome) in ended {
                statuses::record_send(draft, *id, outcome);
            }
            Ok(Reply::Recorded)
        }
        Command::CarryOut(orders) => {
            for order in orders {
                effects::carry_out(draft, order);
            }
            Ok(Reply::Recorded)
        }
        Command::Configure(patch) => {
            let mut account = (*draft.account).clone();
            let account =
                if patch.apply(&mut account) { draft.write_account(account) } else { draft.account.clone() };
            Ok(Reply::Account(account))
        }
    }
}

#[cfg(test)]
mod tests;
