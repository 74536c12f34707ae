//! Circuit breaker of a subscriber: stops attempts while they are of no use.
//!
//! Invariants: after a number of failures in a row no attempt is made for a pause. Then one attempt is made
//! at a time until one succeeds. Pauses grow to a minute, which is less than the later pauses of a delivery.
//! A delivery that is held back has not been tried: it uses up no attempt.

use std::time::Duration;

use crate::domain::monotonic::MonotonicInstant;

/// Failures in a row that open the breaker.
const FAILURES: u32 = 10;
/// The first pause; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// A probe without a result after this time counts as lost.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// State of a breaker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// All attempts are allowed.
    Closed,
    /// No attempt is allowed.
    Open,
    /// One probe is in progress.
    HalfOpen,
}

/// Breaker of one subscriber.
#[derive(Debug, Clone, Default)]
pub struct CircuitBreaker {
    failures: u32,
    /// `None` while it is closed.
    shut: Option<OpenCircuit>,
}

#[derive(Debug, Clone, Copy)]
struct OpenCircuit {
    until: MonotonicInstant,
    pause: Duration,
    probing: bool,
}

impl CircuitBreaker {
    /// Returns the state.
    #[must_use]
    pub const fn current_state(&self) -> BreakerState {
        match self.shut {
            None => BreakerState::Closed,
            Some(OpenCircuit { probing: false, .. }) => BreakerState::Open,
            Some(OpenCircuit { probing: true, .. }) => BreakerState::HalfOpen,
        }
    }

    /// Returns `true` when all attempts are allowed.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.shut.is_none()
    }

    /// Returns the time of the next probe; `None` while the breaker is closed.
    #[must_use]
    pub fn opens_until(&self) -> Option<MonotonicInstant> {
        self.shut.map(|shut| shut.until)
    }

    /// Returns `true` when an attempt may be made now.
    pub fn take_outcome(&mut self, now: MonotonicInstant) -> bool {
        let Some(shut) = &mut self.shut else { return true };
        if now < shut.until {
            return false;
        }
        shut.probing = true;
        shut.until = now.saturating_plus(PROBE_TIME);
        true
    }

    /// Records that an allowed attempt was not made.
    pub fn give_back(&mut self, now: MonotonicInstant) {
        if let Some(shut) = &mut self.shut
            && shut.probing
        {
            shut.probing = false;
            shut.until = now;
        }
    }

    /// Records any answer of the subscriber; `true` when it closes the breaker.
    pub fn note_well(&mut self) -> bool {
        self.failures = 0;
        self.shut.take().is_some()
    }

    /// Records a failure; `true` when it opens the breaker.
    pub fn note_failure(&mut self, now: MonotonicInstant) -> bool {
        self.failures = self.failures.saturating_add(1);
        match &mut self.shut {
            Some(shut) if shut.probing => {
                shut.pause = (shut.pause * 2).min(PAUSE_MAX);
                shut.until = now.saturating_plus(shut.pause);
                shut.probing = false;
                false
            }
            None if self.failures >= FAILURES => {
                self.shut =
                    Some(OpenCircuit { until: now.saturating_plus(PAUSE), pause: PAUSE, probing: false });
                true
            }
            // Too few failures, or an attempt that began before the breaker opened.
            Some(_) | None => false,
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

    fn opened(now: u64) -> CircuitBreaker {
        let mut breaker = CircuitBreaker::default();
        for n in 1..=FAILURES {
            assert!(breaker.take_outcome(at(now)));
            assert_eq!(breaker.note_failure(at(now)), n == FAILURES);
        }
        breaker
    }

    #[test]
    fn it_opens_probes_and_closes() {
        let mut breaker = opened(0);
        // Stragglers change nothing.
        assert!(!breaker.note_failure(at(1)));
        assert_eq!((breaker.opens_until(), breaker.take_outcome(at(4))), (Some(at(5)), false));
        assert!(breaker.take_outcome(at(5)) && !breaker.take_outcome(at(5)));
        assert_eq!(breaker.current_state(), BreakerState::HalfOpen);
        assert!(!breaker.note_failure(at(6)));
        assert_eq!((breaker.current_state(), breaker.opens_until()), (BreakerState::Open, Some(at(16))));
        assert!(breaker.take_outcome(at(16)) && breaker.note_well());
        assert!(breaker.is_closed() && breaker.take_outcome(at(16)) && breaker.take_outcome(at(16)));
        // It forgets: again so many are needed.
        assert!(!breaker.note_failure(at(17)) && breaker.is_closed());
    }

    #[test]
    fn a_probe_that_is_lost_or_given_back_does_not_stop_the_next() {
        let mut breaker = opened(0);
        assert!(breaker.take_outcome(at(5)) && !breaker.take_outcome(at(24)) && breaker.take_outcome(at(25)));
        breaker.give_back(at(26));
        assert!(breaker.take_outcome(at(26)));
    }

    proptest! {
        /// However it is used, while it is open fewer than two attempts go in any five seconds.
        #[test]
        fn what_is_down_is_not_hammered(steps in proptest::collection::vec(0_u64..4, 1..200)) {
            let (mut breaker, mut now, mut last) = (opened(0), 0, 0);
            for step in steps {
                now += step;
                if breaker.take_outcome(at(now)) {
                    prop_assert!(now - last >= 5, "{last} {now}");
                    last = now;
                    breaker.note_failure(at(now));
                }
                let until = breaker.opens_until().unwrap();
                prop_assert!(until <= at(now).saturating_plus(PAUSE_MAX));
            }
        }
    }
}
