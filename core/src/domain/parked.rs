//! Items that came before the message that they are about: statuses, edits, revocations, reactions.
//!
//! Invariant: at most one item of a message per slot. The first status of a name stays; of edits and of one
//! side's reactions the newest does.

use std::sync::Arc;

use super::inbound::{MessageEdit, MessageRevoke, StatusReport};
use super::message_details::MessageReaction;
use super::time::Timestamp;

/// A change of a message that is not known yet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ParkedChange {
    /// A status.
    Status(Box<StatusReport>),
    /// A new content.
    Edit(MessageEdit),
    /// A revocation.
    Revoke(MessageRevoke),
    /// A reaction, or its removal.
    Reaction(MessageReaction),
}

/// An item that waits for its message.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParkedItem {
    /// Key of the message's id; see `wamid_key`.
    pub wamid_key: Arc<str>,
    /// The change.
    pub change: ParkedChange,
}

impl ParkedItem {
    /// The slot that it occupies among the items of its message.
    #[must_use]
    pub fn slot(&self) -> String {
        match &self.change {
            ParkedChange::Status(report) => report.status.as_str().to_owned(),
            ParkedChange::Edit(_) => "edit".to_owned(),
            ParkedChange::Revoke(_) => "revoke".to_owned(),
            ParkedChange::Reaction(reaction) => {
                let participant = reaction.participant.as_deref().unwrap_or_default();
                format!("reaction {} {participant}", reaction.from.as_str())
            }
        }
    }

    /// WhatsApp's time of the change.
    #[must_use]
    pub fn at(&self) -> Timestamp {
        match &self.change {
            ParkedChange::Status(report) => report.at,
            ParkedChange::Edit(edit) => edit.at,
            ParkedChange::Revoke(revoke) => revoke.at,
            ParkedChange::Reaction(reaction) => reaction.at,
        }
    }

    /// Returns `true` when it replaces another item of its slot.
    #[must_use]
    pub fn replaces(&self, known: &Self) -> bool {
        match &self.change {
            ParkedChange::Status(_) | ParkedChange::Revoke(_) => false,
            ParkedChange::Edit(_) | ParkedChange::Reaction(_) => self.at() >= known.at() && self != known,
        }
    }
}
