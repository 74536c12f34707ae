//! Persisted due times: from when on a pending attempt may be made, as a row keeps it.
//!
//! Invariant: a due time is never compared with an instant of any clock. Its writer may have been another process
//! with another clock, or this machine before its clock was set. It becomes a wait of the process that reads it,
//! and that wait is never longer than the caller's schedule could have asked for.

use std::time::Duration;

use super::time::Timestamp;

/// From when on an attempt may be made, by the wall clock of the process that wrote it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct DueTime(Timestamp);

impl DueTime {
    /// At once, whatever any clock shows.
    pub const AT_ONCE: Self = Self(Timestamp::EPOCH);

    /// A wait from `now`, the writer's wall time.
    #[must_use]
    pub fn after_wait(now: Timestamp, wait: Duration) -> Self {
        Self(now.plus_duration(wait))
    }

    /// As a row has kept it.
    #[must_use]
    pub const fn from_row(at: Timestamp) -> Self {
        Self(at)
    }

    /// What a row keeps, and what a client may be shown.
    #[must_use]
    pub const fn to_row(self) -> Timestamp {
        self.0
    }

    /// How long the reader has to wait, whose wall time is `now`; `wait_max` is the longest wait of the schedule.
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
