//! The engine: its features, its limits, and the imports of guests.
//!
//! Invariant: the pool has room for as many components of the largest kind as there may be runs, so that it is
//! never exhausted while [`kabar_core::fair_bound`] counts.

use wasmtime::component::{HasSelf, Linker};
use wasmtime::{Config, Engine, InstanceAllocationStrategy, PoolingAllocationConfig};

use crate::invocation::MEMORY_BYTES_MAX;
use crate::runtime::bindings::StatusHook;
use crate::runtime::guest_state::GuestState;

/// Most core instances of one component: a Python guest has some forty.
pub(crate) const INSTANCES_MAX: u32 = 64;
/// Most memories of one component.
const MEMORIES_MAX: u32 = 4;
/// Most tables of one component.
const TABLES_MAX: u32 = 16;
/// Most elements of one table.
const TABLE_ELEMENTS: usize = 100_000;
/// Stack of a guest; the fiber that it runs on has room for the host's calls beyond it.
const STACK_BYTES: usize = 512 << 10;
/// Of a guest's memory, this much is zeroed rather than given back after each run.
const MEMORY_KEPT_BYTES: usize = 128 << 10;
const STACK_KEPT_BYTES: usize = 32 << 10;
const TABLE_KEPT_BYTES: usize = 16 << 10;

/// Returns the configuration that compiling and running engines must share.
fn engine_config() -> Config {
    let mut config = Config::new();
    config
        .epoch_interruption(true)
        .wasm_component_model(true)
        .wasm_memory64(false)
        .wasm_relaxed_simd(true)
        .relaxed_simd_deterministic(true)
        .cranelift_nan_canonicalization(true)
        .max_wasm_stack(STACK_BYTES)
        .async_stack_size(STACK_BYTES + (1 << 20))
        .generate_address_map(false);
    config
}

/// Returns an engine that compiles and never runs. A memory is kept as an image ready to be mapped if the image has
/// at most `image_bytes`, or at most twice the bytes of its data.
///
/// # Errors
/// When wasmtime does not support this machine.
pub(crate) fn compiling_engine(image_bytes: u64) -> wasmtime::Result<Engine> {
    let mut config = engine_config();
    config.memory_guaranteed_dense_image_size(image_bytes);
    Engine::new(&config)
}

/// Returns an engine that loads what the others compile, whatever an instance of it needs.
///
/// # Errors
/// When wasmtime does not support this machine.
pub(crate) fn unbounded_engine() -> wasmtime::Result<Engine> {
    Engine::new(&engine_config())
}

/// Returns an engine for this many runs at once.
///
/// # Errors
/// When there is not enough address space.
pub(crate) fn running_engine(runs_max: usize) -> wasmtime::Result<Engine> {
    let runs = u32::try_from(runs_max).unwrap_or(u32::MAX);
    let mut pool = PoolingAllocationConfig::new();
    pool.total_component_instances(runs)
        .max_core_instances_per_component(INSTANCES_MAX)
        .total_core_instances(runs.saturating_mul(INSTANCES_MAX))
        .max_memories_per_component(MEMORIES_MAX)
        .total_memories(runs.saturating_mul(MEMORIES_MAX))
        .max_memory_size(MEMORY_BYTES_MAX)
        .max_tables_per_component(TABLES_MAX)
        .total_tables(runs.saturating_mul(TABLES_MAX))
        .max_tables_per_module(TABLES_MAX)
        .table_elements(TABLE_ELEMENTS)
        .total_stacks(runs)
        .linear_memory_keep_resident(MEMORY_KEPT_BYTES)
        .async_stack_keep_resident(STACK_KEPT_BYTES)
        .table_keep_resident(TABLE_KEPT_BYTES);
    let mut config = engine_config();
    config.allocation_strategy(InstanceAllocationStrategy::Pooling(pool));
    Engine::new(&config)
}

/// Returns the linker with all imports that a guest may have.
///
/// # Errors
/// When two of the parts have the same name.
pub(crate) fn guest_linker(engine: &Engine) -> wasmtime::Result<Linker<GuestState>> {
    let mut linker = Linker::new(engine);
    wasmtime_wasi::p2::add_to_linker_async(&mut linker)?;
    StatusHook::add_to_linker::<GuestState, HasSelf<GuestState>>(&mut linker, |guest| guest)?;
    Ok(linker)
}
