//! State of one run: the data of its wasmtime store.
//!
//! Invariant: every call of a `kabar:hooks` function goes through [`GuestState::charge_host_call`], so that
//! their number is bounded whatever they cost.

use std::sync::Arc;
use std::time::Instant;

use kabar_core::domain::time::Timestamp;
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use wasmtime::ResourceLimiter;
use wasmtime_wasi::{ResourceTable, WasiCtx, WasiCtxView, WasiView};

use crate::invocation::{Invocation, MEMORY_BYTES_MAX};
use crate::ports::{DraftReader, HttpFetcher};
use crate::report::{HttpCall, RequestedEffect};
use crate::runtime::kv_overlay::KvOverlay;
use crate::runtime::log_buffer::LogBuffer;
use crate::runtime::wasi;

/// Most WASI handles that a guest may hold at once.
const HANDLES_MAX: usize = 1024;

/// Reason that the host stopped a guest.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum GuestStopReason {
    /// No computing time is left.
    #[error("no computing time is left")]
    Cpu,
    /// It called the host too often.
    #[error("too many calls to the host")]
    HostCalls,
}

/// The data of a run's store.
pub(crate) struct GuestState {
    pub(crate) invocation: Invocation,
    pub(crate) fetch: Arc<dyn HttpFetcher>,
    pub(crate) drafts: Arc<dyn DraftReader>,
    pub(crate) kv: KvOverlay,
    pub(crate) log: LogBuffer,
    pub(crate) effects: Vec<RequestedEffect>,
    pub(crate) http_calls: Vec<HttpCall>,
    pub(crate) random: StdRng,
    pub(crate) started: Instant,
    pub(crate) host_calls: u32,
    pub(crate) memory: GuestMemory,
    wasi: Option<WasiCtx>,
    table: ResourceTable,
}

impl GuestState {
    pub(crate) fn new(
        mut invocation: Invocation,
        fetch: Arc<dyn HttpFetcher>,
        drafts: Arc<dyn DraftReader>,
        started: Instant,
    ) -> Self {
        let mut table = ResourceTable::new();
        table.set_max_capacity(HANDLES_MAX);
        let limits = invocation.limits;
        Self {
            kv: KvOverlay::new(std::mem::take(&mut invocation.kv), limits.kv_bytes),
            log: LogBuffer::new(limits.log_bytes, invocation.now, started),
            effects: Vec::new(),
            http_calls: Vec::new(),
            random: StdRng::from_seed(invocation.seed),
            started,
            host_calls: 0,
            memory: GuestMemory::new(limits.memory_bytes),
            wasi: None,
            table,
            invocation,
            fetch,
            drafts,
        }
    }

    /// Counts a call to the host; an error once the run has used its limit.
    pub(crate) fn charge_host_call(&mut self) -> wasmtime::Result<()> {
        self.host_calls += 1;
        if self.host_calls > self.invocation.limits.host_calls {
            return Err(GuestStopReason::HostCalls.into());
        }
        Ok(())
    }

    /// Returns the run's current time: the invocation's, plus the time since its start.
    pub(crate) fn now(&self) -> Timestamp {
        self.invocation.now.plus_duration(self.started.elapsed())
    }
}

impl WasiView for GuestState {
    fn ctx(&mut self) -> WasiCtxView<'_> {
        if self.wasi.is_none() {
            let context = wasi::build_context(&self.invocation, self.started, &self.log, &mut self.random);
            self.wasi = Some(context);
        }
        let ctx = self.wasi.get_or_insert_with(|| wasmtime_wasi::WasiCtxBuilder::new().build());
        WasiCtxView { ctx, table: &mut self.table }
    }
}

/// Most elements of a guest's tables in all. A Python guest has 20 000.
const TABLE_ELEMENTS_MAX: usize = 200_000;

/// Memory use of a run: all its memories together, and its tables.
pub(crate) struct GuestMemory {
    bytes_max: usize,
    bytes: usize,
    elements: usize,
    /// Peak of `bytes`.
    pub(crate) bytes_peak: usize,
    /// Set when the guest was refused memory or table elements.
    pub(crate) refused: bool,
}

impl GuestMemory {
    fn new(bytes_max: usize) -> Self {
        let bytes_max = bytes_max.min(MEMORY_BYTES_MAX);
        Self { bytes_max, bytes: 0, elements: 0, bytes_peak: 0, refused: false }
    }
}

impl ResourceLimiter for GuestMemory {
    fn memory_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let bytes = self.bytes.saturating_add(desired.saturating_sub(current));
        let granted = bytes <= self.bytes_max;
        // Beyond its own maximum a memory fails by itself, which is not a refusal by this limit.
        if granted && maximum.is_none_or(|maximum| desired <= maximum) {
            self.bytes = bytes;
            self.bytes_peak = self.bytes_peak.max(bytes);
        }
        self.refused |= !granted;
        Ok(granted)
    }

    fn table_growing(
        &mut self,
        current: usize,
        desired: usize,
        maximum: Option<usize>,
    ) -> wasmtime::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        let granted = elements <= TABLE_ELEMENTS_MAX;
        if granted && maximum.is_none_or(|maximum| desired <= maximum) {
            self.elements = elements;
        }
        self.refused |= !granted;
        Ok(granted)
    }
}
