//! A conversation: the one thread of an account with one contact.

use std::sync::Arc;

use super::contact::ContactRef;
use super::organisation::User;
use super::time::Timestamp;
use crate::ids::ConversationId;

/// Where a conversation stands in the business's work.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConversationStatus {
    /// Needs attention; an inbound message reopens a resolved conversation.
    Open,
    /// Waits for something.
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

/// One thread.
///
/// Invariant: `last_message_at <= updated_at`, which the horizon of a view rests on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conversation {
    /// `cnv_…`.
    pub id: ConversationId,
    /// Where it stands.
    pub status: ConversationStatus,
    /// Whom it is with.
    pub contact: ContactRef,
    /// Who works on it.
    pub assignee: Option<Arc<User>>,
    /// Inbound messages not yet read by the business.
    pub unread_count: u32,
    /// When the newest message, in or out, entered this inbox (account clock).
    pub last_message_at: Option<Timestamp>,
    /// When the contact last wrote, by WhatsApp's own time (never later than the commit that
    /// brought it): the 24-hour window counts from here.
    pub last_inbound_at: Option<Timestamp>,
    /// Account clock.
    pub created_at: Timestamp,
    /// Account clock.
    pub updated_at: Timestamp,
}

/// Sort key of the order without `updated_since`: a thread without messages comes last.
pub const NEVER: i64 = -1;

impl Conversation {
    /// `last_message_at` in milliseconds, or [`NEVER`].
    #[must_use]
    pub fn recency_key(&self) -> i64 {
        self.last_message_at.map_or(NEVER, Timestamp::millis)
    }
}
