//! Entries of an account's durable log: what changed, in order, without gaps.

use super::contact::Contact;
use super::conversation::Conversation;
use super::message::Message;
use super::status::MessageStatus;
use super::time::Timestamp;
use crate::ids::EventId;

/// What happened, with the subject as the commit left it at that moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum EventKind {
    /// An inbound message was stored.
    MessageReceived(Message),
    /// An outbound message was accepted from a client.
    MessageCreated(Message),
    /// WhatsApp took an outbound message.
    MessageSent(Message),
    /// A message's status moved.
    MessageStatus {
        /// After the move.
        message: Message,
        /// Before it.
        previous: MessageStatus,
        /// WhatsApp's own time.
        occurred_at: Timestamp,
    },
    /// A thread began.
    ConversationCreated(Conversation),
    /// The assignee changed.
    ConversationAssigned(Conversation),
    /// The status became `resolved`.
    ConversationClosed(Conversation),
    /// Anything else of a thread changed.
    ConversationUpdated(Conversation),
    /// A contact began.
    ContactCreated(Contact),
    /// A contact changed.
    ContactUpdated(Contact),
}

impl EventKind {
    /// The contract's `type`.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::MessageReceived(_) => "message.received",
            Self::MessageCreated(_) => "message.created",
            Self::MessageSent(_) => "message.sent",
            Self::MessageStatus { .. } => "message.status",
            Self::ConversationCreated(_) => "conversation.created",
            Self::ConversationAssigned(_) => "conversation.assigned",
            Self::ConversationClosed(_) => "conversation.closed",
            Self::ConversationUpdated(_) => "conversation.updated",
            Self::ContactCreated(_) => "contact.created",
            Self::ContactUpdated(_) => "contact.updated",
        }
    }
}

/// One entry. `id` and `sequence` are given when the cycle is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Event {
    /// `evt_…`.
    pub id: EventId,
    /// Its number in the account's log, from 1, without gaps.
    pub sequence: i64,
    /// Account clock.
    pub created_at: Timestamp,
    /// What happened.
    pub kind: EventKind,
}
