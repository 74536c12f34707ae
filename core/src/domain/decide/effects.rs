//! Rules of effects: each is carried out at most once, and a refusal is an outcome like any other.

use super::{DecideError, conversations, sends};
use crate::domain::command::{CommandReply, EffectAction, EffectCommand};
use crate::domain::draft::Draft;
use crate::domain::effect::{EffectRefusal, SettledEffect};
use crate::domain::row_needs::RowNotLoaded;

/// Carries out an effect, if it is still pending.
pub(super) fn carry_out(draft: &mut Draft<'_>, order: &EffectCommand) -> Result<(), RowNotLoaded> {
    if !draft.take_effect(order.id)? {
        return Ok(());
    }
    let decided = match &order.deed {
        Ok(EffectAction::Send(outgoing)) => sends::queue_send(draft, outgoing),
        Ok(EffectAction::MarkRead(mark)) => sends::mark_read(draft, mark),
        Ok(EffectAction::Patch(patch)) => conversations::patch_conversation(draft, patch),
        Err(refusal) => {
            draft.settle_effect(SettledEffect { id: order.id, message_id: None, refusal: Some(*refusal) });
            return Ok(());
        }
    };
    let done = match decided {
        Ok(reply) => Ok(reply),
        Err(DecideError::Refused(refusal)) => Err(EffectRefusal::Refused(refusal)),
        Err(DecideError::NotLoaded(missing)) => return Err(missing),
    };
    let message_id = match &done {
        Ok(CommandReply::Message(message)) => Some(message.id),
        Ok(
            CommandReply::Ingested
            | CommandReply::Sends(_)
            | CommandReply::Recorded
            | CommandReply::Conversation(_)
            | CommandReply::Contact(_)
            | CommandReply::Template(_)
            | CommandReply::Templates(_)
            | CommandReply::Account(_),
        )
        | Err(_) => None,
    };
    draft.settle_effect(SettledEffect { id: order.id, message_id, refusal: done.err() });
    Ok(())
}
