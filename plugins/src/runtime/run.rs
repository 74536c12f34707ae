//! One run: a fresh instance and one call, with every resource bounded.

use std::sync::Arc;
use std::time::{Duration, Instant};

use kabar_core::domain::key_values::KvReads;
use kabar_core::domain::run::RunUsage;
use kabar_core::ports::EventForm;
use serde_json::{Value, json};
use wasmtime::{Store, UpdateDeadline};

use crate::component::version::LoadedVersion;
use crate::invocation::{Invocation, RunLimits};
use crate::ports::{DraftReader, HttpFetcher};
use crate::report::{HookFault, HookOutcome, RunReport};
use crate::runtime::bindings::kabar::hooks::types::HookError;
use crate::runtime::guest_state::{GuestState, GuestStopReason};
use crate::runtime::hook_call::CallStage;
use crate::runtime::outcome;
use crate::scheduler::cpu_meter::{CpuMeter, MeteredRun};

/// Epoch ticks of a slice.
const SLICE: u64 = 1;

/// Bytes that a guest may pass in one call: the largest body, and the values around it.
const CALL_BYTES_MAX: usize = 2 << 20;

/// Most bytes of the reason that a hook returns.
const REASON_BYTES_MAX: usize = 4096;

/// What a run needs of other crates.
pub(crate) struct RunPorts {
    pub(crate) fetch: Arc<dyn HttpFetcher>,
    pub(crate) drafts: Arc<dyn DraftReader>,
    pub(crate) form: Option<Arc<dyn EventForm>>,
}

impl RunPorts {
    /// Returns the API's `data` of an event, as JSON.
    fn event_data(&self, invocation: &Invocation) -> String {
        let rendered = self.form.as_ref().map(|form| form.bytes(&invocation.account, &invocation.event));
        let event = rendered.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok());
        event
            .and_then(|mut event| event.get_mut("data").map(Value::take))
            .unwrap_or_else(|| json!({}))
            .to_string()
    }
}

/// Runs one event through a version; `raw` is its message as WhatsApp sent it.
pub(crate) async fn execute_run(
    version: &LoadedVersion,
    invocation: Invocation,
    ports: RunPorts,
    raw: Option<String>,
    meter: Arc<CpuMeter>,
) -> RunReport {
    let started = Instant::now();
    let limits = invocation.limits;
    let event = version.hook().convert_event(&invocation, || ports.event_data(&invocation), raw);
    let guest = GuestState::new(invocation, ports.fetch, ports.drafts, started);
    let mut store = Store::new(version.engine(), guest);
    store.limiter(|guest| &mut guest.memory);
    store.set_hostcall_fuel(CALL_BYTES_MAX);
    store.set_epoch_deadline(SLICE + 1);
    let turn_meter = meter.clone();
    store.epoch_deadline_callback(move |_store| {
        if turn_meter.cpu_used() >= limits.cpu {
            return Err(GuestStopReason::Cpu.into());
        }
        turn_meter.take_rest();
        Ok(turn_meter
            .next_turn()
            .map_or(UpdateDeadline::Continue(SLICE), |turn| UpdateDeadline::YieldCustom(SLICE, turn)))
    });
    let call = version.hook().call(&mut store, &event);
    let ended = run_within(&limits, started, &meter, MeteredRun::new(call, meter.clone())).await;
    let outcome = match ended {
        None => outcome::too_long(&limits),
        Some(Ok(Ok(()))) => HookOutcome::Succeeded,
        Some(Ok(Err(HookError::Retry(reason)))) => HookOutcome::Retry(cut_text(&reason)),
        Some(Ok(Err(HookError::Reject(reason)))) => HookOutcome::Rejected(cut_text(&reason)),
        Some(Err((CallStage::Running, error))) => outcome::classify_error(&error, store.data()),
        Some(Err((CallStage::Start, error))) => not_started(outcome::classify_error(&error, store.data())),
    };
    let wall = started.elapsed().saturating_sub(meter.time_waited());
    build_report(
        outcome,
        store,
        RunUsage { cpu_us: to_micros(meter.cpu_spent()), wall_us: to_micros(wall), ..RunUsage::default() },
    )
}

fn not_started(outcome: HookOutcome) -> HookOutcome {
    match outcome {
        HookOutcome::Trapped(HookFault::Crash, text) => {
            HookOutcome::Trapped(HookFault::Start, format!("could not be started: {text}").into())
        }
        other @ (HookOutcome::Succeeded
        | HookOutcome::Retry(_)
        | HookOutcome::Rejected(_)
        | HookOutcome::Trapped(..)) => other,
    }
}

fn to_micros(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

fn cut_text(reason: &str) -> Arc<str> {
    reason.get(..reason.floor_char_boundary(REASON_BYTES_MAX)).unwrap_or_default().into()
}

/// Waits for a run's end within its time limit, which excludes rests and waits for permits and processors;
/// `None` when the limit is over.
async fn run_within<F: Future>(
    limits: &RunLimits,
    started: Instant,
    meter: &CpuMeter,
    run: F,
) -> Option<F::Output> {
    let mut run = std::pin::pin!(run);
    loop {
        let end = started + limits.wall + meter.time_waited();
        let left = end.saturating_duration_since(Instant::now());
        if left == Duration::ZERO {
            return None;
        }
        if let Ok(ended) = tokio::time::timeout(left, &mut run).await {
            return Some(ended);
        }
    }
}

fn build_report(outcome: HookOutcome, mut store: Store<GuestState>, usage: RunUsage) -> RunReport {
    let usage = RunUsage {
        memory_peak_bytes: u64::try_from(store.data().memory.bytes_peak).unwrap_or(u64::MAX),
        host_calls: store.data().host_calls.into(),
        ..usage
    };
    let guest = store.data_mut();
    let effects = std::mem::take(&mut guest.effects);
    let http_calls = std::mem::take(&mut guest.http_calls);
    let log = guest.log.clone();
    let succeeded = outcome.succeeded();
    let (kv_reads, kv_writes) = store.into_data().kv.into_parts();
    // The guest is dropped by now, so its unfinished lines are closed.
    let (logs, logs_cut) = log.take_lines();
    RunReport {
        outcome,
        kv_reads: if succeeded { kv_reads } else { KvReads::default() },
        kv_writes: if succeeded { kv_writes } else { Vec::new() },
        effects: if succeeded { effects } else { Vec::new() },
        http_calls,
        logs,
        logs_cut,
        usage,
    }
}
