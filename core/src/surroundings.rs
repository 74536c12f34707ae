//! The one place at which the product awaits external events: database, other nodes, Redis, WhatsApp,
//! receivers, messages between actors, and time.
//!
//! Invariants: an await of this module may take any time, and only a timeout may depend on its duration. A
//! release build contains no delay, only the awaited future itself. A debug build delays once
//! [`delay_by_seed`] was called (docs/ARCHITECTURE.md, "Waits and their bounds").

use std::time::Duration;

/// Kind of an await. Delays of each kind are a sequence of their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AwaitKind {
    /// A statement outside the writer, and its rows.
    Read,
    /// A statement of the writer, or a whole write until its outcome is known.
    Transaction,
    /// A message to an actor, or an actor's reply.
    Message,
    /// The notification that a view was published.
    Publication,
    /// A call to WhatsApp.
    GraphCall,
    /// A request to an address that a tenant named.
    OutboundCall,
    /// A request forwarded to another node.
    ForwardedCall,
    /// A command to Redis.
    RedisCommand,
    /// A webhook or a run of a hook, as its delivery worker sees it.
    Delivery,
    /// An instant, or the end of a pause.
    Alarm,
}

/// Returns once `duration` has passed.
pub async fn sleep(duration: Duration) {
    wait_for(AwaitKind::Alarm, tokio::time::sleep(duration)).await;
}

/// Returns once a message may be handled. Every actor calls it first for each message, so that a delay makes
/// messages late but keeps their order.
pub async fn receive_message() {
    wait_for(AwaitKind::Message, std::future::ready(())).await;
}

/// Awaits `awaited`.
#[cfg(not(debug_assertions))]
#[inline]
pub fn wait_for<F: Future>(_kind: AwaitKind, awaited: F) -> F {
    awaited
}

#[cfg(debug_assertions)]
pub use delays::{SeededDelays, delay_by_seed, wait_for};

#[cfg(debug_assertions)]
mod delays;
