//! A run: what is owed to a plugin for one event, and what its attempts have shown.
//!
//! A run is a delivery to a hook (`domain/delivery.rs`), with what only hooks have: the version that ran,
//! what it used, what it wrote into its log, and the effects that it asked for. Its id has the
//! delivery's bits.

use std::sync::Arc;

use super::delivery::{Delivery, DeliveryStatus};
use super::effect::Effect;
use super::key_values::{KeyValues, KvReads, KvWrite};
use super::time::Timestamp;
use crate::ids::{DeliveryId, PluginVersionId, RunId, RunLogId};

/// Bytes of the log of one attempt (contract, section 10), unless the operator has set others.
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

/// The contract's word for how a run stands. One that was never tried, or is to be tried afresh, has none
/// of its own.
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

/// What an attempt has used.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct RunUsage {
    /// Processor time of the component.
    pub cpu_us: u64,
    /// Time from its beginning to its end, waiting included.
    pub wall_us: u64,
    /// Calls of the component to its host.
    pub host_calls: u64,
    /// The most memory it held.
    pub memory_peak_bytes: u64,
}

/// How important a line is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LogLevel {
    /// For whoever looks closely.
    Debug,
    /// Worth knowing.
    Info,
    /// Worth a look.
    Warn,
    /// Something went wrong.
    Error,
}

impl LogLevel {
    /// All of them, the least important first.
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
    /// When, by the run's own clock.
    pub at: Timestamp,
    /// How important.
    pub level: LogLevel,
    /// What.
    pub text: Arc<str>,
}

/// What a hook did with an event, besides how it ended.
#[derive(Debug, Clone)]
pub struct HookReport {
    /// What ran.
    pub version_id: PluginVersionId,
    /// Whether it broke or went over a limit, as opposed to asking for a retry.
    pub broke: bool,
    /// The keys and values that it saw.
    pub seen: KeyValues,
    /// What it read of them.
    pub reads: KvReads,
    /// What it wants changed; only when it succeeded.
    pub writes: Vec<KvWrite>,
    /// What it wants done; only when it succeeded.
    pub effects: Vec<Effect>,
    /// Whom it called; that has happened, unless nothing was to happen.
    pub calls: Vec<HookCall>,
    /// What it wrote into its log.
    pub logs: Vec<LogLine>,
    /// Whether it wrote more than is kept.
    pub logs_cut: bool,
    /// What it used.
    pub usage: RunUsage,
}

/// A call of a hook to another host.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookCall {
    /// Upper-case.
    pub method: Arc<str>,
    /// Where to.
    pub url: Arc<str>,
    /// HTTP's status, or why there is none.
    pub answer: Result<u16, Arc<str>>,
}

/// A run as it is shown.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Run {
    /// What is owed, and its attempts.
    pub delivery: Delivery,
    /// What ran last.
    pub version_id: Option<PluginVersionId>,
    /// What the last attempt used.
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
    /// Its place in the list.
    pub id: RunLogId,
    /// Of which run.
    pub run_id: RunId,
    /// The how manieth attempt at it.
    pub attempt: u32,
    /// What ran.
    pub version_id: PluginVersionId,
    /// When it was recorded.
    pub at: Timestamp,
    /// What was written, in order.
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
