//! Rules of effects: each is carried out at most once, and a refusal is an outcome like any other.

use super::{DecideError, conversations, messages};
use crate::domain::command::{Deed, Order, Reply};
use crate::domain::draft::Draft;
use crate::domain::effect::{EffectRefusal, SettledEffect};
use crate::domain::need::NotLoaded;

/// Carries an effect out, if it waits still.
pub(super) fn carry_out(draft: &mut Draft<'_>, order: &Order) -> Result<(), NotLoaded> {
    if !draft.take_effect(order.id)? {
        return Ok(());
    }
    let decided = match &order.deed {
        Ok(Deed::Send(outgoing)) => messages::send(draft, outgoing),
        Ok(Deed::MarkRead(wamid)) => messages::mark_read(draft, wamid),
        Ok(Deed::Patch(patch)) => conversations::patch(draft, patch),
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
        Ok(Reply::Message(message)) => Some(message.id),
        Ok(
            Reply::Ingested
            | Reply::Sends(_)
            | Reply::Recorded
            | Reply::Conversation(_)
            | Reply::Contact(_)
            | Reply::Account(_),
        )
        | Err(_) => None,
    };
    draft.settle_effect(SettledEffect { id: order.id, message_id, refusal: done.err() });
    Ok(())
}
