//! The steps of a script, taken on the simulator's state.
//!
//! Invariants: a step that waits for a number of sends is taken by the last of them, before that send is
//! answered. A step's changes hold for every call handled afterwards, and for none before.

use std::sync::Arc;

use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::address::Address;
use kabar_core::domain::identity::GroupId;
use kabar_core::domain::message::Direction;
use serde_json::Value;
use tokio_util::sync::CancellationToken;

use super::SimulatorState;
use crate::simulator::meta_json::{self, ItemContent};
use crate::simulator::script::{CustomerMessage, FieldValue, ScriptStep};
use crate::simulator::script_player::AwaitedStep;
use crate::simulator::{SimulatedNumber, script_writer};

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
            manner.occasion_percent = change.occasion_percent.unwrap_or(manner.occasion_percent);
            manner.reserved_recipients = change.reserved_recipients.unwrap_or(manner.reserved_recipients);
        });
        self.set_profile(self.number_profile().apply(change.profile));
        if let Some(rules) = change.rules {
            self.set_rules(rules);
        }
        if let Some(per_minute) = change.traffic_per_minute {
            self.set_traffic(per_minute);
        }
        for line in step.lines {
            self.send_line(line);
        }
        for change in step.fields {
            self.send_field(change);
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
        let Some(number) = self.scripted_number(line.to.as_ref()) else { return };
        let now = self.clock.read_now();
        let mut author = line.author.to_customer(self.seed);
        let mut message = line.message;
        author.group = message.get("group_id").and_then(Value::as_str).and_then(GroupId::parse);
        let peer = author.address();
        let wamid = self.next_wamid(&peer, Direction::Inbound);
        script_writer::complete_message(&mut message, &author, wamid, now);
        let card = Some(meta_json::contact_card(&author));
        let item = ItemContent::Message { card, message: message.into() };
        self.deliver_items(&number, &peer, vec![item], now);
    }

    /// Sends a value of the script.
    fn send_field(&self, change: FieldValue) {
        let Some(number) = self.scripted_number(change.to.as_ref()) else { return };
        let now = self.clock.read_now();
        let value = script_writer::complete_value(&change.field, &number, change.value, now);
        let item = ItemContent::Field { field: change.field, value, at: now };
        self.deliver_items(&number, &Address::Phone(number.phone.clone()), vec![item], now);
    }

    /// Returns the number that the script names, or the first one.
    fn scripted_number(&self, id: Option<&PhoneNumberId>) -> Option<Arc<SimulatedNumber>> {
        let number = match id {
            Some(id) => self.find_number(id.as_str()),
            None => self.business_numbers().into_iter().next(),
        };
        if number.is_none() {
            tracing::warn!("the script names a number that is not known");
            self.update_counts(|counts| counts.given_up += 1);
        }
        number
    }
}
