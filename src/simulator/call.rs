//! One call to the API: its response, and the webhooks that follow.
//!
//! Invariants: a call is checked in Meta's order (token, number, request, recipient). A send is recorded
//! before its first webhook can leave, and is recorded exactly when it is accepted, even if its response does
//! not arrive. A call runs to its end although its caller hangs up.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::domain::phone::Phone;
use rand::rngs::StdRng;
use rand::{RngExt, SeedableRng};
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::failure_rule::{RuleSubject, RuleVerdict};
use super::generated_message::GeneratedMessage;
use super::meta_errors;
use super::meta_errors::KnownError;
use super::meta_json;
use super::meta_json::{ItemContent, WebhookItem};
use super::seeded_random::{RandomPurpose, hash_of, roll_percent};
use super::send_log::RecordedSend;
use super::state::{NoRoom, SimulatorBehavior, SimulatorState};
use super::{CallGate, SimulatedNumber, simulated_customers};

/// Longest wait for a webhook receiver that is down before the response is sent.
const EARLY_STATUS_WAIT: Duration = Duration::from_secs(5);
/// WhatsApp's limit of a text.
const TEXT_CHARS_MAX: usize = 4096;
const INVALID_PARAMETER: i64 = 100;
const RATE_LIMIT_HIT: i64 = 130_429;
const TOKEN_REFUSED: i64 = 190;

/// Response to the caller.
pub(super) enum CallAnswer {
    /// HTTP status and body.
    Told(u16, Value),
    /// A bare HTTP status, without a body of Meta's.
    Bare(u16),
    /// The connection ends in the middle of the response.
    BrokenOff,
}

/// The fields of an accepted send that its webhooks need.
struct AcceptedSend<'a> {
    number: &'a Arc<SimulatedNumber>,
    to: &'a Phone,
    wamid: &'a str,
    opaque: Option<&'a str>,
}

/// Answers one call, once the gate lets it through.
pub(super) async fn answer_call(world: &SimulatorState, id: &str, token: &str, body: &[u8]) -> CallAnswer {
    world.update_counts(|counts| counts.received += 1);
    let mut gate = world.gate.subscribe();
    // `world` owns the sender, so the gate always has a value.
    let open = gate.wait_for(|gate| *gate != CallGate::Held).await.is_ok_and(|gate| *gate == CallGate::Open);
    if open { judge_call(world, id, token, body).await } else { CallAnswer::BrokenOff }
}

async fn judge_call(world: &SimulatorState, id: &str, token: &str, body: &[u8]) -> CallAnswer {
    if token.is_empty() || token.starts_with("expired") {
        return refuse_call(world, TOKEN_REFUSED, "The access token is missing or has expired.");
    }
    let Some(number) = world.find_number(id) else {
        return refuse_call(world, INVALID_PARAMETER, "No such phone number id, or no permission for it.");
    };
    let body: Value = match serde_json::from_slice(body) {
        Ok(body) => body,
        Err(_) => return refuse_call(world, INVALID_PARAMETER, "The body is not JSON."),
    };
    if text(&body, "messaging_product") != Some("whatsapp") {
        return refuse_call(world, INVALID_PARAMETER, "messaging_product must be whatsapp.");
    }
    if text(&body, "status") == Some("read") {
        return match text(&body, "message_id") {
            Some(wamid) => {
                world.record_receipt(wamid);
                CallAnswer::Told(200, json!({"success": true}))
            }
            None => refuse_call(world, INVALID_PARAMETER, "message_id is required."),
        };
    }
    accept_send(world, &number, &body).await
}

async fn accept_send(world: &SimulatorState, number: &Arc<SimulatedNumber>, body: &Value) -> CallAnswer {
    let input = text(body, "to").unwrap_or_default();
    let Some(to) = Phone::parse(input) else {
        return refuse_call(world, INVALID_PARAMETER, "to must be a phone number.");
    };
    let kind = text(body, "type").unwrap_or("text");
    if let Some(mistake) = find_mistake(kind, body) {
        return refuse_call(world, INVALID_PARAMETER, mistake);
    }
    let mut dice = world.customer_rng(RandomPurpose::Call, &to);
    let subject = RuleSubject { number: &number.phone_number_id, to: &to, now: world.clock.read_now() };
    let failure = match world.find_verdict(&subject, &mut dice) {
        None => None,
        Some(RuleVerdict::Cut) => return CallAnswer::BrokenOff,
        Some(RuleVerdict::Http(status)) => {
            world.update_counts(|counts| counts.refused += 1);
            return CallAnswer::Bare(status);
        }
        Some(RuleVerdict::Error(code)) => match meta_errors::describe_error(code) {
            KnownError { http: Some(_), .. } => return refuse_call(world, code, "Simulated failure."),
            told_later => Some(told_later),
        },
    };
    let wamid = world.next_wamid();
    let opaque = text(body, "biz_opaque_callback_data");
    let sent = AcceptedSend { number, to: &to, wamid: &wamid, opaque };
    let record = || {
        world.record_send(RecordedSend {
            phone_number_id: number.phone_number_id.clone(),
            to: to.clone(),
            kind: kind.to_owned(),
            body: body.clone(),
            opaque: opaque.map(str::to_owned),
            wamid: wamid.clone(),
            at: world.clock.read_now(),
        });
    };
    let pieces = schedule_statuses(world, &sent, failure);
    let faults = world.network_faults();
    let (told, first_done) = oneshot::channel();
    let early = roll_percent(&mut dice, faults.early_status_percent);
    let late = roll_percent(&mut dice, faults.late_answer_percent);
    let dropped = roll_percent(&mut dice, faults.drop_answer_percent);
    if let Err(NoRoom) = world.schedule_items(&to, pieces, &mut dice, early.then_some(told), record) {
        return refuse_call(world, RATE_LIMIT_HIT, "Too many webhooks wait to be taken.");
    }
    if failure.is_none() {
        schedule_reply(world, &sent);
    }
    if early {
        // The response is sent even if the status is late.
        let _in_time = tokio::time::timeout(EARLY_STATUS_WAIT, first_done).await;
    }
    if late {
        world.clock.sleep_for(faults.answer_delay).await;
    }
    if dropped {
        return CallAnswer::BrokenOff;
    }
    CallAnswer::Told(200, meta_json::accepted_body(input, &to, &wamid))
}

/// Returns the mistake in a send, if any.
fn find_mistake(kind: &str, body: &Value) -> Option<&'static str> {
    let object = body.get(kind);
    if !object.is_some_and(|object| object.is_object() || object.is_array()) {
        return Some("The object that type names is missing.");
    }
    let too_long = |text: &str| text.is_empty() || text.chars().count() > TEXT_CHARS_MAX;
    if kind == "text" && object.and_then(|object| text(object, "body")).is_none_or(too_long) {
        return Some("text.body must have 1 to 4096 characters.");
    }
    None
}

/// Returns the statuses that follow a send, in order.
fn schedule_statuses(
    world: &SimulatorState,
    sent: &AcceptedSend<'_>,
    failure: Option<KnownError>,
) -> Vec<(kabar_core::domain::time::Timestamp, WebhookItem)> {
    let delay = world.behavior_now().status_delay;
    let piece = |status| WebhookItem { number: sent.number.clone(), matter: ItemContent::Status(status) };
    let mut at = world.clock.read_now().plus_duration(delay.sent);
    if let Some(known) = failure {
        return vec![(at, piece(meta_json::failed_item(sent.wamid, known.code, sent.to, at, sent.opaque)))];
    }
    let stages = [("sent", Duration::ZERO), ("delivered", delay.delivered), ("read", delay.read)];
    let step = |(word, wait)| {
        at = at.plus_duration(wait);
        (at, piece(meta_json::status_item(sent.wamid, word, sent.to, at, sent.opaque)))
    };
    stages.into_iter().map(step).collect()
}

/// Schedules the customer's reply, if customers reply at all. The text follows from the seed, the number, and
/// the count of messages it has got.
fn schedule_reply(world: &SimulatorState, sent: &AcceptedSend<'_>) {
    if *world.traffic.borrow() == 0 {
        return;
    }
    let nth = world.sends_to(sent.to);
    let mut dice = StdRng::seed_from_u64(hash_of((world.seed, sent.to.as_digits(), nth)));
    let SimulatorBehavior { reply_percent, status_delay: delay, .. } = world.behavior_now();
    if dice.random_range(0..100u8) >= reply_percent {
        return;
    }
    let thinking = Duration::from_millis(dice.random_range(2_000..15_000));
    let at = world.clock.read_now().plus_duration(delay.sent + delay.delivered + delay.read + thinking);
    let message = GeneratedMessage::random_answer(&mut dice);
    world.write_message(
        sent.number,
        sent.to,
        &simulated_customers::name_of(world.seed, sent.to),
        &message,
        at,
    );
}

fn refuse_call(world: &SimulatorState, code: i64, details: &str) -> CallAnswer {
    world.update_counts(|counts| counts.refused += 1);
    let known = meta_errors::describe_error(code);
    let trace = format!("SIM{}", world.counts.borrow().refused);
    CallAnswer::Told(known.http.unwrap_or(400), meta_json::refused_body(known, details, &trace))
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}
