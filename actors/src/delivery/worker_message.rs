//! Messages of a delivery worker.

use std::collections::HashSet;

use kabar_core::domain::delivery::Delivery;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::ids::DeliveryId;

use super::attempt::FinishedAttempt;
use super::lanes::QueuedDelivery;

/// Messages that a delivery worker handles.
pub(super) enum DeliveryWorkerMessage {
    /// There may be something to do.
    Look,
    /// The timer for this instant has expired.
    Alarm(MonotonicInstant),
    /// An attempt has ended.
    Ended(Box<FinishedAttempt>),
    /// Ended attempts have waited long enough to be recorded.
    Record,
    /// These outcomes are recorded; the set holds the ids that this worker has recorded itself.
    Recorded(Vec<Delivery>, HashSet<DeliveryId>),
    /// Outcome of a hook's runs.
    Written(Box<RecordedRuns>),
}

/// Outcome of a delivery worker's runs.
#[derive(Default)]
pub(super) struct RecordedRuns {
    /// Recorded.
    pub(super) recorded: Vec<Delivery>,
    /// Recorded by another node, or deleted.
    pub(super) lost: Vec<Delivery>,
    /// To be made again.
    pub(super) again: Vec<QueuedDelivery>,
}
