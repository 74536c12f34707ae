//! Dependencies of every account, and the limits of the accounts of one server.
//!
//! Knows no account: what works for one gets the context and a handle to that account.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::clock::Clock;
use kabar_core::metrics::Metrics;
use kabar_core::store::Store;
use ractor::ActorCell;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Limits of the accounts of one server.
#[derive(Debug, Clone)]
pub struct AccountRegistryOptions {
    /// Conversations of one account kept in memory.
    pub resident_conversations: usize,
    /// Commands that may wait for one account.
    pub queued_commands: usize,
    /// Long polls that may wait in this process.
    pub waiting_polls: usize,
    /// Streams of events that may be open in this process.
    pub event_streams: usize,
    /// Streams of events that one tenant may have open in this process.
    pub tenant_event_streams: usize,
    /// Webhook subscriptions that one tenant may have.
    pub tenant_subscriptions: usize,
    /// Bytes of all components of one tenant's plugins.
    pub tenant_component_bytes: u64,
    /// Time for which events are kept.
    pub event_retention: Duration,
    /// Time for which messages are kept; `None`: for ever.
    pub message_retention: Option<Duration>,
    /// Time for which items as they came from WhatsApp are kept.
    pub raw_retention: Duration,
    /// Time for which entries of the audit log are kept; `None` for ever.
    pub audit_retention: Option<Duration>,
    /// Time after which an account without requests is dropped from memory.
    pub idle: Duration,
    /// Time for which a send with a lost answer waits for WhatsApp's echo before it is tried again.
    pub settle: Duration,
    /// Address of this server for clients, without a slash at the end.
    pub public_url: Option<Arc<str>>,
}

impl Default for AccountRegistryOptions {
    fn default() -> Self {
        Self {
            resident_conversations: 10_000,
            queued_commands: 4096,
            waiting_polls: 10_000,
            event_streams: 1000,
            tenant_event_streams: 100,
            tenant_subscriptions: 50,
            tenant_component_bytes: 1 << 30,
            event_retention: Duration::from_hours(30 * 24),
            message_retention: None,
            raw_retention: Duration::from_hours(30 * 24),
            audit_retention: None,
            idle: Duration::from_mins(10),
            settle: Duration::from_mins(1),
            public_url: None,
        }
    }
}

/// Dependencies that all accounts share.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) options: AccountRegistryOptions,
    /// Tracker of the tasks for which a stop waits.
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    /// The supervisor of every actor.
    pub(crate) supervisor: ActorCell,
}
