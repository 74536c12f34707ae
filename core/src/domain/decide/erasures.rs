//! Rules of removal: a contact goes with its conversation, and messages that are no longer kept go by themselves.
//!
//! Invariant: what counts unread messages counts none that is gone.

use std::collections::BTreeSet;

use super::DecideError;
use crate::domain::command::{CommandRefusal, CommandReply};
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::status::MessageStatus;
use crate::ids::{ContactId, ConversationId, MessageId};

/// Deletes a contact, and those that were merged into it. One that was merged stands for the one that is left.
pub(super) fn delete_contact(draft: &mut Draft<'_>, id: ContactId) -> Result<CommandReply, DecideError> {
    let mut id = id;
    while let Some(into) = draft.loaded_rows().find_contact(id)?.ok_or(CommandRefusal::NoContact)?.merged_into
    {
        id = into;
    }
    let mut rows = Vec::new();
    for id in draft.loaded_rows().merged_contacts(id)?.into_iter().chain([id]) {
        if let Some(contact) = draft.loaded_rows().find_contact(id)?.cloned() {
            let conversation = draft.loaded_rows().conversation_of(id)?.map(|conversation| conversation.id);
            rows.push((contact, conversation));
        }
    }
    for (contact, conversation) in rows {
        draft.delete_contact(&contact, conversation);
        if let Some(conversation) = conversation {
            draft.emit_event(EventKind::ConversationDeleted { conversation, contact: contact.id });
        }
        draft.emit_event(EventKind::ContactDeleted(contact.id));
    }
    Ok(CommandReply::Recorded)
}

/// Removes messages, but for those that wait to be sent or for WhatsApp's word.
pub(super) fn remove_messages(draft: &mut Draft<'_>, ids: &[MessageId]) -> Result<(), RowNotLoaded> {
    let mut changed: BTreeSet<ConversationId> = BTreeSet::new();
    for id in ids {
        let Some(message) = draft.loaded_rows().find_message(*id)?.cloned() else { continue };
        match message.status {
            MessageStatus::Pending => continue,
            MessageStatus::Received => {
                let place = message.conversation_id;
                let known = draft.loaded_rows().find_conversation(place)?;
                if let Some(known) = known.filter(|known| known.unread_count > 0) {
                    let mut conversation = (**known).clone();
                    conversation.unread_count = conversation.unread_count.saturating_sub(1);
                    draft.write_conversation(conversation);
                    changed.insert(place);
                }
            }
            MessageStatus::Sent
            | MessageStatus::Failed
            | MessageStatus::Delivered
            | MessageStatus::Read
            | MessageStatus::Played => {}
        }
        draft.remove_message(&message);
    }
    for id in changed {
        if let Some(conversation) = draft.loaded_rows().find_conversation(id)?.cloned() {
            draft.emit_event(EventKind::ConversationUpdated((*conversation).clone()));
        }
    }
    Ok(())
}
