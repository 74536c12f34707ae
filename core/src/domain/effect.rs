//! What a hook asks the house to do, and what became of it.
//!
//! Invariant: an effect is named by its run and its place in it, so the same effect asked for again, by a
//! repeated or replayed run, is the same effect, and is carried out once.

use std::fmt;
use std::sync::Arc;

use super::command::CommandRefusal;
use super::conversation::ConversationStatus;
use super::message::OutgoingMessage;
use crate::ids::{ConversationId, MessageId, RunId, UserId};

/// Effects of one run.
pub const EFFECTS_MAX: usize = 32;

/// Something to be done in the account whose event was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a message, as if by API.
    Send(OutgoingMessage),
    /// Mark an inbound message, and earlier unread ones of its thread, as read, as if by API.
    MarkRead {
        /// WhatsApp's id of the message.
        wamid: Arc<str>,
    },
    /// Change a conversation, as if by API.
    UpdateConversation {
        /// Which one.
        id: ConversationId,
        /// New status.
        status: Option<ConversationStatus>,
        /// New assignee, or `Some(None)` to take the old one off.
        assigned_to: Option<Option<UserId>>,
    },
}

impl Effect {
    /// The contract's word for what it is.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Send(_) => "messages.send",
            Self::MarkRead { .. } => "messages.mark_read",
            Self::UpdateConversation { .. } => "conversations.update",
        }
    }
}

/// Which effect: of which run, and the how manieth of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId {
    /// Whose.
    pub run: RunId,
    /// From 0.
    pub ordinal: u32,
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.ordinal)
    }
}

/// How an effect stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum EffectStatus {
    /// To be carried out.
    Pending,
    /// Carried out.
    Done,
    /// Refused, as the API would have refused it.
    Refused,
}

impl EffectStatus {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Pending, Self::Done, Self::Refused];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Done => "done",
            Self::Refused => "refused",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// Why an effect was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum EffectRefusal {
    /// The account refuses it.
    #[error("{0}")]
    Refused(CommandRefusal),
    /// The tenant's write budget was used up.
    #[error("the organization's write budget was used up")]
    OverBudget,
    /// No such user in the tenant.
    #[error("no such user")]
    NoUser,
    /// The tenant is suspended.
    #[error("the organization is suspended")]
    Suspended,
}

impl EffectRefusal {
    /// The contract's code of the same refusal by the API.
    #[must_use]
    pub const fn code(self) -> &'static str {
        match self {
            Self::Refused(CommandRefusal::OutsideWindow) => "outside_24h_window",
            Self::Refused(CommandRefusal::AccountNotConnected(_)) => "account_not_connected",
            Self::Refused(CommandRefusal::ContactExists(_)) => "contact_already_exists",
            Self::Refused(
                CommandRefusal::NoConversation | CommandRefusal::NoMessage | CommandRefusal::NoContact,
            )
            | Self::NoUser => "resource_not_found",
            Self::OverBudget => "rate_limit_exceeded",
            Self::Suspended => "organization_suspended",
        }
    }
}

/// What became of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledEffect {
    /// Which.
    pub id: EffectId,
    /// The message that a send made.
    pub message_id: Option<MessageId>,
    /// Why it was not carried out; `None` when it was.
    pub refusal: Option<EffectRefusal>,
}

/// An effect as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectRow {
    /// Which.
    pub id: EffectId,
    /// What.
    pub effect: Effect,
    /// How it stands.
    pub status: EffectStatus,
    /// The message that a send made.
    pub message_id: Option<MessageId>,
    /// The contract's code of the refusal.
    pub error_code: Option<Arc<str>>,
    /// The refusal, for a human.
    pub error_message: Option<Arc<str>>,
}
