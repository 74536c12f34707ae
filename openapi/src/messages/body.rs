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

use crate::wire::{FreeObject, MessageNoun, Shown};

/// A message, in or out.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Message", example)]
pub struct MessageBody {
    /// `msg_…`.
    pub id: Shown<MessageId>,
    /// Always `message`.
    pub object: Shown<MessageNoun>,
    /// Which way it went.
    pub direction: Shown<Direction>,
    /// Where it stands: outbound `pending`, `sent`, `delivered`, `read` or `failed`; inbound
    /// `received` or `read`.
    pub status: Shown<MessageStatus>,
    /// What it is; names the form of `payload`.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: Shown<MessageKind>,
    /// Its thread.
    pub conversation_id: Shown<ConversationId>,
    /// The other side.
    pub contact_id: Shown<ContactId>,
    /// Sender, E.164.
    pub from: Shown<Phone>,
    /// Recipient, E.164.
    pub to: Shown<Phone>,
    /// WhatsApp's id of it (`wamid…`), once known.
    pub message_id: Option<Shown<Arc<str>>>,
    /// Text, caption, or a one-line rendering.
    pub content: Shown<Arc<str>>,
    /// The type's object, as WhatsApp has it.
    pub payload: FreeObject,
    /// The message that this one answers.
    pub context: Option<MessageContext>,
    /// Why it failed.
    pub error: Option<MessageFailure>,
    /// The first sighting of each status.
    pub status_history: Vec<SightingBody>,
    /// Account clock.
    pub created_at: Shown<Timestamp>,
    /// Account clock; moves with every change that this object shows.
    pub updated_at: Shown<Timestamp>,
    /// When WhatsApp took it.
    pub sent_at: Option<Shown<Timestamp>>,
    /// When it reached the recipient.
    pub delivered_at: Option<Shown<Timestamp>>,
    /// When it was read.
    pub read_at: Option<Shown<Timestamp>>,
    /// When it failed.
    pub failed_at: Option<Shown<Timestamp>>,
}

/// The message that another one answers.
#[derive(Debug, Clone, Serialize, Object)]
pub struct MessageContext {
    /// WhatsApp's id of it.
    pub message_id: Shown<Arc<str>>,
}

/// Why a message failed.
#[derive(Debug, Clone, Serialize, Object)]
pub struct MessageFailure {
    /// What went wrong, for programs, e.g. `outside_24h_window`; `whatsapp_error` when WhatsApp's
    /// number has no word here.
    pub code: Shown<Arc<str>>,
    /// What went wrong, for people.
    pub message: Shown<Arc<str>>,
    /// WhatsApp's number for it.
    pub provider_code: Option<i64>,
}

/// The first sighting of a status.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "StatusSighting")]
pub struct SightingBody {
    /// What was seen.
    pub status: Shown<MessageStatus>,
    /// When, by WhatsApp's own time where it reported the status.
    pub at: Shown<Timestamp>,
}

impl MessageBody {
    /// A message of any account.
    #[must_use]
    pub fn of(message: &Message) -> Self {
        let at = |status| message.history.at(status).map(Shown);
        Self {
            id: Shown(message.id),
            object: Shown(MessageNoun),
            direction: Shown(message.direction),
            status: Shown(message.status),
            kind: Shown(message.kind),
            conversation_id: Shown(message.conversation_id),
            contact_id: Shown(message.contact_id),
            from: Shown(message.from.clone()),
            to: Shown(message.to.clone()),
            message_id: message.wamid.clone().map(Shown),
            content: Shown(message.content.clone()),
            payload: FreeObject(message.payload.clone()),
            context: message.context.clone().map(|wamid| MessageContext { message_id: Shown(wamid) }),
            error: message.error.as_ref().map(|error| MessageFailure {
                code: Shown(error.code.clone()),
                message: Shown(error.message.clone()),
                provider_code: error.provider_code,
            }),
            status_history: message
                .history
                .iter()
                .map(|seen| SightingBody { status: Shown(seen.status), at: Shown(seen.at) })
                .collect(),
            created_at: Shown(message.created_at),
            updated_at: Shown(message.updated_at),
            sent_at: at(MessageStatus::Sent),
            delivered_at: at(MessageStatus::Delivered),
            read_at: at(MessageStatus::Read),
            failed_at: at(MessageStatus::Failed),
        }
    }
}

impl Example for MessageBody {
    fn example() -> Self {
        Self::of(&crate::examples::message())
    }
}
