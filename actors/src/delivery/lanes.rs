//! What a delivery worker has to bring, in one lane per contact.
//!
//! Invariants: of a lane at most one delivery is away, and it is the oldest; a lane whose oldest waits
//! for its next attempt waits as a whole. It does not wait and it does not bring: the delivery worker does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kabar_core::clock::ClockReading;
use kabar_core::domain::delivery::{Delivery, DeliveryStatus};
use kabar_core::domain::event::Event;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::ids::ContactId;

/// A delivery and, while it is at hand, its event.
#[derive(Debug, Clone)]
pub(super) struct QueuedDelivery {
    pub(super) delivery: Delivery,
    /// When its next attempt may be made.
    pub(super) not_before: MonotonicInstant,
    pub(super) event: Option<Arc<Event>>,
}

impl QueuedDelivery {
    /// A delivery as its row says, at the moment of a reading of this process's clocks.
    pub(super) fn new(delivery: Delivery, event: Option<Arc<Event>>, reading: &ClockReading) -> Self {
        let wait = delivery.wait_until(reading.wall).unwrap_or_default();
        Self { not_before: reading.monotonic.saturating_plus(wait), delivery, event }
    }
}

#[derive(Debug, Default)]
struct DeliveryLane {
    /// By the event's number.
    waiting: BTreeMap<i64, QueuedDelivery>,
    away: Option<i64>,
}

impl DeliveryLane {
    /// When it may move on; `None` while something of it is away, or nothing waits.
    fn due_at(&self) -> Option<(MonotonicInstant, i64)> {
        let (sequence, first) = self.waiting.first_key_value().filter(|_| self.away.is_none())?;
        first.delivery.is_open().then_some((first.not_before, *sequence))
    }

    /// How many wait for a further attempt of the oldest.
    fn count_held(&self) -> usize {
        let first = self.waiting.first_key_value();
        let failed = first.is_some_and(|(_, load)| load.delivery.status == DeliveryStatus::Failed);
        if failed && self.away.is_none() { self.waiting.len() } else { 0 }
    }
}

/// See the module.
#[derive(Debug, Default)]
pub(super) struct DeliveryLanes {
    of: HashMap<ContactId, DeliveryLane>,
    due: BTreeSet<(MonotonicInstant, i64, ContactId)>,
    waiting: usize,
    held: usize,
    away: usize,
}

impl DeliveryLanes {
    /// Deliveries that wait or are away.
    pub(super) const fn count_open(&self) -> usize {
        self.waiting + self.away
    }

    /// Deliveries that are away.
    pub(super) const fn count_away(&self) -> usize {
        self.away
    }

    /// Deliveries that are away, or wait for nothing but their turn.
    pub(super) const fn count_moving(&self) -> usize {
        self.count_open() - self.held
    }

    /// When the next one may go.
    pub(super) fn next_at(&self) -> Option<MonotonicInstant> {
        self.due.first().map(|(at, ..)| *at)
    }

    fn change_lane<T>(&mut self, contact: ContactId, change: impl FnOnce(&mut DeliveryLane) -> T) -> T {
        let lane = self.of.entry(contact).or_default();
        if let Some((at, sequence)) = lane.due_at() {
            self.due.remove(&(at, sequence, contact));
        }
        self.held -= lane.count_held();
        self.waiting -= lane.waiting.len();
        self.away -= usize::from(lane.away.is_some());
        let changed = change(lane);
        self.held += lane.count_held();
        self.waiting += lane.waiting.len();
        self.away += usize::from(lane.away.is_some());
        if let Some((at, sequence)) = lane.due_at() {
            self.due.insert((at, sequence, contact));
        }
        if lane.waiting.is_empty() && lane.away.is_none() {
            self.of.remove(&contact);
        }
        changed
    }

    /// Adds a delivery, or takes over its newer row; not if it is away, which is told with `false`.
    pub(super) fn put_delivery(&mut self, load: QueuedDelivery) -> bool {
        let sequence = load.delivery.sequence;
        self.change_lane(load.delivery.contact_id, |lane| {
            if lane.away == Some(sequence) {
                return false;
            }
            let QueuedDelivery { delivery, mut not_before, mut event } = load;
            if let Some(before) = lane.waiting.remove(&sequence) {
                event = event.or(before.event);
                // The same wait is not measured anew.
                if before.delivery == delivery {
                    not_before = before.not_before;
                }
            }
            lane.waiting.insert(sequence, QueuedDelivery { delivery, not_before, event });
            true
        })
    }

    /// Sends the next one on its way, if one is due.
    pub(super) fn next_due(&mut self, now: MonotonicInstant) -> Option<QueuedDelivery> {
        let (_, sequence, contact) = self.due.first().copied().filter(|(at, ..)| *at <= now)?;
        self.change_lane(contact, |lane| {
            lane.away = Some(sequence);
            lane.waiting.remove(&sequence)
        })
    }

    /// One that was away has come to an end.
    pub(super) fn end_delivery(&mut self, contact: ContactId) {
        self.change_lane(contact, |lane| lane.away = None);
    }

    /// One that was away has not been tried after all, and may go at once.
    pub(super) fn return_untried(&mut self, load: QueuedDelivery) {
        self.change_lane(load.delivery.contact_id, |lane| {
            lane.away = None;
            lane.waiting.insert(load.delivery.sequence, load);
        });
    }

    /// One that was away is to be tried again. What waits behind it need not be at hand until then.
    pub(super) fn return_retried(&mut self, delivery: Delivery, not_before: MonotonicInstant) {
        self.change_lane(delivery.contact_id, |lane| {
            lane.away = None;
            lane.waiting.values_mut().for_each(|behind| behind.event = None);
            lane.waiting.insert(delivery.sequence, QueuedDelivery { delivery, not_before, event: None });
        });
    }

    /// Forgets whatever is not away.
    pub(super) fn clear_waiting(&mut self) {
        let contacts: Vec<ContactId> = self.of.keys().copied().collect();
        for contact in contacts {
            self.change_lane(contact, |lane| lane.waiting.clear());
        }
    }
}

#[cfg(test)]
mod tests;
