//! Shared parts of the operations: bodies, parameters, envelopes, errors, polling, lists and idempotency keys.
//!
//! Invariant: nothing here depends on a single operation.

pub(crate) mod body_fields;
pub(crate) mod envelope;
pub(crate) mod error;
pub(crate) mod idempotency;
pub(crate) mod json_body;
pub(crate) mod list;
pub(crate) mod params;
pub(crate) mod poll;
pub(crate) mod prefer;
pub(crate) mod principal;
pub(crate) mod render;
pub(crate) mod tags;
pub(crate) mod text;
