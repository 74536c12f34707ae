//! The host of hooks: a function over an event, run as WebAssembly.
//!
//! `PluginHost::run(version, invocation) → report`. It performs no effect but calls to allowed hosts. Writes of
//! the plugin's map, sends and updates are returned as data in the [`RunReport`], for the caller to commit
//! together with the run's record. So a trial of a hook is the same call without the commit, and a crash
//! repeats or loses nothing.
//!
//! # From an upload to a run
//!
//! 1. [`PluginHost::compile`] checks a component, compiles it off the caller's threads and tries it on a sample
//!    event. It returns a signed artefact ([`CompiledComponent`]) to be kept, or the defect
//!    ([`InvalidPlugin`]).
//! 2. [`PluginHost::load`] turns an artefact into a [`LoadedVersion`]; artefacts that this server did not sign
//!    are refused. Equal artefacts share one version.
//! 3. [`PluginHost::run`] runs one event through it, in a fresh instance. It waits for a permit; permits go to
//!    tenants in turn. That wait does not count towards the run's limits.
//!
//! # Committing a run
//!
//! When the outcome of a report [succeeded](HookOutcome::succeeded), the caller commits `kv_writes` and
//! `effects` if `kv_reads` [hold](kabar_core::domain::key_values::KeyValues::reads_hold) in the map as it is by
//! then. Otherwise it runs the event again on the newer map, which is not a further attempt.
//!
//! Effects are validated when they are requested ([`DraftReader`]). It shows only later if they can be carried
//! out (24-hour window, an unknown conversation).
//!
//! # Samples
//!
//! [`sample::event`] makes an event of each type; [`sample::read`] reads one in the form of the API, for the
//! plugin's test endpoint (`POST …/test`) and `kabar plugin test`.
//!
//! # Invariants
//!
//! - A hook can use up its own budget and no other plugin's. Guests run on threads of their own, of low
//!   priority, in slices; each run is bounded by [`RunLimits`].
//! - A full pool is a wait, never an error.
//! - The host knows no store, no actors and no HTTP surface; [`HttpFetcher`] and [`DraftReader`] are its only
//!   ports.

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

pub use component::compile::{COMPILED_BYTES_MAX, CompilerMode, compile_stdin};
pub use component::invalid_plugin::{CompileError, InvalidPlugin, NotTrusted};
pub use component::version::{CompiledComponent, LoadedVersion};
pub use host::{ComponentUpload, HostOptions, HostStartError, PluginHost};
pub use invocation::{Invocation, MEMORY_BYTES_MAX, OutboundMode, RunLimits};
pub use ports::{
    ArtifactKeys, DraftReader, DraftRefused, DraftedRequest, FetchAnswer, FetchError, FetchRequest,
    HttpFetcher, NoNetwork, RawMessages,
};
pub use report::{HookFault, HookOutcome, HttpCall, RequestedEffect, RunReport};

/// Versions of `kabar:hooks` that this host has.
pub const WIT_VERSIONS: [&str; 2] = ["1.0.0", "1.1.0"];

/// Interface that a hook exports.
pub const HANDLER: &str = "kabar:hooks/handler@1.0.0";

/// The same of the newer package.
pub const HANDLER_V1_1: &str = "kabar:hooks/handler@1.1.0";
