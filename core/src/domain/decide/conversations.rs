//! Rules of conversations.

use super::DecideError;
use crate::domain::command::{CommandRefusal, CommandReply, ConversationPatch};
use crate::domain::contact::ContactRef;
use crate::domain::conversation::{Conversation, ConversationStatus};
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;

pub(super) fn patch_conversation(
    draft: &mut Draft<'_>,
    patch: &ConversationPatch,
) -> Result<CommandReply, DecideError> {
    let known =
        draft.loaded_rows().find_conversation(patch.id)?.ok_or(CommandRefusal::NoConversation)?.clone();
    let mut thread = (*known).clone();
    if let Some(status) = patch.status {
        thread.status = status;
    }
    if let Some(assignee) = &patch.assignee {
        thread.assignee.clone_from(assignee);
    }
    let moved = thread.status != known.status;
    let reassigned = thread.assignee != known.assignee;
    if !moved && !reassigned {
        return Ok(CommandReply::Conversation(known));
    }
    let thread = draft.write_conversation(thread);
    if reassigned {
        draft.emit_event(EventKind::ConversationAssigned((*thread).clone()));
    }
    if moved {
        let thread = (*thread).clone();
        draft.emit_event(match thread.status {
            ConversationStatus::Resolved => EventKind::ConversationClosed(thread),
            ConversationStatus::Open | ConversationStatus::Pending => EventKind::ConversationUpdated(thread),
        });
    }
    Ok(CommandReply::Conversation(thread))
}

/// Creates a new conversation; it is not written yet.
pub(super) fn begin_conversation(draft: &mut Draft<'_>, contact: ContactRef) -> Conversation {
    Conversation {
        id: draft.next_conversation_id(),
        status: ConversationStatus::Open,
        contact,
        assignee: None,
        unread_count: 0,
        last_message_at: None,
        last_inbound_at: None,
        created_at: draft.now,
        updated_at: draft.now,
    }
}
