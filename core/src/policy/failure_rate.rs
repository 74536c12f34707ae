//! Failure-rate breaker of a hook (contract, section 10). When at least half of at least twenty runs within
//! five minutes fail, the hook is paused. One run is then tried each minute until one succeeds; after a day
//! without success the hook is disabled.
//!
//! Invariant: a run that is held back has not been tried, and uses up no attempt.

use std::collections::VecDeque;
use std::time::Duration;

use crate::domain::monotonic::MonotonicInstant;

/// Time over which runs are counted.
const WINDOW: Duration = Duration::from_mins(5);
/// Runs that are required for a decision.
const RUNS_MIN: u32 = 20;
/// Pause before each probe.
const PROBE_EVERY: Duration = Duration::from_mins(1);
/// A hook that stays paused for this long is disabled.
const PAUSED_MAX: Duration = Duration::from_hours(24);
/// Resolution of the window: runs within this time expire together.
const SLICE: Duration = Duration::from_secs(5);

/// Change of a hook's health by one outcome.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HealthChange {
    /// No change.
    None,
    /// The hook is paused from now on.
    Paused,
    /// The hook has recovered.
    Recovered,
    /// The hook was paused for too long.
    GivenUp,
}

#[derive(Debug, Clone, Copy)]
struct WindowSlice {
    begin: MonotonicInstant,
    runs: u32,
    failed: u32,
}

#[derive(Debug, Clone, Copy)]
struct FailurePause {
    since: MonotonicInstant,
    /// Time for which it had been paused at `since`, by its row.
    before: Duration,
    until: MonotonicInstant,
    probing: bool,
}

/// Breaker of one hook.
#[derive(Debug, Clone, Default)]
pub struct FailureRate {
    slices: VecDeque<WindowSlice>,
    pause: Option<FailurePause>,
}

impl FailureRate {
    /// Creates the breaker of a hook that has been paused for this time; a restarted server continues to
    /// probe.
    #[must_use]
    pub fn start_paused(before: Duration, now: MonotonicInstant) -> Self {
        let until = now.saturating_plus(PROBE_EVERY.saturating_sub(before));
        Self {
            slices: VecDeque::new(),
            pause: Some(FailurePause { since: now, before, until, probing: false }),
        }
    }

    /// Returns `true` when all runs are allowed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.pause.is_none()
    }

    /// Returns the time of the next probe; `None` while all runs are allowed.
    #[must_use]
    pub fn paused_until(&self) -> Option<MonotonicInstant> {
        self.pause.map(|pause| pause.until)
    }

    /// Returns `true` when a run may be made now.
    pub fn take_outcome(&mut self, now: MonotonicInstant) -> bool {
        let Some(pause) = &mut self.pause else { return true };
        if now < pause.until {
            return false;
        }
        pause.probing = true;
        // A probe without a result until then counts as lost.
        pause.until = now.saturating_plus(PROBE_EVERY);
        true
    }

    /// Records that an allowed run was not made.
    pub fn give_back(&mut self, now: MonotonicInstant) {
        if let Some(pause) = &mut self.pause
            && pause.probing
        {
            pause.probing = false;
            pause.until = now;
        }
    }

    /// Records a run that succeeded, or in which the hook rejected the event for good.
    pub fn note_well(&mut self, now: MonotonicInstant) -> HealthChange {
        if self.pause.is_some_and(|pause| pause.probing) {
            *self = Self::default();
            return HealthChange::Recovered;
        }
        self.count_runs(now, false);
        HealthChange::None
    }

    /// Records a failed run.
    pub fn note_failure(&mut self, now: MonotonicInstant) -> HealthChange {
        let Some(pause) = &mut self.pause else {
            self.count_runs(now, true);
            let (runs, failed) = self.slices.iter().fold((0_u32, 0_u32), |(runs, failed), one| {
                (runs.saturating_add(one.runs), failed.saturating_add(one.failed))
            });
            if runs < RUNS_MIN || failed.saturating_mul(2) < runs {
                return HealthChange::None;
            }
            self.slices.clear();
            let until = now.saturating_plus(PROBE_EVERY);
            self.pause = Some(FailurePause { since: now, before: Duration::ZERO, until, probing: false });
            return HealthChange::Paused;
        };
        if !pause.probing {
            // A run that began before the hook was paused.
            return HealthChange::None;
        }
        pause.probing = false;
        pause.until = now.saturating_plus(PROBE_EVERY);
        let paused_for = pause.before.saturating_add(now.saturating_since(pause.since).unwrap_or_default());
        if paused_for >= PAUSED_MAX { HealthChange::GivenUp } else { HealthChange::None }
    }

    fn count_runs(&mut self, now: MonotonicInstant, failed: bool) {
        if self.pause.is_some() {
            return;
        }
        while self.slices.front().is_some_and(|slice| slice.begin.saturating_plus(WINDOW) <= now) {
            self.slices.pop_front();
        }
        if self.slices.back().is_none_or(|slice| slice.begin.saturating_plus(SLICE) <= now) {
            self.slices.push_back(WindowSlice { begin: now, runs: 0, failed: 0 });
        }
        if let Some(slice) = self.slices.back_mut() {
            slice.runs = slice.runs.saturating_add(1);
            slice.failed = slice.failed.saturating_add(u32::from(failed));
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(seconds: u64) -> MonotonicInstant {
        MonotonicInstant::from_millis(seconds * 1000)
    }

    fn paused() -> FailureRate {
        let mut rate = FailureRate::default();
        let turns: Vec<HealthChange> = (0..20).map(|n| rate.note_failure(at(n))).collect();
        assert_eq!(turns.iter().position(|turn| *turn == HealthChange::Paused), Some(19));
        rate
    }

    #[test]
    fn half_of_twenty_within_five_minutes_pause_it() {
        let mut rate = FailureRate::default();
        for n in 0..30 {
            let turn = if n % 3 == 0 { rate.note_failure(at(n)) } else { rate.note_well(at(n)) };
            assert_eq!(turn, HealthChange::None, "a third of them failed");
        }
        let mut slow = FailureRate::default();
        for n in 0..100 {
            assert_eq!(slow.note_failure(at(n * 16)), HealthChange::None, "19 within five minutes");
        }
        paused();
    }

    #[test]
    fn a_probe_each_minute_until_one_succeeds() {
        let mut rate = paused();
        assert_eq!((rate.paused_until(), rate.take_outcome(at(78))), (Some(at(79)), false));
        // Stragglers change nothing.
        assert_eq!(
            (rate.note_well(at(20)), rate.note_failure(at(20))),
            (HealthChange::None, HealthChange::None)
        );
        assert!(rate.take_outcome(at(79)) && !rate.take_outcome(at(79)));
        assert_eq!(rate.note_failure(at(80)), HealthChange::None);
        assert!(!rate.take_outcome(at(139)) && rate.take_outcome(at(140)));
        rate.give_back(at(141));
        assert!(rate.take_outcome(at(141)));
        assert_eq!(rate.note_well(at(142)), HealthChange::Recovered);
        assert!(rate.is_closed() && rate.take_outcome(at(142)));
        assert_eq!(rate.note_failure(at(143)), HealthChange::None, "it counts afresh");
    }

    #[test]
    fn after_a_day_it_is_given_up() {
        let (mut rate, mut now, mut probes) =
            (FailureRate::start_paused(Duration::from_secs(5), at(5)), 5, 0);
        let turn = loop {
            if rate.take_outcome(at(now)) {
                probes += 1;
                let turn = rate.note_failure(at(now));
                if turn != HealthChange::None {
                    break turn;
                }
            }
            now += 1;
        };
        assert_eq!((turn, probes, now), (HealthChange::GivenUp, 24 * 60, 24 * 3600));
    }

    proptest! {
        /// While it is paused fewer than two runs go in any minute.
        #[test]
        fn what_is_paused_is_not_hammered(steps in proptest::collection::vec(0_u64..40, 1..200)) {
            let (mut rate, mut now, mut last) = (paused(), 19, 19);
            for step in steps {
                now += step;
                if rate.take_outcome(at(now)) {
                    prop_assert!(now - last >= 60, "{last} {now}");
                    last = now;
                    rate.note_failure(at(now));
                }
            }
        }
    }
}
