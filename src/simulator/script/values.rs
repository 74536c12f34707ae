//! Values of a script that are more than a number or a text.
//!
//! Invariant: a parsed value is within its bounds; the error of another value states the accepted form.

use std::time::Duration;

use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::identity::UserId;
use kabar_core::domain::phone::Phone;
use serde::Deserialize;

/// Longest wait in a script; a longer one is a mistake.
const SPAN_MAX: Duration = Duration::from_hours(24);
/// Highest rate of messages; more than WhatsApp delivers to one number.
const TRAFFIC_MAX: u32 = 60_000;
/// Most items of a webhook; as many as fit into Meta's largest one.
const BATCH_MAX: usize = 10_000;

/// A span of time: a whole number and `ms`, `s`, `m` or `h`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct TimeSpan(pub(super) Duration);

impl TryFrom<String> for TimeSpan {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        const EXPECTED: &str = "must be a time such as \"250ms\", \"2s\", \"5m\" or \"1h\", at most 24h";
        let digits = text.find(|c: char| !c.is_ascii_digit()).ok_or(EXPECTED)?;
        let (count, unit) = text.split_at(digits);
        let count: u32 = count.parse().ok().ok_or(EXPECTED)?;
        let one = match unit {
            "ms" => Duration::from_millis(1),
            "s" => Duration::from_secs(1),
            "m" => Duration::from_mins(1),
            "h" => Duration::from_hours(1),
            _ => return Err(EXPECTED),
        };
        let span = one.checked_mul(count).ok_or(EXPECTED)?;
        if span <= SPAN_MAX { Ok(Self(span)) } else { Err(EXPECTED) }
    }
}

/// A percentage, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct PercentValue(pub(super) u8);

impl TryFrom<i64> for PercentValue {
    type Error = &'static str;

    fn try_from(percent: i64) -> Result<Self, Self::Error> {
        let percent = u8::try_from(percent).ok().filter(|percent| *percent <= 100);
        percent.map(Self).ok_or("must be 0 to 100")
    }
}

/// Messages a minute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct TrafficRate(pub(super) u32);

impl TryFrom<i64> for TrafficRate {
    type Error = &'static str;

    fn try_from(rate: i64) -> Result<Self, Self::Error> {
        let rate = u32::try_from(rate).ok().filter(|rate| *rate <= TRAFFIC_MAX);
        rate.map(Self).ok_or("must be 0 to 60000")
    }
}

/// Items of one webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(try_from = "i64")]
pub(super) struct BatchItems(pub(super) usize);

impl TryFrom<i64> for BatchItems {
    type Error = &'static str;

    fn try_from(items: i64) -> Result<Self, Self::Error> {
        let items = usize::try_from(items).ok().filter(|items| (1..=BATCH_MAX).contains(items));
        items.map(Self).ok_or("must be 1 to 10000")
    }
}

/// A customer's number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct PhoneText(pub(super) Phone);

impl TryFrom<String> for PhoneText {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Phone::parse(&text).map(Self).ok_or("must be a phone number of 7 to 15 digits with its country code")
    }
}

/// A customer's user id.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct UserIdText(pub(super) UserId);

impl TryFrom<String> for UserIdText {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        UserId::parse(&text).map(Self).ok_or("must be a user id: two capital letters, a dot and an id")
    }
}

/// Meta's id of a business number.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub(super) struct NumberId(pub(super) PhoneNumberId);

impl TryFrom<String> for NumberId {
    type Error = &'static str;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        PhoneNumberId::parse(&text).map(Self).ok_or("must be a phone number id of 6 to 20 digits")
    }
}
