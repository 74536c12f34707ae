//! Limits, schedules and breakers: pure rules over time, counts and outcomes.
//!
//! Invariant: nothing here reads a clock, a store or a network; the caller brings the time.

pub mod budget_lease;
pub mod circuit_breaker;
pub mod failure_rate;
pub mod send_pace;
pub mod token_bucket;
