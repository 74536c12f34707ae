//! Properties of a command or a commit that the account state needs without deciding it.

use std::sync::Arc;

use kabar_core::domain::command::AccountCommand;
use kabar_core::domain::draft::AccountChanges;
use kabar_core::domain::event::EventKind;
use kabar_core::domain::message::{Direction, Message};
use kabar_core::domain::monotonic::MonotonicInstant;

use super::sender::MessageMove;

/// Lists the outbound messages that a commit changed, for the sender.
pub(super) fn moves_of(changes: &AccountChanges) -> Vec<MessageMove> {
    let outbound = changes.messages.values().filter(|message| message.direction == Direction::Outbound);
    let moved = |message: &Arc<Message>| MessageMove {
        conversation: message.conversation_id,
        message: message.id,
        waiting: message.as_waiting(),
    };
    outbound.map(moved).collect()
}

/// Counts of what a commit teaches of contacts.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct IdentityCounts {
    /// Contacts that were merged into another one.
    pub(super) merged: u64,
    /// Identifiers that contacts got besides those that they had.
    pub(super) learned: u64,
}

impl IdentityCounts {
    /// Counts the events of a commit. Several contacts that one item merges make an event each, with the same
    /// identifiers.
    pub(super) fn of_events(events: &[EventKind]) -> Self {
        let mut counts = Self::default();
        let mut last = None;
        for event in events {
            let EventKind::ContactIdentityUpdated { contact, added, merged } = event else {
                last = None;
                continue;
            };
            counts.merged += u64::from(merged.is_some());
            if last != Some((contact, added)) {
                counts.learned += u64::try_from(added.len()).unwrap_or(u64::MAX);
            }
            last = merged.is_some().then_some((contact, added));
        }
        counts
    }
}

/// Returns `true` for a request of a sender that does not know of the last loading. A send that it takes for
/// due may still wait for an echo that arrived while the account was not loaded.
pub(super) fn is_outdated(command: &AccountCommand, loaded_at: MonotonicInstant) -> bool {
    matches!(command, AccountCommand::BeginSends { loaded_at: known, .. } if *known != loaded_at)
}

/// Counts the items of a command.
pub(super) const fn count_items(command: &AccountCommand) -> usize {
    match command {
        AccountCommand::Ingest(items) => items.len(),
        AccountCommand::BeginSends { seen, .. } => seen.len(),
        AccountCommand::RecordSends(ended) => ended.len(),
        AccountCommand::CarryOut(orders) => orders.len(),
        AccountCommand::RemoveMessages(ids) => ids.len(),
        AccountCommand::RecordTemplates(told) => told.len(),
        AccountCommand::RemoveTemplates { keys, .. } => keys.len(),
        AccountCommand::Send(_)
        | AccountCommand::MarkRead(_)
        | AccountCommand::PatchConversation(_)
        | AccountCommand::CreateContact(_)
        | AccountCommand::PatchContact { .. }
        | AccountCommand::DeleteContact(_)
        | AccountCommand::EndErasure { .. }
        | AccountCommand::RecordProbe(_)
        | AccountCommand::AddTemplate(_)
        | AccountCommand::Configure(_) => 1,
    }
}
