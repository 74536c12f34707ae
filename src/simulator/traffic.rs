//! Messages that simulated customers write unprompted, at a rate.
//!
//! Invariants: the same seed and the same numbers give the same messages at the same intervals; rate 0 is
//! silence; a simulator that fell behind (a suspended machine) catches up on one minute at most.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::domain::identity::UserId;
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use rand::rngs::StdRng;
use rand::seq::{IndexedRandom, IteratorRandom};
use rand::{RngExt, SeedableRng};
use tokio_util::sync::CancellationToken;

use super::generated_message::GeneratedMessage;
use super::occasion::{CustomerChange, OccasionKind, OccasionScene};
use super::seeded_random::roll_percent;
use super::simulated_customers;
use super::simulated_customers::SimulatedCustomer;
use super::state::SimulatorState;
use super::whatsapp_ids;

const MINUTE_US: u64 = 60_000_000;
const BEHIND_MAX: Duration = Duration::from_mins(1);

/// Everything random about the traffic: senders, texts, occasions and times.
struct TrafficGenerator {
    crowd: Vec<SimulatedCustomer>,
    dice: StdRng,
}

/// What a customer does next.
enum TrafficItem {
    Message(GeneratedMessage),
    Occasion(OccasionKind),
}

impl TrafficGenerator {
    fn new(seed: u64, varied: bool) -> Self {
        Self { crowd: simulated_customers::gather_customers(seed, varied), dice: StdRng::seed_from_u64(seed) }
    }

    /// Returns the next item, for one of these numbers, and the place of its customer in the crowd.
    fn next_item<T: Clone>(
        &mut self,
        numbers: &[T],
        occasion_percent: u8,
    ) -> Option<(T, usize, TrafficItem)> {
        let number = numbers.choose(&mut self.dice)?.clone();
        let place = (0..self.crowd.len()).choose(&mut self.dice)?;
        let item = if roll_percent(&mut self.dice, occasion_percent) {
            TrafficItem::Occasion(OccasionKind::draw(&mut self.dice))
        } else {
            TrafficItem::Message(GeneratedMessage::random_opening(&mut self.dice))
        };
        Some((number, place, item))
    }

    /// Lets a customer change their number or user id; `None` when they cannot. The customer stays the same one.
    fn change_customer(&mut self, place: usize, kind: OccasionKind) -> Option<CustomerChange> {
        let numbered = self.crowd.get(place)?.wa_id.is_some();
        if kind == OccasionKind::NumberChange && numbered {
            let digits = format!("447700900{:03}", self.dice.random_range(0..1000u32));
            let phone = Phone::parse(&digits)?;
            let user_id = whatsapp_ids::user_id_of(&phone);
            if self.crowd.iter().any(|known| known.user_id == user_id) {
                return None;
            }
            let customer = self.crowd.get_mut(place)?;
            customer.user_id = user_id;
            customer.wa_id = Some(phone.clone());
            return Some(CustomerChange::Number(phone));
        }
        // Of a customer with a number, the id follows from the number.
        if kind == OccasionKind::UserIdChange && !numbered {
            let customer = self.crowd.get_mut(place)?;
            let country = customer.user_id.as_ref()?.as_str().get(..2)?;
            let id = UserId::parse(&format!("{country}.{}", self.dice.random::<u64>()))?;
            customer.user_id = Some(id.clone());
            return Some(CustomerChange::UserId(id));
        }
        None
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

/// Lets one customer do something at this time.
fn deliver_next(world: &SimulatorState, script: &mut TrafficGenerator, at: Timestamp) {
    let percent = world.behavior_now().occasion_percent;
    let Some((number, place, item)) = script.next_item(&world.business_numbers(), percent) else { return };
    let Some(customer) = script.crowd.get(place).cloned() else { return };
    let kind = match item {
        TrafficItem::Message(message) => return world.write_message(&number, &customer, &message, at),
        TrafficItem::Occasion(kind) => kind,
    };
    let peer = customer.address();
    let scene = OccasionScene {
        number: &number,
        customer: &customer,
        at,
        recent: world.recent_messages(&peer),
        next_wamid: &|peer, direction| world.next_wamid(peer, direction),
    };
    let items = match script.change_customer(place, kind) {
        Some(new) => vec![scene.change_notice(&new)],
        None => scene.build(kind, &mut script.dice),
    };
    if items.is_empty() {
        let message = GeneratedMessage::random_opening(&mut script.dice);
        return world.write_message(&number, &customer, &message, at);
    }
    world.deliver_items(&number, &peer, items, at);
}

async fn write_next(world: &SimulatorState) {
    let mut rate = world.traffic.subscribe();
    let mut script = TrafficGenerator::new(world.seed, world.behavior_now().occasion_percent > 0);
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
        // The instant at which it was due, converted to wall clock time.
        let now = world.clock.take_reading();
        let at = now.wall.minus_duration(now.monotonic.saturating_since(due).unwrap_or_default());
        deliver_next(world, &mut script, at);
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
