//! The plugin runtime: connects the plugin host to the ports of the delivery workers and of the operations.
//!
//! Invariants: a version is loaded once, however many callers need it; its artefact is kept on disk, trusted
//! only with this server's signature, and compiled anew from the component when it is missing. A version that
//! cannot be loaded fails its own runs, and no others.

mod artifact_folder;
mod attempt_result;
mod guarded_fetcher;
mod stored_raw;
mod version_cache;

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use bytes::Bytes;
use futures_util::future::BoxFuture;
use kabar_actors::TenantDirectory;
use kabar_core::cause::cause;
use kabar_core::clock::Clock;
use kabar_core::config::{HookLimits, HookSettings, Settings};
use kabar_core::domain::account::Account;
use kabar_core::domain::event::{Event, EventType};
use kabar_core::domain::organisation::PriceTier;
use kabar_core::domain::plugin::Plugin;
use kabar_core::domain::subscriber::Subscriber;
use kabar_core::fair_bound::FairBound;
use kabar_core::ids::{OrganisationId, PluginVersionId, RunId};
use kabar_core::ports::{
    AttemptResult, DeliveryRequest, EventForm, EventSink, InspectedComponent, NotASample, NotInspected,
    PluginToolchain,
};
use kabar_core::store::Store;
use kabar_openapi::MessageDrafts;
use kabar_plugins::{
    COMPILED_BYTES_MAX, CompileError, ComponentUpload, HostOptions, HttpFetcher, Invocation, LoadedVersion,
    OutboundMode, PluginHost, RunLimits, sample,
};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use crate::cli::COMPILER_ARGUMENTS;
pub(crate) use guarded_fetcher::GuardedFetcher;
use stored_raw::StoredRaw;
use version_cache::VersionCache;

/// Parts of the server that hooks use.
pub(crate) struct HookPorts {
    /// Calls to other hosts.
    pub(crate) fetch: Arc<dyn HttpFetcher>,
    /// The API's form of events.
    pub(crate) form: Arc<dyn EventForm>,
}

/// The plugin host with its store, its cache and the limits of each tier.
pub(crate) struct PluginRuntime {
    host: PluginHost,
    store: Store,
    clock: Arc<Clock>,
    directory: TenantDirectory,
    /// Limits by the tier of the tenant; they may change while the server runs.
    settings: ArcSwap<HookSettings>,
    cache: VersionCache,
    /// Notified when a sweep is wanted.
    sweep: Notify,
}

/// Longest time between two sweeps: other nodes delete versions as well.
const SWEEP_INTERVAL: Duration = Duration::from_hours(1);
/// Time between two sweeps, at least: many deletions are one sweep.
const SWEEP_PAUSE: Duration = Duration::from_secs(1);

impl PluginRuntime {
    /// Starts the host.
    pub(crate) fn start(
        settings: &Settings,
        store: Store,
        directory: TenantDirectory,
        clock: Arc<Clock>,
        ports: HookPorts,
    ) -> anyhow::Result<Self> {
        let wanted = &settings.hooks;
        let options = HostOptions {
            threads: wanted.threads,
            runs_max: wanted.concurrent_runs,
            component_bytes_max: wanted.component_bytes,
            compiler: compiler_mode(),
            ..HostOptions::new(store.keys().clone())
        };
        let host =
            PluginHost::new(options, ports.fetch, Arc::new(MessageDrafts))?.with_event_form(ports.form);
        let host = host.with_raw_messages(Arc::new(StoredRaw(store.clone())));
        let cache = VersionCache::open(settings);
        let settings = ArcSwap::from_pointee(settings.hooks.clone());
        Ok(Self { host, store, directory, clock, settings, cache, sweep: Notify::new() })
    }

    /// Puts the limits of newer settings in force, from the next run and the next upload on.
    pub(crate) fn apply_settings(&self, settings: &HookSettings) {
        self.settings.store(Arc::new(settings.clone()));
    }

    /// Returns the bounds that organisations share here, for the metrics.
    pub(crate) fn shared_bounds(&self) -> impl Iterator<Item = Arc<FairBound>> {
        self.host.shared_bounds()
    }

    /// Removes compiled forms of versions that are gone: at once, then on request, and each hour.
    pub(crate) async fn sweep_artifacts(self: Arc<Self>, stopping: CancellationToken) {
        let sweeping = async {
            self.cache.remove_parts().await;
            let mut signed_under = self.store.keys().writing_key();
            loop {
                let writing_key = self.store.keys().writing_key();
                if writing_key != signed_under {
                    signed_under = writing_key;
                    self.renew_artifacts().await;
                }
                if let Err(error) = self.cache.remove_remnants(&self.store).await {
                    tracing::warn!(error = cause(&error), "compiled components not swept");
                }
                tokio::time::sleep(SWEEP_PAUSE).await;
                tokio::select! {
                    () = self.sweep.notified() => {}
                    () = tokio::time::sleep(SWEEP_INTERVAL) => {}
                }
            }
        };
        tokio::select! {
            () = stopping.cancelled() => {}
            () = sweeping => {}
        }
    }

    /// Signs an artefact on disk anew that an older key has signed, so that the older key can be thrown away.
    async fn renew_artifact(&self, id: PluginVersionId, artefact: Bytes) {
        if let Some(renewed) = self.host.renew_signature(artefact).await {
            self.cache.write_artifact(id, &renewed).await;
        }
    }

    /// Signs all artefacts on disk anew that an older key has signed.
    async fn renew_artifacts(&self) {
        for id in self.cache.list_artifacts().await {
            if let Some(artefact) = self.cache.read_artifact(id).await {
                self.renew_artifact(id, artefact).await;
            }
        }
    }

    /// Returns a loaded version.
    async fn load_version(
        &self,
        plugin: &Arc<Plugin>,
        id: PluginVersionId,
    ) -> Result<Arc<LoadedVersion>, Arc<str>> {
        let load = async {
            if let Some(artefact) = self.cache.read_artifact(id).await
                && let Ok(version) = self.host.load(plugin.organisation_id, &artefact).await
            {
                self.renew_artifact(id, artefact).await;
                return Ok(version);
            }
            let wasm =
                self.store.plugin_bytes(plugin.id, id).await.map_err(|error| Arc::from(error.to_string()))?;
            let wasm = wasm
                .ok_or_else(|| Arc::<str>::from("the version is not kept any more; activate another one"))?;
            // It was taken once, perhaps in another tier.
            let upload = build_upload(plugin, wasm, COMPILED_BYTES_MAX, &self.clock);
            let compiled = self.host.compile(upload).await;
            let compiled = compiled.map_err(|error| Arc::<str>::from(error.to_string()))?;
            self.cache.write_artifact(id, &compiled.artefact).await;
            self.host
                .load(plugin.organisation_id, &compiled.artefact)
                .await
                .map_err(|error| error.to_string().into())
        };
        self.cache.get_or_load(id, Box::pin(load)).await
    }

    fn limits_of(&self, organisation: OrganisationId) -> HookLimits {
        // A removed organisation has the limits of the lowest tier for its last runs.
        let tier = self.directory.find_organisation(organisation).map_or(PriceTier::Free, |known| known.tier);
        self.settings.load().limits_of(tier)
    }

    fn run_limits(&self, organisation: OrganisationId) -> RunLimits {
        let HookLimits { cpu, wall, memory_bytes, log_bytes, compiled_bytes: _ } =
            self.limits_of(organisation);
        RunLimits { cpu, wall, memory_bytes, log_bytes, ..RunLimits::default() }
    }

    async fn run_hook(
        &self,
        plugin: &Arc<Plugin>,
        id: PluginVersionId,
        delivery_request: DeliveryRequest,
        outbound: OutboundMode,
    ) -> AttemptResult {
        let version = match self.load_version(plugin, id).await {
            Ok(version) => version,
            Err(why) => return attempt_result::not_started(&why),
        };
        let seen = delivery_request.kv;
        let invocation = Invocation {
            organisation_id: plugin.organisation_id,
            plugin: plugin.id.to_string().into(),
            account: delivery_request.account,
            event: delivery_request.event,
            run_id: (outbound == OutboundMode::Performed).then(|| RunId::from(delivery_request.delivery_id)),
            attempt: delivery_request.attempt,
            config: plugin.config.clone(),
            secrets: plugin.secrets.clone(),
            allowed_hosts: plugin.allowed_hosts.clone(),
            kv: seen.clone(),
            limits: self.run_limits(plugin.organisation_id),
            now: self.clock.read_now(),
            seed: rand::random(),
            outbound,
        };
        attempt_result::build_receipt(id, seen, self.host.run(&version, invocation).await)
    }
}

/// Chooses the compiler: a child process where this program can be started again for it.
fn compiler_mode() -> kabar_plugins::CompilerMode {
    match std::env::current_exe() {
        Ok(path) if path.file_stem().is_some_and(|name| name == "kabar") => {
            kabar_plugins::CompilerMode::Program {
                path,
                arguments: COMPILER_ARGUMENTS.map(str::to_owned).to_vec(),
            }
        }
        Ok(_) | Err(_) => kabar_plugins::CompilerMode::Here,
    }
}

fn build_upload(plugin: &Plugin, wasm: Bytes, compiled_bytes_max: usize, clock: &Clock) -> ComponentUpload {
    ComponentUpload {
        organisation_id: plugin.organisation_id,
        wasm,
        compiled_bytes_max,
        granted: plugin.granted_capabilities(),
        config: plugin.config.clone(),
        secrets: plugin.secrets.clone(),
        allowed_hosts: plugin.allowed_hosts.clone(),
        trial: plugin.events.iter().next().unwrap_or(EventType::MessageStatus),
        now: clock.read_now(),
    }
}

impl EventSink for PluginRuntime {
    fn deliver(&self, delivery_request: DeliveryRequest) -> BoxFuture<'_, AttemptResult> {
        Box::pin(async move {
            let Subscriber::Hook(plugin) = delivery_request.subscriber.clone() else {
                return attempt_result::not_started("this is no hook");
            };
            match plugin.active_version {
                Some(id) => self.run_hook(&plugin, id, delivery_request, OutboundMode::Performed).await,
                None => attempt_result::not_started("no version is active"),
            }
        })
    }
}

impl PluginToolchain for PluginRuntime {
    fn inspect(
        &self,
        plugin: Arc<Plugin>,
        wasm: Bytes,
    ) -> BoxFuture<'_, Result<InspectedComponent, NotInspected>> {
        Box::pin(async move {
            let compiled_bytes_max = self.limits_of(plugin.organisation_id).compiled_bytes;
            let upload = build_upload(&plugin, wasm, compiled_bytes_max, &self.clock);
            let compiled = self.host.compile(upload).await.map_err(|error| match error {
                CompileError::Invalid(invalid) => NotInspected::Invalid(invalid.to_string().into()),
                CompileError::Failed(why) => NotInspected::Failed(why),
            })?;
            Ok(InspectedComponent {
                sha256: compiled.sha256,
                size: u64::try_from(compiled.size).unwrap_or(u64::MAX),
                imports: compiled.imports,
                exports: compiled.exports,
                compile_ms: compiled.compile_ms,
                artefact: compiled.artefact,
            })
        })
    }

    fn keep(&self, version: PluginVersionId, artefact: Bytes) -> BoxFuture<'_, ()> {
        Box::pin(async move { self.cache.write_artifact(version, &artefact).await })
    }

    fn sweep(&self) {
        self.sweep.notify_one();
    }

    fn dry_run(
        &self,
        version: PluginVersionId,
        delivery_request: DeliveryRequest,
    ) -> BoxFuture<'_, AttemptResult> {
        Box::pin(async move {
            let Subscriber::Hook(plugin) = delivery_request.subscriber.clone() else {
                return attempt_result::not_started("this is no hook");
            };
            self.run_hook(&plugin, version, delivery_request, OutboundMode::Captured).await
        })
    }

    fn sample(&self, json: &serde_json::Value) -> Result<(Arc<Account>, Arc<Event>), NotASample> {
        let read =
            sample::read(json).map_err(|error| NotASample { path: error.path, wanted: error.wanted })?;
        Ok((read.account, read.event))
    }
}

/// Delivers events to subscribers, to each kind by its own sink.
pub(crate) struct EventSinks {
    /// Sink of webhooks.
    pub(crate) webhooks: Arc<dyn EventSink>,
    /// Sink of hooks.
    pub(crate) hooks: Arc<dyn EventSink>,
}

impl EventSink for EventSinks {
    fn deliver(&self, delivery_request: DeliveryRequest) -> BoxFuture<'_, AttemptResult> {
        match delivery_request.subscriber {
            Subscriber::Webhook(_) => self.webhooks.deliver(delivery_request),
            Subscriber::Hook(_) => self.hooks.deliver(delivery_request),
        }
    }
}
