//! Body of a message. The four `…_at` of its statuses are read off its history.

mod details;

use std::sync::Arc;

use kabar_core::domain::address::Address;
use kabar_core::domain::identity::GroupId;
use kabar_core::domain::message::{Direction, Message, MessageKind};
use kabar_core::domain::message_details::MessageSource;
use kabar_core::domain::status::{MessageStatus, StatusSighting};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{ContactId, ConversationId, MessageId};
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

use self::details::{GroupSenderBody, MessageContextBody, ReactionBody};
use crate::rest::text::{FreeObject, SightedStatus, TextValue, nouns};

nouns! {
    /// `object` of a message.
    MessageNoun = "message";
}

/// A message, in or out.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Message", example)]
pub(crate) struct MessageBody {
    /// `msg_…`.
    pub(crate) id: TextValue<MessageId>,
    /// Always `message`.
    pub(crate) object: TextValue<MessageNoun>,
    /// Direction of the message.
    pub(crate) direction: TextValue<Direction>,
    /// Status of the message: outbound `pending`, `sent`, `delivered`, `read` or `failed`; inbound `received`
    /// or `read`.
    pub(crate) status: TextValue<MessageStatus>,
    /// Type of the message; names the form of `payload`.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub(crate) kind: TextValue<MessageKind>,
    /// The conversation.
    pub(crate) conversation_id: TextValue<ConversationId>,
    /// The contact.
    pub(crate) contact_id: TextValue<ContactId>,
    /// Sender: a number in E.164, or the user id or group id of a contact without one.
    pub(crate) from: TextValue<Address>,
    /// Recipient: a number in E.164, or the user id or group id of a contact without one.
    pub(crate) to: TextValue<Address>,
    /// WhatsApp's id of it (`wamid…`), once known.
    pub(crate) message_id: Option<TextValue<Arc<str>>>,
    /// Text, caption, or a one-line rendering.
    pub(crate) content: TextValue<Arc<str>>,
    /// The type's object, in WhatsApp's form.
    pub(crate) payload: FreeObject,
    /// The message that this one answers, and the rest that WhatsApp tells of its origin.
    pub(crate) context: Option<MessageContextBody>,
    /// The ad whose click led to the message, in WhatsApp's form.
    pub(crate) referral: Option<FreeObject>,
    /// The group in which it was written.
    pub(crate) group_id: Option<TextValue<GroupId>>,
    /// The participant of the group that wrote it.
    pub(crate) sender: Option<GroupSenderBody>,
    /// Your `biz_opaque_callback_data`.
    pub(crate) callback_data: Option<TextValue<Arc<str>>>,
    /// The reactions that it has now, the oldest first.
    pub(crate) reactions: Vec<ReactionBody>,
    /// Origin: `inbound`; `api`; `app`, the phone of the business; `agent`, an agent of Meta's; `hook`; or
    /// `history`, from before the number was connected.
    pub(crate) source: TextValue<MessageSource>,
    /// `true` when an agent of Meta's held the conversation.
    pub(crate) standby: bool,
    /// Cause for which WhatsApp holds a pending message back: `held_for_quality_assessment` or `paused`.
    pub(crate) hold_reason: Option<TextValue<Arc<str>>>,
    /// The newest price that WhatsApp told, in its form.
    pub(crate) pricing: Option<FreeObject>,
    /// Cause of the failure.
    pub(crate) error: Option<MessageFailure>,
    /// First occurrence of each status.
    pub(crate) status_history: Vec<SightingBody>,
    /// Account clock.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Account clock; moves with every change that this object shows.
    pub(crate) updated_at: TextValue<Timestamp>,
    /// Time at which WhatsApp accepted it.
    pub(crate) sent_at: Option<TextValue<Timestamp>>,
    /// Time at which it reached the recipient.
    pub(crate) delivered_at: Option<TextValue<Timestamp>>,
    /// Time at which it was read.
    pub(crate) read_at: Option<TextValue<Timestamp>>,
    /// Time at which it failed.
    pub(crate) failed_at: Option<TextValue<Timestamp>>,
    /// Time of its newest edit.
    pub(crate) edited_at: Option<TextValue<Timestamp>>,
    /// Time at which its author took it back; it has no content from then on.
    pub(crate) revoked_at: Option<TextValue<Timestamp>>,
}

/// Cause of a message's failure.
#[derive(Debug, Clone, Serialize, Object)]
pub(crate) struct MessageFailure {
    /// Code of the error, for programs, e.g. `outside_24h_window`; `whatsapp_error` when WhatsApp's number
    /// has no code here.
    pub(crate) code: TextValue<Arc<str>>,
    /// Cause of the error, for people.
    pub(crate) message: TextValue<Arc<str>>,
    /// WhatsApp's number for it.
    pub(crate) provider_code: Option<i64>,
}

/// First occurrence of a status.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "StatusSighting")]
pub(crate) struct SightingBody {
    /// The status; `played` implies `read`.
    pub(crate) status: TextValue<SightedStatus>,
    /// Time of the status, by WhatsApp's own time where it reported the status.
    pub(crate) at: TextValue<Timestamp>,
}

impl SightingBody {
    fn from_sighting(seen: &StatusSighting) -> Self {
        Self { status: TextValue(SightedStatus(seen.status)), at: TextValue(seen.at) }
    }
}

impl MessageBody {
    /// Builds the body of a message of any account.
    #[must_use]
    pub(crate) fn from_message(message: &Message) -> Self {
        let at = |status| message.history.time_of(status).map(TextValue);
        let details = &message.details;
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
            context: message.context.as_ref().map(MessageContextBody::from_context),
            referral: details.referral.clone().map(FreeObject),
            group_id: details.group_id.clone().map(TextValue),
            sender: details.sender.as_ref().map(GroupSenderBody::from_sender),
            callback_data: details.callback_data.clone().map(TextValue),
            reactions: details.reactions.iter().filter_map(ReactionBody::from_reaction).collect(),
            source: TextValue(details.source),
            standby: details.standby,
            hold_reason: details.hold_reason.clone().map(TextValue),
            pricing: details.pricing.clone().map(FreeObject),
            error: message.error.as_ref().map(|error| MessageFailure {
                code: TextValue(error.code.clone()),
                message: TextValue(error.message.clone()),
                provider_code: error.provider_code,
            }),
            status_history: message.history.iter().map(|seen| SightingBody::from_sighting(&seen)).collect(),
            created_at: TextValue(message.created_at),
            updated_at: TextValue(message.updated_at),
            sent_at: at(MessageStatus::Sent),
            delivered_at: at(MessageStatus::Delivered),
            read_at: at(MessageStatus::Read),
            failed_at: at(MessageStatus::Failed),
            edited_at: details.edited_at.map(TextValue),
            revoked_at: details.revoked_at.map(TextValue),
        }
    }
}

impl Example for MessageBody {
    fn example() -> Self {
        Self::from_message(&crate::spec::example_rows::example_message())
    }
}
