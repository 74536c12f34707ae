//! The composition root: builds a running server from the settings, and stops it in order.
//!
//! Invariant: stopping answers every accepted request, lets every commit under way finish, and closes the
//! database last.

mod connections;

use std::net::SocketAddr;
use std::sync::Arc;

use anyhow::Context as _;
use arc_swap::ArcSwap;
use kabar_actors::{
    AccountRegistry, AccountRegistryOptions, AccountRegistryParts, Cluster, ClusterOptions, IdempotencyKeys,
    IdempotencyParts, TenantDirectory,
};
use kabar_core::clock::Clock;
use kabar_core::config::Settings;
use kabar_core::cursor::CursorKey;
use kabar_core::domain::account::Secret;
use kabar_core::encryption::KeySource;
use kabar_core::forward::{ForwardKeys, NodeForwarder};
use kabar_core::meta::graph::GraphClient;
use kabar_core::metrics::Metrics;
use kabar_core::outbound::{OutboundClient, SystemResolver};
use kabar_core::redis::RedisCache;
use kabar_core::store::{Store, StoreOptions};
use kabar_core::webhook::WebhookSink;
use kabar_openapi::{
    AppState, BodyLimits, HttpSurface, PendingSandboxKeys, ResponseRenderer, SharedSurfaceSettings,
    SurfaceSettings, WhatsAppKeys,
};
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use self::connections::{ConnectionContext, ConnectionLimits, RequestTimes};
use crate::plugin_runtime::{EventSinks, GuardedFetcher, HookPorts, PluginRuntime};

/// Connections of the listener for health checks. They come out of the reserve of descriptors.
const HEALTH_LIMITS: ConnectionLimits = ConnectionLimits { total: 16, per_address: 8 };

/// Secrets of a server; in production all of them come from the settings.
#[derive(Debug, Clone)]
pub struct ServingSecrets {
    /// Token of the operator API.
    pub operator_token: Secret,
    /// Signature keys of WhatsApp's webhooks, the newest first.
    pub app_secrets: Vec<Secret>,
    /// Token of WhatsApp's handshake.
    pub verify_token: Secret,
    /// Keys that the docs page fills in; only in `kabar dev`.
    pub sandbox_keys: Option<PendingSandboxKeys>,
}

impl ServingSecrets {
    /// Returns the secret that a simulated WhatsApp signs with.
    ///
    /// # Errors
    /// If there is none.
    pub(crate) fn signing_secret(&self) -> anyhow::Result<Secret> {
        self.app_secrets.first().cloned().context("whatsapp.app_secret")
    }
}

/// A running server.
pub struct RunningServer {
    /// Tenants and accounts.
    pub directory: TenantDirectory,
    /// Facade of the accounts.
    pub accounts: AccountRegistry,
    /// The database.
    pub store: Store,
    /// Redis.
    pub memory: RedisCache,
    /// Counters.
    pub metrics: Arc<Metrics>,
    surface: SharedSurfaceSettings,
    hooks: Arc<PluginRuntime>,
    cluster: Cluster,
    tasks: TaskTracker,
    stopping: CancellationToken,
    closing: CancellationToken,
    listeners: RunningListeners,
}

/// The tasks that accept connections.
struct RunningListeners {
    clients: JoinHandle<()>,
    health: Option<(SocketAddr, JoinHandle<()>)>,
}

fn accounts_options(settings: &Settings) -> AccountRegistryOptions {
    AccountRegistryOptions {
        resident_conversations: settings.limits.resident_conversations,
        queued_commands: settings.limits.queued_commands,
        waiting_polls: settings.limits.waiting_polls,
        event_streams: settings.limits.event_streams,
        tenant_event_streams: settings.limits.tenant_event_streams,
        tenant_subscriptions: settings.limits.tenant_subscriptions,
        tenant_component_bytes: settings.limits.tenant_component_bytes,
        event_retention: settings.retention.events,
        message_retention: settings.retention.messages,
        raw_retention: settings.retention.raw,
        audit_retention: settings.retention.audit,
        idle: settings.limits.idle,
        settle: settings.whatsapp.settle,
        public_url: settings.public_url.as_deref().map(Arc::from),
    }
}

fn cluster_options(settings: &Settings) -> ClusterOptions {
    ClusterOptions {
        address: settings.cluster.address.as_deref().map(Arc::from),
        lease: settings.cluster.lease,
        alone_lease: settings.cluster.alone_lease,
    }
}

impl RunningServer {
    /// Starts serving on this listener.
    ///
    /// # Errors
    /// If the database cannot be opened or the parts cannot be started.
    pub async fn start(
        settings: &Settings,
        secrets: ServingSecrets,
        graph_base_url: &str,
        listener: TcpListener,
        clock: Arc<Clock>,
    ) -> anyhow::Result<Self> {
        #[cfg(debug_assertions)]
        settings.test_delays.into_iter().for_each(kabar_core::surroundings::delay_by_seed);
        let store = open_store(settings).await?;
        let metrics = Arc::new(Metrics::default());
        let cluster = Cluster::join_cluster(store.clone(), cluster_options(settings), &clock).await?;
        let memory = open_redis_cache(settings, &store, &clock, &metrics)?;
        let directory = TenantDirectory::load_directory(store.clone(), memory.clone(), clock.clone()).await?;
        let cursor_key = CursorKey::new(store.secrets().cursor_key);
        let (tasks, stopping, closing) =
            (TaskTracker::new(), CancellationToken::new(), CancellationToken::new());
        let outbound = outbound_client(settings, &tasks, &stopping)?;
        let render = Arc::new(ResponseRenderer::new(cursor_key.clone()));
        let ports = HookPorts { fetch: Arc::new(GuardedFetcher(outbound.clone())), form: render.clone() };
        let hooks =
            Arc::new(PluginRuntime::start(settings, store.clone(), directory.clone(), clock.clone(), ports)?);
        let bounds = store.shared_bounds().chain(outbound.shared_bounds()).chain(hooks.shared_bounds());
        bounds.for_each(|bound| metrics.watch_bound(bound));
        tasks.spawn(hooks.clone().sweep_artifacts(stopping.clone()));
        let webhooks = Arc::new(WebhookSink::new(outbound.clone(), clock.clone(), render.clone()));
        let parts = AccountRegistryParts {
            store: store.clone(),
            directory: directory.clone(),
            memory: memory.clone(),
            cluster: cluster.clone(),
            clock: clock.clone(),
            metrics: metrics.clone(),
            graph: GraphClient::new(graph_base_url, &settings.whatsapp.version)?,
            render,
            sink: Arc::new(EventSinks { webhooks, hooks: hooks.clone() }),
            options: accounts_options(settings),
        };
        let accounts = AccountRegistry::start(parts, tasks.clone(), stopping.clone()).await?;
        let idempotency = idempotency_keys(&store, &cluster, &clock, &tasks, &stopping);
        let surface = Arc::new(ArcSwap::from_pointee(surface_settings(settings, &secrets)));
        let app = AppState {
            accounts: accounts.clone(),
            forwarder: NodeForwarder::new(ForwardKeys::new(store.secrets().forward_key, Vec::new()))?,
            outbound,
            directory: directory.clone(),
            toolchain: hooks.clone(),
            idempotency,
            clock: clock.clone(),
            cursor_key,
            settings: surface.clone(),
            limits: body_limits(settings),
            store: store.clone(),
            memory: memory.clone(),
            metrics: metrics.clone(),
            sandbox_keys: secrets.sandbox_keys,
            stopping: stopping.clone(),
        };
        let service = kabar_openapi::service(app);
        let context = connection_context(settings, clock, &metrics, &tasks, &closing);
        let listeners = start_listeners(settings, listener, service, context).await?;
        Ok(Self {
            directory,
            accounts,
            store,
            memory,
            metrics,
            surface,
            hooks,
            cluster,
            tasks,
            stopping,
            closing,
            listeners,
        })
    }

    /// Returns the address of the listener for health checks, if there is one.
    #[must_use]
    pub fn health_address(&self) -> Option<SocketAddr> {
        self.listeners.health.as_ref().map(|(address, _)| *address)
    }

    /// Puts those of newer settings in force that can change while the server runs: secrets, origins of
    /// browser pages, and limits of hooks.
    pub fn apply_settings(&self, settings: &Settings, secrets: &ServingSecrets) {
        self.surface.store(Arc::new(surface_settings(settings, secrets)));
        self.hooks.apply_settings(&settings.hooks);
    }

    /// Stops: long polls are answered at once, and accounts are handed over to the other nodes if there are
    /// any. Then no new connections are taken, requests and commits finish, and the database is closed.
    ///
    /// # Errors
    /// If the listening task died.
    pub async fn stop(self) -> anyhow::Result<()> {
        self.stopping.cancel();
        if self.accounts.hand_over().await {
            tracing::info!("the other nodes have the accounts; finishing requests");
        }
        self.closing.cancel();
        let served = self.listeners.clients.await;
        let checked = match self.listeners.health {
            Some((_, health)) => health.await,
            None => Ok(()),
        };
        self.cluster.end_renewal();
        self.tasks.close();
        self.tasks.wait().await;
        self.accounts.stop_actors().await;
        self.memory.close().await;
        self.cluster.leave_cluster().await;
        self.cluster.unlock_database().await;
        self.store.close().await;
        served.and(checked).context("the HTTP surface panicked")
    }
}

fn connection_context(
    settings: &Settings,
    clock: Arc<Clock>,
    metrics: &Arc<Metrics>,
    tasks: &TaskTracker,
    closing: &CancellationToken,
) -> ConnectionContext {
    let limits = &settings.limits;
    let wanted = ConnectionLimits { total: limits.connections, per_address: limits.address_connections };
    ConnectionContext {
        clock,
        request_clock: Arc::new(Clock::system_clock()),
        times: RequestTimes { head: limits.head, idle: limits.connection_idle },
        metrics: metrics.clone(),
        limits: wanted.within_descriptors(settings.mode),
        tasks: tasks.clone(),
        stop: closing.clone(),
    }
}

/// Starts to accept connections; health checks on a listener of their own, if one is set.
async fn start_listeners(
    settings: &Settings,
    listener: TcpListener,
    surface: HttpSurface,
    context: ConnectionContext,
) -> anyhow::Result<RunningListeners> {
    let health = match settings.health_listen {
        None => None,
        Some(at) => {
            let bound = TcpListener::bind(at).await;
            let health = bound.with_context(|| format!("cannot listen on {at} for health checks"))?;
            let address = health.local_addr()?;
            let context = ConnectionContext { limits: HEALTH_LIMITS, ..context.clone() };
            let serving = connections::serve(health, surface.health_only(), context.clone());
            Some((address, context.tasks.spawn(serving)))
        }
    };
    let serving = connections::serve(listener, surface, context.clone());
    Ok(RunningListeners { clients: context.tasks.spawn(serving), health })
}

/// Returns the place of the keys of the secrets; the settings have one unless the mode leaves it to the caller.
fn key_source(settings: &Settings) -> anyhow::Result<KeySource> {
    settings.keys.clone().context("secrets.key_file must be set for PostgreSQL")
}

async fn open_store(settings: &Settings) -> anyhow::Result<Store> {
    let url = &settings.database_url;
    let options = StoreOptions { readers: settings.limits.database_readers, keys: key_source(settings)? };
    Store::open(&url.reveal_url(), options).await.with_context(|| format!("cannot open {url}"))
}

fn idempotency_keys(
    store: &Store,
    cluster: &Cluster,
    clock: &Arc<Clock>,
    tasks: &TaskTracker,
    stopping: &CancellationToken,
) -> IdempotencyKeys {
    IdempotencyKeys::new(IdempotencyParts {
        store: store.clone(),
        cluster: cluster.clone(),
        clock: clock.clone(),
        tasks: tasks.clone(),
        stopping: stopping.clone(),
    })
}

fn surface_settings(settings: &Settings, secrets: &ServingSecrets) -> SurfaceSettings {
    SurfaceSettings {
        operator_token: secrets.operator_token.clone(),
        whatsapp: WhatsAppKeys {
            verify_token: Some(secrets.verify_token.clone()),
            app_secrets: secrets.app_secrets.clone(),
        },
        allowed_origins: settings.cors.allowed_origins.clone(),
    }
}

fn body_limits(settings: &Settings) -> BodyLimits {
    BodyLimits {
        json_bytes: settings.limits.body_bytes,
        ingress_bytes: settings.limits.ingress_bytes,
        component_bytes: settings.hooks.component_bytes,
        unauthenticated_bytes: settings.limits.unauthenticated_bytes,
    }
}

/// Builds the client for addresses that tenants name.
fn outbound_client(
    settings: &Settings,
    tasks: &TaskTracker,
    stopping: &CancellationToken,
) -> anyhow::Result<OutboundClient> {
    let resolver = Arc::new(SystemResolver);
    let outbound = OutboundClient::new(resolver, settings.outbound.allow_loopback)?;
    tasks.spawn(outbound.clone().keep_tidy(stopping.clone()));
    Ok(outbound)
}

fn open_redis_cache(
    settings: &Settings,
    store: &Store,
    clock: &Arc<Clock>,
    metrics: &Arc<Metrics>,
) -> anyhow::Result<RedisCache> {
    let Some(url) = &settings.redis_url else {
        return Ok(RedisCache::none(clock.clone(), metrics.clone()));
    };
    let key = store.secrets().redis_cache_key;
    RedisCache::open(url.reveal_url(), &key, clock.clone(), metrics.clone())
        .with_context(|| format!("cannot use {url}"))
}
