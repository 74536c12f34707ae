//! A delivery of one event to one subscriber, and its retry rules.
//!
//! Invariants: a delivery is open (`pending`, `failed`) exactly while it has a next attempt. `delivered` and
//! `dead` end it until it is replayed. The rules are pure: chance and time are passed in.

use std::sync::Arc;
use std::time::Duration;

use super::due_time::DueTime;
use super::event::EventType;
use super::subscriber::SubscriberId;
use super::time::Timestamp;
use crate::ids::{ContactId, DeliveryId, EventId, MessageId, OrganisationId, RunId};
pub use crate::policy::retry_schedule::RetrySchedule;

/// The longest wait that a subscriber may request (contract, section 11).
const ASKED_MAX: Duration = Duration::from_hours(1);
/// Attempts that a delivery keeps; earlier ones are dropped.
pub const ATTEMPTS_KEPT: usize = 32;

/// State of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum DeliveryStatus {
    /// Not tried yet, or replayed and not tried since.
    Pending,
    /// Accepted by the subscriber.
    Delivered,
    /// The last attempt failed, and another one follows.
    Failed,
    /// Given up: no further attempt follows.
    Dead,
}

impl DeliveryStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Pending, Self::Delivered, Self::Failed, Self::Dead];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Delivered => "delivered",
            Self::Failed => "failed",
            Self::Dead => "dead",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// One attempt, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeliveryAttempt {
    /// Time at which it began.
    pub at: Timestamp,
    /// HTTP status that the subscriber answered, if it did.
    pub status_code: Option<u16>,
    /// Duration in milliseconds.
    pub duration_ms: u32,
    /// Reason for its failure, in readable form.
    pub error: Option<Arc<str>>,
}

/// A delivery.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delivery {
    /// The same for every attempt: `wbd_…`, or for a hook the bits of its `run_…`.
    pub id: DeliveryId,
    /// The subscriber that gets the event.
    pub subscriber: SubscriberId,
    /// The tenant.
    pub organisation_id: OrganisationId,
    /// The account's short number.
    pub account: i64,
    /// The event's number in the account's log.
    pub sequence: i64,
    /// `evt_…`.
    pub event_id: EventId,
    /// The event's type.
    pub event_type: EventType,
    /// Contact that the event is about. Deliveries of one contact go in order.
    pub contact_id: ContactId,
    /// State.
    pub status: DeliveryStatus,
    /// The last [`ATTEMPTS_KEPT`], oldest first.
    pub attempts: Vec<DeliveryAttempt>,
    /// Attempts of all time.
    pub attempt_count: u32,
    /// Attempts since it was created or last replayed: its position in the retry schedule.
    pub tries: u32,
    /// Earliest time of the next attempt; `None` when there is none. Written together with `updated_at`.
    pub next_attempt_at: Option<DueTime>,
    /// Time at which it was created.
    pub created_at: Timestamp,
    /// Time of its last change.
    pub updated_at: Timestamp,
    /// Number of replays. An attempt decides only about the replay for which it was begun.
    pub replays: u32,
}

/// Body of the requests of a delivery, rendered once and for all attempts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RenderedBody {
    /// Message that it shows.
    pub message_id: MessageId,
    /// The body.
    pub json: Arc<str>,
}

/// Outcome of an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttemptOutcome {
    /// The subscriber accepted it.
    Delivered,
    /// The subscriber may accept it later, and may have requested a wait.
    Retry {
        /// Wait that the subscriber requested.
        after: Option<Duration>,
    },
    /// The subscriber will never accept it.
    Rejected,
    /// The subscriber wants no further events.
    Gone,
}

impl Delivery {
    /// Returns the id that clients see: `wbd_…`, or `run_…` for a hook.
    #[must_use]
    pub fn shown_id(&self) -> String {
        match self.subscriber {
            SubscriberId::Webhook(_) => self.id.to_string(),
            SubscriberId::Hook(_) => RunId::from(self.id).to_string(),
        }
    }

    /// Reads an id of either form.
    #[must_use]
    pub fn parse_id(text: &str) -> Option<DeliveryId> {
        DeliveryId::parse(text).ok().or_else(|| RunId::parse(text).ok().map(DeliveryId::from))
    }

    /// Returns `true` while it is still to be delivered.
    #[must_use]
    pub const fn is_open(&self) -> bool {
        self.next_attempt_at.is_some()
    }

    /// Returns the wait before the next attempt for a process with the wall time `now`; `None` when there is
    /// no next attempt. Never longer than the pause that was decided when the row was last written, because
    /// both instants of the row are of one clock.
    #[must_use]
    pub fn wait_until(&self, now: Timestamp) -> Option<Duration> {
        let due = self.next_attempt_at?;
        let pause = due.to_row().duration_since(self.updated_at).unwrap_or_default();
        Some(due.time_left(now, pause))
    }

    /// Restarts the retry schedule at `now`.
    pub fn reopen_at(&mut self, now: Timestamp) {
        self.status = DeliveryStatus::Pending;
        self.tries = 0;
        self.replays = self.replays.saturating_add(1);
        self.updated_at = now.max(self.updated_at);
        self.next_attempt_at = Some(DueTime::after_wait(self.updated_at, Duration::ZERO));
    }

    /// Records the outcome of an attempt that ended at `now`.
    pub fn settle_attempt(
        &mut self,
        attempt: DeliveryAttempt,
        outcome: AttemptOutcome,
        retry_schedule: RetrySchedule,
        chance: f64,
        now: Timestamp,
    ) {
        self.attempts.push(attempt);
        let forgotten = self.attempts.len().saturating_sub(ATTEMPTS_KEPT);
        self.attempts.drain(..forgotten);
        self.attempt_count = self.attempt_count.saturating_add(1);
        self.tries = self.tries.saturating_add(1);
        // The wall clock may have been set back since.
        self.updated_at = now.max(self.updated_at);
        (self.status, self.next_attempt_at) = match outcome {
            AttemptOutcome::Delivered => (DeliveryStatus::Delivered, None),
            AttemptOutcome::Rejected | AttemptOutcome::Gone => (DeliveryStatus::Dead, None),
            AttemptOutcome::Retry { after } => match retry_schedule.pause_before(self.tries, chance) {
                Some(pause) => {
                    let asked = after.unwrap_or_default().min(ASKED_MAX);
                    (DeliveryStatus::Failed, Some(DueTime::after_wait(self.updated_at, pause.max(asked))))
                }
                None => (DeliveryStatus::Dead, None),
            },
        };
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::ids::SubscriptionId;

    const SECOND: Duration = Duration::from_secs(1);
    const HOUR: Duration = Duration::from_hours(1);

    fn delivery() -> Delivery {
        Delivery {
            id: DeliveryId::from_bits(1),
            subscriber: SubscriberId::Webhook(SubscriptionId::from_bits(1)),
            organisation_id: OrganisationId::from_bits(1),
            account: 1,
            sequence: 1,
            event_id: EventId::from_bits(1),
            event_type: EventType::MessageStatus,
            contact_id: ContactId::from_bits(1),
            status: DeliveryStatus::Pending,
            attempts: Vec::new(),
            attempt_count: 0,
            tries: 0,
            next_attempt_at: Some(DueTime::AT_ONCE),
            created_at: Timestamp::EPOCH,
            updated_at: Timestamp::EPOCH,
            replays: 0,
        }
    }

    fn attempt(at: Timestamp) -> DeliveryAttempt {
        DeliveryAttempt { at, status_code: Some(500), duration_ms: 3, error: Some("500".into()) }
    }

    /// Pauses of a delivery that always fails.
    fn pauses(retry_schedule: RetrySchedule, chance: f64, asked: Option<Duration>) -> Vec<Duration> {
        let (mut one, mut now, mut pauses) = (delivery(), Timestamp::EPOCH, Vec::new());
        while one.is_open() {
            one.settle_attempt(
                attempt(now),
                AttemptOutcome::Retry { after: asked },
                retry_schedule,
                chance,
                now,
            );
            pauses.extend(one.wait_until(now));
            now = one.next_attempt_at.map_or(now, DueTime::to_row);
        }
        assert_eq!(one.status, DeliveryStatus::Dead);
        assert_eq!(
            (one.tries, one.attempt_count),
            (retry_schedule.attempts_max(), retry_schedule.attempts_max())
        );
        pauses
    }

    #[test]
    fn the_retry_schedules_are_the_contracts() {
        let seconds = |retry_schedule| -> Vec<u64> {
            pauses(retry_schedule, 0.5, None).iter().map(Duration::as_secs).collect()
        };
        assert_eq!(seconds(RetrySchedule::WEBHOOK), [10, 30, 120, 600, 3600, 21_600, 86_400]);
        assert_eq!(seconds(RetrySchedule::HOOK), [5, 30, 120, 600, 3600, 21_600]);
        assert_eq!((RetrySchedule::WEBHOOK.attempts_max(), RetrySchedule::HOOK.attempts_max()), (8, 7));
    }

    #[test]
    fn what_a_subscriber_asks_for_counts_up_to_an_hour() {
        let asked = pauses(RetrySchedule::WEBHOOK, 0.5, Some(5 * HOUR));
        assert_eq!(asked.first(), Some(&HOUR));
        assert_eq!(asked.last(), Some(&(24 * HOUR)));
        assert_eq!(pauses(RetrySchedule::WEBHOOK, 0.5, Some(20 * SECOND)).first(), Some(&(20 * SECOND)));
        assert!(pauses(RetrySchedule::WEBHOOK, 0.5, Some(20 * SECOND)).contains(&(600 * SECOND)));
    }

    #[test]
    fn a_wait_is_never_longer_than_the_pause_that_was_decided() {
        let (mut one, written_at) = (delivery(), Timestamp::from_seconds(1_000_000));
        one.settle_attempt(
            attempt(written_at),
            AttemptOutcome::Retry { after: None },
            RetrySchedule::WEBHOOK,
            0.5,
            written_at,
        );
        assert_eq!(one.wait_until(written_at.plus_duration(3 * SECOND)), Some(7 * SECOND));
        assert_eq!(one.wait_until(written_at.plus_duration(HOUR)), Some(Duration::ZERO));
        assert_eq!(
            one.wait_until(written_at.minus_duration(HOUR)),
            Some(10 * SECOND),
            "the clock was set back"
        );
        // Settled again by a clock that was set back: the row's instants stay in order.
        let earlier = written_at.minus_duration(HOUR);
        one.settle_attempt(
            attempt(earlier),
            AttemptOutcome::Retry { after: None },
            RetrySchedule::WEBHOOK,
            0.5,
            earlier,
        );
        assert_eq!((one.updated_at, one.wait_until(earlier)), (written_at, Some(30 * SECOND)));
        one.reopen_at(earlier);
        assert_eq!((one.updated_at, one.wait_until(earlier)), (written_at, Some(Duration::ZERO)));
    }

    proptest! {
        #[test]
        fn a_delivery_is_open_exactly_while_it_may_be_tried(outcomes in proptest::collection::vec(0_u8..8, 1..60)) {
            let (mut one, mut now) = (delivery(), Timestamp::EPOCH);
            for (n, dice) in outcomes.iter().enumerate() {
                now = now.next();
                let outcome = match dice {
                    0 => AttemptOutcome::Delivered,
                    1 => AttemptOutcome::Rejected,
                    2 => AttemptOutcome::Gone,
                    _ => AttemptOutcome::Retry { after: None },
                };
                one.settle_attempt(attempt(now), outcome, RetrySchedule::WEBHOOK, 0.5, now);
                let open = matches!(one.status, DeliveryStatus::Pending | DeliveryStatus::Failed);
                prop_assert_eq!(one.is_open(), open);
                prop_assert!(one.wait_until(now).is_none_or(|wait| !wait.is_zero()));
                prop_assert!(one.attempts.len() == (n + 1).min(ATTEMPTS_KEPT));
                prop_assert_eq!(one.attempts.last().unwrap().at, now);
                if !open {
                    one.tries = 0;
                }
            }
        }
    }
}
