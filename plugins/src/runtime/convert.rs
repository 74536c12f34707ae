//! Converts an event to the types of `kabar:hooks@1.0.0`.
//!
//! Invariants: that package is frozen, and so are these values. A party without a known number is named by its
//! user id, or a group by its id, in the place of the number; by an empty text where nothing is known. `played`
//! arrives as `read`. Events of younger types arrive as `change.other`, with the API's `data`.

use std::sync::Arc;

use kabar_core::domain::account::Account;
use kabar_core::domain::contact::{Contact, ContactRef};
use kabar_core::domain::conversation::{Conversation, ConversationStatus};
use kabar_core::domain::event::EventKind;
use kabar_core::domain::message::{Direction, Message};
use kabar_core::domain::status::MessageStatus;
use kabar_core::domain::time::Timestamp;

use crate::invocation::Invocation;
use crate::runtime::bindings::kabar::hooks::types as wit;

pub(super) fn to_millis(at: Timestamp) -> u64 {
    u64::try_from(at.millis()).unwrap_or_default()
}

pub(super) fn optional_text(text: Option<&Arc<str>>) -> Option<String> {
    text.map(ToString::to_string)
}

/// Converts the event of an invocation; `data` is the API's `data` of the event, for types that the package does
/// not have.
pub(crate) fn convert_event(invocation: &Invocation, data: impl FnOnce() -> String) -> wit::Event {
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
    }
}

fn convert_account(account: &Account) -> wit::Account {
    wit::Account {
        id: account.id.to_string(),
        phone_number_id: account.phone_number_id.to_string(),
        phone_number: account.phone.to_string(),
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
        EventKind::ConversationCreated(row) => wit::Change::ConversationCreated(convert_conversation(row)),
        EventKind::ConversationAssigned(row) => wit::Change::ConversationAssigned(convert_conversation(row)),
        EventKind::ConversationClosed(row) => wit::Change::ConversationClosed(convert_conversation(row)),
        EventKind::ConversationUpdated(row) => wit::Change::ConversationUpdated(convert_conversation(row)),
        EventKind::ContactCreated(row) => wit::Change::ContactCreated(convert_contact(row)),
        EventKind::ContactUpdated(row) => wit::Change::ContactUpdated(convert_contact(row)),
        EventKind::MessageEdited { .. }
        | EventKind::MessageRevoked(_)
        | EventKind::MessageStatusReported { .. }
        | EventKind::ContactIdentityUpdated { .. }
        | EventKind::ConversationMerged(_)
        | EventKind::ContactDeleted(_)
        | EventKind::ConversationDeleted { .. }
        | EventKind::Erased(_)
        | EventKind::AccountUpdated(_)
        | EventKind::TemplateCreated(_)
        | EventKind::TemplateUpdated(_)
        | EventKind::TemplateDeleted { .. }
        | EventKind::WhatsAppField(_) => wit::Change::Other(data()),
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

fn convert_message(row: &Message) -> wit::Message {
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
        context: optional_text(row.context.as_ref().and_then(|context| context.message_id.as_ref())),
        error: row.error.as_ref().map(|error| wit::MessageError {
            code: error.code.to_string(),
            message: error.message.to_string(),
            provider_code: error.provider_code,
        }),
        created_at: to_millis(row.created_at),
        updated_at: to_millis(row.updated_at),
    }
}

fn convert_conversation(row: &Conversation) -> wit::Conversation {
    wit::Conversation {
        id: row.id.to_string(),
        status: match row.status {
            ConversationStatus::Open => wit::ConversationStatus::Open,
            ConversationStatus::Pending => wit::ConversationStatus::Pending,
            ConversationStatus::Resolved => wit::ConversationStatus::Resolved,
        },
        contact_id: row.contact.id.to_string(),
        phone_number: row.contact.address().as_str().to_owned(),
        contact_name: optional_text(row.contact.name.as_ref()),
        assignee: row.assignee.as_ref().map(|user| wit::User {
            id: user.id.to_string(),
            name: user.name.to_string(),
            email: optional_text(user.email.as_ref()),
        }),
        unread_count: row.unread_count,
        last_message_at: row.last_message_at.map(to_millis),
        last_inbound_at: row.last_inbound_at.map(to_millis),
        created_at: to_millis(row.created_at),
        updated_at: to_millis(row.updated_at),
    }
}

fn convert_contact(row: &Contact) -> wit::Contact {
    wit::Contact {
        id: row.id.to_string(),
        phone_number: ContactRef::from(row).address().as_str().to_owned(),
        name: optional_text(row.name.as_ref()),
        email: optional_text(row.email.as_ref()),
        metadata: row.metadata.to_string(),
        created_at: to_millis(row.created_at),
        updated_at: to_millis(row.updated_at),
    }
}
