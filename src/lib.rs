//! The composition root as a library, so that the tests start the same parts as the binary; it holds no
//! business rules.

pub mod cli;
pub mod dev;
pub mod logging;
mod plugin_runtime;
pub mod serve;
pub mod server;
pub mod signals;
pub mod simulator;
