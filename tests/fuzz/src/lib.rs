//! Fuzz targets: functions over bytes that panic when something is untrue that must hold for every input.
//!
//! Each target runs in three ways: bounded and by fixed seeds as a test (`tests/targets.rs`), for as long as asked and by
//! any seed (`just fuzz`), and under a fuzzer that is guided by coverage (`just fuzz-guided`, with cargo-fuzz). Invariant: what a
//! target does depends on its input alone, so an input that was found fails again.

pub mod campaign;
pub mod corpus;
pub mod mutation;
pub mod panics;
pub mod targets;

mod runtime;
mod server;

pub use targets::{FuzzTarget, TARGETS};
