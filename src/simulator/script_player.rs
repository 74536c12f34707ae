//! The order and the times of a script's steps.
//!
//! Invariant: steps are due in their order, each counted from the one before it.

use std::collections::VecDeque;

use kabar_core::domain::monotonic::MonotonicInstant;

use super::script::{ScriptStep, SimulatorScript, StepTime};

/// Steps still to be taken, and the base of the next one's time.
#[derive(Debug)]
pub(super) struct ScriptPlayer {
    steps: VecDeque<ScriptStep>,
    since: MonotonicInstant,
    sends_before: u64,
}

impl ScriptPlayer {
    pub(super) fn new(script: Option<SimulatorScript>, now: MonotonicInstant) -> Self {
        let steps = script.map(|script| script.steps.into()).unwrap_or_default();
        Self { steps, since: now, sends_before: 0 }
    }

    /// Returns the next step, if it is due after this many accepted sends.
    pub(super) fn take_due(&mut self, now: MonotonicInstant, sends: u64) -> Option<ScriptStep> {
        let (since, sends_before) = match self.steps.front()?.when {
            StepTime::AtOnce => (self.since, self.sends_before),
            StepTime::After(span) => (self.since.saturating_plus(span), sends),
            StepTime::AfterSends(count) => (now, self.sends_before.saturating_add(count)),
        };
        if since > now || sends_before > sends {
            return None;
        }
        (self.since, self.sends_before) = (since, sends_before);
        self.steps.pop_front()
    }

    /// Returns the condition of the next step.
    pub(super) fn next_awaited(&self) -> Option<AwaitedStep> {
        Some(match self.steps.front()?.when {
            StepTime::After(span) => AwaitedStep::Instant(self.since.saturating_plus(span)),
            StepTime::AtOnce | StepTime::AfterSends(_) => AwaitedStep::Sends,
        })
    }

    /// Drops the steps that are left.
    pub(super) fn end_script(&mut self) {
        self.steps.clear();
    }
}

/// Condition of the next step.
pub(super) enum AwaitedStep {
    /// A time.
    Instant(MonotonicInstant),
    /// An accepted send, or a step taken by one.
    Sends,
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn steps_count_from_the_step_before() {
        let text = "[[step]]\n[[step]]\nafter = \"2s\"\n[[step]]\nafter_sends = 3\n[[step]]\nafter_sends = 3\n\
                    [[step]]\nafter = \"1s\"";
        let at = MonotonicInstant::from_millis;
        let mut player =
            ScriptPlayer::new(Some(SimulatorScript::parse_text(text, Path::new(".")).unwrap()), at(1000));
        let mut taken = |now, sends| player.take_due(at(now), sends).is_some();
        assert!(taken(1000, 0));
        assert!(!taken(2999, 9), "two seconds after the first");
        // Taken late, and yet its time is that at which it was due.
        assert!(taken(3500, 10));
        assert!(!taken(9000, 12));
        // One send more than needed belongs to the next step.
        assert!(taken(9000, 14));
        assert!(!taken(9000, 15));
        assert!(taken(9500, 16));
        assert!(!taken(10_499, 16));
        assert!(taken(10_500, 16));
        assert!(!taken(99_999, 99));
    }
}
