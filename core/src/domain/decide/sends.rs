//! Rules of sending: accepting a message, and marking messages as read.

use std::time::Duration;

use super::{DecideError, conversations, identities, message_changes, templates};
use crate::domain::account::AccountStatus;
use crate::domain::address::Address;
use crate::domain::command::{CommandRefusal, CommandReply};
use crate::domain::contact::ContactRef;
use crate::domain::draft::Draft;
use crate::domain::due_time::DueTime;
use crate::domain::event::EventKind;
use crate::domain::identity::{IdentifierKey, Party};
use crate::domain::item_effects::ItemEffects;
use crate::domain::message::{Direction, Message, OutgoingMessage};
use crate::domain::message_details::{MessageContext, MessageDetails};
use crate::domain::read_receipt::ReadReceipt;
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::status::{MessageStatus, StatusHistory};
use crate::ids::{ContactId, MessageId};

/// Time after a contact's last message in which a business may write freely (Meta, "Customer service
/// windows").
const WINDOW: Duration = Duration::from_hours(24);

/// Key of the contact that a send addresses.
fn recipient_key(to: &Address) -> Option<IdentifierKey> {
    match to {
        Address::Phone(phone) => Some(IdentifierKey::Number(phone.clone())),
        Address::User(id) => Some(IdentifierKey::of_user_id(id.clone())),
        Address::Group(id) => Some(IdentifierKey::Group(id.clone())),
        Address::Unknown => None,
    }
}

fn find_recipient(draft: &Draft<'_>, to: &Address) -> Result<Option<ContactId>, RowNotLoaded> {
    recipient_key(to).map_or(Ok(None), |key| draft.loaded_rows().contact_of(&key))
}

fn recipient_contact(draft: &mut Draft<'_>, to: &Address) -> Result<ContactRef, RowNotLoaded> {
    if let Some(id) = find_recipient(draft, to)?
        && let Some(known) = draft.loaded_rows().contact_ref(id)?
    {
        return Ok(known);
    }
    let party = match to {
        Address::Phone(phone) => Party::of_phone(phone.clone()),
        Address::User(id) => Party::of_user_id(id.clone()),
        Address::Group(id) => return identities::find_group(draft, id),
        Address::Unknown => Party::default(),
    };
    identities::attribute_party(draft, &party, draft.now)
}

/// Returns `true` when it is known that WhatsApp would refuse a free message: the contact's last message is
/// older than a day, and no newer one can have been missed, because the number has been connected for longer.
fn is_window_shut(draft: &Draft<'_>, to: &Address) -> Result<bool, RowNotLoaded> {
    let Some(id) = find_recipient(draft, to)? else { return Ok(false) };
    let last = draft.loaded_rows().conversation_of(id)?.and_then(|conversation| conversation.last_inbound_at);
    let over = |since: crate::domain::time::Timestamp| since.plus_duration(WINDOW) <= draft.wall_now;
    Ok(last.is_some_and(over) && over(draft.account.created_at))
}

pub(super) fn queue_send(
    draft: &mut Draft<'_>,
    outgoing: &OutgoingMessage,
) -> Result<CommandReply, DecideError> {
    if draft.account.status != AccountStatus::Connected {
        return Err(CommandRefusal::AccountNotConnected(draft.account.status).into());
    }
    if outgoing.needs_window() && is_window_shut(draft, &outgoing.to)? {
        return Err(CommandRefusal::OutsideWindow.into());
    }
    templates::check_send(draft, outgoing)?;
    let contact = recipient_contact(draft, &outgoing.to)?;
    let (mut conversation, new) = conversations::conversation_with(draft, contact)?;
    conversation.last_message_at = Some(draft.now);
    let conversation = draft.write_conversation(conversation);
    let mut history = StatusHistory::default();
    history.keep_own(MessageStatus::Pending, draft.now);
    let to = match &outgoing.to {
        // The number, where one is known; the call still names the user id.
        Address::User(_) => conversation.contact.address(),
        to @ (Address::Phone(_) | Address::Group(_) | Address::Unknown) => to.clone(),
    };
    let (group_id, addressed_user) = match &outgoing.to {
        Address::Group(id) => (Some(id.clone()), None),
        Address::User(id) => (None, Some(id.clone())),
        Address::Phone(_) | Address::Unknown => (None, None),
    };
    let message = Message {
        id: MessageId::from_bits(draft.next_bits()),
        direction: Direction::Outbound,
        status: MessageStatus::Pending,
        kind: outgoing.kind,
        conversation_id: conversation.id,
        contact_id: conversation.contact.id,
        from: Address::Phone(draft.account.phone.clone()),
        to,
        wamid: None,
        content: outgoing.content.clone(),
        payload: outgoing.payload.clone(),
        context: outgoing.context.clone().map(MessageContext::of_answer),
        details: MessageDetails {
            group_id,
            addressed_user,
            callback_data: outgoing.callback_data.clone(),
            ..MessageDetails::of_source(outgoing.source)
        },
        error: None,
        history,
        attempts: 0,
        next_attempt_at: Some(DueTime::AT_ONCE),
        created_at: draft.now,
        updated_at: draft.now,
    };
    let message = draft.write_message(message);
    if new {
        draft.emit_event(EventKind::ConversationCreated((*conversation).clone()));
    }
    draft.emit_event(EventKind::MessageCreated((*message).clone()));
    if let Some(reaction) = &outgoing.reaction {
        message_changes::apply_own_reaction(draft, reaction)?;
    }
    Ok(CommandReply::Message(message))
}

/// Returns `true` for an unread message that `unread_count` counts.
fn counts_as_unread(message: &Message) -> bool {
    let details = &message.details;
    ItemEffects::of_item(
        message.kind,
        message.direction,
        details.source,
        details.standby,
        details.missed_call,
    )
    .unread
}

pub(super) fn mark_read(draft: &mut Draft<'_>, mark: &ReadReceipt) -> Result<CommandReply, DecideError> {
    let named = draft
        .loaded_rows()
        .message_of(&mark.wamid)?
        .filter(|message| message.direction == Direction::Inbound);
    let named = named.ok_or(CommandRefusal::NoMessage)?.clone();
    if named.details.group_id.is_some() {
        return Err(CommandRefusal::GroupMessage.into());
    }
    let receipt =
        ReadReceipt { wamid: named.wamid.clone().unwrap_or_else(|| mark.wamid.clone()), typing: mark.typing };
    let unread = draft.loaded_rows().unread_up_to(named.conversation_id, named.id)?;
    if unread.is_empty() {
        if receipt.typing {
            draft.tell_read(receipt);
        }
        return Ok(CommandReply::Message(named));
    }
    let mut read = 0_u32;
    for id in unread {
        let Some(message) = draft.loaded_rows().find_message(id)? else { continue };
        let mut message = (**message).clone();
        message.status = MessageStatus::Read;
        message.history.keep_own(MessageStatus::Read, draft.now);
        let message = draft.write_message(message);
        draft.emit_event(EventKind::MessageStatus {
            message: (*message).clone(),
            previous: MessageStatus::Received,
            occurred_at: draft.now,
        });
        read = read.saturating_add(u32::from(counts_as_unread(&message)));
    }
    if let Some(conversation) = draft.loaded_rows().find_conversation(named.conversation_id)? {
        let mut conversation = (**conversation).clone();
        conversation.unread_count = conversation.unread_count.saturating_sub(read);
        let conversation = draft.write_conversation(conversation);
        draft.emit_event(EventKind::ConversationUpdated((*conversation).clone()));
    }
    draft.tell_read(receipt);
    let named = draft.loaded_rows().find_message(named.id)?.cloned().unwrap_or(named);
    Ok(CommandReply::Message(named))
}
