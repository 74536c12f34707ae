//! Messages that simulated customers write unprompted, at a rate.
//!
//! Invariants: the same seed and the same numbers give the same messages at the same intervals; rate 0 is
//! silence; a simulator that fell behind (a suspended machine) catches up on one minute at most.

use std::sync::Arc;
use std::time::Duration;

use rand::rngs::StdRng;
use rand::seq::IndexedRandom;
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::generated_message::GeneratedMessage;
use super::simulated_customers;
use super::simulated_customers::SimulatedCustomer;
use super::state::SimulatorState;

const MINUTE_US: u64 = 60_000_000;
const BEHIND_MAX: Duration = Duration::from_mins(1);

/// Everything random about the traffic: senders, texts and times.
struct TrafficGenerator {
    crowd: Vec<SimulatedCustomer>,
    dice: StdRng,
}

impl TrafficGenerator {
    fn new(seed: u64) -> Self {
        Self { crowd: simulated_customers::gather_customers(seed), dice: StdRng::seed_from_u64(seed) }
    }

    /// Returns the next message, to one of these numbers.
    fn next_line<T: Clone>(&mut self, numbers: &[T]) -> Option<(T, SimulatedCustomer, GeneratedMessage)> {
        let number = numbers.choose(&mut self.dice)?.clone();
        let customer = self.crowd.choose(&mut self.dice)?.clone();
        Some((number, customer, GeneratedMessage::random_opening(&mut self.dice)))
    }

    /// Returns the microseconds to the next message: half to one and a half of the mean.
    fn gap_us(&mut self, per_minute: u32) -> u64 {
        let mean = MINUTE_US / u64::from(per_minute.max(1));
        mean / 2 + self.dice.random_range(0..=mean)
    }
}

/// Lets customers write until stopped.
pub(super) async fn run_traffic(world: Arc<SimulatorState>, stop: CancellationToken) {
    // A stop does not wait for the next message.
    let _stopped = stop.run_until_cancelled(write_next(&world)).await;
}

async fn write_next(world: &SimulatorState) {
    let mut rate = world.traffic.subscribe();
    let mut script = TrafficGenerator::new(world.seed);
    let mut base = world.clock.monotonic_now();
    let mut offset_us = 0;
    loop {
        let per_minute = *rate.borrow_and_update();
        if per_minute == 0 {
            if rate.changed().await.is_err() {
                return;
            }
            (base, offset_us) = (world.clock.monotonic_now(), 0);
            continue;
        }
        let due = base.saturating_plus(Duration::from_micros(offset_us));
        tokio::select! {
            // First of all, so that no customer writes any more once the rate is 0.
            biased;
            changed = rate.changed() => {
                if changed.is_err() {
                    return;
                }
                (base, offset_us) = (world.clock.monotonic_now(), 0);
                continue;
            }
            () = world.clock.wait_until(due) => {}
        }
        if let Some((number, customer, message)) = script.next_line(&world.business_numbers()) {
            // The instant at which it was due, converted to wall clock time.
            let now = world.clock.take_reading();
            let at = now.wall.minus_duration(now.monotonic.saturating_since(due).unwrap_or_default());
            world.write_message(&number, &customer.phone, &customer.name, &message, at);
        }
        offset_us += script.gap_us(per_minute);
        if world
            .clock
            .monotonic_now()
            .saturating_since(base.saturating_plus(Duration::from_micros(offset_us)))
            > Some(BEHIND_MAX)
        {
            (base, offset_us) = (world.clock.monotonic_now(), 0);
        }
        // Yield, so that catching up does not starve other tasks.
        tokio::task::yield_now().await;
    }
}
