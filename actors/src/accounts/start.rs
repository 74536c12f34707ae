//! Start of the accounts: wires the parts of this crate to each other, and starts the tasks that keep them.

use std::sync::Arc;

use kabar_core::clock::Clock;
use kabar_core::fair_bound::FairBound;
use kabar_core::meta::graph::GraphClient;
use kabar_core::metrics::Metrics;
use kabar_core::ports::EventSink;
use kabar_core::redis::RedisCache;
use kabar_core::store::Store;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::log_follower::LogFollower;
use super::profiles::LOOKS_MAX;
use super::registry::{AccountRegistry, RegistryShared};
use super::supervisor::AccountSupervisor;
use super::templates::TEMPLATE_CALLS_MAX;
use crate::account::{GraphCalls, LookQueue, LookRequests};
use crate::cluster::Cluster;
use crate::context::{AccountRegistryOptions, Context};
use crate::delivery::{DeliveryDispatcher, DeliveryDispatcherParts, WorkerEntries};
use crate::error::AccountError;
use crate::subscribers::{SubscriberDirectory, SubscriberRegistry, TenantLimits};
use crate::tenants::TenantDirectory;
use crate::view::RenderRows;

/// Dependencies of [`AccountRegistry::start`].
pub struct AccountRegistryParts {
    /// The durable side.
    pub store: Store,
    /// Tenants and accounts.
    pub directory: TenantDirectory,
    /// Redis cache that the nodes share.
    pub memory: RedisCache,
    /// Membership of this server in the cluster.
    pub cluster: Cluster,
    /// Time.
    pub clock: Arc<Clock>,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// WhatsApp.
    pub graph: GraphClient,
    /// Rows to bytes.
    pub render: Arc<dyn RenderRows>,
    /// Delivers events to their subscribers.
    pub sink: Arc<dyn EventSink>,
    /// Bounds.
    pub options: AccountRegistryOptions,
}

impl AccountRegistry {
    /// Starts the facade: its supervisor, its sweeper, and the accounts that have unsent messages. Everything
    /// it starts ends when `stopping` is cancelled, and `tasks` waits for it.
    ///
    /// # Errors
    /// [`AccountError`] when the store cannot be read or the supervisor cannot be started.
    pub async fn start(
        parts: AccountRegistryParts,
        tasks: TaskTracker,
        stopping: CancellationToken,
    ) -> Result<Self, AccountError> {
        let supervisor = AccountSupervisor::start(parts.metrics.clone()).await?;
        let context = Arc::new(Context {
            store: parts.store,
            clock: parts.clock,
            metrics: parts.metrics,
            options: parts.options,
            tasks,
            stopping,
            supervisor: supervisor.get_cell(),
        });
        // Read first: changes that are made meanwhile are read again.
        let following = LogFollower::from(parts.directory.known_revision());
        let entries = Arc::new(WorkerEntries::default());
        let (store, clock, tasks) = (context.store.clone(), context.clock.clone(), context.tasks.clone());
        let registry = SubscriberRegistry::load_subscribers(store, clock, tasks, entries.clone()).await?;
        let (effects, effect_requests) = LookQueue::open();
        let (profiles, profile_requests) = LookQueue::open();
        let (templates, template_requests) = LookQueue::open();
        let (erasures, erasure_requests) = LookQueue::open();
        let dispatcher = DeliveryDispatcher::new(DeliveryDispatcherParts {
            context: context.clone(),
            directory: parts.directory.clone(),
            cluster: parts.cluster.clone(),
            sink: parts.sink,
            subscribers: registry.clone(),
            entries,
            effects: effects.clone(),
        });
        let starter = Arc::new(dispatcher.clone());
        let limits = TenantLimits {
            subscriptions: context.options.tenant_subscriptions,
            component_bytes: context.options.tenant_component_bytes,
        };
        let subscribers = SubscriberDirectory::new(registry, starter, parts.cluster.clone(), limits);
        let accounts = Self(Arc::new(RegistryShared {
            context: context.clone(),
            directory: parts.directory,
            memory: parts.memory,
            cluster: parts.cluster,
            render: parts.render,
            graph_calls: GraphCalls::new(parts.graph, profiles, templates),
            subscribers,
            listener: Arc::new(dispatcher.clone()),
            dispatcher,
            effects,
            erasures,
            supervisor,
            held_polls: FairBound::new("held_polls", context.options.waiting_polls),
            streams: stream_bound(&context.options),
            profile_looks: FairBound::new("profile_looks", LOOKS_MAX),
            template_calls: FairBound::new("template_calls", TEMPLATE_CALLS_MAX),
            following,
        }));
        if accounts.is_clustered() {
            accounts
                .choose_first_key()
                .await
                .map_err(|error| AccountError::from_store(&error, "no key chosen"))?;
        }
        accounts.watch_bounds();
        accounts.start_tasks(effect_requests, profile_requests, erasure_requests);
        accounts.start_template_task(template_requests);
        accounts.resume_work().await?;
        Ok(accounts)
    }

    /// Takes up what was left before the last stop.
    async fn resume_work(&self) -> Result<(), AccountError> {
        self.resume_sending().await?;
        self.resume_deliveries().await?;
        self.resume_effects().await?;
        self.resume_erasures().await?;
        self.resume_removals(true).await?;
        Ok(())
    }

    /// Shows the bounds that organisations share here in the metrics.
    fn watch_bounds(&self) {
        let graph_calls = &self.0.graph_calls.calls;
        let (looks, templates) = (&self.0.profile_looks, &self.0.template_calls);
        let shared = [&self.0.held_polls, &self.0.streams, looks, templates, graph_calls];
        for bound in shared {
            self.0.context.metrics.watch_bound(bound.clone());
        }
    }

    /// Starts the looks at WhatsApp's lists of templates.
    fn start_template_task(&self, requests: LookRequests) {
        let looker = self.clone();
        self.0.context.tasks.spawn(async move { looker.keep_syncing_templates(requests).await });
    }

    /// Starts what works beside the accounts until shutdown.
    fn start_tasks(
        &self,
        effect_requests: LookRequests,
        profile_requests: LookRequests,
        erasure_requests: LookRequests,
    ) {
        let tasks = &self.0.context.tasks;
        let sweeper = self.clone();
        tasks.spawn(async move { sweeper.sweep_accounts().await });
        let purger = self.clone();
        tasks.spawn(async move { purger.purge_rows().await });
        let executor = self.clone();
        tasks.spawn(async move { executor.keep_carrying_out(effect_requests).await });
        let eraser = self.clone();
        tasks.spawn(async move { eraser.keep_erasing(erasure_requests).await });
        let prober = self.clone();
        tasks.spawn(async move { prober.keep_probing().await });
        let looker = self.clone();
        tasks.spawn(async move { looker.keep_looking(profile_requests).await });
        let daily = self.clone();
        tasks.spawn(async move { daily.keep_daily_looks().await });
        let resumer = self.clone();
        tasks.spawn(async move { resumer.keep_resuming().await });
        let (directory, stopping) = (self.0.directory.clone(), self.0.context.stopping.clone());
        tasks.spawn(async move { directory.keep_recording_uses(stopping).await });
        let keeper = self.clone();
        tasks.spawn(async move { keeper.keep_place().await });
        if self.is_clustered() {
            let follower = self.clone();
            tasks.spawn(async move { follower.keep_following().await });
            let successor = self.clone();
            tasks.spawn(async move { successor.keep_taking_over().await });
        }
    }
}

/// Creates the bound of the streams of events.
fn stream_bound(options: &AccountRegistryOptions) -> Arc<FairBound> {
    FairBound::with_maxima("event_streams", options.event_streams, options.tenant_event_streams, 0)
}
