//! Converts a report of the plugin host into an attempt result.

use std::sync::Arc;

use kabar_core::domain::delivery::AttemptOutcome;
use kabar_core::domain::effect::Effect;
use kabar_core::domain::key_values::KeyValues;
use kabar_core::domain::run::{HookCall, HookReport};
use kabar_core::ids::PluginVersionId;
use kabar_core::ports::AttemptResult;
use kabar_plugins::{DraftedRequest, RunReport};

/// Returns the result of a run that did not begin; it is tried again.
pub(super) fn not_started(why: &str) -> AttemptResult {
    AttemptResult {
        outcome: AttemptOutcome::Retry { after: None },
        status_code: None,
        error: Some(why.into()),
        report: None,
    }
}

/// Returns the result of a run that has ended.
pub(super) fn build_receipt(
    version_id: PluginVersionId,
    seen: KeyValues,
    report: RunReport,
) -> AttemptResult {
    use kabar_plugins::HookOutcome::{Rejected, Retry, Succeeded, Trapped};
    let retry = AttemptOutcome::Retry { after: None };
    let (outcome, error, broke) = match report.outcome {
        Succeeded => (AttemptOutcome::Delivered, None, false),
        Retry(why) => (retry, Some(why), false),
        Rejected(why) => (AttemptOutcome::Rejected, Some(why), false),
        Trapped(fault, why) => (retry, Some(format!("{}: {why}", fault.as_str()).into()), true),
    };
    let report = HookReport {
        version_id,
        broke,
        seen,
        reads: report.kv_reads,
        writes: report.kv_writes,
        effects: report.effects.into_iter().map(convert_effect).collect(),
        calls: report.http_calls.into_iter().map(convert_call).collect(),
        logs: report.logs,
        logs_cut: report.logs_cut,
        usage: report.usage,
    };
    AttemptResult {
        outcome,
        status_code: None,
        error: error.map(shorten_text),
        report: Some(Box::new(report)),
    }
}

/// Longest error that is kept: it is repeated for each attempt.
const ERROR_CHARS: usize = 500;

fn shorten_text(text: Arc<str>) -> Arc<str> {
    match text.char_indices().nth(ERROR_CHARS) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()).into(),
        None => text,
    }
}

fn convert_effect(effect: kabar_plugins::RequestedEffect) -> Effect {
    match effect {
        kabar_plugins::RequestedEffect::Send { draft: DraftedRequest::Send(outgoing), .. } => {
            Effect::Send(outgoing)
        }
        kabar_plugins::RequestedEffect::Send { draft: DraftedRequest::MarkRead(mark), .. } => {
            Effect::MarkRead(mark)
        }
        kabar_plugins::RequestedEffect::UpdateConversation { conversation_id, status, assigned_to } => {
            Effect::UpdateConversation { id: conversation_id, status, assigned_to }
        }
    }
}

fn convert_call(call: kabar_plugins::HttpCall) -> HookCall {
    HookCall { method: call.method, url: call.url, answer: call.answer }
}
