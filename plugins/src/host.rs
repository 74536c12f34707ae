//! The plugin host: its options, and its three operations.

mod version_loader;

use std::collections::{BTreeMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use bytes::Bytes;
use kabar_core::domain::account::Secret;
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::event::EventType;
use kabar_core::domain::key_values::{KeyValues, KvReads};
use kabar_core::domain::plugin::Capabilities;
use kabar_core::domain::run::RunUsage;
use kabar_core::domain::time::Timestamp;
use kabar_core::fair_bound::{BoundOverloaded, FairBound};
use kabar_core::ids::OrganisationId;
use kabar_core::ports::EventForm;
use sha2::{Digest as _, Sha256};
use tracing::Instrument as _;

use crate::component::compile::{CompileLimits, CompilerMode, compile_component, compiled_bytes_max};
use crate::component::inspect::{self, ComponentInterface};
use crate::component::invalid_plugin::{CompileError, InvalidPlugin, NotTrusted};
use crate::component::version::{CompiledComponent, ComponentLoadError, LoadedVersion};
use crate::invocation::{Invocation, OutboundMode, RunLimits};
use crate::ports::{ArtifactKeys, DraftReader, HttpFetcher, RawMessages};
use crate::report::{HookFault, HookOutcome, RunReport};
use crate::runtime::run::RunPorts;
use crate::runtime::{engine, run};
use crate::sample;
use crate::scheduler::cpu_meter::{BackgroundPool, CpuMeter};
use crate::scheduler::epoch_ticker::EpochTicker;
use crate::scheduler::thread_pools::ThreadPools;
use version_loader::VersionLoader;

/// Options of a [`PluginHost`].
#[derive(Debug, Clone)]
pub struct HostOptions {
    /// Keys that sign artefacts. Nodes that share artefacts share them.
    pub seal_keys: Arc<dyn ArtifactKeys>,
    /// Threads that run hooks.
    pub threads: usize,
    /// Most runs under way at once, those that wait for other hosts included. The host takes at most the memory
    /// of this many.
    pub runs_max: usize,
    /// Most runs of one plugin under way at once.
    pub runs_per_plugin_max: usize,
    /// Most bytes of a component.
    pub component_bytes_max: usize,
    /// Longest time of one compilation.
    pub compile_timeout: Duration,
    /// Place where compilations run.
    pub compiler: CompilerMode,
}

impl HostOptions {
    /// Returns options that suit this machine, with these keys.
    #[must_use]
    pub fn new(seal_keys: impl ArtifactKeys + 'static) -> Self {
        let cores = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        Self {
            seal_keys: Arc::new(seal_keys),
            threads: cores.max(2),
            runs_max: 32,
            runs_per_plugin_max: 8,
            component_bytes_max: 32 << 20,
            compile_timeout: Duration::from_mins(1),
            compiler: CompilerMode::Here,
        }
    }
}

/// Most compilations under way at once. A tenant never has the last one, so it has one.
const COMPILATIONS_MAX: usize = 2;

/// Most plugins that are known to compute for long; some 100 bytes each. Runs of the others begin in the
/// foreground pool.
const LONG_MAX: usize = 10_000;

/// Limits of the trial. A first run may be slow, because caches are cold and no event waits for it.
const TRIAL: Duration = Duration::from_secs(2);

/// Reason that the host did not start.
#[derive(Debug, thiserror::Error)]
#[error("the host of hooks cannot start: {0}")]
pub struct HostStartError(Arc<str>);

/// A component to be compiled to a version of a plugin.
#[derive(Debug, Clone)]
pub struct ComponentUpload {
    /// The tenant, which has one compilation at a time.
    pub organisation_id: OrganisationId,
    /// The component.
    pub wasm: Bytes,
    /// Most bytes of its compiled form, whatever its own size.
    pub compiled_bytes_max: usize,
    /// Capabilities that it may import.
    pub granted: Capabilities,
    /// Settings, for the trial.
    pub config: Arc<BTreeMap<Arc<str>, Arc<str>>>,
    /// Secrets, for the trial.
    pub secrets: Arc<BTreeMap<Arc<str>, Secret>>,
    /// Allowed hosts, for the trial, which calls none of them.
    pub allowed_hosts: AllowedHosts,
    /// The type of the sample event that it is tried on.
    pub trial: EventType,
    /// Time of the guest's clocks in the trial.
    pub now: Timestamp,
}

/// Compiles, loads and runs hooks.
pub struct PluginHost {
    options: HostOptions,
    fetch: Arc<dyn HttpFetcher>,
    drafts: Arc<dyn DraftReader>,
    form: Option<Arc<dyn EventForm>>,
    raw: Option<Arc<dyn RawMessages>>,
    loader: Arc<VersionLoader>,
    runs: Arc<FairBound>,
    background: Arc<BackgroundPool>,
    compilations: Arc<FairBound>,
    /// Plugins with a last run that computed for long.
    long: Mutex<HashSet<Arc<str>>>,
    threads: ThreadPools,
}

impl PluginHost {
    /// Creates a host and starts its threads.
    ///
    /// # Errors
    /// When the machine has not enough memory or threads for it.
    pub fn new(
        options: HostOptions,
        fetch: Arc<dyn HttpFetcher>,
        drafts: Arc<dyn DraftReader>,
    ) -> Result<Self, HostStartError> {
        let no_host = |error: wasmtime::Error| HostStartError(format!("{error:#}").into());
        let no_thread = |error: std::io::Error| HostStartError(error.to_string().into());
        let engine = engine::running_engine(options.runs_max).map_err(no_host)?;
        let threads = options.threads.max(2);
        let linker = engine::guest_linker(&engine).map_err(no_host)?;
        let ticker = EpochTicker::start(engine).map_err(no_thread)?;
        Ok(Self {
            loader: VersionLoader::new(options.seal_keys.clone(), linker),
            runs: FairBound::with_groups("hook_runs", options.runs_max, options.runs_per_plugin_max),
            background: Arc::new(BackgroundPool::new(threads - 1, ticker)),
            compilations: FairBound::new("compilations", COMPILATIONS_MAX),
            long: Mutex::default(),
            threads: ThreadPools::start(threads).map_err(no_thread)?,
            options,
            fetch,
            drafts,
            form: None,
            raw: None,
        })
    }

    /// Sets the API's form of events: hooks get the `data` of events whose types are younger than the package
    /// that they were built with. Without it that is an empty object.
    #[must_use]
    pub fn with_event_form(mut self, form: Arc<dyn EventForm>) -> Self {
        self.form = Some(form);
        self
    }

    /// Sets the reader of messages as WhatsApp sent them. Without it hooks see none.
    #[must_use]
    pub fn with_raw_messages(mut self, raw: Arc<dyn RawMessages>) -> Self {
        self.raw = Some(raw);
        self
    }

    /// Returns the message of an event as WhatsApp sent it, for a version that shows it.
    async fn read_raw(&self, version: &LoadedVersion, invocation: &Invocation) -> Option<String> {
        let raw = self.raw.as_ref().filter(|_| version.hook().wants_raw())?;
        let wamid = invocation.event.kind.message()?.wamid.as_ref()?;
        raw.read(&invocation.account, wamid).await
    }

    /// Checks a component, compiles it, and tries it on a sample event, with effects that are not carried out.
    /// A hook that returns a retry or rejects the sample passes; one that traps does not.
    ///
    /// # Errors
    /// [`CompileError::Invalid`] when it is not a plugin.
    pub async fn compile(&self, upload: ComponentUpload) -> Result<CompiledComponent, CompileError> {
        let compiled = self.build_component(&upload).await?;
        let version =
            self.loader.load_artifact(upload.organisation_id, compiled.artefact.clone()).await.map_err(
                |error| match error {
                    ComponentLoadError::Misfit(invalid) => CompileError::Invalid(invalid),
                    ComponentLoadError::NotTrusted(error) => CompileError::Failed(error.to_string().into()),
                },
            )?;
        let tried = self.run(&version, trial(&upload, &compiled.sha256)).await;
        match tried.outcome {
            HookOutcome::Trapped(_, text) => {
                // A panic's message is in the log, and says more than "it crashed".
                let said = tried.logs.iter().rev().take(3).rev().map(|line| line.text.as_ref());
                let said: Vec<&str> = said.collect();
                let told = if said.is_empty() {
                    text
                } else {
                    format!("{text}; it said: {}", said.join(" | ")).into()
                };
                Err(InvalidPlugin::Trapped(told).into())
            }
            HookOutcome::Succeeded | HookOutcome::Retry(_) | HookOutcome::Rejected(_) => Ok(compiled),
        }
    }

    /// All of [`PluginHost::compile`] but the trial.
    pub(crate) async fn build_component(
        &self,
        upload: &ComponentUpload,
    ) -> Result<CompiledComponent, CompileError> {
        let (wasm, bytes_max) = (&upload.wasm, self.options.component_bytes_max);
        if wasm.is_empty() || wasm.len() > bytes_max {
            return Err(InvalidPlugin::Size { bytes: wasm.len(), bytes_max }.into());
        }
        let tenant = upload.organisation_id;
        let busy = |error: BoundOverloaded| CompileError::Failed(error.to_string().into());
        let permit = self.compilations.acquire(tenant).await.map_err(busy)?;
        let (surface, sha256) = self.inspect_component(upload).await?;
        let began = Instant::now();
        let limits = CompileLimits {
            bytes_max: compiled_bytes_max(wasm.len(), upload.compiled_bytes_max),
            timeout: self.options.compile_timeout,
        };
        let code = compile_component(&self.options.compiler, wasm.clone(), limits, permit).await?;
        let compile_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
        Ok(CompiledComponent {
            artefact: self.loader.sign_artifact(tenant, code, sha256).await.map_err(CompileError::Failed)?,
            sha256,
            size: wasm.len(),
            imports: surface.imports,
            exports: surface.exports,
            compile_ms,
        })
    }

    /// Reads a component's interface, checks it, and computes the component's digest.
    async fn inspect_component(
        &self,
        upload: &ComponentUpload,
    ) -> Result<(ComponentInterface, [u8; 32]), CompileError> {
        let (wasm, granted) = (upload.wasm.clone(), upload.granted);
        let inspected = self.loader.run_apart(upload.organisation_id, move || {
            let surface = inspect::read_interface(&wasm)?;
            surface.check_world(granted)?;
            Ok((surface, Sha256::digest(&wasm).into()))
        });
        inspected.await.map_err(CompileError::Failed)?.map_err(CompileError::Invalid)
    }

    /// Loads an artefact of [`PluginHost::compile`], off the caller's threads. For one that is in use already, it
    /// costs little more than the check of its signature.
    ///
    /// # Errors
    /// When this server did not sign it, or another build of it did.
    pub async fn load(
        &self,
        tenant: OrganisationId,
        artefact: &Bytes,
    ) -> Result<Arc<LoadedVersion>, NotTrusted> {
        self.loader.load_artifact(tenant, artefact.clone()).await.map_err(NotTrusted::from)
    }

    /// Signs an artefact anew whose signature is by an older key; `None` when the newest key has signed it, or no
    /// known one. Off the caller's threads.
    pub async fn renew_signature(&self, artefact: Bytes) -> Option<Bytes> {
        self.loader.renew_signature(artefact).await
    }

    /// Runs one event through a version, after waiting for a permit. Dropping the future stops the run.
    pub async fn run(&self, version: &Arc<LoadedVersion>, invocation: Invocation) -> RunReport {
        let span = tracing::debug_span!(
            "plugin.run",
            plugin = %invocation.plugin,
            run = invocation.run_id.map(tracing::field::display),
            attempt = invocation.attempt
        );
        self.run_admitted(version, invocation).instrument(span).await
    }

    async fn run_admitted(&self, version: &Arc<LoadedVersion>, invocation: Invocation) -> RunReport {
        let (organisation_id, plugin) = (invocation.organisation_id, invocation.plugin.clone());
        let Ok(seat) = self.runs.acquire_in_group(organisation_id, &plugin).await else {
            return broken("too many runs wait; the event will be tried again");
        };
        let long = self.lock_long_running().contains(&plugin);
        let meter = CpuMeter::new(organisation_id, self.background.clone(), long);
        let ports =
            RunPorts { fetch: self.fetch.clone(), drafts: self.drafts.clone(), form: self.form.clone() };
        let raw = self.read_raw(version, &invocation).await;
        let version = version.clone();
        let metered = meter.clone();
        let run = async move {
            // Declared first, so that it is dropped last, also when the run is stopped: a permit is free only
            // once its instance is.
            let held = seat;
            let report = run::execute_run(&version, invocation, ports, raw, metered).await;
            drop(held);
            report
        };
        // It is polled by other threads, which know no span of their own.
        let report = self.threads.run(run.in_current_span(), &meter).await;
        self.remember_long(plugin, meter.was_long());
        report.unwrap_or_else(|error| {
            tracing::error!(%error, "a run broke its host");
            broken("the host failed; the event will be tried again")
        })
    }

    /// Returns the bounds that organisations share here, for the metrics.
    pub fn shared_bounds(&self) -> impl Iterator<Item = Arc<FairBound>> {
        [&self.runs, &self.compilations, self.background.turns(), self.loader.loads()].into_iter().cloned()
    }

    fn lock_long_running(&self) -> MutexGuard<'_, HashSet<Arc<str>>> {
        self.long.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Records if a plugin's next run is expected to compute for long.
    fn remember_long(&self, plugin: Arc<str>, long: bool) {
        let mut known = self.lock_long_running();
        if !long {
            known.remove(&plugin);
        } else if known.len() < LONG_MAX {
            known.insert(plugin);
        }
    }
}

impl std::fmt::Debug for PluginHost {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("PluginHost").finish_non_exhaustive()
    }
}

fn trial(upload: &ComponentUpload, sha256: &[u8; 32]) -> Invocation {
    let sample = sample::event(upload.trial);
    Invocation {
        organisation_id: upload.organisation_id,
        plugin: "trial".into(),
        account: sample.account,
        event: sample.event,
        run_id: None,
        attempt: 1,
        config: upload.config.clone(),
        secrets: upload.secrets.clone(),
        allowed_hosts: upload.allowed_hosts.clone(),
        kv: KeyValues::default(),
        limits: RunLimits { cpu: TRIAL, wall: TRIAL, ..RunLimits::default() },
        now: upload.now,
        seed: *sha256,
        outbound: OutboundMode::Captured,
    }
}

fn broken(why: &str) -> RunReport {
    RunReport {
        outcome: HookOutcome::Trapped(HookFault::Start, why.into()),
        kv_reads: KvReads::default(),
        kv_writes: Vec::new(),
        effects: Vec::new(),
        http_calls: Vec::new(),
        logs: Vec::new(),
        logs_cut: false,
        usage: RunUsage::default(),
    }
}
