//! TOML form of a rule by which sends fail.
//!
//! Invariant: a parsed rule has one trigger at most, exactly one verdict, and figures within a rule's limits.

use kabar_core::domain::phone::Phone;
use serde::Deserialize;

use super::values::{PercentValue, PhoneText, TimeSpan};
use crate::simulator::failure_rule::{FailureRule, RateScope, RuleTrigger, RuleVerdict};

/// Most sends that a rate counts.
const RATE_SENDS_MAX: u32 = 100_000;

/// A rule, as a script writes it.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(try_from = "RuleFields")]
pub(super) struct RuleWords(pub(super) FailureRule);

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct RuleFields {
    to: Option<PhoneText>,
    times: Option<u32>,
    // Triggers.
    percent: Option<PercentValue>,
    every: Option<u32>,
    more_than: Option<u32>,
    within: Option<TimeSpan>,
    each: Option<RateScope>,
    // Verdicts.
    code: Option<i64>,
    http: Option<u16>,
    cut: Option<bool>,
    held: Option<bool>,
    release_after: Option<TimeSpan>,
}

impl TryFrom<RuleFields> for RuleWords {
    type Error = &'static str;

    fn try_from(words: RuleFields) -> Result<Self, Self::Error> {
        let (trigger, verdict) = (read_trigger(&words)?, read_verdict(&words)?);
        let to: Option<Phone> = words.to.map(|to| to.0);
        Ok(Self(FailureRule { to, trigger, times: words.times, verdict }))
    }
}

fn read_trigger(words: &RuleFields) -> Result<RuleTrigger, &'static str> {
    let rate = (words.more_than, words.within);
    if rate.0.is_none() && words.each.is_some() {
        return Err("each goes with more_than and within");
    }
    match (words.percent, words.every, rate) {
        (None, None, (None, None)) => Ok(RuleTrigger::Always),
        (Some(percent), None, (None, None)) => Ok(RuleTrigger::Percent(percent.0)),
        (None, Some(0), (None, None)) => Err("every must be 1 or more"),
        (None, Some(every), (None, None)) => Ok(RuleTrigger::Every(every)),
        (None, None, (Some(sends), Some(_))) if sends > RATE_SENDS_MAX => {
            Err("more_than must be 100000 at most")
        }
        (None, None, (Some(sends), Some(within))) => {
            Ok(RuleTrigger::Beyond { sends, within: within.0, each: words.each.unwrap_or(RateScope::Number) })
        }
        (None, None, _) => Err("more_than and within go together"),
        _ => Err("a rule has one of percent, every, and more_than with within"),
    }
}

fn read_verdict(words: &RuleFields) -> Result<RuleVerdict, &'static str> {
    if words.held.is_none() && words.release_after.is_some() {
        return Err("release_after goes with held");
    }
    match (words.code, words.http, words.cut, words.held) {
        (Some(code), None, None, None) => Ok(RuleVerdict::Error(code)),
        (None, Some(status @ 400..=599), None, None) => Ok(RuleVerdict::Http(status)),
        (None, Some(_), None, None) => Err("http must be 400 to 599"),
        (None, None, Some(true), None) => Ok(RuleVerdict::Cut),
        (None, None, None, Some(true)) => {
            Ok(RuleVerdict::Held { release_after: words.release_after.map(|span| span.0) })
        }
        _ => Err("a rule has exactly one of code, http, cut = true, and held = true"),
    }
}
