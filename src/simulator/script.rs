//! Scripts: timed changes of the simulator's behaviour, in TOML.
//!
//! Invariants: a script is read whole, its files included, before it begins; an error in it names the line
//! and the key. Steps are taken in their order, by `script_player`.

mod rule_fields;
mod values;

use std::fs;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use kabar_core::domain::account::PhoneNumberId;
use serde::Deserialize;
use serde_json::{Map, Value};
use toml::Spanned;

use super::failure_rule::FailureRule;
use super::number_profile::ProfileWords;
use super::script_writer::WriterWords;
use super::{CallGate, NetworkFaults, StatusDelays};
use rule_fields::RuleWords;
use values::{BatchItems, NumberId, PercentValue, PhoneText, TimeSpan, TrafficRate, UserIdText};

/// Meta's largest webhook.
const POST_BYTES_MAX: usize = 3_000_000;

/// An error in a script, with the line and the key.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct ScriptError(String);

/// A parsed script.
#[derive(Debug, Clone, PartialEq)]
pub struct SimulatorScript {
    pub(super) seed: Option<u64>,
    pub(super) steps: Vec<ScriptStep>,
}

/// One step: its time, and its changes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ScriptStep {
    pub(super) when: StepTime,
    pub(super) change: StepChange,
    pub(super) lines: Vec<CustomerMessage>,
    pub(super) fields: Vec<FieldValue>,
    pub(super) posts: Vec<Bytes>,
    pub(super) end: bool,
}

/// Time of a step, counted from the step before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StepTime {
    AtOnce,
    After(Duration),
    AfterSends(u64),
}

/// A message that a customer writes.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct CustomerMessage {
    pub(super) author: WriterWords,
    pub(super) to: Option<PhoneNumberId>,
    /// Meta's message; missing `from`, `from_user_id`, `id` and `timestamp` are filled in.
    pub(super) message: Map<String, Value>,
}

/// A value of any field.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct FieldValue {
    pub(super) field: String,
    pub(super) to: Option<PhoneNumberId>,
    /// Meta's value; missing `messaging_product` and `metadata` are filled in, and times of its items.
    pub(super) value: Map<String, Value>,
}

/// Settings that a step changes; everything else stays as it is.
#[derive(Debug, Clone, Default, PartialEq)]
pub(super) struct StepChange {
    pub(super) traffic_per_minute: Option<u32>,
    pub(super) reply_percent: Option<u8>,
    pub(super) reserved_recipients: Option<bool>,
    pub(super) occasion_percent: Option<u8>,
    pub(super) gate: Option<CallGate>,
    pub(super) rules: Option<Vec<FailureRule>>,
    pub(super) profile: ProfileWords,
    faults: FaultWords,
    status_delay: DelayWords,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ScriptWords {
    seed: Option<u64>,
    #[serde(default)]
    step: Vec<Spanned<StepWords>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct StepWords {
    after: Option<TimeSpan>,
    after_sends: Option<u64>,
    traffic_per_minute: Option<TrafficRate>,
    reply_percent: Option<PercentValue>,
    occasion_percent: Option<PercentValue>,
    reserved_recipients: Option<bool>,
    gate: Option<CallGate>,
    rules: Option<Vec<RuleWords>>,
    #[serde(default, rename = "mischief")]
    faults: FaultWords,
    #[serde(default)]
    status_delay: DelayWords,
    #[serde(default)]
    profile: ProfileWords,
    #[serde(default)]
    write: Vec<LineWords>,
    #[serde(default)]
    change: Vec<Spanned<FieldWords>>,
    #[serde(default)]
    post: Vec<Spanned<PathBuf>>,
    #[serde(default)]
    end: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct FaultWords {
    duplicate_percent: Option<PercentValue>,
    reorder_percent: Option<PercentValue>,
    drop_answer_percent: Option<PercentValue>,
    early_status_percent: Option<PercentValue>,
    late_answer_percent: Option<PercentValue>,
    answer_delay: Option<TimeSpan>,
    batch_items: Option<BatchItems>,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
struct DelayWords {
    sent: Option<TimeSpan>,
    delivered: Option<TimeSpan>,
    read: Option<TimeSpan>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct LineWords {
    from: Option<PhoneText>,
    user_id: Option<UserIdText>,
    username: Option<String>,
    name: Option<String>,
    to: Option<NumberId>,
    message: Spanned<Map<String, Value>>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct FieldWords {
    field: String,
    to: Option<NumberId>,
    value: Map<String, Value>,
}

impl SimulatorScript {
    /// Reads a script's file; the files that it posts are relative to it.
    ///
    /// # Errors
    /// The error in the script, with its position.
    pub fn load_file(path: &Path) -> Result<Self, ScriptError> {
        let told = |error: &dyn std::fmt::Display| ScriptError(format!("{}: {error}", path.display()));
        let text = fs::read_to_string(path).map_err(|error| told(&error))?;
        Self::parse_text(&text, path.parent().unwrap_or(Path::new("."))).map_err(|error| told(&error))
    }

    /// Reads a script; the files that it posts are relative to `folder`.
    ///
    /// # Errors
    /// The error in the script, with its position.
    pub fn parse_text(text: &str, folder: &Path) -> Result<Self, ScriptError> {
        let words: ScriptWords =
            toml::from_str(text).map_err(|error| ScriptError(error.to_string().trim_end().to_owned()))?;
        let source = ScriptSource { text, folder };
        let steps = words.step.into_iter().map(|step| source.read_step(step)).collect::<Result<_, _>>()?;
        Ok(Self { seed: words.seed, steps })
    }
}

/// Text and folder that steps are read from.
struct ScriptSource<'a> {
    text: &'a str,
    folder: &'a Path,
}

impl ScriptSource<'_> {
    fn read_step(&self, spanned: Spanned<StepWords>) -> Result<ScriptStep, ScriptError> {
        let span = spanned.span();
        let words = spanned.into_inner();
        let when = match (words.after, words.after_sends) {
            (None, None) => StepTime::AtOnce,
            (Some(span), None) => StepTime::After(span.0),
            (None, Some(sends)) => StepTime::AfterSends(sends),
            (Some(_), Some(_)) => {
                return Err(self.script_error(&span, "after", "a step has after or after_sends, not both"));
            }
        };
        let change = StepChange {
            traffic_per_minute: words.traffic_per_minute.map(|rate| rate.0),
            reply_percent: words.reply_percent.map(|percent| percent.0),
            occasion_percent: words.occasion_percent.map(|percent| percent.0),
            reserved_recipients: words.reserved_recipients,
            gate: words.gate,
            rules: words.rules.map(|rules| rules.into_iter().map(|words| words.0).collect()),
            profile: words.profile,
            faults: words.faults,
            status_delay: words.status_delay,
        };
        let fields =
            words.change.into_iter().map(|change| self.read_field(change)).collect::<Result<_, _>>()?;
        let lines = words.write.into_iter().map(|line| self.read_line(line)).collect::<Result<_, _>>()?;
        let posts = words.post.iter().map(|path| self.read_post(path)).collect::<Result<_, _>>()?;
        Ok(ScriptStep { when, change, lines, fields, posts, end: words.end })
    }

    fn read_line(&self, words: LineWords) -> Result<CustomerMessage, ScriptError> {
        let span = words.message.span();
        let message = words.message.into_inner();
        if !message.get("type").is_some_and(Value::is_string) {
            return Err(self.script_error(&span, "message", "must have a type, such as \"text\""));
        }
        let author = WriterWords {
            phone: words.from.map(|from| from.0),
            user_id: words.user_id.map(|id| id.0),
            username: words.username,
            name: words.name,
        };
        if author.phone.is_none() && author.user_id.is_none() {
            return Err(self.script_error(&span, "write", "must have from, user_id, or both"));
        }
        Ok(CustomerMessage { author, to: words.to.map(|to| to.0), message })
    }

    fn read_field(&self, spanned: Spanned<FieldWords>) -> Result<FieldValue, ScriptError> {
        let span = spanned.span();
        let words = spanned.into_inner();
        if words.field.is_empty() || words.field == "messages" {
            let why = "must name a field other than messages, which write and post are for";
            return Err(self.script_error(&span, "change", why));
        }
        Ok(FieldValue { field: words.field, to: words.to.map(|to| to.0), value: words.value })
    }

    fn read_post(&self, path: &Spanned<PathBuf>) -> Result<Bytes, ScriptError> {
        let file = self.folder.join(path.get_ref());
        let body = fs::read(&file).map_err(|error| {
            self.script_error(&path.span(), "post", &format!("cannot read {}: {error}", file.display()))
        })?;
        if body.len() > POST_BYTES_MAX {
            return Err(self.script_error(
                &path.span(),
                "post",
                "has more than 3 MB, Meta's largest webhook",
            ));
        }
        Ok(body.into())
    }

    fn script_error(&self, span: &Range<usize>, key: &str, why: &str) -> ScriptError {
        let before = self.text.get(..span.start).unwrap_or_default();
        ScriptError(format!("line {}: {key}: {why}", before.matches('\n').count() + 1))
    }
}

impl StepChange {
    /// Returns the network faults after the step.
    pub(super) fn apply_faults(&self, before: NetworkFaults) -> NetworkFaults {
        let words = &self.faults;
        let percent = |said: Option<PercentValue>, before| said.map_or(before, |percent| percent.0);
        NetworkFaults {
            duplicate_percent: percent(words.duplicate_percent, before.duplicate_percent),
            reorder_percent: percent(words.reorder_percent, before.reorder_percent),
            drop_answer_percent: percent(words.drop_answer_percent, before.drop_answer_percent),
            early_status_percent: percent(words.early_status_percent, before.early_status_percent),
            late_answer_percent: percent(words.late_answer_percent, before.late_answer_percent),
            answer_delay: words.answer_delay.map_or(before.answer_delay, |span| span.0),
            batch_items_max: words.batch_items.map_or(before.batch_items_max, |items| items.0),
        }
    }

    /// Returns the delays of statuses after the step.
    pub(super) fn status_delay(&self, before: StatusDelays) -> StatusDelays {
        let span = |said: Option<TimeSpan>, before| said.map_or(before, |span| span.0);
        StatusDelays {
            sent: span(self.status_delay.sent, before.sent),
            delivered: span(self.status_delay.delivered, before.delivered),
            read: span(self.status_delay.read, before.read),
        }
    }
}

#[cfg(test)]
mod tests;
