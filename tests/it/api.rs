//! The HTTP API as its clients see it: one module for each section of the contract.

pub(crate) mod accounts;
pub(crate) mod auth;
pub(crate) mod auth_refusals;
pub(crate) mod budgets;
pub(crate) mod connection_limits;
pub(crate) mod contacts;
pub(crate) mod conventions;
pub(crate) mod conversations;
pub(crate) mod created_by;
pub(crate) mod entity_tags;
pub(crate) mod erasure;
pub(crate) mod errors;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod horizon;
pub(crate) mod hostile;
pub(crate) mod idempotency;
pub(crate) mod long_polls;
pub(crate) mod messages;
pub(crate) mod operator;
pub(crate) mod paging;
pub(crate) mod response_cache;
pub(crate) mod revocation;
pub(crate) mod scopes;
pub(crate) mod spans;
pub(crate) mod tenancy;
