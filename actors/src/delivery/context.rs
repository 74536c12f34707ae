//! Dependencies of every delivery worker.
//!
//! A worker knows no other worker and not the dispatcher: it tells the registry of the subscribers what their
//! health is, and takes its own entry out when it ends.

use std::sync::Arc;

use kabar_core::clock::Clock;
use kabar_core::metrics::Metrics;
use kabar_core::ports::EventSink;
use kabar_core::store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::entries::WorkerEntries;
use crate::account::LookQueue;
use crate::cluster::Cluster;
use crate::subscribers::SubscriberRegistry;

/// Dependencies of every delivery worker.
pub(crate) struct DeliveryContext {
    pub(crate) store: Store,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) tasks: TaskTracker,
    pub(crate) stopping: CancellationToken,
    pub(crate) cluster: Cluster,
    /// Delivers events to their subscribers.
    pub(crate) sink: Arc<dyn EventSink>,
    pub(crate) subscribers: SubscriberRegistry,
    pub(crate) entries: Arc<WorkerEntries>,
    /// Address of this server for clients, without a slash at the end.
    pub(crate) public_url: Option<Arc<str>>,
    /// Accounts with effects that hooks have requested.
    pub(crate) effects: LookQueue,
}
