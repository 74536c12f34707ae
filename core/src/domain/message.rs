//! A message, inbound or outbound, and the outcomes of sending one.

use std::sync::Arc;
use std::time::Duration;

use super::address::Address;
use super::due_time::DueTime;
use super::identity::Party;
use super::message_details::{MessageContext, MessageDetails, MessageSource, ReactionTo};
use super::status::{MessageStatus, StatusHistory};
use super::template::TemplateKey;
use super::time::Timestamp;
use super::word_enum::word_enum;
use crate::ids::{ContactId, ConversationId, MessageId};

/// Direction of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Direction {
    /// From the contact.
    Inbound,
    /// To the contact.
    Outbound,
}

impl Direction {
    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Inbound => "inbound",
            Self::Outbound => "outbound",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        [Self::Inbound, Self::Outbound].into_iter().find(|known| known.as_str() == text)
    }
}

word_enum! {
    /// The contract's `type` of a message.
    MessageKind {
        Text = "text", Image = "image", Video = "video", Audio = "audio", Document = "document",
        Sticker = "sticker", Template = "template", Interactive = "interactive", Location = "location",
        Contacts = "contacts", Reaction = "reaction", Button = "button", Order = "order",
        System = "system", RequestWelcome = "request_welcome", Call = "call", Unsupported = "unsupported",
    }
}

/// Reason for which a message failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageError {
    /// The contract's code, e.g. `outside_24h_window`.
    pub code: Arc<str>,
    /// The reason, in readable form.
    pub message: Arc<str>,
    /// WhatsApp's number, where it gave one.
    pub provider_code: Option<i64>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `msg_…`.
    pub id: MessageId,
    /// Inbound or outbound.
    pub direction: Direction,
    /// Current status.
    pub status: MessageStatus,
    /// The contract's `type`.
    pub kind: MessageKind,
    /// Its conversation.
    pub conversation_id: ConversationId,
    /// The contact that sent or receives it.
    pub contact_id: ContactId,
    /// Sender.
    pub from: Address,
    /// Recipient.
    pub to: Address,
    /// WhatsApp's id of the message, once it is known.
    pub wamid: Option<Arc<str>>,
    /// Text, caption, or a one-line rendering.
    pub content: Arc<str>,
    /// The type's object, JSON as text.
    pub payload: Arc<str>,
    /// Reference to another message.
    pub context: Option<MessageContext>,
    /// Details that most messages lack.
    pub details: MessageDetails,
    /// Reason for its failure; `None` unless it failed.
    pub error: Option<MessageError>,
    /// First sightings of its statuses.
    pub history: StatusHistory,
    /// Calls to WhatsApp begun for it so far.
    pub attempts: u32,
    /// Earliest time of the next send; `None` when it does not wait to be sent.
    pub next_attempt_at: Option<DueTime>,
    /// Account clock.
    pub created_at: Timestamp,
    /// Account clock.
    pub updated_at: Timestamp,
}

/// A message that waits to be sent: the fields that the send order depends on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingMessage {
    /// Id of the message.
    pub id: MessageId,
    /// Its conversation. Messages of one conversation leave in order.
    pub conversation_id: ConversationId,
    /// Calls begun for it so far.
    pub attempts: u32,
    /// Earliest time of the next send.
    pub next_attempt_at: DueTime,
}

impl Message {
    /// Its entry in the send queue; `None` when it is not queued.
    #[must_use]
    pub fn as_waiting(&self) -> Option<WaitingMessage> {
        let next_attempt_at = self.next_attempt_at.filter(|_| self.status == MessageStatus::Pending)?;
        let (id, conversation_id, attempts) = (self.id, self.conversation_id, self.attempts);
        Some(WaitingMessage { id, conversation_id, attempts, next_attempt_at })
    }
}

/// A validated message, as the account must send it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Recipient: a number, a user id or a group; never unknown.
    pub to: Address,
    /// Not `button`, `order`, `system` or `unsupported`.
    pub kind: MessageKind,
    /// Text, caption, or a one-line rendering.
    pub content: Arc<str>,
    /// The type's object, JSON as text.
    pub payload: Arc<str>,
    /// WhatsApp's id of the message that this one answers.
    pub context: Option<Arc<str>>,
    /// The message that a reaction is for, and its emoji.
    pub reaction: Option<ReactionTo>,
    /// Name and language of a template; `None` of one that no account can have.
    pub template: Option<TemplateKey>,
    /// Text of the client's that comes back with the message.
    pub callback_data: Option<Arc<str>>,
    /// `Api` or `Hook`.
    pub source: MessageSource,
}

impl OutgoingMessage {
    /// Returns `false` for templates and reactions, which may leave outside the 24-hour window.
    #[must_use]
    pub const fn needs_window(&self) -> bool {
        !matches!(self.kind, MessageKind::Template | MessageKind::Reaction)
    }
}

/// Outcome of a call to WhatsApp for one pending message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// Accepted under this id of WhatsApp's.
    Accepted {
        /// WhatsApp's id; `None` when it gave one that another message has.
        wamid: Option<Arc<str>>,
        /// Reason for which WhatsApp holds it back; `None` when it is sent.
        hold_reason: Option<Arc<str>>,
        /// The recipient, as the answer names them.
        recipient: Party,
    },
    /// Refused for good.
    Refused(MessageError),
    /// Not sent, because WhatsApp refuses the account as such. The message goes on waiting.
    AccountRefused(MessageError),
    /// To be tried again after this time, counted from the commit that records this, unless WhatsApp reports
    /// first that it has the message.
    Retry {
        /// Time until the next attempt.
        wait: Duration,
    },
    /// Perhaps accepted. To be tried again when WhatsApp has not reported the message within this time,
    /// counted from the commit that records this. WhatsApp repeats a report that came while nothing could be
    /// written.
    Unknown {
        /// Time in which the report may arrive.
        settle: Duration,
    },
    /// Not accepted, because the account sends too fast. To be tried again after this time; the attempt does
    /// not count.
    Throttled {
        /// Time until the next attempt.
        wait: Duration,
    },
}
