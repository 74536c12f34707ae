//! Rules of effects: each is carried out at most once, and a refusal is an outcome like any other.

use super::{conversations, messages};
use crate::domain::command::{Deed, Order, Reply};
use crate::domain::draft::Draft;
use crate::domain::effect::{EffectRefusal, SettledEffect};

/// Carries an effect out, if it waits still.
pub(super) fn carry_out(draft: &mut Draft<'_>, order: &Order) {
    if !draft.take_effect(order.id) {
        return;
    }
    let done = match &order.deed {
        Ok(Deed::Send(outgoing)) => messages::send(draft, outgoing).map_err(EffectRefusal::Refused),
        Ok(Deed::MarkRead(wamid)) => messages::mark_read(draft, wamid).map_err(EffectRefusal::Refused),
        Ok(Deed::Patch(patch)) => conversations::patch(draft, patch).map_err(EffectRefusal::Refused),
        Err(refusal) => Err(*refusal),
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
}
