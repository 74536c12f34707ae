//! Outcomes of runs that did not end by themselves, in words for the author of the hook.

use std::sync::Arc;

use wasmtime::Trap;

use crate::invocation::RunLimits;
use crate::report::{HookFault, HookOutcome};
use crate::runtime::guest_state::{GuestState, GuestStopReason};

/// Most bytes of a wasmtime error in an outcome.
const ERROR_BYTES_MAX: usize = 1000;

fn trapped_by(fault: HookFault, text: impl Into<Arc<str>>) -> HookOutcome {
    HookOutcome::Trapped(fault, text.into())
}

/// Returns the outcome of a run that exceeded its time.
pub(crate) fn too_long(limits: &RunLimits) -> HookOutcome {
    let ms = limits.wall.as_millis();
    trapped_by(HookFault::Wall, format!("the hook took longer than {ms} ms, waits for other hosts included"))
}

fn too_much_computing(limits: &RunLimits) -> HookOutcome {
    let ms = limits.cpu.as_millis();
    trapped_by(HookFault::Cpu, format!("the hook used more than {ms} ms of computing time"))
}

/// Returns wasmtime's own text, cut to [`ERROR_BYTES_MAX`].
pub(crate) fn error_text(error: &wasmtime::Error) -> Arc<str> {
    let text = format!("{error:#}");
    let end = text.floor_char_boundary(ERROR_BYTES_MAX);
    text.get(..end).unwrap_or_default().into()
}

/// Returns the outcome of a run that was stopped, or trapped.
pub(crate) fn classify_error(error: &wasmtime::Error, guest: &GuestState) -> HookOutcome {
    let limits = &guest.invocation.limits;
    match error.downcast_ref::<GuestStopReason>() {
        Some(GuestStopReason::Cpu) => return too_much_computing(limits),
        Some(GuestStopReason::HostCalls) => {
            let calls = limits.host_calls;
            return trapped_by(
                HookFault::Excess,
                format!("the hook called the host more than {calls} times"),
            );
        }
        None => {}
    }
    let trap = error.downcast_ref::<Trap>();
    if trap == Some(&Trap::StackOverflow) {
        return trapped_by(HookFault::Stack, "the hook called itself too deeply: its stack is full");
    }
    if trap == Some(&Trap::Interrupt) {
        return too_much_computing(limits);
    }
    // Most languages abort when they get no memory, which looks like any other crash.
    if guest.memory.refused {
        let mib = limits.memory_bytes >> 20;
        return trapped_by(HookFault::Memory, format!("the hook ran out of memory: it may use {mib} MiB"));
    }
    match trap {
        Some(Trap::UnreachableCodeReached) => {
            trapped_by(HookFault::Crash, "the hook crashed: it panicked, aborted or reached unreachable code")
        }
        Some(trap) => trapped_by(HookFault::Crash, format!("the hook crashed: {trap}")),
        None if error.downcast_ref::<wasmtime_wasi::I32Exit>().is_some() => {
            trapped_by(HookFault::Crash, "the hook ended its own process instead of answering")
        }
        None => {
            let words = error_text(error);
            if words.contains("fuel allocated for hostcalls") {
                trapped_by(HookFault::Excess, "the hook handed the host more data at once than it may")
            } else {
                trapped_by(HookFault::Crash, format!("the hook failed: {words}"))
            }
        }
    }
}
