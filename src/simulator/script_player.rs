//! Plays a script: takes its steps when they are due.
//!
//! Invariants: steps are taken in their order, each whole. A step that waits for a number of sends is taken
//! by the last of them, before that send is answered. A step's changes hold for every call handled
//! afterwards, and for none before.

use std::collections::VecDeque;
use std::sync::Arc;

use kabar_core::domain::monotonic::MonotonicInstant;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::meta_json;
use super::script::{CustomerMessage, ScriptStep, SimulatorScript, StepTime};
use super::simulated_customers;
use super::state::SimulatorState;

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
    fn take_due(&mut self, now: MonotonicInstant, sends: u64) -> Option<ScriptStep> {
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
    fn next_awaited(&self) -> Option<AwaitedStep> {
        Some(match self.steps.front()?.when {
            StepTime::After(span) => AwaitedStep::Instant(self.since.saturating_plus(span)),
            StepTime::AtOnce | StepTime::AfterSends(_) => AwaitedStep::Sends,
        })
    }
}

enum AwaitedStep {
    Instant(MonotonicInstant),
    Sends,
}

/// Takes the steps that wait for a time, until the script or the simulator ends.
pub(super) async fn run_script(world: Arc<SimulatorState>, stop: CancellationToken) {
    // A stop does not wait for the next step.
    let _stopped = stop.run_until_cancelled(take_in_time(&world)).await;
}

async fn take_in_time(world: &SimulatorState) {
    let mut counts = world.counts.subscribe();
    loop {
        world.take_steps();
        let taken = counts.borrow_and_update().steps;
        let awaited = world.lock_player().next_awaited();
        match awaited {
            None => return,
            Some(AwaitedStep::Instant(due)) => world.clock.wait_until(due).await,
            // The call that accepts the last of these sends takes the step.
            Some(AwaitedStep::Sends) => {
                if counts.wait_for(|counts| counts.steps != taken).await.is_err() {
                    return;
                }
            }
        }
    }
}

impl SimulatorState {
    /// Takes every step that is due.
    pub(super) fn take_steps(&self) {
        let mut player = self.lock_player();
        loop {
            let sends = self.counts.borrow().accepted;
            let Some(step) = player.take_due(self.clock.monotonic_now(), sends) else { return };
            let ends = step.end;
            self.take_step(step);
            if ends {
                player.steps.clear();
                self.ended.cancel();
            }
            self.update_counts(|counts| counts.steps += 1);
        }
    }

    fn take_step(&self, step: ScriptStep) {
        let change = step.change;
        self.set_faults(change.apply_faults(self.network_faults()));
        self.change_manner(|manner| {
            manner.status_delay = change.status_delay(manner.status_delay);
            manner.reply_percent = change.reply_percent.unwrap_or(manner.reply_percent);
            manner.reserved_recipients = change.reserved_recipients.unwrap_or(manner.reserved_recipients);
        });
        if let Some(rules) = change.rules {
            self.set_rules(rules);
        }
        if let Some(per_minute) = change.traffic_per_minute {
            self.set_traffic(per_minute);
        }
        for line in step.lines {
            self.send_line(line);
        }
        for body in step.posts {
            self.post_webhook(body);
        }
        // Last, so that released calls find all other changes in force.
        if let Some(gate) = change.gate {
            self.gate.send_replace(gate);
        }
    }

    /// Sends a customer's message of the script.
    fn send_line(&self, line: CustomerMessage) {
        let number = match &line.to {
            Some(id) => self.find_number(id.as_str()),
            None => self.business_numbers().into_iter().next(),
        };
        let Some(number) = number else {
            tracing::warn!("a customer of the script writes to a number that is not known");
            return self.update_counts(|counts| counts.given_up += 1);
        };
        let now = self.clock.read_now();
        let mut message = line.message;
        let defaults = [
            ("from", Value::from(line.from.as_digits())),
            ("id", self.next_wamid().into()),
            ("timestamp", meta_json::format_seconds(now).into()),
        ];
        for (key, value) in defaults {
            message.entry(key).or_insert(value);
        }
        let name = line.name.unwrap_or_else(|| simulated_customers::name_of(self.seed, &line.from));
        self.deliver_message(&number, &line.from, &name, message.into(), now);
    }
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
