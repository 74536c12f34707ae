//! Effects: actions that a hook requests of the server, and their outcomes.
//!
//! Invariant: an effect is identified by its run and its position in the run. A repeated or replayed run that
//! requests the same effect again names the same effect, which is carried out once.

use std::fmt;
use std::sync::Arc;

use super::command_refusal::CommandRefusal;
use super::conversation::ConversationStatus;
use super::message::OutgoingMessage;
use super::read_receipt::ReadReceipt;
use super::template::TemplateStatus;
use crate::ids::{ConversationId, MessageId, RunId, UserId};

/// Effects of one run, at most.
pub const EFFECTS_MAX: usize = 32;

/// An action in the account of the event that was handled.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Effect {
    /// Send a message, as by the API.
    Send(OutgoingMessage),
    /// Mark an inbound message, and earlier unread ones of its conversation, as read, as by the API.
    MarkRead(ReadReceipt),
    /// Change a conversation, as by the API.
    UpdateConversation {
        /// Id of the conversation.
        id: ConversationId,
        /// New status.
        status: Option<ConversationStatus>,
        /// New assignee, or `Some(None)` to remove the current one.
        assigned_to: Option<Option<UserId>>,
    },
}

impl Effect {
    /// The contract's word for this kind of effect.
    #[must_use]
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Send(_) => "messages.send",
            Self::MarkRead(_) => "messages.mark_read",
            Self::UpdateConversation { .. } => "conversations.update",
        }
    }
}

/// Id of an effect: its run, and its position in that run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EffectId {
    /// The run that requested it.
    pub run: RunId,
    /// Position in the run, from 0.
    pub ordinal: u32,
}

impl fmt::Display for EffectId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.run, self.ordinal)
    }
}

/// State of an effect.
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

/// Reason for which an effect was not carried out.
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
            Self::Refused(CommandRefusal::TemplateNotApproved(status)) => template_refusal_code(status),
            Self::Refused(CommandRefusal::GroupMessage) => "invalid_field_value",
            Self::OverBudget => "rate_limit_exceeded",
        }
    }
}

/// Returns the contract's code of a refused send of a template in this state.
#[must_use]
pub const fn template_refusal_code(status: TemplateStatus) -> &'static str {
    match status {
        TemplateStatus::Paused => "template_paused",
        TemplateStatus::Disabled => "template_disabled",
        TemplateStatus::Approved | TemplateStatus::Pending | TemplateStatus::Rejected => {
            "template_not_approved"
        }
    }
}

/// Outcome of an effect.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SettledEffect {
    /// Id of the effect.
    pub id: EffectId,
    /// The message that a send made.
    pub message_id: Option<MessageId>,
    /// Reason for which it was not carried out; `None` when it was.
    pub refusal: Option<EffectRefusal>,
}

/// An effect, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EffectRow {
    /// Id of the effect.
    pub id: EffectId,
    /// The requested action.
    pub effect: Effect,
    /// State.
    pub status: EffectStatus,
    /// The message that a send made.
    pub message_id: Option<MessageId>,
    /// The contract's code of the refusal.
    pub error_code: Option<Arc<str>>,
    /// The refusal, in readable form.
    pub error_message: Option<Arc<str>>,
}
