//! Shares processor time between runs: admission, measurement and throttling.
//!
//! Invariant: a run that computes for long gives way to short runs and to the rest of the server.

pub(crate) mod background_throttle;
pub(crate) mod cpu_meter;
pub(crate) mod cpu_time;
pub(crate) mod epoch_ticker;
pub(crate) mod thread_pools;
