//! A conversation: all messages of an account with one contact.

use std::sync::Arc;

use super::contact::ContactRef;
use super::organisation::User;
use super::time::Timestamp;
use crate::ids::ConversationId;

/// Work state of a conversation.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConversationStatus {
    /// Needs attention. An inbound message reopens a resolved conversation.
    Open,
    /// On hold.
    Pending,
    /// Done.
    Resolved,
}

impl ConversationStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Open, Self::Pending, Self::Resolved];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Open => "open",
            Self::Pending => "pending",
            Self::Resolved => "resolved",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// One conversation.
///
/// Invariant: `last_message_at <= updated_at`, which the horizon of a view rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// `cnv_…`.
    pub id: ConversationId,
    /// Work state.
    pub status: ConversationStatus,
    /// Contact of the conversation.
    pub contact: ContactRef,
    /// User that works on it.
    pub assignee: Option<Arc<User>>,
    /// Inbound messages not yet read by the business.
    pub unread_count: u32,
    /// Time at which the newest message, in or out, entered this inbox (account clock).
    pub last_message_at: Option<Timestamp>,
    /// Time of the contact's latest message, by WhatsApp's own clock (never later than the commit that stored
    /// it). The 24-hour window counts from here.
    pub last_inbound_at: Option<Timestamp>,
    /// Newest time of WhatsApp's at which a message named the contact's current number. Only a later item can
    /// show that the number is another person's.
    pub number_named_at: Option<Timestamp>,
    /// Conversation that this one was merged into. It has no messages then, and is in no list.
    pub merged_into: Option<ConversationId>,
    /// Account clock.
    pub created_at: Timestamp,
    /// Account clock.
    pub updated_at: Timestamp,
}

/// Sort key of the order without `updated_since`: a conversation without messages comes last.
pub const NEVER: i64 = -1;

impl Conversation {
    /// `last_message_at` in milliseconds, or [`NEVER`].
    #[must_use]
    pub fn recency_key(&self) -> i64 {
        self.last_message_at.map_or(NEVER, Timestamp::millis)
    }
}
