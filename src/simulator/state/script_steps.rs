//! The steps of a script, taken on the simulator's state.
//!
//! Invariants: a step that waits for a number of sends is taken by the last of them, before that send is
//! answered. A step's changes hold for every call handled afterwards, and for none before.

use std::sync::Arc;

use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::SimulatorState;
use crate::simulator::meta_json;
use crate::simulator::script::{CustomerMessage, ScriptStep};
use crate::simulator::script_player::AwaitedStep;
use crate::simulator::simulated_customers;

/// Takes the steps that wait for a time, until the script or the simulator ends.
pub(in crate::simulator) async fn run_script(world: Arc<SimulatorState>, stop: CancellationToken) {
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
    pub(in crate::simulator) fn take_steps(&self) {
        let mut player = self.lock_player();
        loop {
            let sends = self.counts.borrow().accepted;
            let Some(step) = player.take_due(self.clock.monotonic_now(), sends) else { return };
            let ends = step.end;
            self.take_step(step);
            if ends {
                player.end_script();
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
