//! Facade of all accounts: finds or starts an account's actor, answers read queries from its view, and sends it
//! commands.
//!
//! Invariants: an account is loaded at most once at a time. A command that was not answered may have been
//! carried out, one that was refused was not. Every wait has a bound.

mod activation;
mod ownership;
mod polls;
mod replication;
mod streams;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::clock::Clock;
use kabar_core::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::AccountId;
use kabar_core::meta::graph::GraphClient;
use kabar_core::metrics::Metrics;
use kabar_core::ports::EventSink;
use kabar_core::redis::RedisCache;
use kabar_core::store::{Store, StoreError};
use kabar_core::surroundings::{AwaitKind, wait_for};
use ractor::{ActorRef, MessagingErr};
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::account::{AccountMessage, CommandOutcome, QueuedCommand};
use crate::account_entry::AccountEntry;
use crate::cluster::Cluster;
use crate::delivery::{DeliveryDispatcher, DeliveryDispatcherParts};
use crate::effects::EffectLooks;
use crate::idempotency::KeyClaim;
use crate::loaded_account::LoadedAccount;
use crate::read_query::RenderRows;
use crate::tenants::TenantDirectory;
use activation::AccountSupervisor;
pub use ownership::AccountPlace;
pub use streams::{EventStream, StreamFrame};

/// Most owners to which one command is sent, one after another, before it fails.
const OWNERS_MAX: usize = 4;

/// Reason that a query or command was not served. All but `Refused` and `Expired` may be tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The store cannot be read or written.
    #[error("storage is unavailable")]
    Storage,
    /// Too many commands wait for this account already.
    #[error("too many commands wait for this account")]
    Overloaded,
    /// The database refuses the command's rows: a defect. Nothing was written.
    #[error("the database refuses the command")]
    Refused,
    /// Another node serves the account.
    #[error("another node serves the account")]
    Elsewhere,
    /// The account's actor died meanwhile; it is unknown if the command was carried out.
    #[error("the account was interrupted")]
    Crashed,
    /// The events behind the position are not kept any more.
    #[error("the position is older than the log")]
    Expired {
        /// The oldest number that is kept.
        oldest: i64,
    },
}

impl AccountError {
    /// Logs a store's error where it is handled, and keeps the part that a caller may know.
    pub(crate) fn from_store(error: &StoreError, what: &'static str) -> Self {
        if matches!(error, StoreError::Elsewhere(_) | StoreError::Fenced | StoreError::LeaseLost) {
            return Self::Elsewhere;
        }
        tracing::error!(error = cause(error), "{what}");
        Self::Storage
    }
}

/// Limits of the accounts of one server.
#[derive(Debug, Clone)]
pub struct AccountRegistryOptions {
    /// Conversations of one account kept in memory.
    pub resident_conversations: usize,
    /// Commands that may wait for one account.
    pub queued_commands: usize,
    /// Long polls that may wait in this process.
    pub waiting_polls: usize,
    /// Streams of events that may be open in this process.
    pub event_streams: usize,
    /// Streams of events that one tenant may have open in this process.
    pub tenant_event_streams: usize,
    /// Webhook subscriptions that one tenant may have.
    pub tenant_subscriptions: usize,
    /// Time for which events are kept.
    pub event_retention: Duration,
    /// Time after which an account without requests is dropped from memory.
    pub idle: Duration,
    /// Time for which a send with a lost answer waits for WhatsApp's echo before it is tried again.
    pub settle: Duration,
}

impl Default for AccountRegistryOptions {
    fn default() -> Self {
        Self {
            resident_conversations: 10_000,
            queued_commands: 4096,
            waiting_polls: 10_000,
            event_streams: 1000,
            tenant_event_streams: 100,
            tenant_subscriptions: 50,
            event_retention: Duration::from_hours(30 * 24),
            idle: Duration::from_mins(10),
            settle: Duration::from_mins(1),
        }
    }
}

/// Report on one loaded account, for the operator.
#[derive(Debug, Clone)]
pub struct LoadedAccountReport {
    /// `wba_…`.
    pub account_id: AccountId,
    /// Meta's id.
    pub phone_number_id: String,
    /// Commits ever.
    pub revision: i64,
    /// Number of the last event.
    pub sequence: i64,
    /// Conversations in memory.
    pub conversations: usize,
    /// Conversations that did not change after this instant may be on disk only; `None`: all are in memory.
    pub horizon: Option<Timestamp>,
    /// Commands that wait.
    pub mailbox_depth: usize,
    /// Commits a second since the account was loaded.
    pub cycles_per_second: f64,
    /// Pages served from cache, of all served since the account was loaded; 0 to 1.
    pub cache_hit_ratio: f64,
    /// Long polls that wait.
    pub waiting_polls: usize,
    /// Streams of events that wait.
    pub event_streams: usize,
    /// Conversations that have something to be sent.
    pub sending: usize,
    /// Messages a second that may leave now.
    pub messages_per_second: u32,
    /// Messages a second that may leave when WhatsApp does not find them too many.
    pub messages_per_second_max: u32,
}

/// Shared dependencies of all accounts.
pub(crate) struct Context {
    pub(crate) store: Store,
    pub(crate) directory: TenantDirectory,
    pub(crate) memory: RedisCache,
    pub(crate) cluster: Cluster,
    pub(crate) clock: Arc<Clock>,
    pub(crate) metrics: Arc<Metrics>,
    pub(crate) graph: GraphClient,
    pub(crate) render: Arc<dyn RenderRows>,
    pub(crate) dispatcher: DeliveryDispatcher,
    pub(crate) looks: EffectLooks,
    pub(crate) tasks: TaskTracker,
    /// Calls to WhatsApp that have no recorded outcome yet.
    pub(crate) calls: TaskTracker,
    pub(crate) stopping: CancellationToken,
    pub(crate) options: AccountRegistryOptions,
    pub(crate) supervisor: ActorRef<activation::SupervisorMessage>,
    waiting: AtomicUsize,
    streams: streams::StreamPermits,
    following: replication::LogFollower,
}

/// Handle to all accounts of this server. Cheap to clone.
#[derive(Clone)]
pub struct AccountRegistry(Arc<Context>);

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
        // Read first: changes that are made meanwhile are read again.
        let following = replication::LogFollower::from(parts.directory.known_revision());
        let dispatcher = DeliveryDispatcher::open(DeliveryDispatcherParts {
            store: parts.store.clone(),
            directory: parts.directory.clone(),
            cluster: parts.cluster.clone(),
            clock: parts.clock.clone(),
            metrics: parts.metrics.clone(),
            tasks: tasks.clone(),
            stopping: stopping.clone(),
            supervisor: supervisor.get_cell(),
            sink: parts.sink,
            tenant_subscriptions: parts.options.tenant_subscriptions,
        });
        let dispatcher = dispatcher.await?;
        let accounts = Self(Arc::new(Context {
            store: parts.store,
            directory: parts.directory,
            memory: parts.memory,
            cluster: parts.cluster,
            clock: parts.clock,
            metrics: parts.metrics,
            graph: parts.graph,
            render: parts.render,
            dispatcher,
            looks: EffectLooks::default(),
            options: parts.options,
            supervisor,
            tasks: tasks.clone(),
            calls: TaskTracker::new(),
            stopping,
            waiting: AtomicUsize::new(0),
            streams: streams::StreamPermits::default(),
            following,
        }));
        let weak = Arc::downgrade(&accounts.0);
        accounts.0.dispatcher.open_effects(Box::new(move |slot| {
            if let Some(ground) = weak.upgrade() {
                AccountRegistry(ground).carry_out(slot);
            }
        }));
        let sweeper = accounts.clone();
        tasks.spawn(async move { sweeper.sweep_accounts().await });
        let purger = accounts.clone();
        tasks.spawn(async move { purger.purge_rows().await });
        let keeper = accounts.clone();
        tasks.spawn(async move { keeper.keep_place().await });
        if accounts.is_clustered() {
            let follower = accounts.clone();
            tasks.spawn(async move { follower.keep_following().await });
            let successor = accounts.clone();
            tasks.spawn(async move { successor.keep_taking_over().await });
        }
        accounts.resume_sending().await?;
        accounts.resume_deliveries().await?;
        accounts.resume_effects().await?;
        Ok(accounts)
    }

    /// Returns `true` when other nodes serve accounts too.
    #[must_use]
    pub fn is_clustered(&self) -> bool {
        self.0.cluster.is_shared()
    }

    /// Has an account carry out a command. Answers once the outcome is durable.
    ///
    /// # Errors
    /// [`AccountError`]; after [`AccountError::Crashed`] the command may have been carried out.
    pub async fn execute_command(
        &self,
        slot: &Arc<AccountEntry>,
        command: AccountCommand,
        claim: Option<KeyClaim>,
    ) -> Result<Result<CommandReply, CommandRefusal>, AccountError> {
        let (mut command, mut claim) = (command, claim);
        let mut repeated = false;
        for _ in 0..OWNERS_MAX {
            let resident = self.load_account(slot).await?;
            // Read once the account is owned again: a result that the owner in between recorded under the key
            // is seen, and any later one is fenced.
            if repeated
                && let Some(claim) = &claim
                && claim.is_recorded().await?
            {
                return Err(AccountError::Elsewhere);
            }
            let Some(permit) = self.queue_permit(&resident)? else { continue };
            let (answer, answered) = oneshot::channel();
            let work = Box::new(QueuedCommand { command, claim, answer, permit });
            let door = resident.actor_ref().ok_or(AccountError::Crashed)?;
            match door.cast(AccountMessage::Execute(work)) {
                Ok(()) => match wait_for(AwaitKind::Message, answered).await {
                    Ok(CommandOutcome::Decided(result)) => return Ok(result),
                    Ok(CommandOutcome::Failed(why)) => return Err(why),
                    Ok(CommandOutcome::Moved(again, claimed)) => (command, claim) = (again, claimed),
                    Err(died) => {
                        tracing::debug!(error = cause(&died), "command unanswered");
                        slot.evict_account(&resident);
                        return Err(AccountError::Crashed);
                    }
                },
                // The actor has stopped, and the command comes back untouched.
                Err(MessagingErr::SendErr(AccountMessage::Execute(work))) => {
                    (command, claim) = (work.command, work.claim);
                }
                Err(
                    MessagingErr::SendErr(_) | MessagingErr::ChannelClosed | MessagingErr::InvalidActorType,
                ) => {
                    return Err(AccountError::Crashed);
                }
            }
            repeated = true;
            slot.evict_account(&resident);
        }
        Err(AccountError::Overloaded)
    }

    /// Returns once memory shows what is durable of the account. To be called before an earlier write is
    /// confirmed, because its commit may have been one that seemed to fail.
    ///
    /// # Errors
    /// [`AccountError`] when that cannot be found out now.
    pub async fn wait_recovered(&self, slot: &Arc<AccountEntry>) -> Result<(), AccountError> {
        if slot.loaded_account().is_some_and(|resident| resident.is_in_doubt()) {
            // Behind the commands that are under way, and after a read of the store if one is due.
            self.execute_command(slot, AccountCommand::Ingest(Vec::new()), None).await.map(drop)?;
        }
        Ok(())
    }

    /// Takes a place in the account's queue; `None` when the loaded account was retired meanwhile.
    fn queue_permit(&self, resident: &LoadedAccount) -> Result<Option<OwnedSemaphorePermit>, AccountError> {
        match resident.permits.clone().try_acquire_owned() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) if resident.is_retired() => Ok(None),
            Err(full) => {
                self.0.metrics.overloads.inc();
                tracing::debug!(error = cause(&full), "account queue full");
                Err(AccountError::Overloaded)
            }
        }
    }

    /// Returns the dispatcher, which holds the subscribers and their open deliveries.
    #[must_use]
    pub fn dispatcher(&self) -> &DeliveryDispatcher {
        &self.0.dispatcher
    }

    pub(crate) fn context(&self) -> &Context {
        &self.0
    }
}

#[cfg(test)]
pub(crate) mod tests;
