//! Open deliveries of a delivery worker, in one lane per contact.
//!
//! Invariants: at most one delivery of a lane is under way, and it is the oldest. A lane waits as a whole while
//! its oldest delivery waits for its next attempt. The lanes neither wait nor deliver: the delivery worker
//! does.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use kabar_core::clock::ClockReading;
use kabar_core::domain::delivery::{Delivery, DeliveryStatus};
use kabar_core::domain::event::Event;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::ids::ContactId;

/// A delivery and, while it is in memory, its event.
#[derive(Debug, Clone)]
pub(super) struct QueuedDelivery {
    pub(super) delivery: Delivery,
    /// Earliest time of its next attempt.
    pub(super) not_before: MonotonicInstant,
    pub(super) event: Option<Arc<Event>>,
    /// Body of its requests in Meta's form, while it is in memory.
    pub(super) body: Option<Arc<str>>,
}

impl QueuedDelivery {
    /// Makes a queued delivery of a row, at the moment of a reading of this process's clocks.
    pub(super) fn new(delivery: Delivery, event: Option<Arc<Event>>, reading: &ClockReading) -> Self {
        let wait = delivery.wait_until(reading.wall).unwrap_or_default();
        Self { not_before: reading.monotonic.saturating_plus(wait), delivery, event, body: None }
    }
}

#[derive(Debug, Default)]
struct DeliveryLane {
    /// By the event's sequence number.
    waiting: BTreeMap<i64, QueuedDelivery>,
    away: Option<i64>,
}

impl DeliveryLane {
    /// Returns the time at which the lane may move on; `None` while one of its deliveries is under way, or none
    /// waits.
    fn due_at(&self) -> Option<(MonotonicInstant, i64)> {
        let (sequence, first) = self.waiting.first_key_value().filter(|_| self.away.is_none())?;
        first.delivery.is_open().then_some((first.not_before, *sequence))
    }

    /// Counts the deliveries that wait for a further attempt of the oldest.
    fn count_held(&self) -> usize {
        let first = self.waiting.first_key_value();
        let failed = first.is_some_and(|(_, load)| load.delivery.status == DeliveryStatus::Failed);
        if failed && self.away.is_none() { self.waiting.len() } else { 0 }
    }
}

/// Lanes of all contacts, with the times at which they are due.
#[derive(Debug, Default)]
pub(super) struct DeliveryLanes {
    of: HashMap<ContactId, DeliveryLane>,
    due: BTreeSet<(MonotonicInstant, i64, ContactId)>,
    waiting: usize,
    held: usize,
    away: usize,
}

impl DeliveryLanes {
    /// Counts the deliveries that wait or are under way.
    pub(super) const fn count_open(&self) -> usize {
        self.waiting + self.away
    }

    /// Counts the deliveries that are under way.
    pub(super) const fn count_away(&self) -> usize {
        self.away
    }

    /// Counts the deliveries that are under way, or wait for nothing but their turn.
    pub(super) const fn count_moving(&self) -> usize {
        self.count_open() - self.held
    }

    /// Returns the time at which the next delivery is due.
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

    /// Adds a delivery, or replaces its row by a newer one. Returns `false`, without a change, when it is under
    /// way.
    pub(super) fn put_delivery(&mut self, load: QueuedDelivery) -> bool {
        let sequence = load.delivery.sequence;
        self.change_lane(load.delivery.contact_id, |lane| {
            if lane.away == Some(sequence) {
                return false;
            }
            let QueuedDelivery { delivery, mut not_before, mut event, mut body } = load;
            if let Some(before) = lane.waiting.remove(&sequence) {
                event = event.or(before.event);
                body = body.or(before.body);
                // The same wait is not measured anew.
                if before.delivery == delivery {
                    not_before = before.not_before;
                }
            }
            lane.waiting.insert(sequence, QueuedDelivery { delivery, not_before, event, body });
            true
        })
    }

    /// Takes the next delivery, if one is due, and marks it as under way.
    pub(super) fn next_due(&mut self, now: MonotonicInstant) -> Option<QueuedDelivery> {
        let (_, sequence, contact) = self.due.first().copied().filter(|(at, ..)| *at <= now)?;
        self.change_lane(contact, |lane| {
            lane.away = Some(sequence);
            lane.waiting.remove(&sequence)
        })
    }

    /// Ends a delivery that was under way.
    pub(super) fn end_delivery(&mut self, contact: ContactId) {
        self.change_lane(contact, |lane| lane.away = None);
    }

    /// Puts back a delivery that was under way and has not been tried after all. It may go at once.
    pub(super) fn return_untried(&mut self, load: QueuedDelivery) {
        self.change_lane(load.delivery.contact_id, |lane| {
            lane.away = None;
            lane.waiting.insert(load.delivery.sequence, load);
        });
    }

    /// Puts back a delivery that is to be tried again. Events of the deliveries behind it are dropped from
    /// memory until then.
    pub(super) fn return_retried(&mut self, delivery: Delivery, not_before: MonotonicInstant) {
        self.change_lane(delivery.contact_id, |lane| {
            lane.away = None;
            for behind in lane.waiting.values_mut() {
                (behind.event, behind.body) = (None, None);
            }
            let load = QueuedDelivery { delivery, not_before, event: None, body: None };
            lane.waiting.insert(load.delivery.sequence, load);
        });
    }

    /// Drops events and bodies of the deliveries that wait: they are read again before they leave.
    pub(super) fn forget_events(&mut self) {
        for load in self.of.values_mut().flat_map(|lane| lane.waiting.values_mut()) {
            (load.event, load.body) = (None, None);
        }
    }

    /// Forgets the deliveries that are not under way.
    pub(super) fn clear_waiting(&mut self) {
        let contacts: Vec<ContactId> = self.of.keys().copied().collect();
        for contact in contacts {
            self.change_lane(contact, |lane| lane.waiting.clear());
        }
    }
}

#[cfg(test)]
mod tests;
