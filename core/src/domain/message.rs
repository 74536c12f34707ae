//! A message, in or out, and what may be asked of WhatsApp about it.

use std::sync::Arc;
use std::time::Duration;

use super::due_time::DueTime;
use super::phone::Phone;
use super::status::{MessageStatus, StatusHistory};
use super::time::Timestamp;
use crate::ids::{ContactId, ConversationId, MessageId};

/// Which way a message went.
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

macro_rules! message_kinds {
    ($($name:ident = $word:literal,)*) => {
        /// The contract's `type` of a message.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        #[expect(missing_docs, reason = "each is WhatsApp's own word, which as_str spells")]
        pub enum MessageKind { $($name,)* }

        impl MessageKind {
            /// All of them.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The contract's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Reads the contract's word.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }
        }
    };
}

message_kinds! {
    Text = "text", Image = "image", Video = "video", Audio = "audio", Document = "document",
    Sticker = "sticker", Template = "template", Interactive = "interactive", Location = "location",
    Contacts = "contacts", Reaction = "reaction", Button = "button", Order = "order",
    System = "system", Unsupported = "unsupported",
}

/// Why a message failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MessageError {
    /// The contract's code, e.g. `outside_24h_window`.
    pub code: Arc<str>,
    /// For a human.
    pub message: Arc<str>,
    /// WhatsApp's number, where it gave one.
    pub provider_code: Option<i64>,
}

/// A message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// `msg_…`.
    pub id: MessageId,
    /// Which way it went.
    pub direction: Direction,
    /// Where it stands.
    pub status: MessageStatus,
    /// The contract's `type`.
    pub kind: MessageKind,
    /// Its thread.
    pub conversation_id: ConversationId,
    /// The other side.
    pub contact_id: ContactId,
    /// Sender.
    pub from: Phone,
    /// Recipient.
    pub to: Phone,
    /// WhatsApp's id of the message, once known.
    pub wamid: Option<Arc<str>>,
    /// Text, caption, or a one-line rendering.
    pub content: Arc<str>,
    /// The type's object, JSON as text.
    pub payload: Arc<str>,
    /// WhatsApp's id of the message that this one answers.
    pub context: Option<Arc<str>>,
    /// Why it failed.
    pub error: Option<MessageError>,
    /// First sightings of its statuses.
    pub history: StatusHistory,
    /// Calls to WhatsApp begun for it so far.
    pub attempts: u32,
    /// Not to be sent before; `None` when it does not wait to be sent.
    pub next_attempt_at: Option<DueTime>,
    /// Account clock.
    pub created_at: Timestamp,
    /// Account clock.
    pub updated_at: Timestamp,
}

/// A message that waits to be sent, as far as its turn depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WaitingMessage {
    /// Which one.
    pub id: MessageId,
    /// Its thread, whose messages leave in order.
    pub conversation_id: ConversationId,
    /// Calls begun for it so far.
    pub attempts: u32,
    /// Not to be sent before.
    pub next_attempt_at: DueTime,
}

impl Message {
    /// Where it stands in the send queue; `None` when it is not in it.
    #[must_use]
    pub fn as_waiting(&self) -> Option<WaitingMessage> {
        let next_attempt_at = self.next_attempt_at.filter(|_| self.status == MessageStatus::Pending)?;
        let (id, conversation_id, attempts) = (self.id, self.conversation_id, self.attempts);
        Some(WaitingMessage { id, conversation_id, attempts, next_attempt_at })
    }
}

/// A send, validated, as the account must make it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OutgoingMessage {
    /// Recipient.
    pub to: Phone,
    /// Not `button`, `order`, `system` or `unsupported`.
    pub kind: MessageKind,
    /// Text, caption, or a one-line rendering.
    pub content: Arc<str>,
    /// The type's object, JSON as text.
    pub payload: Arc<str>,
    /// WhatsApp's id of the message that this one answers.
    pub context: Option<Arc<str>>,
}

impl OutgoingMessage {
    /// Templates and reactions may leave outside the 24-hour window.
    #[must_use]
    pub const fn needs_window(&self) -> bool {
        !matches!(self.kind, MessageKind::Template | MessageKind::Reaction)
    }
}

/// How a call to WhatsApp for one pending message ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SendOutcome {
    /// Taken, under this id of WhatsApp's.
    Accepted {
        /// WhatsApp's id.
        wamid: Arc<str>,
    },
    /// Refused for good.
    Refused(MessageError),
    /// Refused for good, because the account's token no longer opens it.
    TokenRefused(MessageError),
    /// To be tried again after this time, counted from the commit that records this, unless WhatsApp reports
    /// before that it has the message.
    Retry {
        /// Not before it is over.
        wait: Duration,
    },
    /// Perhaps taken: to be tried again when WhatsApp has not reported it for so long, counted from
    /// the commit that records this. A report that came while nothing could be written comes again.
    Unknown {
        /// How long the report may take.
        settle: Duration,
    },
    /// Not taken because the account sends too fast: to be tried again after this time, and the
    /// attempt does not count.
    Throttled {
        /// Not before it is over.
        wait: Duration,
    },
}

/// An inbound message as WhatsApp reported it, translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundMessage {
    /// WhatsApp's id: the same id twice is the same message.
    pub wamid: Arc<str>,
    /// Who wrote.
    pub from: Phone,
    /// The profile name that came with it.
    pub profile_name: Option<Arc<str>>,
    /// WhatsApp's time.
    pub at: Timestamp,
    /// The contract's `type`.
    pub kind: MessageKind,
    /// Text, caption, or a one-line rendering.
    pub content: Arc<str>,
    /// The type's object, JSON as text; the whole message when unsupported.
    pub payload: Arc<str>,
    /// WhatsApp's id of the message that this one answers.
    pub context: Option<Arc<str>>,
}

/// A delivery status as WhatsApp reported it, translated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StatusReport {
    /// WhatsApp's id of the message.
    pub wamid: Arc<str>,
    /// Our own id, where the report echoes it (`biz_opaque_callback_data`).
    pub echo: Option<MessageId>,
    /// `Sent`, `Delivered`, `Read` or `Failed`.
    pub status: MessageStatus,
    /// WhatsApp's time.
    pub at: Timestamp,
    /// Why it failed.
    pub error: Option<MessageError>,
}

/// One item of a webhook that concerns one account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum InboundItem {
    /// Somebody wrote.
    Message(InboundMessage),
    /// Something became of a message of ours.
    Status(StatusReport),
}
