//! One call to the API: its response, and the webhooks that follow.
//!
//! Invariants: a call is checked in Meta's order (token, number, request, recipient). A send is recorded
//! before its first webhook can leave, and is recorded exactly when it is accepted, even if its response does
//! not arrive. A call runs to its end although its caller hangs up.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::domain::address::Address;
use kabar_core::domain::identity::{GroupId, UserId};
use kabar_core::domain::message::Direction;
use kabar_core::domain::phone::Phone;
use rand::rngs::StdRng;
use serde_json::{Value, json};
use tokio::sync::oneshot;

use super::failure_rule::{RuleSubject, RuleVerdict};
use super::meta_errors;
use super::meta_errors::KnownError;
use super::meta_json;
use super::meta_json::StatusSubject;
use super::seeded_random::{RandomPurpose, roll_percent};
use super::send_log::RecordedSend;
use super::send_statuses;
use super::send_statuses::SendFate;
use super::simulated_customers::SimulatedCustomer;
use super::state::{NoRoom, SimulatorState};
use super::{CallGate, SimulatedNumber};

/// Longest wait for a webhook receiver that is down before the response is sent.
const EARLY_STATUS_WAIT: Duration = Duration::from_secs(5);
/// WhatsApp's limit of a text.
const TEXT_CHARS_MAX: usize = 4096;
const INVALID_PARAMETER: i64 = 100;
const RATE_LIMIT_HIT: i64 = 130_429;
/// Subcode of an object that does not exist, or may not be used.
const NO_PERMISSION: i64 = 33;
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

/// Answers one call, once the gate lets it through.
pub(super) async fn answer_call(world: &SimulatorState, id: &str, token: &str, body: &[u8]) -> CallAnswer {
    world.update_counts(|counts| counts.received += 1);
    if pass_gate(world).await { judge_call(world, id, token, body).await } else { CallAnswer::BrokenOff }
}

/// Waits at the gate; `false` when it cuts the call.
pub(super) async fn pass_gate(world: &SimulatorState) -> bool {
    let mut gate = world.gate.subscribe();
    // `world` owns the sender, so the gate always has a value.
    gate.wait_for(|gate| *gate != CallGate::Held).await.is_ok_and(|gate| *gate == CallGate::Open)
}

/// Answers a look at a number's own properties.
pub(super) async fn answer_profile(world: &SimulatorState, id: &str, token: &str) -> CallAnswer {
    if !pass_gate(world).await {
        return CallAnswer::BrokenOff;
    }
    world.update_counts(|counts| counts.profiles += 1);
    let profile = world.number_profile();
    match (check_caller(world, id, token), profile.refusal) {
        (Err(refused), _) => refused,
        (Ok(_), Some(code)) => refuse_call(world, code, "Simulated failure."),
        (Ok(number), None) => CallAnswer::Told(200, profile.to_meta(&number)),
    }
}

/// Checks the token.
pub(super) fn check_token(world: &SimulatorState, token: &str) -> Result<(), CallAnswer> {
    if token.is_empty() || token.starts_with("expired") {
        return Err(refuse_call(world, TOKEN_REFUSED, "The access token is missing or has expired."));
    }
    Ok(())
}

/// Builds the answer about an object that is not there.
pub(super) fn refuse_unknown(world: &SimulatorState, details: &str) -> CallAnswer {
    refuse_with(world, INVALID_PARAMETER, details, Some(NO_PERMISSION))
}

/// Checks the token and the number.
fn check_caller(world: &SimulatorState, id: &str, token: &str) -> Result<Arc<SimulatedNumber>, CallAnswer> {
    check_token(world, token)?;
    let number = world.find_number(id);
    number.ok_or_else(|| refuse_unknown(world, "No such phone number id, or no permission for it."))
}

async fn judge_call(world: &SimulatorState, id: &str, token: &str, body: &[u8]) -> CallAnswer {
    let number = match check_caller(world, id, token) {
        Ok(number) => number,
        Err(refused) => return refused,
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

/// Reads the recipient of a send, and the text that names it: `to` wins over `recipient`, as at Meta.
fn read_recipient(body: &Value) -> Option<(&str, Address)> {
    let group = text(body, "recipient_type") == Some("group");
    let input = text(body, "to").or_else(|| text(body, "recipient"))?;
    let address = if group {
        GroupId::parse(input).map(Address::Group)
    } else {
        let number = Phone::parse(input).map(Address::Phone);
        number.or_else(|| UserId::parse(input).map(Address::User))
    };
    Some((input, address?))
}

/// Returns what becomes of a send by the rules and the recipient, or the answer that ends it.
fn find_fate(
    world: &SimulatorState,
    subject: &RuleSubject<'_>,
    body: &Value,
    dice: &mut StdRng,
) -> Result<SendFate, CallAnswer> {
    match world.find_verdict(subject, dice) {
        None => Ok(SendFate::Delivered { voice: body.pointer("/audio/voice") == Some(&Value::Bool(true)) }),
        Some(RuleVerdict::Cut) => Err(CallAnswer::BrokenOff),
        Some(RuleVerdict::Http(status)) => {
            world.update_counts(|counts| counts.refused += 1);
            Err(CallAnswer::Bare(status))
        }
        Some(RuleVerdict::Held { release_after }) => Ok(SendFate::Held(release_after)),
        Some(RuleVerdict::Error(code)) => match meta_errors::describe_error(code) {
            KnownError { http: Some(_), .. } => Err(refuse_call(world, code, "Simulated failure.")),
            told_later => Ok(SendFate::Fails(told_later)),
        },
    }
}

async fn accept_send(world: &SimulatorState, number: &Arc<SimulatedNumber>, body: &Value) -> CallAnswer {
    let recipient = read_recipient(body)
        .and_then(|(input, to)| Some((input, SimulatedCustomer::of_address(world.seed, &to)?, to)));
    let Some((input, customer, to)) = recipient else {
        return refuse_call(world, INVALID_PARAMETER, "to must be a phone number, or recipient a user id.");
    };
    let kind = text(body, "type").unwrap_or("text");
    if let Some(mistake) = find_mistake(kind, body) {
        return refuse_call(world, INVALID_PARAMETER, mistake);
    }
    if let Some(code) = body.get("template").and_then(|one| world.refuse_template(&number.waba_id, one)) {
        return refuse_call(world, code, "The template is not approved.");
    }
    let mut dice = world.customer_rng(RandomPurpose::Call, &to);
    let subject = RuleSubject { number: &number.phone_number_id, to: &to, now: world.clock.read_now() };
    let fate = match find_fate(world, &subject, body, &mut dice) {
        Ok(fate) => fate,
        Err(answer) => return answer,
    };
    let wamid = world.next_wamid(&to, Direction::Outbound);
    let opaque = text(body, "biz_opaque_callback_data");
    let template = kind == "template";
    let sent = StatusSubject { wamid: &wamid, to: &to, customer: &customer, template, opaque };
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
    let pieces = send_statuses::statuses_of(world, number, &sent, fate);
    let faults = world.network_faults();
    let (told, first_done) = oneshot::channel();
    let early = roll_percent(&mut dice, faults.early_status_percent);
    let late = roll_percent(&mut dice, faults.late_answer_percent);
    let dropped = roll_percent(&mut dice, faults.drop_answer_percent);
    if let Err(NoRoom) = world.schedule_items(&to, pieces, &mut dice, early.then_some(told), record) {
        return refuse_call(world, RATE_LIMIT_HIT, "Too many webhooks wait to be taken.");
    }
    if matches!(fate, SendFate::Delivered { .. }) {
        send_statuses::schedule_reply(world, number, &sent);
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
    CallAnswer::Told(200, meta_json::accepted_body(input, &sent, matches!(fate, SendFate::Held(_))))
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

fn refuse_call(world: &SimulatorState, code: i64, details: &str) -> CallAnswer {
    refuse_with(world, code, details, None)
}

fn refuse_with(world: &SimulatorState, code: i64, details: &str, subcode: Option<i64>) -> CallAnswer {
    world.update_counts(|counts| counts.refused += 1);
    let known = meta_errors::describe_error(code);
    let trace = format!("SIM{}", world.counts.borrow().refused);
    CallAnswer::Told(known.http.unwrap_or(400), meta_json::refused_body(known, details, subcode, &trace))
}

fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name)?.as_str()
}
