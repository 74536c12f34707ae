//! Components: checked, compiled, signed and loaded.
//!
//! Invariant: bytes become executable code only through `artifact`, which verifies this server's signature.

pub(crate) mod artifact;
pub(crate) mod compile;
pub(crate) mod inspect;
pub(crate) mod invalid_plugin;
pub(crate) mod syscall_filter;
pub(crate) mod version;
pub mod wrap;
