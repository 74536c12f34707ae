//! Outcomes of a delivery worker's attempts: recorded many at a time, and what follows for the lanes.
//!
//! Invariant: a delivery is tried again only after its last outcome is durable. A hook's lane moves on when its
//! run is recorded, that of a webhook as soon as its attempt has ended for good.

use std::collections::HashSet;
use std::time::Duration;

use kabar_core::domain::delivery::Delivery;
use kabar_core::ids::DeliveryId;
use ractor::ActorRef;

use super::DeliveryWorker;
use crate::delivery::attempt;
use crate::delivery::attempt::FinishedAttempt;
use crate::delivery::lanes::QueuedDelivery;
use crate::delivery::run_recorder::RecorderJob;
use crate::delivery::worker_message::{DeliveryWorkerMessage, RecordedRuns};

/// Longest wait of an outcome for others, to be written together with them.
const RECORD_WITHIN: Duration = Duration::from_millis(10);
/// Outcomes that are written without further waiting.
const RECORDS_ENOUGH: usize = 128;

impl DeliveryWorker {
    pub(super) fn take_back(&mut self, ended: FinishedAttempt, myself: &ActorRef<DeliveryWorkerMessage>) {
        if let Some(recorder) = &self.parts.recorder {
            // The lane waits: the next run must see the values that this one leaves.
            let account_entry = self.parts.account_entry.clone();
            let job = RecorderJob { ended, account_entry, worker: myself.clone() };
            return recorder.submit_run(&self.parts.subscriber_state, job);
        }
        let contact = ended.delivery.contact_id;
        let settled = attempt::settle_delivery(self.context(), &self.parts.subscriber_state, ended);
        let Some(delivery) = settled.map(|settled| settled.delivery) else {
            // Not tried to the end, because the server stops.
            return self.lanes.end_delivery(contact);
        };
        if !delivery.is_open() {
            self.lanes.end_delivery(contact);
            self.unrecorded.insert(delivery.id);
        }
        self.ended.push(delivery);
        let alone = self.lanes.count_away() == 0 || self.context().stopping.is_cancelled();
        if alone || self.ended.len() >= RECORDS_ENOUGH {
            self.record_ended(myself);
        } else if self.ended.len() == 1 {
            let (stopping, myself) = (self.context().stopping.clone(), myself.clone());
            self.context().tasks.spawn(async move {
                // Not by the injected clock: the pause spares the store and keeps no promise.
                let _stopped = tokio::time::timeout(RECORD_WITHIN, stopping.cancelled()).await;
                let _gone = myself.cast(DeliveryWorkerMessage::Record);
            });
        }
    }

    /// Records all ended attempts together, unless that is under way.
    pub(super) fn record_ended(&mut self, myself: &ActorRef<DeliveryWorkerMessage>) {
        if self.recording || self.ended.is_empty() {
            return;
        }
        self.recording = true;
        let ended = std::mem::take(&mut self.ended);
        let (context, subscriber_state) = (self.parts.context.clone(), self.parts.subscriber_state.clone());
        let myself = myself.clone();
        self.context().tasks.spawn(async move {
            if let Some(recorded) = attempt::record_attempts(&context, &subscriber_state, &ended).await {
                let _gone = myself.cast(DeliveryWorkerMessage::Recorded(ended, recorded));
            }
        });
    }

    pub(super) fn settle_attempt(
        &mut self,
        ended: Vec<Delivery>,
        recorded: &HashSet<DeliveryId>,
        myself: &ActorRef<DeliveryWorkerMessage>,
    ) {
        for delivery in ended {
            self.unrecorded.remove(&delivery.id);
            let ours = recorded.contains(&delivery.id);
            if self.doubtful.remove(&delivery.id) || !ours {
                self.reload_lanes();
            }
            if delivery.is_open() && ours {
                self.put_back(delivery);
            } else if delivery.is_open() {
                self.lanes.end_delivery(delivery.contact_id);
            }
        }
        self.recording = false;
        self.record_ended(myself);
    }

    /// Puts a delivery back to wait for its next attempt.
    fn put_back(&mut self, delivery: Delivery) {
        let QueuedDelivery { delivery, not_before, .. } =
            QueuedDelivery::new(delivery, None, &self.context().clock.take_reading());
        self.lanes.return_retried(delivery, not_before);
    }

    /// Continues the lanes of runs that have ended.
    pub(super) fn resume_runs(&mut self, written: RecordedRuns) {
        let RecordedRuns { recorded, lost, again } = written;
        for delivery in recorded {
            if self.doubtful.remove(&delivery.id) {
                self.reload_lanes();
            }
            if delivery.is_open() {
                self.put_back(delivery);
            } else {
                self.lanes.end_delivery(delivery.contact_id);
            }
        }
        for delivery in lost {
            self.doubtful.remove(&delivery.id);
            self.lanes.end_delivery(delivery.contact_id);
            self.reload_lanes();
        }
        for load in again {
            self.lanes.return_untried(load);
        }
    }
}
