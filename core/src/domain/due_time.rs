//! Persisted due times: the earliest time of a pending attempt, as a row stores it.
//!
//! Invariant: a due time is never compared with an instant of any clock. Its writer may have been another
//! process with another clock, or this machine before its clock was set. It becomes a wait of the process
//! that reads it, and that wait is never longer than the longest wait of the caller's schedule.

use std::time::Duration;

use super::time::Timestamp;

/// The earliest time of an attempt, by the wall clock of the process that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DueTime(Timestamp);

impl DueTime {
    /// Due at once, at any reading of any clock.
    pub const AT_ONCE: Self = Self(Timestamp::EPOCH);

    /// Due after a wait from `now`, the writer's wall time.
    #[must_use]
    pub fn after_wait(now: Timestamp, wait: Duration) -> Self {
        Self(now.plus_duration(wait))
    }

    /// The due time that a row stores.
    #[must_use]
    pub const fn from_row(at: Timestamp) -> Self {
        Self(at)
    }

    /// The instant that a row stores and that clients may see.
    #[must_use]
    pub const fn to_row(self) -> Timestamp {
        self.0
    }

    /// Returns the wait of a reader with the wall time `now`. `wait_max` is the longest wait of the schedule.
    #[must_use]
    pub fn time_left(self, now: Timestamp, wait_max: Duration) -> Duration {
        self.0.duration_since(now).unwrap_or_default().min(wait_max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn a_wait_is_bounded_by_the_schedule_whatever_the_clocks_say() {
        let written_at = Timestamp::from_seconds(1_000_000);
        let due = DueTime::after_wait(written_at, 4 * SECOND);
        assert_eq!(due.time_left(written_at, 5 * SECOND), 4 * SECOND);
        assert_eq!(due.time_left(written_at.plus_duration(SECOND), 5 * SECOND), 3 * SECOND);
        assert_eq!(due.time_left(written_at.plus_duration(40 * SECOND), 5 * SECOND), Duration::ZERO);
        assert_eq!(due.time_left(written_at.minus_duration(40 * SECOND), 5 * SECOND), 5 * SECOND);
        assert_eq!(
            DueTime::AT_ONCE.time_left(written_at.minus_duration(3_600 * SECOND), 5 * SECOND),
            Duration::ZERO
        );
    }
}
