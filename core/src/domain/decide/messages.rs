//! Rules of messages: receiving one, accepting one for sending, marking as read.

use std::sync::Arc;
use std::time::Duration;

use super::{DecideError, contacts, conversations};
use crate::domain::account::AccountStatus;
use crate::domain::command::{CommandRefusal, CommandReply};
use crate::domain::contact::{ContactPatch, ContactRef};
use crate::domain::conversation::{Conversation, ConversationStatus};
use crate::domain::draft::Draft;
use crate::domain::due_time::DueTime;
use crate::domain::event::EventKind;
use crate::domain::message::{Direction, InboundMessage, Message, OutgoingMessage};
use crate::domain::phone::Phone;
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::status::{MessageStatus, StatusHistory};
use crate::ids::MessageId;

/// Time after a contact's last message in which a business may write freely (Meta, "Customer service
/// windows").
const WINDOW: Duration = Duration::from_hours(24);

/// Returns the conversation with a number, and `true` when it is new. Also creates the contact, or fills in
/// its missing name.
fn thread_with(
    draft: &mut Draft<'_>,
    phone: &Phone,
    name: Option<&Arc<str>>,
) -> Result<(Conversation, bool), RowNotLoaded> {
    // A conversation holds all that is needed of a named contact, so the contact's own row is not read.
    if let Some(thread) = draft.loaded_rows().conversation_with(phone)?
        && (thread.contact.name.is_some() || name.is_none())
    {
        return Ok(((**thread).clone(), false));
    }
    let mut contact = contacts::find_or_insert(draft, phone, name)?;
    if contact.name.is_none() && name.is_some() {
        let named = ContactPatch { name: Some(name.cloned()), ..ContactPatch::default() };
        contact = contacts::change_contact(draft, &contact, &named)?;
    }
    Ok(match draft.loaded_rows().conversation_with(phone)? {
        Some(thread) => ((**thread).clone(), false),
        None => (conversations::begin_conversation(draft, ContactRef::from(&*contact)), true),
    })
}

pub(super) fn receive_message(draft: &mut Draft<'_>, inbound: &InboundMessage) -> Result<(), RowNotLoaded> {
    if draft.loaded_rows().message_of(&inbound.wamid)?.is_some() {
        return Ok(());
    }
    let (mut thread, new) = thread_with(draft, &inbound.from, inbound.profile_name.as_ref())?;
    // WhatsApp's clock may run ahead of ours. The inbox holds no message with a time in the future.
    let at = inbound.at.min(draft.now);
    let reopened = thread.status == ConversationStatus::Resolved;
    if reopened {
        thread.status = ConversationStatus::Open;
    }
    thread.unread_count = thread.unread_count.saturating_add(1);
    thread.last_message_at = Some(draft.now);
    thread.last_inbound_at = thread.last_inbound_at.max(Some(at));
    let thread = draft.write_conversation(thread);

    let mut history = StatusHistory::default();
    history.keep_reported(MessageStatus::Received, at);
    let message = Message {
        id: MessageId::from_bits(draft.next_bits()),
        direction: Direction::Inbound,
        status: MessageStatus::Received,
        kind: inbound.kind,
        conversation_id: thread.id,
        contact_id: thread.contact.id,
        from: inbound.from.clone(),
        to: draft.account.phone.clone(),
        wamid: Some(inbound.wamid.clone()),
        content: inbound.content.clone(),
        payload: inbound.payload.clone(),
        context: inbound.context.clone(),
        error: None,
        history,
        attempts: 0,
        next_attempt_at: None,
        created_at: draft.now,
        updated_at: draft.now,
    };
    let message = draft.write_message(message);
    if new {
        draft.emit_event(EventKind::ConversationCreated((*thread).clone()));
    }
    draft.emit_event(EventKind::MessageReceived((*message).clone()));
    if reopened {
        draft.emit_event(EventKind::ConversationUpdated((*thread).clone()));
    }
    Ok(())
}

pub(super) fn queue_send(
    draft: &mut Draft<'_>,
    outgoing: &OutgoingMessage,
) -> Result<CommandReply, DecideError> {
    if draft.account.status != AccountStatus::Connected {
        return Err(CommandRefusal::AccountNotConnected(draft.account.status).into());
    }
    let opened_at =
        draft.loaded_rows().conversation_with(&outgoing.to)?.and_then(|thread| thread.last_inbound_at);
    let open = opened_at.is_some_and(|at| at.plus_duration(WINDOW) > draft.wall_now);
    if outgoing.needs_window() && !open {
        return Err(CommandRefusal::OutsideWindow.into());
    }
    let (mut thread, new) = thread_with(draft, &outgoing.to, None)?;
    thread.last_message_at = Some(draft.now);
    let thread = draft.write_conversation(thread);
    let mut history = StatusHistory::default();
    history.keep_own(MessageStatus::Pending, draft.now);
    let message = Message {
        id: MessageId::from_bits(draft.next_bits()),
        direction: Direction::Outbound,
        status: MessageStatus::Pending,
        kind: outgoing.kind,
        conversation_id: thread.id,
        contact_id: thread.contact.id,
        from: draft.account.phone.clone(),
        to: outgoing.to.clone(),
        wamid: None,
        content: outgoing.content.clone(),
        payload: outgoing.payload.clone(),
        context: outgoing.context.clone(),
        error: None,
        history,
        attempts: 0,
        next_attempt_at: Some(DueTime::AT_ONCE),
        created_at: draft.now,
        updated_at: draft.now,
    };
    let message = draft.write_message(message);
    if new {
        draft.emit_event(EventKind::ConversationCreated((*thread).clone()));
    }
    draft.emit_event(EventKind::MessageCreated((*message).clone()));
    Ok(CommandReply::Message(message))
}

pub(super) fn mark_read(draft: &mut Draft<'_>, wamid: &Arc<str>) -> Result<CommandReply, DecideError> {
    let named =
        draft.loaded_rows().message_of(wamid)?.filter(|message| message.direction == Direction::Inbound);
    let named = named.ok_or(CommandRefusal::NoMessage)?.clone();
    let unread = draft.loaded_rows().unread_up_to(named.conversation_id, named.id)?;
    if unread.is_empty() {
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
        read = read.saturating_add(1);
    }
    if let Some(thread) = draft.loaded_rows().find_conversation(named.conversation_id)? {
        let mut thread = (**thread).clone();
        thread.unread_count = thread.unread_count.saturating_sub(read);
        let thread = draft.write_conversation(thread);
        draft.emit_event(EventKind::ConversationUpdated((*thread).clone()));
    }
    draft.tell_read(wamid.clone());
    let named = draft.loaded_rows().find_message(named.id)?.cloned().unwrap_or(named);
    Ok(CommandReply::Message(named))
}
