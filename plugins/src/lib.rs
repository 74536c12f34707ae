//! The host of hooks: a function over an event, run as WebAssembly.
//!
//! `PluginHost::run(version, invocation) → report`. It performs no effect but calls to allowed hosts: writes
//! of the plugin's map, sends and updates come back as data in the [`RunReport`], for the caller to
//! commit together with the run's record. So trying a hook out is the same call without the commit,
//! and a crash repeats or loses nothing.
//!
//! # From an upload to a run
//!
//! 1. [`PluginHost::compile`] checks a component, compiles it off the caller's threads, tries it on a sample
//!    event, and answers a sealed artefact ([`CompiledComponent`]) to be kept, or says what is wrong
//!    ([`InvalidPlugin`]).
//! 2. [`PluginHost::load`] turns an artefact into a [`LoadedVersion`]; artefacts that this server did not seal are
//!    refused. Equal artefacts share one version.
//! 3. [`PluginHost::run`] runs one event through it, in a fresh instance. It waits for its turn, which goes
//!    round among tenants; how long does not count.
//!
//! # Committing a run
//!
//! Of a report whose outcome [succeeded](HookOutcome::succeeded) the caller commits `kv_writes` and
//! `effects` if `kv_reads` [stand](kabar_core::domain::key_values::KeyValues::reads_hold) in the map as it is by then;
//! otherwise it runs the event again on the newer map, which is no attempt.
//!
//! Effects are valid when they are asked for ([`DraftReader`]); whether they can be carried out (24-hour
//! window, an unknown conversation) shows only when they are.
//!
//! # Samples
//!
//! [`sample::event`] makes an event of each type; [`sample::read`] reads one as the API tells it, for
//! `POST …/test` and `kabar plugin test`.
//!
//! # What must stay true
//!
//! - A hook can use up its own budget and nobody else's. Guests run on threads of their own, of low
//!   priority, in slices; each run is bounded by [`RunLimits`].
//! - A full pool is a wait, never an error.
//! - The host knows no store, no actors and no HTTP surface; [`HttpFetcher`] and [`DraftReader`] are all it asks for.

pub mod component;
mod host;
mod invocation;
mod ports;
mod report;
mod runtime;
pub mod sample;
mod scheduler;

#[cfg(test)]
mod tests;

pub use component::compile::compile_stdin;
pub use component::invalid_plugin::{CompileError, InvalidPlugin, NotTrusted};
pub use component::version::{CompiledComponent, LoadedVersion};
pub use host::{CompilerMode, ComponentUpload, HostOptions, HostStartError, PluginHost};
pub use invocation::{Invocation, MEMORY_BYTES_MAX, OutboundMode, RunLimits};
pub use ports::{
    DraftReader, DraftRefused, DraftedRequest, FetchAnswer, FetchError, FetchRequest, HttpFetcher, NoNetwork,
};
pub use report::{HookFault, HookOutcome, HttpCall, RequestedEffect, RunReport};

/// Version of `kabar:hooks` that this host has.
pub const WIT_VERSION: &str = "1.0.0";

/// What every hook exports.
pub const HANDLER: &str = "kabar:hooks/handler@1.0.0";
