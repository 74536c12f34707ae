//! Bodies of runs, their effects and their logs.

use std::fmt::Display;
use std::sync::Arc;

use kabar_actors::ReplayedRuns;
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::delivery::{DeliveryAttempt, DeliveryStatus};
use kabar_core::domain::effect::{EffectRow, EffectStatus};
use kabar_core::domain::event::EventType;
use kabar_core::domain::run::{LogLevel, LogLine, Run, RunLog, RunUsage, parse_run_word, run_word};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{EventId, MessageId, PluginVersionId, RunId};
use poem_openapi::Object;
use poem_openapi::registry::MetaSchema;
use poem_openapi::types::Example;

use super::RUN_STATUSES;
use crate::app::AppState;
use crate::rest::params::ParameterKind;
use crate::rest::text::{TextValue, WireText, nouns};

nouns! {
    /// `object` of a run of a plugin.
    PluginRunNoun = "plugin_run";
    /// `object` of the log of a run.
    PluginLogNoun = "plugin_log";
}

/// Status of a run, in the contract's words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RunStatus(pub(crate) DeliveryStatus);

fn words() -> MetaSchema {
    let words = RUN_STATUSES.iter().map(|status| run_word(*status).into()).collect();
    MetaSchema { enum_items: words, ..MetaSchema::new("string") }
}

impl WireText for RunStatus {
    fn text(&self) -> impl Display + '_ {
        run_word(self.0)
    }

    fn schema() -> MetaSchema {
        words()
    }
}

impl ParameterKind for RunStatus {
    const EXPECTED: &'static str = "pending, succeeded, failed or dead";

    fn read(text: &str) -> Option<Self> {
        parse_run_word(text).map(Self)
    }

    fn schema() -> MetaSchema {
        words()
    }
}

/// The handling of one event by a plugin.
#[derive(Debug, Clone, Object)]
#[oai(rename = "PluginRun", example)]
pub(crate) struct RunBody {
    /// `run_…`; the same for every attempt.
    pub(crate) id: TextValue<RunId>,
    /// Always `plugin_run`.
    pub(crate) object: TextValue<PluginRunNoun>,
    /// The version that ran last; null until one did.
    pub(crate) version_id: Option<TextValue<PluginVersionId>>,
    /// The event.
    pub(crate) event_id: TextValue<EventId>,
    /// Its type.
    pub(crate) event_type: TextValue<EventType>,
    /// WhatsApp's id of the number that the event belongs to; null when the number is not connected any more.
    pub(crate) phone_number_id: Option<TextValue<PhoneNumberId>>,
    /// The event's number in its account's log.
    pub(crate) sequence: i64,
    /// Status of the run.
    pub(crate) status: TextValue<RunStatus>,
    /// Attempts so far.
    pub(crate) attempt: u32,
    /// Time that the last attempt took, queueing included, in milliseconds.
    pub(crate) duration_ms: Option<u32>,
    /// Cause of the last attempt's failure.
    pub(crate) error: Option<TextValue<Arc<str>>>,
    /// The last attempts, oldest first.
    pub(crate) attempts: Vec<RunAttemptBody>,
    /// Resources that the last attempt used.
    pub(crate) usage: Option<UsageBody>,
    /// Effects that it requested when it succeeded.
    pub(crate) effects: Vec<EffectBody>,
    /// Earliest time of the next attempt; null when there is no further attempt.
    pub(crate) next_attempt_at: Option<TextValue<Timestamp>>,
    /// Time at which the event was queued for the plugin.
    pub(crate) created_at: TextValue<Timestamp>,
    /// Time of the last change.
    pub(crate) updated_at: TextValue<Timestamp>,
}

/// One attempt at a run.
#[derive(Debug, Clone, Object)]
#[oai(rename = "PluginRunAttempt")]
pub(crate) struct RunAttemptBody {
    /// Start time.
    pub(crate) at: TextValue<Timestamp>,
    /// Time that it took, queueing included, in milliseconds.
    pub(crate) duration_ms: u32,
    /// Cause of the failure.
    pub(crate) error: Option<TextValue<Arc<str>>>,
}

/// Resources that an attempt used.
#[derive(Debug, Clone, Object)]
#[oai(rename = "PluginUsage")]
pub(crate) struct UsageBody {
    /// Processor time, in microseconds; the unit of the computing budget.
    pub(crate) fuel: u64,
    /// Processor time, in microseconds.
    pub(crate) cpu_us: u64,
    /// Time from start to end, waits for other hosts included, in microseconds.
    pub(crate) wall_us: u64,
    /// Calls to the host.
    pub(crate) host_calls: u64,
    /// Peak memory, in bytes.
    pub(crate) memory_peak_bytes: u64,
}

/// An effect that a run requested.
#[derive(Debug, Clone, Object)]
#[oai(rename = "PluginEffect")]
pub(crate) struct EffectBody {
    /// `messages.send`, `messages.mark_read` or `conversations.update`.
    #[oai(rename = "type")]
    pub(crate) kind: String,
    /// Status of the effect; `refused` when the API would have refused the request.
    pub(crate) status: TextValue<EffectStatus>,
    /// The message that a send created.
    pub(crate) message_id: Option<TextValue<MessageId>>,
    /// Cause of the refusal.
    pub(crate) error: Option<EffectErrorBody>,
}

/// Cause of an effect's refusal.
#[derive(Debug, Clone, Object)]
#[oai(rename = "PluginEffectError")]
pub(crate) struct EffectErrorBody {
    /// The code of the API's refusal.
    pub(crate) code: TextValue<Arc<str>>,
    /// Text for people.
    pub(crate) message: TextValue<Arc<str>>,
}

impl UsageBody {
    pub(crate) const fn from_usage(usage: RunUsage) -> Self {
        Self {
            fuel: usage.cpu_us,
            cpu_us: usage.cpu_us,
            wall_us: usage.wall_us,
            host_calls: usage.host_calls,
            memory_peak_bytes: usage.memory_peak_bytes,
        }
    }
}

impl EffectBody {
    fn from_row(row: &EffectRow) -> Self {
        let error = row.error_code.clone().zip(row.error_message.clone());
        Self {
            kind: row.effect.as_str().to_owned(),
            status: TextValue(row.status),
            message_id: row.message_id.map(TextValue),
            error: error.map(|(code, message)| EffectErrorBody {
                code: TextValue(code),
                message: TextValue(message),
            }),
        }
    }
}

impl RunBody {
    /// Builds the body of a run with its own effects.
    pub(crate) fn from_run(app: &AppState, run: &Run, effects: &[EffectRow]) -> Self {
        let slot = app.directory.account_of_row(run.delivery.account);
        Self::shown(run, slot.map(|slot| slot.current_account().phone_number_id.clone()), effects)
    }

    fn shown(run: &Run, phone_number_id: Option<PhoneNumberId>, effects: &[EffectRow]) -> Self {
        let owed = &run.delivery;
        let last = owed.attempts.last();
        let attempt = |one: &DeliveryAttempt| RunAttemptBody {
            at: TextValue(one.at),
            duration_ms: one.duration_ms,
            error: one.error.clone().map(TextValue),
        };
        // Effects are read after the run, so those of a first attempt that began meanwhile are left out.
        let own = |one: &&EffectRow| one.id.run == run.run_id() && owed.attempt_count > 0;
        Self {
            id: TextValue(run.run_id()),
            object: TextValue(PluginRunNoun),
            version_id: run.version_id.map(TextValue),
            event_id: TextValue(owed.event_id),
            event_type: TextValue(owed.event_type),
            phone_number_id: phone_number_id.map(TextValue),
            sequence: owed.sequence,
            status: TextValue(RunStatus(owed.status)),
            attempt: owed.attempt_count,
            duration_ms: last.map(|one| one.duration_ms),
            error: last.and_then(|one| one.error.clone()).map(TextValue),
            attempts: owed.attempts.iter().map(attempt).collect(),
            usage: run.usage.map(UsageBody::from_usage),
            effects: effects.iter().filter(own).map(EffectBody::from_row).collect(),
            next_attempt_at: owed.next_attempt_at.map(|due| TextValue(due.to_row())),
            created_at: TextValue(owed.created_at),
            updated_at: TextValue(owed.updated_at),
        }
    }
}

impl Example for RunBody {
    fn example() -> Self {
        let number = crate::spec::example_rows::example_account().phone_number_id;
        Self::shown(
            &crate::spec::example_rows::example_run(),
            Some(number),
            &[crate::spec::example_rows::example_effect()],
        )
    }
}

/// Log lines of one attempt.
#[derive(Debug, Clone, Object)]
#[oai(rename = "PluginLog", example)]
pub(crate) struct RunLogBody {
    /// Always `plugin_log`.
    pub(crate) object: TextValue<PluginLogNoun>,
    /// The run.
    pub(crate) run_id: TextValue<RunId>,
    /// Number of the attempt, from 1.
    pub(crate) attempt: u32,
    /// The version that ran.
    pub(crate) version_id: TextValue<PluginVersionId>,
    /// The lines, in the order of writing.
    pub(crate) lines: Vec<LogLineBody>,
    /// Time at which the attempt was recorded.
    pub(crate) created_at: TextValue<Timestamp>,
}

/// A log line.
#[derive(Debug, Clone, Object)]
#[oai(rename = "PluginLogLine")]
pub(crate) struct LogLineBody {
    /// Time, by the run's own clock.
    pub(crate) at: TextValue<Timestamp>,
    /// Severity.
    pub(crate) level: TextValue<LogLevel>,
    /// The text.
    pub(crate) message: TextValue<Arc<str>>,
}

impl LogLineBody {
    pub(crate) fn from_line(line: &LogLine) -> Self {
        Self { at: TextValue(line.at), level: TextValue(line.level), message: TextValue(line.text.clone()) }
    }
}

impl RunLogBody {
    pub(crate) fn from_row(row: &RunLog) -> Self {
        Self {
            object: TextValue(PluginLogNoun),
            run_id: TextValue(row.run_id),
            attempt: row.attempt,
            version_id: TextValue(row.version_id),
            lines: row.lines.iter().map(LogLineBody::from_line).collect(),
            created_at: TextValue(row.at),
        }
    }
}

impl Example for RunLogBody {
    fn example() -> Self {
        Self::from_row(&crate::spec::example_rows::run_log())
    }
}

/// Result of a replay.
#[derive(Debug, Clone, Object)]
#[oai(rename = "PluginReplay", example)]
pub(crate) struct ReplayedBody {
    /// Number of events that are delivered again.
    pub(crate) enqueued: u64,
    /// `true` when there were more events, which are not replayed.
    pub(crate) capped: bool,
}

impl ReplayedBody {
    pub(super) fn from_runs(replayed: ReplayedRuns) -> Self {
        Self { enqueued: u64::try_from(replayed.enqueued).unwrap_or(u64::MAX), capped: replayed.capped }
    }
}

impl Example for ReplayedBody {
    fn example() -> Self {
        Self { enqueued: 412, capped: false }
    }
}
