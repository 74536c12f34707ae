//! Lanes under any use: order, turns, and counts that agree with what is there.

use kabar_core::domain::delivery::{AttemptOutcome, DeliveryAttempt, RetrySchedule};
use kabar_core::domain::due_time::DueTime;
use kabar_core::domain::event::EventType;
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{DeliveryId, EventId, OrganisationId, SubscriptionId};
use proptest::prelude::*;

use super::*;

fn at(ms: u64) -> MonotonicInstant {
    MonotonicInstant::from_millis(ms)
}

/// The clocks, which show the same.
fn reading(ms: u64) -> ClockReading {
    ClockReading { wall: wall(ms), monotonic: at(ms) }
}

fn wall(ms: u64) -> Timestamp {
    Timestamp::from_millis(i64::try_from(ms).unwrap())
}

fn load(sequence: i64, contact: u128) -> QueuedDelivery {
    let id = u128::try_from(sequence).unwrap();
    let delivery = Delivery {
        id: DeliveryId::from_bits(id),
        subscriber: SubscriberId::Webhook(SubscriptionId::from_bits(1)),
        organisation_id: OrganisationId::from_bits(1),
        account: 1,
        sequence,
        event_id: EventId::from_bits(id),
        event_type: EventType::MessageStatus,
        contact_id: ContactId::from_bits(contact),
        status: DeliveryStatus::Pending,
        attempts: Vec::new(),
        attempt_count: 0,
        tries: 0,
        next_attempt_at: Some(DueTime::AT_ONCE),
        created_at: wall(0),
        updated_at: wall(0),
        replays: 0,
    };
    QueuedDelivery::new(delivery, None, &reading(0))
}

fn failed(mut delivery: Delivery, now: u64) -> Delivery {
    let attempt = DeliveryAttempt { at: wall(now), status_code: None, duration_ms: 0, error: None };
    delivery.settle_attempt(
        attempt,
        AttemptOutcome::Retry { after: None },
        RetrySchedule::WEBHOOK,
        0.5,
        wall(now),
    );
    delivery
}

fn put_back(lanes: &mut DeliveryLanes, delivery: Delivery, now: u64) {
    let load = QueuedDelivery::new(delivery, None, &reading(now));
    lanes.return_retried(load.delivery, load.not_before);
}

#[test]
fn a_lane_waits_for_its_oldest_and_the_others_go_on() {
    let mut lanes = DeliveryLanes::default();
    for (sequence, contact) in [(1, 7), (2, 7), (3, 8)] {
        lanes.put_delivery(load(sequence, contact));
    }
    let first = lanes.next_due(at(0)).unwrap().delivery;
    let other = lanes.next_due(at(0)).unwrap().delivery;
    assert_eq!((first.sequence, other.sequence, lanes.next_due(at(0)).is_none()), (1, 3, true));
    put_back(&mut lanes, failed(first, 5), 5);
    assert_eq!(
        (lanes.count_open(), lanes.count_away(), lanes.count_moving()),
        (3, 1, 1),
        "two wait for one attempt"
    );
    assert_eq!(lanes.next_at(), Some(at(10_005)));
    lanes.end_delivery(other.contact_id);
    let again = lanes.next_due(at(10_005)).unwrap().delivery;
    assert_eq!((again.sequence, again.tries), (1, 1));
    // What is away is not taken over again.
    lanes.put_delivery(load(1, 7));
    lanes.end_delivery(again.contact_id);
    assert_eq!(lanes.next_due(at(10_005)).unwrap().delivery.sequence, 2);
    lanes.end_delivery(again.contact_id);
    assert_eq!((lanes.count_open(), lanes.next_at()), (0, None));
}

#[test]
fn a_lane_goes_on_by_process_time_when_the_wall_clock_is_set() {
    let mut lanes = DeliveryLanes::default();
    lanes.put_delivery(load(1, 7));
    let first = failed(lanes.next_due(at(0)).unwrap().delivery, 5);
    put_back(&mut lanes, first.clone(), 5);
    // Read again from its row after the clock was set back by an hour: the wait goes on.
    let set_back = ClockReading { wall: Timestamp::EPOCH, monotonic: at(4_000) };
    lanes.put_delivery(QueuedDelivery::new(first.clone(), None, &set_back));
    assert_eq!(lanes.next_at(), Some(at(10_005)));
    // A process that has not seen it before waits as long as was decided, and no longer.
    let mut others = DeliveryLanes::default();
    others.put_delivery(QueuedDelivery::new(
        first,
        None,
        &ClockReading { wall: Timestamp::EPOCH, monotonic: at(70_000) },
    ));
    assert_eq!(others.next_at(), Some(at(80_000)));
}

proptest! {
    #[test]
    fn each_contact_is_served_in_order_one_at_a_time(
        contacts in proptest::collection::vec(0_u128..4, 1..40),
        turns in proptest::collection::vec((0_u8..4, 0_u64..40_000), 0..200),
    ) {
        let (mut lanes, mut now) = (DeliveryLanes::default(), 0);
        let mut expected: HashMap<ContactId, Vec<i64>> = HashMap::new();
        for (sequence, contact) in (1..).zip(&contacts) {
            lanes.put_delivery(load(sequence, *contact));
            expected.entry(ContactId::from_bits(*contact)).or_default().push(sequence);
        }
        let mut taken: HashMap<ContactId, Vec<i64>> = HashMap::new();
        let mut away: Vec<Delivery> = Vec::new();
        let mut finish = |lanes: &mut DeliveryLanes, delivery: Delivery| {
            lanes.end_delivery(delivery.contact_id);
            taken.entry(delivery.contact_id).or_default().push(delivery.sequence);
        };
        for (turn, pause) in turns {
            now += pause;
            match turn {
                0 | 1 => away.extend(lanes.next_due(at(now)).map(|load| load.delivery)),
                2 => if let Some(delivery) = away.pop() {
                    let delivery = failed(delivery, now);
                    if delivery.is_open() { put_back(&mut lanes, delivery, now) } else { finish(&mut lanes, delivery) }
                },
                _ => if let Some(delivery) = away.pop() { finish(&mut lanes, delivery) },
            }
            let mut of: Vec<ContactId> = away.iter().map(|delivery| delivery.contact_id).collect();
            of.sort_unstable();
            of.dedup();
            prop_assert_eq!((of.len(), lanes.count_away()), (away.len(), away.len()));
            prop_assert!(lanes.count_moving() <= lanes.count_open());
        }
        away.drain(..).for_each(|delivery| finish(&mut lanes, delivery));
        while let Some(load) = lanes.next_due(at(u64::MAX)) {
            finish(&mut lanes, load.delivery);
        }
        prop_assert_eq!((lanes.count_open(), lanes.count_moving(), lanes.next_at()), (0, 0, None));
        prop_assert_eq!(taken, expected);
    }
}
