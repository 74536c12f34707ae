//! The street door of kabar: HTTP, the public contract, and its documentation.
//!
//! Knows the core and the actors' facades; knows nothing of SQL, Redis, ractor or plugins. What
//! clients may rely on is `docs/contract.md`; the OpenAPI document is made from the code here.

pub mod body;
pub mod envelope;
pub mod error;
mod roster;
pub mod send;
