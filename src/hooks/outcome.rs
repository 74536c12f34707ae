//! What the host reports, in the words of the couriers.

use std::sync::Arc;

use kabar_core::domain::delivery::Outcome;
use kabar_core::domain::effect::Effect;
use kabar_core::domain::kv::{Kv, KvReads, KvWrite};
use kabar_core::domain::run::{HookCall, HookReport, LogLevel, LogLine, Usage};
use kabar_core::ids::PluginVersionId;
use kabar_core::ports::Receipt;
use kabar_plugins::{Drafted, RunReport};

/// A run that did not begin; it is tried again.
pub(super) fn not_started(why: &str) -> Receipt {
    Receipt {
        outcome: Outcome::Retry { after: None },
        status_code: None,
        error: Some(why.into()),
        report: None,
    }
}

/// A run that has ended.
pub(super) fn receipt(version_id: PluginVersionId, seen: Kv, report: RunReport) -> Receipt {
    use kabar_plugins::Outcome::{Rejected, Retry, Succeeded, Trapped};
    let retry = Outcome::Retry { after: None };
    let (outcome, error, broke) = match report.outcome {
        Succeeded => (Outcome::Delivered, None, false),
        Retry(why) => (retry, Some(why), false),
        Rejected(why) => (Outcome::Rejected, Some(why), false),
        Trapped(fault, why) => (retry, Some(format!("{}: {why}", fault.as_str()).into()), true),
    };
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    let report = HookReport {
        version_id,
        broke,
        seen,
        reads: KvReads {
            keys: report.kv_reads.keys.into_keys().collect(),
            prefixes: report.kv_reads.prefixes,
        },
        writes: report.kv_writes.into_iter().map(write).collect(),
        effects: report.effects.into_iter().map(effect).collect(),
        calls: report.http_calls.into_iter().map(call).collect(),
        logs: report.logs.into_iter().map(line).collect(),
        logs_cut: report.logs_cut,
        usage: Usage {
            cpu_us: micros(report.usage.cpu),
            wall_us: micros(report.usage.wall),
            host_calls: report.usage.host_calls.into(),
            memory_peak_bytes: u64::try_from(report.usage.memory_bytes_peak).unwrap_or(u64::MAX),
        },
    };
    Receipt { outcome, status_code: None, error: error.map(short), report: Some(Box::new(report)) }
}

/// Characters of an error that are kept: it is repeated for each attempt.
const ERROR_CHARS: usize = 500;

fn short(text: Arc<str>) -> Arc<str> {
    match text.char_indices().nth(ERROR_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text,
    }
}

fn write(write: kabar_plugins::KvWrite) -> KvWrite {
    match write {
        kabar_plugins::KvWrite::Put { key, value } => KvWrite::Put(key, value),
        kabar_plugins::KvWrite::Delete { key } => KvWrite::Delete(key),
        kabar_plugins::KvWrite::Add { key, by } => KvWrite::Add(key, by),
    }
}

fn effect(effect: kabar_plugins::Effect) -> Effect {
    match effect {
        kabar_plugins::Effect::Send { draft: Drafted::Send(outgoing), .. } => Effect::Send(outgoing),
        kabar_plugins::Effect::Send { draft: Drafted::MarkRead { wamid }, .. } => Effect::MarkRead { wamid },
        kabar_plugins::Effect::UpdateConversation { conversation_id, status, assigned_to } => {
            Effect::UpdateConversation { id: conversation_id, status, assigned_to }
        }
    }
}

fn call(call: kabar_plugins::HttpCall) -> HookCall {
    HookCall { method: call.method, url: call.url, answer: call.answer }
}

fn line(line: kabar_plugins::LogLine) -> LogLine {
    let level = match line.level {
        kabar_plugins::Level::Debug => LogLevel::Debug,
        kabar_plugins::Level::Info => LogLevel::Info,
        kabar_plugins::Level::Warn => LogLevel::Warn,
        kabar_plugins::Level::Error => LogLevel::Error,
    };
    LogLine { at: line.at, level, text: line.text }
}
