//! Ends connections on which no whole request comes in time.
//!
//! Invariants: a connection that waits for the rest of a head, or for a request, is ended after its time, at the latest
//! [`LOOK_EVERY`] later; one with a request under way never. One look at all connections a second takes the place of a
//! timer for each, so a request costs none.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::domain::monotonic::MonotonicInstant;
use tokio::task::AbortHandle;

use super::activity::{ActivityReading, ConnectionActivity};

/// Longest waits for a request.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct RequestTimes {
    /// Time from the acceptance of a connection, or the first byte of a head, to the end of the head.
    pub(in crate::server) head: Duration,
    /// Time for which a connection without a request lives.
    pub(in crate::server) idle: Duration,
}

/// Time between two looks.
pub(super) const LOOK_EVERY: Duration = Duration::from_secs(1);

/// A connection that is watched.
struct WatchedConnection {
    activity: Arc<ConnectionActivity>,
    task: AbortHandle,
    wait: RequestWait,
}

/// Wait of a connection for its next request.
#[derive(Debug, Clone, Copy)]
struct RequestWait {
    begun: u64,
    /// Instant since which nothing was under way and nothing has begun.
    since: MonotonicInstant,
}

impl RequestWait {
    /// Takes a reading of the connection's counters. Returns `true` when the wait has lasted too long.
    fn is_over(&mut self, reading: ActivityReading, times: RequestTimes, now: MonotonicInstant) -> bool {
        if reading.busy || reading.begun != self.begun {
            *self = Self { begun: reading.begun, since: now };
            return false;
        }
        let lasts = |since, time| now.saturating_since(since) >= Some(time);
        match reading.head_began {
            // A head that began while the request before it was under way waited for that one.
            Some(began) if self.begun > 0 => lasts(began.max(self.since), times.head),
            Some(began) => lasts(began, times.head),
            None => lasts(self.since, times.idle),
        }
    }
}

/// All connections of a listener.
pub(super) struct ConnectionWatch {
    times: RequestTimes,
    watched: Vec<WatchedConnection>,
}

impl ConnectionWatch {
    pub(super) const fn new(times: RequestTimes) -> Self {
        Self { times, watched: Vec::new() }
    }

    /// Watches a connection from its acceptance on.
    pub(super) fn add_connection(
        &mut self,
        activity: Arc<ConnectionActivity>,
        task: AbortHandle,
        accepted: MonotonicInstant,
    ) {
        self.watched.push(WatchedConnection {
            activity,
            task,
            wait: RequestWait { begun: 0, since: accepted },
        });
    }

    /// Ends the connections that are overdue, and forgets those that have ended. Returns the number of the former.
    pub(super) fn end_overdue(&mut self, now: MonotonicInstant) -> u64 {
        let (times, mut overdue) = (self.times, 0);
        self.watched.retain_mut(|connection| {
            if connection.task.is_finished() {
                return false;
            }
            let is_over = connection.wait.is_over(connection.activity.read_counters(), times, now);
            if is_over {
                connection.task.abort();
                overdue += 1;
            }
            !is_over
        });
        overdue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(second: u64) -> MonotonicInstant {
        MonotonicInstant::from_millis(1_000 * second)
    }

    #[test]
    fn a_connection_has_half_a_minute_for_a_head_and_a_longer_time_between_requests() {
        let activity = ConnectionActivity::new(at(100));
        let mut wait = RequestWait { begun: 0, since: at(100) };
        let times = RequestTimes { head: Duration::from_secs(30), idle: Duration::from_secs(75) };
        let mut is_over = |second| wait.is_over(activity.read_counters(), times, at(second));
        assert!(!is_over(129) && is_over(130), "the first head");
        activity.clear_head();
        let request = activity.begin_request();
        assert!(!is_over(131) && !is_over(500), "a request under way is never overdue");
        activity.note_head(at(501));
        assert!(!is_over(600), "nor is one behind which the next head begins");
        drop(request);
        assert!(!is_over(629) && is_over(630), "which then has its own time");
        activity.clear_head();
        assert!(!is_over(674) && is_over(675), "nothing at all");
        activity.note_head(at(660));
        assert!(!is_over(689) && is_over(690));
        activity.clear_head();
        activity.note_late_write();
        assert!(!is_over(700) && !is_over(774) && is_over(775));
    }
}
