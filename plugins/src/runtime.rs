//! One run of a hook: the engine, the guest's state and the host functions that it may call.
//!
//! Invariant: nothing here outlives its run except the engine and the linker.

pub(crate) mod bindings;
pub(crate) mod bindings_v1_1;
pub(crate) mod convert;
pub(crate) mod convert_v1_1;
pub(crate) mod engine;
pub(crate) mod guest_state;
pub(crate) mod hook_call;
pub(crate) mod imports;
pub(crate) mod kv_overlay;
pub(crate) mod log_buffer;
pub(crate) mod outcome;
pub(crate) mod run;
pub(crate) mod wasi;
