//! Limits, schedules and breakers: pure rules over time, counts and outcomes.
//!
//! Invariant: no rule reads a clock, a store or a network; the caller passes the time in.

pub mod budget_lease;
pub mod circuit_breaker;
pub mod failure_rate;
pub mod retry_schedule;
pub mod send_pace;
pub mod token_bucket;
