//! Shared parts of the operations: bodies, parameters, envelopes, errors, polling, lists and idempotency keys.
//!
//! Invariant: nothing here depends on a single operation.

pub mod body_fields;
pub mod envelope;
pub mod error;
pub mod idempotency;
pub(crate) mod json_body;
pub(crate) mod list;
pub mod params;
pub mod poll;
pub(crate) mod prefer;
pub(crate) mod render;
pub mod tags;
pub mod text;
