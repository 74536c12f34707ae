//! Rules of messages that WhatsApp reports: what people write, echoes of the business's phone, the history,
//! and calls.

use std::sync::Arc;

use super::{conversations, identities, message_changes, parked_items};
use crate::domain::address::Address;
use crate::domain::contact::ContactRef;
use crate::domain::conversation::{Conversation, ConversationStatus};
use crate::domain::draft::Draft;
use crate::domain::event::EventKind;
use crate::domain::identity::Party;
use crate::domain::inbound::{CallReport, InboundMessage, ItemOwner, RawItem};
use crate::domain::item_effects::ItemEffects;
use crate::domain::message::{Direction, Message, MessageKind};
use crate::domain::message_details::{MessageContext, MessageDetails, MessageSource};
use crate::domain::row_needs::RowNotLoaded;
use crate::domain::status::{MessageStatus, StatusHistory};
use crate::domain::time::Timestamp;
use crate::ids::MessageId;

/// Takes in one message.
pub(super) fn receive_message(
    draft: &mut Draft<'_>,
    inbound: &InboundMessage,
    raw: Option<&RawItem>,
) -> Result<(), RowNotLoaded> {
    if let Some(known) = draft.loaded_rows().message_of(&inbound.wamid)?.cloned() {
        let announced = known.details.placeholder && !inbound.placeholder;
        return if announced || is_understood_now(&known, inbound) {
            fill_placeholder(draft, &known, inbound, raw)
        } else {
            Ok(())
        };
    }
    // WhatsApp's clock may run ahead of ours. The inbox holds no message with a time in the future.
    let at = inbound.at.min(draft.now);
    let contact = find_owner(draft, inbound, at)?;
    let effects =
        ItemEffects::of_item(inbound.kind, inbound.direction, inbound.source, inbound.standby, false);
    let (conversation, news) =
        touch_conversation(draft, contact, effects, inbound.source, at, inbound.owner.party())?;
    let message = build_message(draft, inbound, &conversation, at)?;
    let message = draft.write_message(message);
    draft.keep_raw(raw);
    announce_message(draft, &message, &conversation, news);
    if let Some(reaction) = &inbound.reaction {
        message_changes::apply_reaction(draft, reaction, &message, at)?;
    }
    parked_items::apply_parked(draft, &message, &inbound.wamid)
}

/// Contact that a message belongs to. What the message states about people is learned.
fn find_owner(
    draft: &mut Draft<'_>,
    inbound: &InboundMessage,
    at: Timestamp,
) -> Result<ContactRef, RowNotLoaded> {
    let contact = match (&inbound.owner, &inbound.identity_change) {
        (ItemOwner::Group(group, sender), _) => {
            identities::learn_if_known(draft, sender, at)?;
            identities::find_group(draft, group)?
        }
        (ItemOwner::Person(party), Some(change)) => {
            let mut before = party.clone();
            before.complete_from(&change.before);
            identities::replace_identity(draft, &before, &change.after, at)?
        }
        (ItemOwner::Person(party), None) => identities::attribute_party(draft, party, at)?,
    };
    if let Some(shared) = &inbound.shared_number {
        identities::learn_about(draft, contact.id, shared, at)?;
        return Ok(draft.loaded_rows().contact_ref(contact.id)?.unwrap_or(contact));
    }
    Ok(contact)
}

/// Change of a conversation by an item.
#[derive(Clone, Copy)]
struct ConversationNews {
    new: bool,
    reopened: bool,
}

/// Applies an item's effects to its conversation.
fn touch_conversation(
    draft: &mut Draft<'_>,
    contact: ContactRef,
    effects: ItemEffects,
    source: MessageSource,
    at: Timestamp,
    party: &Party,
) -> Result<(Arc<Conversation>, ConversationNews), RowNotLoaded> {
    let (mut conversation, new) = conversations::conversation_with(draft, contact)?;
    let before = conversation.clone();
    let reopened = effects.reopens && conversation.status == ConversationStatus::Resolved;
    if reopened {
        conversation.status = ConversationStatus::Open;
    }
    if effects.unread {
        conversation.unread_count = conversation.unread_count.saturating_add(1);
    }
    if effects.opens_window {
        conversation.last_inbound_at = conversation.last_inbound_at.max(Some(at));
    }
    if source == MessageSource::History {
        // A conversation that the history begins shows WhatsApp's time, until something new comes.
        if conversation.last_message_at.is_none_or(|last| last < conversation.created_at) {
            conversation.last_message_at = conversation.last_message_at.max(Some(at));
        }
    } else {
        conversation.last_message_at = Some(draft.now);
    }
    let number = conversation.contact.identity.phone();
    if number.is_some() && (party.phone.as_ref() == number || party.wa_id.as_ref() == number) {
        conversation.number_named_at = conversation.number_named_at.max(Some(at));
    }
    let news = ConversationNews { new, reopened };
    if !new && conversation == before {
        return Ok((Arc::new(conversation), news));
    }
    Ok((draft.write_conversation(conversation), news))
}

/// The address that a message of this party shows: as the item named it, else as the contact is known.
fn address_of(owner: &ItemOwner, contact: &ContactRef) -> Address {
    let party = owner.party();
    let number = party.phone.as_ref().or(party.wa_id.as_ref()).cloned().map(Address::Phone);
    let user = || party.user_id.as_ref().or(party.parent_user_id.as_ref()).cloned().map(Address::User);
    match owner {
        ItemOwner::Group(..) => number.or_else(user).unwrap_or(Address::Unknown),
        ItemOwner::Person(_) => number
            .or_else(|| contact.identity.phone().cloned().map(Address::Phone))
            .or_else(user)
            .unwrap_or_else(|| contact.address()),
    }
}

fn build_message(
    draft: &mut Draft<'_>,
    inbound: &InboundMessage,
    conversation: &Conversation,
    at: Timestamp,
) -> Result<Message, RowNotLoaded> {
    let party_address = address_of(&inbound.owner, &conversation.contact);
    let own = Address::Phone(draft.account.phone.clone());
    let (from, to) = match (inbound.direction, &inbound.owner) {
        (Direction::Inbound, _) => (party_address, own),
        (Direction::Outbound, ItemOwner::Group(id, _)) => (own, Address::Group(id.clone())),
        (Direction::Outbound, ItemOwner::Person(_)) => (own, party_address),
    };
    let reported = match (inbound.past_status, inbound.direction) {
        (Some(status), Direction::Outbound) => status,
        (Some(status), Direction::Inbound) if status.as_current() == MessageStatus::Read => status,
        (_, Direction::Inbound) => MessageStatus::Received,
        (None, Direction::Outbound) => MessageStatus::Sent,
    };
    let mut history = StatusHistory::default();
    history.keep_reported(reported, at);
    let details = MessageDetails {
        source: inbound.source,
        standby: inbound.standby,
        referral: inbound.referral.clone(),
        group_id: inbound.owner.group_id().cloned(),
        sender: inbound.owner.group_id().map(|_| inbound.owner.party().into()),
        placeholder: inbound.placeholder,
        ..MessageDetails::default()
    };
    Ok(Message {
        id: MessageId::from_bits(draft.next_bits()),
        direction: inbound.direction,
        status: reported.as_current(),
        kind: inbound.kind,
        conversation_id: conversation.id,
        contact_id: conversation.contact.id,
        from,
        to,
        wamid: Some(inbound.wamid.clone()),
        content: inbound.content.clone(),
        payload: inbound.payload.clone(),
        context: resolve_context(draft, inbound.context.as_ref())?,
        details,
        error: None,
        history,
        attempts: 0,
        next_attempt_at: None,
        created_at: draft.now,
        updated_at: draft.now,
    })
}

/// The context with the form of the answered message's id that is stored here.
fn resolve_context(
    draft: &Draft<'_>,
    context: Option<&MessageContext>,
) -> Result<Option<MessageContext>, RowNotLoaded> {
    let Some(mut context) = context.cloned() else { return Ok(None) };
    if let Some(wamid) = &context.message_id
        && let Some(answered) = draft.loaded_rows().message_of(wamid)?
    {
        context.message_id.clone_from(&answered.wamid);
    }
    Ok(Some(context))
}

fn announce_message(
    draft: &mut Draft<'_>,
    message: &Arc<Message>,
    conversation: &Arc<Conversation>,
    news: ConversationNews,
) {
    if news.new {
        draft.emit_event(EventKind::ConversationCreated((**conversation).clone()));
    }
    // The history is past: what answers messages as they come must not answer those.
    let received =
        message.direction == Direction::Inbound && message.details.source != MessageSource::History;
    draft.emit_event(if received {
        EventKind::MessageReceived((**message).clone())
    } else {
        EventKind::MessageCreated((**message).clone())
    });
    if news.reopened {
        draft.emit_event(EventKind::ConversationUpdated((**conversation).clone()));
    }
}

/// Returns `true` when a message was not understood when it came first, and is now: WhatsApp has sent it in full,
/// or it is read again by a later version of this server.
fn is_understood_now(known: &Message, inbound: &InboundMessage) -> bool {
    known.kind == MessageKind::Unsupported
        && inbound.kind != MessageKind::Unsupported
        && known.direction == inbound.direction
        && known.details.edited_at.is_none()
        && known.details.revoked_at.is_none()
}

/// Fills in the content of a message that was kept without it: announced by the history, or not understood.
fn fill_placeholder(
    draft: &mut Draft<'_>,
    known: &Arc<Message>,
    inbound: &InboundMessage,
    raw: Option<&RawItem>,
) -> Result<(), RowNotLoaded> {
    let mut message = (**known).clone();
    message.kind = inbound.kind;
    message.content = inbound.content.clone();
    message.payload = inbound.payload.clone();
    message.context = resolve_context(draft, inbound.context.as_ref())?;
    message.details.placeholder = false;
    if message.details.referral.is_none() {
        message.details.referral.clone_from(&inbound.referral);
    }
    let message = draft.write_message(message);
    draft.keep_raw(raw);
    draft.emit_event(EventKind::MessageEdited {
        message: (*message).clone(),
        previous_content: known.content.clone(),
    });
    match &inbound.reaction {
        Some(reaction) => {
            message_changes::apply_reaction(draft, reaction, &message, inbound.at.min(draft.now))
        }
        None => Ok(()),
    }
}

/// Takes in an event of a call. A call is one message, whatever happens to it.
pub(super) fn report_call(
    draft: &mut Draft<'_>,
    call: &CallReport,
    raw: Option<&RawItem>,
) -> Result<(), RowNotLoaded> {
    let at = call.at.min(draft.now);
    let effects = |missed| {
        ItemEffects::of_item(MessageKind::Call, call.direction, MessageSource::Inbound, false, missed)
    };
    let Some(known) = draft.loaded_rows().message_of(&call.call_id)?.cloned() else {
        let contact = identities::attribute_party(draft, &call.party, at)?;
        let (conversation, news) = touch_conversation(
            draft,
            contact,
            effects(call.missed),
            MessageSource::Inbound,
            at,
            &call.party,
        )?;
        let mut message = build_message(draft, &message_of_call(call), &conversation, at)?;
        message.details.missed_call = call.missed;
        let message = draft.write_message(message);
        draft.keep_raw(raw);
        announce_message(draft, &message, &conversation, news);
        return Ok(());
    };
    draft.keep_raw(raw);
    // An event that comes late does not replace the end of the call.
    if !call.ended || (known.payload == call.payload && known.content == call.content) {
        return Ok(());
    }
    let newly_missed = call.missed && !known.details.missed_call;
    let mut message = (*known).clone();
    message.content = call.content.clone();
    message.payload = call.payload.clone();
    message.details.missed_call = call.missed;
    let message = draft.write_message(message);
    draft.emit_event(EventKind::MessageEdited {
        message: (*message).clone(),
        previous_content: known.content.clone(),
    });
    if newly_missed && let Some(contact) = draft.loaded_rows().contact_ref(message.contact_id)? {
        let (conversation, _) =
            touch_conversation(draft, contact, effects(true), MessageSource::Inbound, at, &call.party)?;
        draft.emit_event(EventKind::ConversationUpdated((*conversation).clone()));
    }
    Ok(())
}

fn message_of_call(call: &CallReport) -> InboundMessage {
    InboundMessage {
        wamid: call.call_id.clone(),
        owner: ItemOwner::Person(call.party.clone()),
        direction: call.direction,
        source: match call.direction {
            Direction::Inbound => MessageSource::Inbound,
            Direction::Outbound => MessageSource::Api,
        },
        standby: false,
        at: call.at,
        past_status: None,
        kind: MessageKind::Call,
        placeholder: false,
        content: call.content.clone(),
        payload: call.payload.clone(),
        context: None,
        referral: None,
        reaction: None,
        identity_change: None,
        shared_number: None,
    }
}
