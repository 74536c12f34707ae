//! The source of time. No other module may read the machine's clocks.
//!
//! A process has two clocks. *Wall time* ([`Clock::read_now`]) is the machine's clock, read on every call: it
//! follows every step, forwards and backwards. *Process time* ([`Clock::monotonic_now`]) continues while the
//! process is stopped or the machine sleeps, and is never set. All waits are by process time.
//!
//! Invariant: process time never goes backwards.

use std::time::Duration;

use tokio::sync::watch;

use crate::boot_clock::since_boot;
use crate::domain::monotonic::MonotonicInstant;
use crate::domain::time::Timestamp;
use crate::surroundings::{AwaitKind, wait_for};

/// The longest wait that a manual clock steps over by itself.
const MANUAL_STEP: Duration = Duration::from_millis(5);
/// Longest time until a wait reads the clock again: Tokio's timers stop while the machine sleeps, process
/// time does not.
const RECHECK_EVERY: Duration = Duration::from_secs(10);

/// A source of time. Passed to all code that needs the time, so that tests control it.
#[derive(Debug)]
pub enum Clock {
    /// The machine's clocks.
    System(ClockSources),
    /// Time that moves only when a test advances it.
    Manual(watch::Sender<ManualTime>),
}

/// The two clocks that a system clock reads.
#[derive(Debug, Clone, Copy)]
pub struct ClockSources {
    /// Reads the wall clock.
    pub wall: fn() -> Timestamp,
    /// Reads the process clock.
    pub monotonic: fn() -> MonotonicInstant,
}

/// The readings of both clocks at one moment. Converts persisted times into waits of this process.
#[derive(Debug, Clone, Copy)]
pub struct ClockReading {
    /// Wall time.
    pub wall: Timestamp,
    /// Process time.
    pub monotonic: MonotonicInstant,
}

/// The readings of a manual clock.
#[derive(Debug, Clone, Copy)]
pub struct ManualTime {
    wall: Timestamp,
    monotonic: MonotonicInstant,
}

impl ManualTime {
    fn advance(&mut self, by: Duration) {
        self.wall = self.wall.plus_duration(by);
        self.monotonic = self.monotonic.saturating_plus(by);
    }
}

impl Clock {
    /// Creates a clock that reads the machine's clocks.
    #[must_use]
    pub const fn system_clock() -> Self {
        Self::System(ClockSources { wall: machine_wall_time, monotonic: machine_process_time })
    }

    /// Creates a clock that shows `start` until it is advanced.
    #[must_use]
    pub fn manual_clock(start: Timestamp) -> Self {
        // Far from the wall time, so that a mixture of the two shows.
        let monotonic = MonotonicInstant::from_millis(1_000_000);
        Self::Manual(watch::Sender::new(ManualTime { wall: start, monotonic }))
    }

    /// Returns the current wall time. It may be before the last one read, because the machine's clock can be
    /// set back.
    #[must_use]
    pub fn read_now(&self) -> Timestamp {
        match self {
            Self::System(sources) => (sources.wall)(),
            Self::Manual(time) => time.borrow().wall,
        }
    }

    /// Returns the current instant of process time.
    #[must_use]
    pub fn monotonic_now(&self) -> MonotonicInstant {
        match self {
            Self::System(sources) => (sources.monotonic)(),
            Self::Manual(time) => time.borrow().monotonic,
        }
    }

    /// Returns both times.
    #[must_use]
    pub fn take_reading(&self) -> ClockReading {
        ClockReading { wall: self.read_now(), monotonic: self.monotonic_now() }
    }

    /// Advances both times of a manual clock. A system clock ignores the call.
    pub fn advance_manual(&self, by: Duration) {
        if let Self::Manual(time) = self {
            time.send_modify(|time| time.advance(by));
        }
    }

    /// Sets the wall time of a manual clock, as an operator sets a machine's clock. Process time stays.
    pub fn set_wall(&self, to: Timestamp) {
        if let Self::Manual(time) = self {
            time.send_modify(|time| time.wall = to);
        }
    }

    /// Returns when `monotonic_now()` has reached `at`. A manual clock steps over waits of a few milliseconds by
    /// itself, because a commit that waits for the next millisecond must not wait for a test.
    pub async fn wait_until(&self, at: MonotonicInstant) {
        wait_for(AwaitKind::Alarm, self.sleep_until(at)).await;
    }

    async fn sleep_until(&self, at: MonotonicInstant) {
        match self {
            Self::System(sources) => {
                while let Some(left) = at.saturating_since((sources.monotonic)()) {
                    tokio::time::sleep(left.min(RECHECK_EVERY)).await;
                }
            }
            Self::Manual(time) => {
                time.send_if_modified(|time| {
                    let step = at.saturating_since(time.monotonic).filter(|left| *left <= MANUAL_STEP);
                    time.advance(step.unwrap_or_default());
                    step.is_some()
                });
                let mut moved = time.subscribe();
                // The sender lives in `self`, so the wait cannot fail.
                let _reached = moved.wait_for(|time| time.monotonic >= at).await;
            }
        }
    }

    /// Waits for the given time.
    pub async fn sleep_for(&self, time: Duration) {
        self.wait_until(self.monotonic_now().saturating_plus(time)).await;
    }
}

#[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
fn machine_wall_time() -> Timestamp {
    Timestamp::from_millis(chrono::Utc::now().timestamp_millis())
}

/// Milliseconds of the clock by which leases are counted too.
fn machine_process_time() -> MonotonicInstant {
    MonotonicInstant::from_millis(u64::try_from(since_boot().as_millis()).unwrap_or(u64::MAX))
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, AtomicU64, Ordering};

    use super::*;

    static WALL_MS: AtomicI64 = AtomicI64::new(0);
    static PROCESS_MS: AtomicU64 = AtomicU64::new(0);
    const HOUR_MS: i64 = 3_600_000;

    #[tokio::test]
    async fn a_system_clock_follows_steps_of_the_machine_both_ways_and_its_waits_do_not() {
        let clock = Clock::System(ClockSources {
            wall: || Timestamp::from_millis(WALL_MS.load(Ordering::SeqCst)),
            monotonic: || MonotonicInstant::from_millis(PROCESS_MS.load(Ordering::SeqCst)),
        });
        for wall_ms in [10 * HOUR_MS, 11 * HOUR_MS, 9 * HOUR_MS] {
            WALL_MS.store(wall_ms, Ordering::SeqCst);
            assert_eq!(clock.read_now(), Timestamp::from_millis(wall_ms));
        }
        PROCESS_MS.store(7_000, Ordering::SeqCst);
        let until = clock.monotonic_now().saturating_plus(Duration::from_millis(1));
        let waiting = clock.wait_until(until);
        tokio::pin!(waiting);
        WALL_MS.store(20 * HOUR_MS, Ordering::SeqCst);
        assert!(futures_util::poll!(&mut waiting).is_pending(), "wall time ends no wait");
        PROCESS_MS.store(7_001, Ordering::SeqCst);
        WALL_MS.store(HOUR_MS, Ordering::SeqCst);
        waiting.await;
    }

    #[test]
    fn the_machines_clocks_are_read_anew() {
        let clock = Clock::system_clock();
        assert!(clock.read_now() > Timestamp::from_seconds(1_700_000_000));
        let earlier = clock.monotonic_now();
        assert!(earlier > MonotonicInstant::START && clock.monotonic_now() >= earlier);
    }

    #[tokio::test]
    async fn a_manual_clock_moves_both_times_and_sets_one() {
        let start = Timestamp::from_seconds(1_000_000);
        let clock = Clock::manual_clock(start);
        let began = clock.monotonic_now();
        clock.advance_manual(Duration::from_secs(2));
        assert_eq!(clock.read_now(), start.plus_duration(Duration::from_secs(2)));
        assert_eq!(clock.monotonic_now().saturating_since(began), Some(Duration::from_secs(2)));
        clock.set_wall(start.minus_duration(Duration::from_hours(1)));
        assert_eq!(clock.read_now(), start.minus_duration(Duration::from_hours(1)));
        assert_eq!(clock.monotonic_now().saturating_since(began), Some(Duration::from_secs(2)));
        clock.sleep_for(MANUAL_STEP).await;
        assert_eq!(clock.monotonic_now().saturating_since(began), Some(Duration::from_secs(2) + MANUAL_STEP));
    }
}
