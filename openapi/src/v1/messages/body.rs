//! A message on the wire. The four `…_at` of its statuses are read off its history.

use std::sync::Arc;

use kabar_core::domain::message::{Direction, Message, MessageKind};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::status::MessageStatus;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{ContactId, ConversationId, MessageId};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

use crate::rest::text::{FreeObject, MessageNoun, TextValue};

/// A message, in or out.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Message", example)]
pub struct MessageBody {
    /// `msg_…`.
    pub id: TextValue<MessageId>,
    /// Always `message`.
    pub object: TextValue<MessageNoun>,
    /// Which way it went.
    pub direction: TextValue<Direction>,
    /// Where it stands: outbound `pending`, `sent`, `delivered`, `read` or `failed`; inbound
    /// `received` or `read`.
    pub status: TextValue<MessageStatus>,
    /// What it is; names the form of `payload`.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: TextValue<MessageKind>,
    /// Its thread.
    pub conversation_id: TextValue<ConversationId>,
    /// The other side.
    pub contact_id: TextValue<ContactId>,
    /// Sender, E.164.
    pub from: TextValue<Phone>,
    /// Recipient, E.164.
    pub to: TextValue<Phone>,
    /// WhatsApp's id of it (`wamid…`), once known.
    pub message_id: Option<TextValue<Arc<str>>>,
    /// Text, caption, or a one-line rendering.
    pub content: TextValue<Arc<str>>,
    /// The type's object, as WhatsApp has it.
    pub payload: FreeObject,
    /// The message that this one answers.
    pub context: Option<MessageContext>,
    /// Why it failed.
    pub error: Option<MessageFailure>,
    /// The first sighting of each status.
    pub status_history: Vec<SightingBody>,
    /// Account clock.
    pub created_at: TextValue<Timestamp>,
    /// Account clock; moves with every change that this object shows.
    pub updated_at: TextValue<Timestamp>,
    /// When WhatsApp took it.
    pub sent_at: Option<TextValue<Timestamp>>,
    /// When it reached the recipient.
    pub delivered_at: Option<TextValue<Timestamp>>,
    /// When it was read.
    pub read_at: Option<TextValue<Timestamp>>,
    /// When it failed.
    pub failed_at: Option<TextValue<Timestamp>>,
}

/// The message that another one answers.
#[derive(Debug, Clone, Serialize, Object)]
pub struct MessageContext {
    /// WhatsApp's id of it.
    pub message_id: TextValue<Arc<str>>,
}

/// Why a message failed.
#[derive(Debug, Clone, Serialize, Object)]
pub struct MessageFailure {
    /// What went wrong, for programs, e.g. `outside_24h_window`; `whatsapp_error` when WhatsApp's
    /// number has no word here.
    pub code: TextValue<Arc<str>>,
    /// What went wrong, for people.
    pub message: TextValue<Arc<str>>,
    /// WhatsApp's number for it.
    pub provider_code: Option<i64>,
}

/// The first sighting of a status.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "StatusSighting")]
pub struct SightingBody {
    /// What was seen.
    pub status: TextValue<MessageStatus>,
    /// When, by WhatsApp's own time where it reported the status.
    pub at: TextValue<Timestamp>,
}

impl MessageBody {
    /// A message of any account.
    #[must_use]
    pub fn from_message(message: &Message) -> Self {
        let at = |status| message.history.time_of(status).map(TextValue);
        Self {
            id: TextValue(message.id),
            object: TextValue(MessageNoun),
            direction: TextValue(message.direction),
            status: TextValue(message.status),
            kind: TextValue(message.kind),
            conversation_id: TextValue(message.conversation_id),
            contact_id: TextValue(message.contact_id),
            from: TextValue(message.from.clone()),
            to: TextValue(message.to.clone()),
            message_id: message.wamid.clone().map(TextValue),
            content: TextValue(message.content.clone()),
            payload: FreeObject(message.payload.clone()),
            context: message.context.clone().map(|wamid| MessageContext { message_id: TextValue(wamid) }),
            error: message.error.as_ref().map(|error| MessageFailure {
                code: TextValue(error.code.clone()),
                message: TextValue(error.message.clone()),
                provider_code: error.provider_code,
            }),
            status_history: message
                .history
                .iter()
                .map(|seen| SightingBody { status: TextValue(seen.status), at: TextValue(seen.at) })
                .collect(),
            created_at: TextValue(message.created_at),
            updated_at: TextValue(message.updated_at),
            sent_at: at(MessageStatus::Sent),
            delivered_at: at(MessageStatus::Delivered),
            read_at: at(MessageStatus::Read),
            failed_at: at(MessageStatus::Failed),
        }
    }
}

impl Example for MessageBody {
    fn example() -> Self {
        Self::from_message(&crate::spec::example_rows::example_message())
    }
}
