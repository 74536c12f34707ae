//! Rules of conversations.

use super::DecideError;
use crate::domain::command::{CommandRefusal, CommandReply, ConversationPatch};
use crate::domain::contact::ContactRef;
use crate::domain::conversation::{Conversation, ConversationStatus};
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;
use crate::domain::row_needs::RowNotLoaded;

pub(super) fn patch_conversation(
    draft: &mut Draft<'_>,
    patch: &ConversationPatch,
) -> Result<CommandReply, DecideError> {
    let mut known =
        draft.loaded_rows().find_conversation(patch.id)?.ok_or(CommandRefusal::NoConversation)?.clone();
    // A conversation that was merged stands for the one that is left.
    while let Some(into) = known.merged_into {
        known = draft.loaded_rows().find_conversation(into)?.ok_or(CommandRefusal::NoConversation)?.clone();
    }
    let mut conversation = (*known).clone();
    if let Some(status) = patch.status {
        conversation.status = status;
    }
    if let Some(assignee) = &patch.assignee {
        conversation.assignee.clone_from(assignee);
    }
    let moved = conversation.status != known.status;
    let reassigned = conversation.assignee != known.assignee;
    if !moved && !reassigned {
        return Ok(CommandReply::Conversation(known));
    }
    let conversation = draft.write_conversation(conversation);
    if reassigned {
        draft.emit_event(EventKind::ConversationAssigned((*conversation).clone()));
    }
    if moved {
        let conversation = (*conversation).clone();
        draft.emit_event(match conversation.status {
            ConversationStatus::Resolved => EventKind::ConversationClosed(conversation),
            ConversationStatus::Open | ConversationStatus::Pending => {
                EventKind::ConversationUpdated(conversation)
            }
        });
    }
    Ok(CommandReply::Conversation(conversation))
}

/// The conversation with a contact, and `true` when it is new and not written yet.
pub(super) fn conversation_with(
    draft: &mut Draft<'_>,
    contact: ContactRef,
) -> Result<(Conversation, bool), RowNotLoaded> {
    if let Some(known) = draft.loaded_rows().conversation_of(contact.id)? {
        return Ok(((**known).clone(), false));
    }
    let conversation = Conversation {
        id: draft.next_conversation_id(),
        status: ConversationStatus::Open,
        contact,
        assignee: None,
        unread_count: 0,
        last_message_at: None,
        last_inbound_at: None,
        number_named_at: None,
        merged_into: None,
        created_at: draft.now,
        updated_at: draft.now,
    };
    Ok((conversation, true))
}
