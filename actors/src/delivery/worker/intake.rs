//! Intake of a delivery worker: rows that are open already, and then events of the log.
//!
//! Invariant: memory is bounded. A lane that waits for a further attempt does not use up the window of the
//! others. For a subscriber that is down, no more than its probes are read.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kabar_core::domain::delivery::{Delivery, DeliveryStatus};
use kabar_core::domain::due_time::DueTime;
use kabar_core::domain::event::Event;
use kabar_core::domain::subscriber::Subscriber;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{DeliveryId, IdSource as _, MonotonicIds};
use kabar_core::store::{DeliveryCursor, Intake, StoreError};
use rand::rngs::StdRng;

use super::DeliveryWorker;
use crate::delivery::lanes::QueuedDelivery;
use crate::delivery::webhook_forms;

/// Most deliveries that are under way or wait for nothing but their turn.
pub(in crate::delivery) const WINDOW: usize = 1000;
/// Most deliveries in memory, with those that wait for a further attempt; some 300 bytes each.
const OPEN_MAX: usize = 10_000;
/// Most deliveries in memory while the breaker is open, of which one is tried at a time.
const PROBES: usize = 16;
/// Rows of one read.
const PAGE: usize = 256;

impl DeliveryWorker {
    /// Returns the number of rows that may be read now: a page at a time, because each read costs a commit.
    fn room_left(&mut self) -> usize {
        if !self.parts.subscriber_state.lock_health().is_closed() {
            return PROBES.saturating_sub(self.lanes.count_open());
        }
        let window = WINDOW.saturating_sub(self.lanes.count_moving());
        self.filling = window > 0 && (self.filling || window >= PAGE);
        if !self.filling {
            return 0;
        }
        window.min(OPEN_MAX.saturating_sub(self.lanes.count_open())).min(PAGE)
    }

    /// Reads open rows, and then the log, as far as there is room.
    pub(super) async fn fill_lanes(&mut self, subscriber: &Subscriber) -> Result<(), StoreError> {
        let number = self.parts.account_entry.current_account().number;
        loop {
            let room = self.room_left();
            if room == 0 {
                return Ok(());
            }
            let Some(place) = self.place else {
                // No such account: it never has a delivery.
                let found =
                    self.parts.context.store.delivery_cursor(subscriber.subscriber_id(), number).await?;
                self.place = Some(found.unwrap_or(DeliveryCursor { cursor: 0, head: 0 }));
                continue;
            };
            if self.loaded_to < place.cursor {
                let store = &self.parts.context.store;
                let rows =
                    store.open_deliveries(subscriber.subscriber_id(), number, self.loaded_to, room).await?;
                let last = rows.last().filter(|_| rows.len() >= room).map(|row| row.sequence);
                self.loaded_to = last.unwrap_or(place.cursor);
                let reading = self.parts.context.clock.take_reading();
                for delivery in rows {
                    let id = delivery.id;
                    let load = QueuedDelivery::new(delivery, None, &reading);
                    if self.unrecorded.contains(&id) || !self.lanes.put_delivery(load) {
                        self.doubtful.insert(id);
                    }
                }
                continue;
            }
            let head = self.parts.entry.head.load(Ordering::Acquire).max(place.head);
            if place.cursor >= head {
                return Ok(());
            }
            self.take_in(subscriber, number, DeliveryCursor { head, ..place }, room).await?;
        }
    }

    /// Creates deliveries for the next events of the log.
    async fn take_in(
        &mut self,
        subscriber: &Subscriber,
        account: i64,
        place: DeliveryCursor,
        room: usize,
    ) -> Result<(), StoreError> {
        let store = &self.parts.context.store;
        let between = (place.cursor, place.head);
        let mut events = store.events_of(account, between, subscriber.event_types(), room).await?;
        let last = events.last().filter(|_| events.len() >= room).map(|event| event.sequence);
        events.retain(|event| webhook_forms::is_shown(subscriber, &event.kind));
        let to = last.unwrap_or(place.head);
        let reading = self.parts.context.clock.take_reading();
        let now = reading.wall;
        let deliveries: Vec<Delivery> = events
            .iter()
            .map(|event| build_delivery(&mut self.ids, subscriber, account, event, now))
            .collect();
        let (context, owner) = (self.parts.context.clone(), self.parts.account_entry.current_account());
        let rows = deliveries.iter().zip(&events);
        let mut bodies = webhook_forms::render_bodies(&context, &owner, subscriber, rows).await?;
        let intake = Intake {
            subscriber: subscriber.subscriber_id(),
            account,
            from: place.cursor,
            to,
            deliveries: &deliveries,
            bodies: &bodies,
        };
        if !context.store.take_in(intake).await? {
            // Another node has created them: their rows are there.
            self.place = None;
            return Ok(());
        }
        self.place = Some(DeliveryCursor { cursor: to, head: place.head });
        self.loaded_to = to;
        for (delivery, event) in deliveries.into_iter().zip(events) {
            let body = bodies.remove(&delivery.id).map(|body| body.json);
            let load = QueuedDelivery::new(delivery, Some(Arc::new(event)), &reading);
            self.lanes.put_delivery(QueuedDelivery { body, ..load });
        }
        Ok(())
    }
}

/// Creates the delivery of an event to a subscriber.
pub(in crate::delivery) fn build_delivery(
    ids: &mut MonotonicIds<StdRng>,
    subscriber: &Subscriber,
    account: i64,
    event: &Event,
    now: Timestamp,
) -> Delivery {
    Delivery {
        id: DeliveryId::from_bits(ids.next_bits(now.millis())),
        subscriber: subscriber.subscriber_id(),
        organisation_id: subscriber.organisation_id(),
        account,
        sequence: event.sequence,
        event_id: event.id,
        event_type: subscriber.told_type(event.kind.event_type()),
        contact_id: event.kind.contact_id(),
        status: DeliveryStatus::Pending,
        attempts: Vec::new(),
        attempt_count: 0,
        tries: 0,
        next_attempt_at: Some(DueTime::after_wait(now, Duration::ZERO)),
        created_at: now,
        updated_at: now,
        replays: 0,
    }
}
