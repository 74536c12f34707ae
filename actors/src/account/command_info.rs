//! What the ledger wants to know of a command or a commit at a glance.

use std::sync::Arc;

use kabar_core::domain::command::AccountCommand;
use kabar_core::domain::draft::AccountChanges;
use kabar_core::domain::message::{Direction, Message};
use kabar_core::domain::monotonic::MonotonicInstant;

use crate::sender::MessageMove;

/// What a commit did to outbound messages, as the sender hears it.
pub(super) fn moves_of(changes: &AccountChanges) -> Vec<MessageMove> {
    let outbound = changes.messages.values().filter(|message| message.direction == Direction::Outbound);
    let moved = |message: &Arc<Message>| MessageMove {
        conversation: message.conversation_id,
        message: message.id,
        waiting: message.as_waiting(),
    };
    outbound.map(moved).collect()
}

/// Whether a sender asks that has not heard of the last loading: what it takes for due may be waiting
/// for an echo that found nobody at home.
pub(super) fn is_outdated(command: &AccountCommand, loaded_at: MonotonicInstant) -> bool {
    matches!(command, AccountCommand::BeginSends { loaded_at: known, .. } if *known != loaded_at)
}

/// Items of a command.
pub(super) const fn count_items(command: &AccountCommand) -> usize {
    match command {
        AccountCommand::Ingest(items) => items.len(),
        AccountCommand::BeginSends { seen, .. } => seen.len(),
        AccountCommand::RecordSends(ended) => ended.len(),
        AccountCommand::CarryOut(orders) => orders.len(),
        AccountCommand::Send(_)
        | AccountCommand::MarkRead { .. }
        | AccountCommand::PatchConversation(_)
        | AccountCommand::CreateContact(_)
        | AccountCommand::PatchContact { .. }
        | AccountCommand::Configure(_) => 1,
    }
}
