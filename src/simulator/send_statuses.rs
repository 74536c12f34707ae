//! The statuses and the reply that follow an accepted send.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::domain::address::Address;
use kabar_core::domain::time::Timestamp;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};

use super::SimulatedNumber;
use super::generated_message::GeneratedMessage;
use super::meta_errors::KnownError;
use super::meta_json;
use super::meta_json::{ItemContent, StatusSubject, WebhookItem};
use super::seeded_random::hash_of;
use super::state::{SimulatorBehavior, SimulatorState};
use super::whatsapp_ids;

/// What becomes of an accepted send.
#[derive(Debug, Clone, Copy)]
pub(super) enum SendFate {
    /// It is delivered and read, and played if it is a voice message.
    Delivered {
        /// It is a voice message.
        voice: bool,
    },
    /// It fails with this error.
    Fails(KnownError),
    /// It is held back, and sent after this time, or never.
    Held(Option<Duration>),
}

/// Returns the statuses that follow a send, in order.
pub(super) fn statuses_of(
    world: &SimulatorState,
    number: &Arc<SimulatedNumber>,
    sent: &StatusSubject<'_>,
    fate: SendFate,
) -> Vec<(Timestamp, WebhookItem)> {
    let delay = world.behavior_now().status_delay;
    let piece = |word: &str, status| {
        // The card of a group's status is that of a participant.
        let named = word != "sent" || !matches!(sent.to, Address::Group(_));
        let card = named.then(|| meta_json::recipient_card(sent.customer));
        WebhookItem { number: number.clone(), matter: ItemContent::Status { card, status } }
    };
    let mut at = world.clock.read_now().plus_duration(delay.sent);
    let mut stages = vec![("sent", Duration::ZERO), ("delivered", delay.delivered), ("read", delay.read)];
    match fate {
        SendFate::Fails(known) => {
            return vec![(at, piece("failed", meta_json::failed_item(sent, known.code, at)))];
        }
        SendFate::Held(None) => return Vec::new(),
        SendFate::Held(Some(wait)) => at = at.plus_duration(wait),
        SendFate::Delivered { voice: true } => stages.push(("played", Duration::ZERO)),
        SendFate::Delivered { voice: false } => {}
    }
    let step = |(word, wait)| {
        at = at.plus_duration(wait);
        (at, piece(word, meta_json::status_item(sent, word, at)))
    };
    stages.into_iter().map(step).collect()
}

/// Schedules the customer's reply, if customers reply at all. The text follows from the seed, the recipient, and
/// the count of messages it has got.
pub(super) fn schedule_reply(
    world: &SimulatorState,
    number: &Arc<SimulatedNumber>,
    sent: &StatusSubject<'_>,
) {
    if *world.traffic.borrow() == 0 {
        return;
    }
    let nth = world.sends_to(sent.to);
    let mut dice = StdRng::seed_from_u64(hash_of((world.seed, whatsapp_ids::bare_text(sent.to), nth)));
    let SimulatorBehavior { reply_percent, status_delay: delay, .. } = world.behavior_now();
    if dice.random_range(0..100u8) >= reply_percent {
        return;
    }
    let thinking = Duration::from_millis(dice.random_range(2_000..15_000));
    let at = world.clock.read_now().plus_duration(delay.sent + delay.delivered + delay.read + thinking);
    let message = GeneratedMessage::random_answer(&mut dice);
    world.write_message(number, sent.customer, &message, at);
}
