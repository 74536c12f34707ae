//! The rules: the changes that a command makes, given the loaded rows. Pure, so that tests need nothing else.
//!
//! Invariants: every row that a rule reads was loaded, or the command is not decided. A refused command
//! changes nothing. An item that WhatsApp repeats changes nothing the second time. Every visible change is
//! stamped with the draft's instant and has its event.

mod account_recovery;
mod contacts;
mod conversations;
mod effects;
mod erasures;
mod identities;
mod merges;
mod message_changes;
mod messages;
mod parked_items;
mod preferences;
mod send_attempts;
mod sends;
mod statuses;
mod templates;

use super::command::{AccountCommand, CommandRefusal, CommandReply};
use super::draft::Draft;
use super::event::EventKind;
use super::inbound::{AccountNotice, InboundFact, InboundItem};
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
            for_each(draft, items, apply_item)?;
            CommandReply::Ingested
        }
        AccountCommand::Send(outgoing) => sends::queue_send(draft, outgoing)?,
        AccountCommand::MarkRead(mark) => sends::mark_read(draft, mark)?,
        AccountCommand::PatchConversation(patch) => conversations::patch_conversation(draft, patch)?,
        AccountCommand::CreateContact(contact) => contacts::create_contact(draft, contact)?,
        AccountCommand::PatchContact { id, patch } => contacts::patch_contact(draft, *id, patch)?,
        AccountCommand::DeleteContact(id) => erasures::delete_contact(draft, *id)?,
        AccountCommand::RemoveMessages(ids) => {
            erasures::remove_messages(draft, ids)?;
            CommandReply::Recorded
        }
        AccountCommand::EndErasure { contact, conversation } => {
            draft.end_erasure(*contact, *conversation);
            CommandReply::Recorded
        }
        AccountCommand::BeginSends { seen, settle_by, .. } => {
            send_attempts::begin_sends(draft, seen, *settle_by)?
        }
        AccountCommand::RecordSends(ended) => {
            for_each(draft, ended, |draft, (id, outcome)| send_attempts::record_send(draft, *id, outcome))?;
            CommandReply::Recorded
        }
        AccountCommand::CarryOut(orders) => {
            for_each(draft, orders, effects::carry_out)?;
            CommandReply::Recorded
        }
        AccountCommand::RecordProbe(told) => {
            account_recovery::record_probe(draft, told.as_ref());
            CommandReply::Recorded
        }
        AccountCommand::RecordTemplates(told) => templates::record_templates(draft, told)?,
        AccountCommand::RemoveTemplates { keys, listed_at } => {
            templates::remove_templates(draft, keys, *listed_at)?;
            CommandReply::Recorded
        }
        AccountCommand::AddTemplate(told) => templates::add_template(draft, told)?,
        AccountCommand::Configure(patch) => {
            let mut account = (*draft.account).clone();
            let changed = patch.apply(&mut account);
            if changed {
                let account = draft.write_account(account);
                draft.emit_event(EventKind::AccountUpdated(account));
            }
            CommandReply::Account(draft.account.clone())
        }
    })
}

/// Applies one item of a webhook.
fn apply_item(draft: &mut Draft<'_>, item: &InboundItem) -> Result<(), RowNotLoaded> {
    let raw = item.raw.as_ref();
    if draft.is_erased(item)? {
        draft.skip_erased();
        return Ok(());
    }
    match &item.fact {
        InboundFact::Message(message) => messages::receive_message(draft, message, raw),
        InboundFact::Edit(edit) => message_changes::receive_edit(draft, edit, raw),
        InboundFact::Revoke(revoke) => message_changes::receive_revoke(draft, revoke, raw),
        InboundFact::Status(report) => {
            draft.keep_raw(raw);
            parked_items::receive_status(draft, report)
        }
        InboundFact::Call(call) => messages::report_call(draft, call, raw),
        InboundFact::Preference(preference) => preferences::apply_preference(draft, preference),
        InboundFact::Person(notice) => identities::learn_notice(draft, notice),
        InboundFact::Field(notice) => {
            if !draft.repeats_notice(raw)? {
                draft.keep_notice(raw);
                draft.emit_event(EventKind::WhatsAppField(notice.clone()));
            }
            Ok(())
        }
        InboundFact::Account(notice) => {
            // The account may have changed since WhatsApp said so first.
            if !draft.repeats_notice(raw)? {
                apply_account_notice(draft, notice);
            }
            Ok(())
        }
        InboundFact::Template(notice) => {
            if draft.repeats_notice(raw)? {
                Ok(())
            } else {
                templates::apply_notice(draft, notice)
            }
        }
        InboundFact::RawOnly => {
            draft.keep_raw(raw);
            Ok(())
        }
    }
}

/// Applies news about the account itself.
fn apply_account_notice(draft: &mut Draft<'_>, notice: &AccountNotice) {
    let mut account = (*draft.account).clone();
    let before = account.profile.clone();
    if account.profile.update_from(&notice.profile) {
        if account.profile.waba_id != before.waba_id {
            // The templates are those of the WhatsApp Business Account.
            draft.ask_templates();
        }
        let news = account.profile.is_news_after(&before);
        let account = draft.write_account(account);
        if news {
            draft.emit_event(EventKind::AccountUpdated(account));
        }
    }
    if notice.asks_profile {
        draft.ask_profile();
    }
    if let Some(reason) = &notice.refusal {
        account_recovery::degrade_account(draft, reason);
    }
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
