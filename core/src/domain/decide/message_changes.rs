//! Rules of items that change another message: edits, revocations, reactions.
//!
//! Invariant: the outcome does not depend on the order in which the items of one message come.

use std::sync::Arc;

use crate::domain::draft::{Draft, ErasedMessage};
use crate::domain::event::EventKind;
use crate::domain::inbound::{MessageEdit, MessageRevoke, RawItem};
use crate::domain::message::Message;
use crate::domain::message_details::{MessageReaction, ReactionSide, ReactionTo};
use crate::domain::parked::{ParkedChange, ParkedItem};
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::time::Timestamp;
use crate::domain::wamid::wamid_key;

/// Payload of a message that was taken back.
const NO_PAYLOAD: &str = "{}";

/// Takes in an edit; one that comes before its message waits for it.
pub(super) fn receive_edit(
    draft: &mut Draft<'_>,
    edit: &MessageEdit,
    raw: Option<&RawItem>,
) -> Result<(), RowNotLoaded> {
    draft.keep_raw(raw);
    match draft.loaded_rows().message_of(&edit.wamid)?.cloned() {
        Some(known) => {
            apply_edit(draft, &known, edit);
            Ok(())
        }
        None => park(draft, &edit.wamid, ParkedChange::Edit(edit.clone())),
    }
}

/// Takes in a revocation; one that comes before its message waits for it.
pub(super) fn receive_revoke(
    draft: &mut Draft<'_>,
    revoke: &MessageRevoke,
    raw: Option<&RawItem>,
) -> Result<(), RowNotLoaded> {
    match draft.loaded_rows().message_of(&revoke.wamid)?.cloned() {
        Some(known) => apply_revoke(draft, &known, revoke),
        None => park(draft, &revoke.wamid, ParkedChange::Revoke(revoke.clone()))?,
    }
    draft.keep_raw(raw);
    Ok(())
}

fn park(draft: &mut Draft<'_>, wamid: &str, change: ParkedChange) -> Result<(), RowNotLoaded> {
    draft.park_item(ParkedItem { wamid_key: wamid_key(wamid), change })
}

pub(super) fn apply_edit(draft: &mut Draft<'_>, known: &Arc<Message>, edit: &MessageEdit) {
    let at = edit.at.min(draft.now);
    let outdated = known.details.edited_at.is_some_and(|edited_at| edited_at >= at);
    if known.details.revoked_at.is_some() || outdated {
        return;
    }
    let mut message = (**known).clone();
    message.kind = edit.kind;
    message.content = edit.content.clone();
    message.payload = edit.payload.clone();
    message.details.edited_at = Some(at);
    let message = draft.write_message(message);
    draft.emit_event(EventKind::MessageEdited {
        message: (*message).clone(),
        previous_content: known.content.clone(),
    });
}

pub(super) fn apply_revoke(draft: &mut Draft<'_>, known: &Arc<Message>, revoke: &MessageRevoke) {
    if known.details.revoked_at.is_some() {
        return;
    }
    let mut message = (**known).clone();
    message.content = "".into();
    message.payload = NO_PAYLOAD.into();
    message.details.revoked_at = Some(revoke.at.min(draft.now));
    message.details.referral = None;
    let message = draft.write_message(message);
    draft.forget_content(message.id);
    draft.erase_message(ErasedMessage { id: message.id, wamid_key: wamid_key(&revoke.wamid) });
    draft.emit_event(EventKind::MessageRevoked((*message).clone()));
}

/// Applies the reaction of a message that WhatsApp reported.
pub(super) fn apply_reaction(
    draft: &mut Draft<'_>,
    reaction: &ReactionTo,
    by: &Message,
    at: Timestamp,
) -> Result<(), RowNotLoaded> {
    let from = match by.direction {
        crate::domain::message::Direction::Inbound => ReactionSide::Contact,
        crate::domain::message::Direction::Outbound => ReactionSide::Business,
    };
    let participant = by.details.group_id.as_ref().map(|_| by.from.as_str().into());
    let given = MessageReaction { emoji: reaction.emoji.clone(), from, participant, at };
    match draft.loaded_rows().message_of(&reaction.wamid)?.cloned() {
        Some(target) => {
            set_reaction(draft, &target, given);
            Ok(())
        }
        None => park(draft, &reaction.wamid, ParkedChange::Reaction(given)),
    }
}

/// Applies a reaction that a client sends. A message that is not known here has none to show.
pub(super) fn apply_own_reaction(draft: &mut Draft<'_>, reaction: &ReactionTo) -> Result<(), RowNotLoaded> {
    let given = MessageReaction {
        emoji: reaction.emoji.clone(),
        from: ReactionSide::Business,
        participant: None,
        at: draft.now,
    };
    if let Some(target) = draft.loaded_rows().message_of(&reaction.wamid)?.cloned() {
        set_reaction(draft, &target, given);
    }
    Ok(())
}

/// Replaces the reaction of one side, unless the known one is newer.
pub(super) fn set_reaction(draft: &mut Draft<'_>, target: &Arc<Message>, given: MessageReaction) {
    let same_side =
        |known: &MessageReaction| known.from == given.from && known.participant == given.participant;
    let known = target.details.reactions.iter().find(|known| same_side(known));
    if known.is_some_and(|known| known.at > given.at || *known == given) {
        return;
    }
    let mut message = (**target).clone();
    message.details.reactions.retain(|known| !same_side(known));
    message.details.reactions.push(given);
    message.details.reactions.sort_by_key(|reaction| reaction.at);
    draft.write_message(message);
}
