//! The breaker of a subscriber: whether there is any use in trying it now.
//!
//! Invariants: after so many failures in a row nothing is tried for a pause, and then one attempt at
//! a time until one finds the subscriber well; pauses grow to a minute, which is less than a
//! delivery's own later steps. What is held back has not been tried: it uses up no attempt.

use std::time::Duration;

use crate::domain::monotonic::MonotonicInstant;

/// Failures in a row that open it.
const FAILURES: u32 = 10;
/// The first pause; each further one is twice as long.
const PAUSE: Duration = Duration::from_secs(5);
/// The longest pause.
const PAUSE_MAX: Duration = Duration::from_mins(1);
/// A probe of which nothing is heard for this time is taken for lost.
const PROBE_TIME: Duration = Duration::from_secs(20);

/// How a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BreakerState {
    /// Everything may be tried.
    Closed,
    /// Nothing may be tried.
    Open,
    /// One attempt is under way to find out.
    HalfOpen,
}

/// See the module.
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
    /// How it stands.
    #[must_use]
    pub const fn current_state(&self) -> BreakerState {
        match self.shut {
            None => BreakerState::Closed,
            Some(OpenCircuit { probing: false, .. }) => BreakerState::Open,
            Some(OpenCircuit { probing: true, .. }) => BreakerState::HalfOpen,
        }
    }

    /// Whether everything may be tried.
    #[must_use]
    pub const fn is_closed(&self) -> bool {
        self.shut.is_none()
    }

    /// When to ask again; `None` while it is closed.
    #[must_use]
    pub fn opens_until(&self) -> Option<MonotonicInstant> {
        self.shut.map(|shut| shut.until)
    }

    /// Lets one attempt go, or not.
    pub fn take_outcome(&mut self, now: MonotonicInstant) -> bool {
        let Some(shut) = &mut self.shut else { return true };
        if now < shut.until {
            return false;
        }
        shut.probing = true;
        shut.until = now.saturating_plus(PROBE_TIME);
        true
    }

    /// An attempt was not made after all.
    pub fn give_back(&mut self, now: MonotonicInstant) {
        if let Some(shut) = &mut self.shut
            && shut.probing
        {
            shut.probing = false;
            shut.until = now;
        }
    }

    /// The subscriber answered, whatever it answered; `true` when that closes the breaker.
    pub fn note_well(&mut self) -> bool {
        self.failures = 0;
        self.shut.take().is_some()
    }

    /// The subscriber could not take it; `true` when that opens the breaker.
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
            // Not enough yet, or one of those that were under way when it opened.
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
