//! Facade of all accounts: finds or starts an account's actor, answers read queries from its view, and sends it
//! commands.
//!
//! Invariants: an account is loaded at most once at a time. A command that was not answered may have been
//! carried out, one that was refused was not. Every wait has a bound.

use std::sync::Arc;

use futures_util::future::BoxFuture;
use kabar_core::cause::cause;
use kabar_core::domain::audit::AuditEntry;
use kabar_core::domain::command::AccountCommand;
use kabar_core::fair_bound::FairBound;
use kabar_core::redis::RedisCache;
use kabar_core::surroundings::{AwaitKind, wait_for};
use ractor::{ActorRef, MessagingErr};
use tokio::sync::{OwnedSemaphorePermit, oneshot};

use super::log_follower::LogFollower;
use super::supervisor::SupervisorMessage;
use crate::account::{
    AccountEntry, AccountMessage, CommandExecutor, CommandOutcome, CommandRecords, CommitListener,
    ExecutedCommand, GraphCalls, LoadedAccount, LookQueue, QueuedCommand,
};
use crate::cluster::Cluster;
use crate::context::Context;
use crate::delivery::DeliveryDispatcher;
use crate::error::AccountError;
use crate::idempotency::KeyClaim;
use crate::subscribers::SubscriberDirectory;
use crate::tenants::TenantDirectory;
use crate::view::RenderRows;

/// Most owners to which one command is sent, one after another, before it fails.
const OWNERS_MAX: usize = 4;

/// State of all accounts of this server.
pub(super) struct RegistryShared {
    pub(super) context: Arc<Context>,
    pub(super) directory: TenantDirectory,
    pub(super) memory: RedisCache,
    pub(super) cluster: Cluster,
    pub(super) render: Arc<dyn RenderRows>,
    pub(super) graph_calls: GraphCalls,
    pub(super) subscribers: SubscriberDirectory,
    pub(super) dispatcher: DeliveryDispatcher,
    /// Is told of each commit of an account: the dispatcher.
    pub(super) listener: Arc<dyn CommitListener>,
    pub(super) effects: LookQueue,
    /// Accounts with contacts that were deleted.
    pub(super) erasures: LookQueue,
    pub(super) supervisor: ActorRef<SupervisorMessage>,
    /// Long polls that are held.
    pub(super) held_polls: Arc<FairBound>,
    /// Streams of events that are open.
    pub(super) streams: Arc<FairBound>,
    pub(super) profile_looks: Arc<FairBound>,
    /// Calls about templates under way.
    pub(super) template_calls: Arc<FairBound>,
    pub(super) following: LogFollower,
}

/// Handle to all accounts of this server. Cheap to clone.
#[derive(Clone)]
pub struct AccountRegistry(pub(super) Arc<RegistryShared>);

impl AccountRegistry {
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
        entry: &Arc<AccountEntry>,
        command: AccountCommand,
        claim: Option<KeyClaim>,
    ) -> ExecutedCommand {
        self.execute_recorded(entry, command, claim, None).await
    }

    /// Has an account carry out a command whose commit leaves an entry in the audit log, unless it is refused.
    ///
    /// # Errors
    /// As [`AccountRegistry::execute_command`].
    pub async fn execute_audited(
        &self,
        entry: &Arc<AccountEntry>,
        command: AccountCommand,
        trail: AuditEntry,
    ) -> ExecutedCommand {
        self.execute_recorded(entry, command, None, Some(trail)).await
    }

    /// Has an account carry out a command whose commit leaves an entry in the audit log and is recorded under a key.
    ///
    /// # Errors
    /// As [`AccountRegistry::execute_command`].
    pub(super) async fn execute_recorded(
        &self,
        entry: &Arc<AccountEntry>,
        command: AccountCommand,
        claim: Option<KeyClaim>,
        trail: Option<AuditEntry>,
    ) -> ExecutedCommand {
        self.run_command(entry, command, CommandRecords { claim, trail: trail.map(Box::new) }).await
    }

    async fn run_command(
        &self,
        entry: &Arc<AccountEntry>,
        mut command: AccountCommand,
        mut records: CommandRecords,
    ) -> ExecutedCommand {
        let mut repeated = false;
        for _ in 0..OWNERS_MAX {
            let loaded = self.load_account(entry).await?;
            // Read once the account is owned again: a result that the owner in between recorded under the key
            // is seen, and any later one is fenced.
            if repeated
                && let Some(claim) = &records.claim
                && claim.is_recorded().await?
            {
                return Err(AccountError::Elsewhere);
            }
            let Some(permit) = self.queue_permit(&loaded)? else { continue };
            let (answer, answered) = oneshot::channel();
            let work = Box::new(QueuedCommand { command, records, answer, permit });
            let actor = loaded.actor_ref().ok_or(AccountError::Crashed)?;
            match actor.cast(AccountMessage::Execute(work)) {
                Ok(()) => match wait_for(AwaitKind::Message, answered).await {
                    Ok(CommandOutcome::Decided(result)) => return Ok(result),
                    Ok(CommandOutcome::Failed(why)) => return Err(why),
                    Ok(CommandOutcome::Moved(again, kept)) => (command, records) = (again, kept),
                    Err(died) => {
                        tracing::debug!(error = cause(&died), "command unanswered");
                        entry.evict_account(&loaded);
                        return Err(AccountError::Crashed);
                    }
                },
                // The actor has stopped, and the command comes back untouched.
                Err(MessagingErr::SendErr(AccountMessage::Execute(work))) => {
                    (command, records) = (work.command, work.records);
                }
                Err(
                    MessagingErr::SendErr(_) | MessagingErr::ChannelClosed | MessagingErr::InvalidActorType,
                ) => {
                    return Err(AccountError::Crashed);
                }
            }
            repeated = true;
            entry.evict_account(&loaded);
        }
        Err(AccountError::Overloaded)
    }

    /// Returns once memory shows what is durable of the account. To be called before an earlier write is
    /// confirmed, because its commit may have been one that seemed to fail.
    ///
    /// # Errors
    /// [`AccountError`] when that cannot be found out now.
    pub async fn wait_recovered(&self, entry: &Arc<AccountEntry>) -> Result<(), AccountError> {
        if entry.loaded_account().is_some_and(|loaded| loaded.is_in_doubt()) {
            // Behind the commands that are under way, and after a read of the store if one is due.
            self.execute_command(entry, AccountCommand::Ingest(Vec::new()), None).await.map(drop)?;
        }
        Ok(())
    }

    /// Takes a place in the account's queue; `None` when the loaded account was retired meanwhile.
    fn queue_permit(&self, loaded: &LoadedAccount) -> Result<Option<OwnedSemaphorePermit>, AccountError> {
        match loaded.permits.clone().try_acquire_owned() {
            Ok(permit) => Ok(Some(permit)),
            Err(_) if loaded.is_retired() => Ok(None),
            Err(full) => {
                self.0.context.metrics.overloads.inc();
                tracing::debug!(error = cause(&full), "account queue full");
                Err(AccountError::Overloaded)
            }
        }
    }

    /// Completes a write even if its caller does not wait for it any more.
    ///
    /// # Errors
    /// The errors of `work`, and [`AccountError::Crashed`].
    pub async fn run_to_end<T: Send + 'static, E: From<AccountError> + Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, E>> + Send + 'static,
    ) -> Result<T, E> {
        self.0.context.tasks.spawn(work).await.unwrap_or_else(|_died| Err(AccountError::Crashed.into()))
    }

    /// Returns the dispatcher, which lists and replays deliveries.
    #[must_use]
    pub fn dispatcher(&self) -> &DeliveryDispatcher {
        &self.0.dispatcher
    }

    /// Returns the directory of the webhooks and plugins.
    #[must_use]
    pub fn subscribers(&self) -> &SubscriberDirectory {
        &self.0.subscribers
    }

    pub(super) fn context(&self) -> &Context {
        &self.0.context
    }
}

impl CommandExecutor for AccountRegistry {
    fn execute_for<'a>(
        &'a self,
        entry: &'a Arc<AccountEntry>,
        command: AccountCommand,
    ) -> BoxFuture<'a, ExecutedCommand> {
        Box::pin(self.execute_command(entry, command, None))
    }
}
