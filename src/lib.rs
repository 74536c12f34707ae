//! The composition root as a library, so that the tests start what the binary starts; no rules of
//! the business live here.

pub mod bench;
pub mod cli;
pub mod dev;
pub mod logging;
mod plugin_runtime;
pub mod server;
pub mod simulator;
