//! Events of an account's durable log: its changes, in order, without gaps.

mod event_type;

use std::borrow::Cow;
use std::sync::Arc;

use super::account::Account;
use super::contact::Contact;
use super::conversation::Conversation;
use super::erasure::ErasedEvent;
use super::identity::Identifier;
use super::inbound::FieldNotice;
use super::message::Message;
use super::status::MessageStatus;
use super::template::{Template, TemplateKey};
use super::time::Timestamp;
use crate::ids::{ContactId, ConversationId, EventId, MessageId, TemplateId};

pub use self::event_type::{EventType, EventTypes};

/// Kind of an event, with the subject as the commit left it at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// An inbound message was stored.
    MessageReceived(Message),
    /// An outbound message was accepted from a client.
    MessageCreated(Message),
    /// WhatsApp accepted an outbound message.
    MessageSent(Message),
    /// A message's status changed.
    MessageStatus {
        /// The message after the change.
        message: Message,
        /// Status before the change.
        previous: MessageStatus,
        /// WhatsApp's own time.
        occurred_at: Timestamp,
    },
    /// A conversation was created.
    ConversationCreated(Conversation),
    /// The assignee changed.
    ConversationAssigned(Conversation),
    /// The status became `resolved`.
    ConversationClosed(Conversation),
    /// Any other field of a conversation changed.
    ConversationUpdated(Conversation),
    /// A contact was created.
    ContactCreated(Contact),
    /// A contact changed.
    ContactUpdated(Contact),
    /// The content of a message was replaced.
    MessageEdited {
        /// The message after the change.
        message: Message,
        /// Content before the change.
        previous_content: Arc<str>,
    },
    /// A message was taken back by its author.
    MessageRevoked(Message),
    /// WhatsApp reported a status for the first time, and the message's own status did not move.
    MessageStatusReported {
        /// The message after the report.
        message: Message,
        /// The status that WhatsApp reported.
        status: MessageStatus,
        /// WhatsApp's own time.
        occurred_at: Timestamp,
    },
    /// A contact's identifiers changed.
    ContactIdentityUpdated {
        /// The contact after the change.
        contact: Contact,
        /// Identifiers that it did not have before.
        added: Vec<Identifier>,
        /// Contact that was merged into it.
        merged: Option<ContactId>,
    },
    /// A conversation was merged into another one; this is the one that is left.
    ConversationMerged(Conversation),
    /// A property of the account changed.
    AccountUpdated(Arc<Account>),
    /// A value of a webhook that is shown whole.
    WhatsAppField(FieldNotice),
    /// A contact was deleted, with everything about it.
    ContactDeleted(ContactId),
    /// A conversation was deleted, with its messages.
    ConversationDeleted {
        /// The conversation.
        conversation: ConversationId,
        /// Its contact, which was deleted too.
        contact: ContactId,
    },
    /// A template became known.
    TemplateCreated(Arc<Template>),
    /// Something of a template changed.
    TemplateUpdated(Arc<Template>),
    /// WhatsApp does not have a template any more.
    TemplateDeleted {
        /// Its id.
        id: TemplateId,
        /// Its name and language.
        key: TemplateKey,
    },
    /// An event of which the data was erased.
    Erased(ErasedEvent),
}

impl EventKind {
    /// The contract's type of this event.
    #[must_use]
    pub const fn event_type(&self) -> EventType {
        match self {
            Self::MessageReceived(_) => EventType::MessageReceived,
            Self::MessageCreated(_) => EventType::MessageCreated,
            Self::MessageSent(_) => EventType::MessageSent,
            Self::MessageStatus { .. } => EventType::MessageStatus,
            Self::ConversationCreated(_) => EventType::ConversationCreated,
            Self::ConversationAssigned(_) => EventType::ConversationAssigned,
            Self::ConversationClosed(_) => EventType::ConversationClosed,
            Self::ConversationUpdated(_) => EventType::ConversationUpdated,
            Self::ContactCreated(_) => EventType::ContactCreated,
            Self::ContactUpdated(_) => EventType::ContactUpdated,
            Self::MessageEdited { .. } => EventType::MessageEdited,
            Self::MessageRevoked(_) => EventType::MessageRevoked,
            Self::MessageStatusReported { .. } => EventType::MessageStatusReported,
            Self::ContactIdentityUpdated { .. } => EventType::ContactIdentityUpdated,
            Self::ConversationMerged(_) => EventType::ConversationMerged,
            Self::AccountUpdated(_) => EventType::AccountUpdated,
            Self::WhatsAppField(_) => EventType::WhatsAppField,
            Self::ContactDeleted(_) => EventType::ContactDeleted,
            Self::ConversationDeleted { .. } => EventType::ConversationDeleted,
            Self::TemplateCreated(_) => EventType::TemplateCreated,
            Self::TemplateUpdated(_) => EventType::TemplateUpdated,
            Self::TemplateDeleted { .. } => EventType::TemplateDeleted,
            Self::Erased(erased) => erased.event_type,
        }
    }

    /// The word of the event's type; one word for all fields of WhatsApp's.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        self.event_type().as_str()
    }

    /// The contract's `type`.
    #[must_use]
    pub fn type_name(&self) -> Cow<'static, str> {
        match self {
            Self::WhatsAppField(FieldNotice { field, .. })
            | Self::Erased(ErasedEvent { field: Some(field), .. }) => Cow::Owned(format!("whatsapp.{field}")),
            Self::MessageReceived(_)
            | Self::MessageCreated(_)
            | Self::MessageSent(_)
            | Self::MessageStatus { .. }
            | Self::MessageEdited { .. }
            | Self::MessageRevoked(_)
            | Self::MessageStatusReported { .. }
            | Self::ConversationCreated(_)
            | Self::ConversationAssigned(_)
            | Self::ConversationClosed(_)
            | Self::ConversationUpdated(_)
            | Self::ConversationMerged(_)
            | Self::ContactCreated(_)
            | Self::ContactUpdated(_)
            | Self::ContactIdentityUpdated { .. }
            | Self::ContactDeleted(_)
            | Self::ConversationDeleted { .. }
            | Self::TemplateCreated(_)
            | Self::TemplateUpdated(_)
            | Self::TemplateDeleted { .. }
            | Self::Erased(ErasedEvent { field: None, .. })
            | Self::AccountUpdated(_) => Cow::Borrowed(self.as_str()),
        }
    }

    /// Removes the content of a message that was taken back, if the event shows that message.
    pub(super) fn forget_content(&mut self, id: MessageId) {
        let message = match self {
            Self::MessageEdited { message, previous_content } => {
                if message.id == id {
                    *previous_content = "".into();
                }
                message
            }
            Self::MessageReceived(message)
            | Self::MessageCreated(message)
            | Self::MessageSent(message)
            | Self::MessageRevoked(message)
            | Self::MessageStatus { message, .. }
            | Self::MessageStatusReported { message, .. } => message,
            Self::ConversationCreated(_)
            | Self::ConversationAssigned(_)
            | Self::ConversationClosed(_)
            | Self::ConversationUpdated(_)
            | Self::ConversationMerged(_)
            | Self::ContactCreated(_)
            | Self::ContactUpdated(_)
            | Self::ContactIdentityUpdated { .. }
            | Self::ContactDeleted(_)
            | Self::ConversationDeleted { .. }
            | Self::TemplateCreated(_)
            | Self::TemplateUpdated(_)
            | Self::TemplateDeleted { .. }
            | Self::Erased(_)
            | Self::AccountUpdated(_)
            | Self::WhatsAppField(_) => return,
        };
        if message.id == id {
            message.content = "".into();
            message.payload = "{}".into();
            message.details.referral = None;
        }
    }

    /// Removes the data of the event, but for its type.
    pub(super) fn erase_data(&mut self) {
        let field = if let Self::WhatsAppField(notice) = self { Some(notice.field.clone()) } else { None };
        *self = Self::Erased(ErasedEvent { event_type: self.event_type(), field });
    }

    /// Message that the event shows.
    #[must_use]
    pub const fn message(&self) -> Option<&Message> {
        match self {
            Self::MessageReceived(message)
            | Self::MessageCreated(message)
            | Self::MessageSent(message)
            | Self::MessageRevoked(message)
            | Self::MessageEdited { message, .. }
            | Self::MessageStatus { message, .. }
            | Self::MessageStatusReported { message, .. } => Some(message),
            Self::ConversationCreated(_)
            | Self::ConversationAssigned(_)
            | Self::ConversationClosed(_)
            | Self::ConversationUpdated(_)
            | Self::ConversationMerged(_)
            | Self::ConversationDeleted { .. }
            | Self::ContactCreated(_)
            | Self::ContactUpdated(_)
            | Self::ContactIdentityUpdated { .. }
            | Self::ContactDeleted(_)
            | Self::TemplateCreated(_)
            | Self::TemplateUpdated(_)
            | Self::TemplateDeleted { .. }
            | Self::AccountUpdated(_)
            | Self::WhatsAppField(_)
            | Self::Erased(_) => None,
        }
    }

    /// Contact that the event is about; [`ContactId::NONE`] for an event of the account itself, and for one without
    /// data. A contact has one conversation, so events with the same contact belong to the same conversation.
    #[must_use]
    pub const fn contact_id(&self) -> ContactId {
        match self {
            Self::MessageReceived(message)
            | Self::MessageCreated(message)
            | Self::MessageSent(message)
            | Self::MessageStatus { message, .. }
            | Self::MessageEdited { message, .. }
            | Self::MessageRevoked(message)
            | Self::MessageStatusReported { message, .. } => message.contact_id,
            Self::ConversationCreated(conversation)
            | Self::ConversationAssigned(conversation)
            | Self::ConversationClosed(conversation)
            | Self::ConversationUpdated(conversation)
            | Self::ConversationMerged(conversation) => conversation.contact.id,
            Self::ContactCreated(contact)
            | Self::ContactUpdated(contact)
            | Self::ContactIdentityUpdated { contact, .. } => contact.id,
            Self::ContactDeleted(contact) | Self::ConversationDeleted { contact, .. } => *contact,
            Self::AccountUpdated(_)
            | Self::WhatsAppField(_)
            | Self::TemplateCreated(_)
            | Self::TemplateUpdated(_)
            | Self::TemplateDeleted { .. }
            | Self::Erased(_) => ContactId::NONE,
        }
    }
}

/// One event. `id` and `sequence` are assigned when the commit is built.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `evt_…`.
    pub id: EventId,
    /// Its number in the account's log, from 1, without gaps.
    pub sequence: i64,
    /// Account clock.
    pub created_at: Timestamp,
    /// Kind, with its subject.
    pub kind: EventKind,
}
