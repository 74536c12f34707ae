//! The send schedule: from the due time of a pending row to an instant of this process.
//!
//! Invariants: a message that was never tried is due at once, whatever any clock shows. A wait that was
//! persisted by another process, or before the wall clock was set, is never longer than the schedule could have
//! set. A message that may have been sent before the account was loaded waits for its echo from then on.

use std::time::Duration;

use kabar_core::clock::ClockReading;
use kabar_core::domain::due_time::DueTime;
use kabar_core::domain::message::WaitingMessage;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::meta::graph::RETRY_AFTER_MAX;

/// Most calls for one message: with the backoff below, about 17 minutes.
pub(super) const ATTEMPTS_MAX: u32 = 10;
/// The longest pause between two calls.
const BACKOFF_MAX: Duration = Duration::from_mins(5);
/// "4^X seconds" (Meta, "Pair rate limits").
pub(super) const PAIR_RATE_BASE: u64 = 4;
/// Largest random factor of a pause.
pub(super) const JITTER_MAX: f64 = 1.2;

/// Returns the pause after an attempt: 1 s after the first one, and `times` as long after each further one.
pub(super) fn retry_backoff(times: u64, attempts: u32) -> Duration {
    let pause = times.saturating_pow(attempts.saturating_sub(1));
    Duration::from_secs(pause).min(BACKOFF_MAX)
}

/// Turns due times into instants of this process, at the moment of a reading of its clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct SendSchedule {
    /// Reading of the clocks.
    pub(super) reading: ClockReading,
    /// Longest wait for WhatsApp's echo.
    pub(super) settle: Duration,
    /// Time at which the account was loaded. An echo before that may not have been applied.
    pub(super) loaded_at: MonotonicInstant,
}

impl SendSchedule {
    /// Returns the instant at which a message may be sent that a commit of this process has just queued.
    pub(super) fn after_commit(&self, waiting: &WaitingMessage) -> MonotonicInstant {
        self.instant_of(waiting.next_attempt_at, self.wait_max())
    }

    /// Returns the instant at which a message may be sent that was read from the store. The process that wrote
    /// it is not known.
    pub(super) fn after_load(&self, waiting: &WaitingMessage) -> MonotonicInstant {
        let backoff_max = retry_backoff(PAIR_RATE_BASE, waiting.attempts).mul_f64(JITTER_MAX);
        let at = self.instant_of(waiting.next_attempt_at, backoff_max.max(self.settle));
        if waiting.attempts == 0 { at } else { at.max(self.loaded_at.saturating_plus(self.settle)) }
    }

    /// Returns the longest wait that any outcome can set.
    pub(super) fn wait_max(&self) -> Duration {
        RETRY_AFTER_MAX.max(self.settle)
    }

    fn instant_of(&self, due: DueTime, wait_max: Duration) -> MonotonicInstant {
        self.reading.monotonic.saturating_plus(due.time_left(self.reading.wall, wait_max))
    }
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::time::Timestamp;
    use kabar_core::ids::{ConversationId, MessageId};

    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn pauses_grow_to_their_bound() {
        let seconds = |times, attempts| retry_backoff(times, attempts).as_secs();
        assert_eq!(
            [0, 1, 2, 3, 9, 10, 1000].map(|attempts| seconds(2, attempts)),
            [1, 1, 2, 4, 256, 300, 300]
        );
        assert_eq!([1, 2, 3, 5, 6].map(|attempts| seconds(4, attempts)), [1, 4, 16, 256, 300]);
    }

    #[test]
    fn no_clock_of_another_process_delays_a_send_beyond_its_schedule() {
        let (wall, monotonic) = (Timestamp::from_seconds(1_000_000), MonotonicInstant::from_millis(50_000));
        let reading = ClockReading { wall, monotonic };
        let schedule = SendSchedule { reading, settle: 20 * SECOND, loaded_at: monotonic };
        let (id, conversation_id) = (MessageId::from_bits(1), ConversationId::from_bits(1));
        let waiting =
            |attempts, next_attempt_at| WaitingMessage { id, conversation_id, attempts, next_attempt_at };
        assert_eq!(schedule.after_load(&waiting(0, DueTime::AT_ONCE)), monotonic);
        for skew in [40 * SECOND, 3_600 * SECOND] {
            let ahead = DueTime::after_wait(wall.plus_duration(skew), 4 * SECOND);
            assert_eq!(schedule.after_load(&waiting(2, ahead)), monotonic.saturating_plus(20 * SECOND));
            assert_eq!(
                schedule.after_load(&waiting(5, ahead)),
                monotonic.saturating_plus(ahead.time_left(wall, 307_200 * SECOND / 1000))
            );
            let behind = DueTime::after_wait(wall.minus_duration(skew), 4 * SECOND);
            assert_eq!(
                schedule.after_load(&waiting(2, behind)),
                monotonic.saturating_plus(20 * SECOND),
                "its echo may come"
            );
        }
        let asked = DueTime::after_wait(wall, 600 * SECOND);
        assert_eq!(schedule.after_commit(&waiting(1, asked)), monotonic.saturating_plus(600 * SECOND));
    }
}
