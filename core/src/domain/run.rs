//! A run: the delivery of one event to a plugin, and the results of its attempts.
//!
//! A run is a delivery to a hook (`domain/delivery.rs`) with the fields that only hooks have: version,
//! resource usage, log lines and requested effects. Its id has the delivery's bits.

use std::sync::Arc;

use super::delivery::{Delivery, DeliveryStatus};
use super::effect::Effect;
use super::key_values::{KeyValues, KvReads, KvWrite};
use super::time::Timestamp;
use crate::ids::{DeliveryId, PluginVersionId, RunId, RunLogId};

/// Bytes of the log of one attempt, at most (contract, section 10), unless the operator has set another
/// limit.
pub const LOG_BYTES_MAX: usize = 64 * 1024;

impl From<DeliveryId> for RunId {
    fn from(id: DeliveryId) -> Self {
        Self::from_bits(id.bits())
    }
}

impl From<RunId> for DeliveryId {
    fn from(id: RunId) -> Self {
        Self::from_bits(id.bits())
    }
}

/// Returns the contract's word for the state of a run. `pending`, of a run that was never tried or was
/// replayed and not tried since, is an addition to the contract's words.
#[must_use]
pub const fn run_word(status: DeliveryStatus) -> &'static str {
    match status {
        DeliveryStatus::Pending => "pending",
        DeliveryStatus::Delivered => "succeeded",
        DeliveryStatus::Failed => "failed",
        DeliveryStatus::Dead => "dead",
    }
}

/// Reads the contract's word.
#[must_use]
pub fn parse_run_word(text: &str) -> Option<DeliveryStatus> {
    DeliveryStatus::ALL.into_iter().find(|known| run_word(*known) == text)
}

/// Resource usage of one attempt.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunUsage {
    /// Processor time of the component, in microseconds.
    pub cpu_us: u64,
    /// Time from its beginning to its end, waiting included, in microseconds.
    pub wall_us: u64,
    /// Calls of the component to its host.
    pub host_calls: u64,
    /// Peak memory of the component.
    pub memory_peak_bytes: u64,
}

/// Severity of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// Details for debugging.
    Debug,
    /// Normal operation.
    Info,
    /// Possible problem.
    Warn,
    /// Failure.
    Error,
}

impl LogLevel {
    /// All of them, the least severe first.
    pub const ALL: [Self; 4] = [Self::Debug, Self::Info, Self::Warn, Self::Error];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Debug => "debug",
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// One line of a log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLine {
    /// Time of the line, by the run's own clock.
    pub at: Timestamp,
    /// Severity.
    pub level: LogLevel,
    /// Message text.
    pub text: Arc<str>,
}

/// Work of a hook on one event, apart from its outcome.
#[derive(Debug, Clone)]
pub struct HookReport {
    /// The version that ran.
    pub version_id: PluginVersionId,
    /// `true` when it broke or exceeded a limit, as opposed to a request for a retry.
    pub broke: bool,
    /// The keys and values that it saw.
    pub seen: KeyValues,
    /// The keys that it read.
    pub reads: KvReads,
    /// Changes to keys and values that it requests; empty unless it succeeded.
    pub writes: Vec<KvWrite>,
    /// Effects that it requests; empty unless it succeeded.
    pub effects: Vec<Effect>,
    /// HTTP calls that it made. They have happened, except in a dry run.
    pub calls: Vec<HookCall>,
    /// Lines of its log.
    pub logs: Vec<LogLine>,
    /// `true` when it wrote more than the limit and the rest was dropped.
    pub logs_cut: bool,
    /// Resource usage.
    pub usage: RunUsage,
}

/// A call of a hook to another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// HTTP method in upper case.
    pub method: Arc<str>,
    /// URL of the call.
    pub url: Arc<str>,
    /// HTTP status, or the reason for which there is none.
    pub answer: Result<u16, Arc<str>>,
}

/// A run, as clients see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// The delivery, with its attempts.
    pub delivery: Delivery,
    /// The version of the last attempt.
    pub version_id: Option<PluginVersionId>,
    /// Resource usage of the last attempt.
    pub usage: Option<RunUsage>,
}

impl Run {
    /// `run_…`.
    #[must_use]
    pub fn run_id(&self) -> RunId {
        self.delivery.id.into()
    }
}

/// The log of one attempt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RunLog {
    /// Its position in the list.
    pub id: RunLogId,
    /// The run.
    pub run_id: RunId,
    /// Number of the attempt within the run.
    pub attempt: u32,
    /// The version that ran.
    pub version_id: PluginVersionId,
    /// Time at which it was recorded.
    pub at: Timestamp,
    /// Lines, in the order in which they were written.
    pub lines: Vec<LogLine>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_written() {
        for status in DeliveryStatus::ALL {
            assert_eq!(parse_run_word(run_word(status)), Some(status));
        }
        for level in LogLevel::ALL {
            assert_eq!(LogLevel::parse(level.as_str()), Some(level));
        }
        let run = RunId::from_bits(9);
        assert_eq!(RunId::from(DeliveryId::from(run)), run);
    }
}
