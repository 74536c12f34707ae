//! Converts an event to the types of `kabar:hooks@1.1.0`.

use kabar_core::domain::account::Account;
use kabar_core::domain::contact::Contact;
use kabar_core::domain::conversation::{Conversation, ConversationStatus};
use kabar_core::domain::event::EventKind;
use kabar_core::domain::identity::{Identifier, Identity};
use kabar_core::domain::message::{Direction, Message};
use kabar_core::domain::message_details::{GroupSender, MessageContext, MessageReaction};
use kabar_core::domain::status::MessageStatus;

use super::convert::{optional_text, to_millis};
use crate::invocation::Invocation;
use crate::runtime::bindings_v1_1::kabar::hooks::types as wit;

/// Converts the event of an invocation, with the message as WhatsApp sent it.
/// `data` is the API's `data` of the event, for types that the package does not have.
pub(crate) fn convert_event(
    invocation: &Invocation,
    raw: Option<String>,
    data: impl FnOnce() -> String,
) -> wit::Event {
    let event = &invocation.event;
    wit::Event {
        id: event.id.to_string(),
        kind: event.kind.type_name().into_owned(),
        sequence: u64::try_from(event.sequence).unwrap_or_default(),
        created_at: to_millis(event.created_at),
        livemode: !invocation.account.sandbox,
        account: convert_account(&invocation.account),
        attempt: invocation.attempt,
        change: convert_change(&event.kind, data),
        raw,
    }
}

fn convert_account(account: &Account) -> wit::Account {
    wit::Account {
        id: account.id.to_string(),
        phone_number_id: account.phone_number_id.to_string(),
        phone_number: account.phone.to_string(),
        status: account.status.as_str().to_owned(),
        status_reason: optional_text(account.status_reason.as_ref()),
        waba_id: optional_text(account.profile.waba_id.as_ref()),
    }
}

fn convert_change(kind: &EventKind, data: impl FnOnce() -> String) -> wit::Change {
    match kind {
        EventKind::MessageReceived(row) => wit::Change::MessageReceived(convert_message(row)),
        EventKind::MessageCreated(row) => wit::Change::MessageCreated(convert_message(row)),
        EventKind::MessageSent(row) => wit::Change::MessageSent(convert_message(row)),
        EventKind::MessageStatus { message: row, previous, occurred_at } => {
            wit::Change::MessageStatus(wit::StatusChange {
                message: convert_message(row),
                previous_status: message_status(*previous),
                status: message_status(row.status),
                occurred_at: to_millis(*occurred_at),
            })
        }
        EventKind::MessageEdited { message, previous_content } => {
            wit::Change::MessageEdited(wit::MessageEdit {
                message: convert_message(message),
                previous_content: previous_content.to_string(),
            })
        }
        EventKind::MessageRevoked(row) => wit::Change::MessageRevoked(convert_message(row)),
        EventKind::ConversationCreated(row) => wit::Change::ConversationCreated(convert_conversation(row)),
        EventKind::ConversationAssigned(row) => wit::Change::ConversationAssigned(convert_conversation(row)),
        EventKind::ConversationClosed(row) => wit::Change::ConversationClosed(convert_conversation(row)),
        EventKind::ConversationUpdated(row) => wit::Change::ConversationUpdated(convert_conversation(row)),
        EventKind::ConversationMerged(row) => wit::Change::ConversationMerged(convert_conversation(row)),
        EventKind::ContactCreated(row) => wit::Change::ContactCreated(convert_contact(row)),
        EventKind::ContactUpdated(row) => wit::Change::ContactUpdated(convert_contact(row)),
        EventKind::ContactIdentityUpdated { contact, added, merged } => {
            wit::Change::ContactIdentityUpdated(wit::IdentityUpdate {
                contact: convert_contact(contact),
                added: added.iter().map(convert_identifier).collect(),
                merged_contact_id: merged.map(|id| id.to_string()),
            })
        }
        EventKind::AccountUpdated(account) => wit::Change::AccountUpdated(convert_account(account)),
        EventKind::WhatsAppField(notice) => wit::Change::WhatsappField(wit::FieldValue {
            field: notice.field.to_string(),
            value: notice.value.to_string(),
        }),
        EventKind::MessageStatusReported { .. }
        | EventKind::ContactDeleted(_)
        | EventKind::ConversationDeleted { .. }
        | EventKind::TemplateCreated(_)
        | EventKind::TemplateUpdated(_)
        | EventKind::TemplateDeleted { .. }
        | EventKind::Erased(_) => wit::Change::Other(data()),
    }
}

const fn message_status(status: MessageStatus) -> wit::MessageStatus {
    match status {
        MessageStatus::Received => wit::MessageStatus::Received,
        MessageStatus::Pending => wit::MessageStatus::Pending,
        MessageStatus::Sent => wit::MessageStatus::Sent,
        MessageStatus::Failed => wit::MessageStatus::Failed,
        MessageStatus::Delivered => wit::MessageStatus::Delivered,
        MessageStatus::Read | MessageStatus::Played => wit::MessageStatus::Read,
    }
}

fn convert_identifier(identifier: &Identifier) -> wit::Identifier {
    let (kind, value) = identifier.type_and_value();
    wit::Identifier { kind: kind.to_owned(), value: value.to_owned() }
}

fn convert_context(context: &MessageContext) -> wit::MessageContext {
    wit::MessageContext {
        message_id: optional_text(context.message_id.as_ref()),
        from: optional_text(context.from.as_ref()),
        forwarded: context.forwarded,
        frequently_forwarded: context.frequently_forwarded,
        referred_product: optional_text(context.referred_product.as_ref()),
    }
}

fn convert_sender(sender: &GroupSender) -> wit::GroupSender {
    wit::GroupSender {
        phone_number: sender.phone.as_ref().map(ToString::to_string),
        user_id: sender.user_id.as_ref().map(|id| id.as_str().to_owned()),
        name: optional_text(sender.name.as_ref()),
    }
}

/// Returns `None` for a reaction that was taken back.
fn convert_reaction(reaction: &MessageReaction) -> Option<wit::Reaction> {
    Some(wit::Reaction {
        emoji: reaction.emoji.as_ref()?.to_string(),
        from: reaction.from.as_str().to_owned(),
        at: to_millis(reaction.at),
    })
}

fn convert_message(row: &Message) -> wit::Message {
    let details = &row.details;
    wit::Message {
        id: row.id.to_string(),
        direction: match row.direction {
            Direction::Inbound => wit::Direction::Inbound,
            Direction::Outbound => wit::Direction::Outbound,
        },
        status: message_status(row.status),
        kind: row.kind.as_str().to_owned(),
        conversation_id: row.conversation_id.to_string(),
        contact_id: row.contact_id.to_string(),
        from: row.from.as_str().to_owned(),
        to: row.to.as_str().to_owned(),
        message_id: optional_text(row.wamid.as_ref()),
        content: row.content.to_string(),
        payload: row.payload.to_string(),
        context: row.context.as_ref().map(convert_context),
        source: details.source.as_str().to_owned(),
        standby: details.standby,
        referral: optional_text(details.referral.as_ref()),
        pricing: optional_text(details.pricing.as_ref()),
        group_id: details.group_id.as_ref().map(|id| id.as_str().to_owned()),
        sender: details.sender.as_ref().map(convert_sender),
        callback_data: optional_text(details.callback_data.as_ref()),
        edited_at: details.edited_at.map(to_millis),
        revoked_at: details.revoked_at.map(to_millis),
        reactions: details.reactions.iter().filter_map(convert_reaction).collect(),
        hold_reason: optional_text(details.hold_reason.as_ref()),
        error: row.error.as_ref().map(|error| wit::MessageError {
            code: error.code.to_string(),
            message: error.message.to_string(),
            provider_code: error.provider_code,
        }),
        created_at: to_millis(row.created_at),
        updated_at: to_millis(row.updated_at),
    }
}

fn username(identity: &Identity) -> Option<String> {
    identity.username.as_ref().map(|username| username.text.to_string())
}

fn user_id(identity: &Identity) -> Option<String> {
    identity.user_id().map(|id| id.as_str().to_owned())
}

fn convert_conversation(row: &Conversation) -> wit::Conversation {
    let identity = &row.contact.identity;
    wit::Conversation {
        id: row.id.to_string(),
        status: match row.status {
            ConversationStatus::Open => wit::ConversationStatus::Open,
            ConversationStatus::Pending => wit::ConversationStatus::Pending,
            ConversationStatus::Resolved => wit::ConversationStatus::Resolved,
        },
        contact_id: row.contact.id.to_string(),
        phone_number: identity.phone().map(ToString::to_string),
        user_id: user_id(identity),
        username: username(identity),
        contact_kind: row.contact.kind.as_str().to_owned(),
        contact_name: optional_text(row.contact.name.as_ref()),
        assignee: row.assignee.as_ref().map(|user| wit::User {
            id: user.id.to_string(),
            name: user.name.to_string(),
            email: optional_text(user.email.as_ref()),
        }),
        unread_count: row.unread_count,
        last_message_at: row.last_message_at.map(to_millis),
        last_inbound_at: row.last_inbound_at.map(to_millis),
        merged_into: row.merged_into.map(|id| id.to_string()),
        created_at: to_millis(row.created_at),
        updated_at: to_millis(row.updated_at),
    }
}

fn convert_contact(row: &Contact) -> wit::Contact {
    let opted_out: Option<u64> = row.marketing_opted_out_at.map(to_millis);
    wit::Contact {
        id: row.id.to_string(),
        phone_number: row.identity.phone().map(ToString::to_string),
        user_id: user_id(&row.identity),
        username: username(&row.identity),
        kind: row.kind.as_str().to_owned(),
        identifiers: row.identity.identifiers().iter().map(convert_identifier).collect(),
        marketing_opted_out_at: opted_out,
        merged_into: row.merged_into.map(|id| id.to_string()),
        name: optional_text(row.name.as_ref()),
        email: optional_text(row.email.as_ref()),
        metadata: row.metadata.to_string(),
        created_at: to_millis(row.created_at),
        updated_at: to_millis(row.updated_at),
    }
}
