//! What the ledger wants to know of a command or a commit at a glance.

use std::sync::Arc;

use kabar_core::domain::command::Command;
use kabar_core::domain::draft::Changes;
use kabar_core::domain::message::{Direction, Message};
use kabar_core::domain::monotonic::MonotonicInstant;

use crate::sender::Move;

/// What a commit did to outbound messages, as the sender hears it.
pub(super) fn moves_of(changes: &Changes) -> Vec<Move> {
    let outbound = changes.messages.values().filter(|message| message.direction == Direction::Outbound);
    let moved = |message: &Arc<Message>| Move {
        conversation: message.conversation_id,
        message: message.id,
        waiting: message.waiting(),
    };
    outbound.map(moved).collect()
}

/// Whether a sender asks that has not heard of the last loading: what it takes for due may be waiting
/// for an echo that found nobody at home.
pub(super) fn is_outdated(command: &Command, loaded_at: MonotonicInstant) -> bool {
    matches!(command, Command::BeginSends { loaded_at: known, .. } if *known != loaded_at)
}

/// Items of a command.
pub(super) const fn weight(command: &Command) -> usize {
    match command {
        Command::Ingest(items) => items.len(),
        Command::BeginSends { seen, .. } => seen.len(),
        Command::RecordSends(ended) => ended.len(),
        Command::CarryOut(orders) => orders.len(),
        Command::Send(_)
        | Command::MarkRead { .. }
        | Command::PatchConversation(_)
        | Command::CreateContact(_)
        | Command::PatchContact { .. }
        | Command::Configure(_) => 1,
    }
}
