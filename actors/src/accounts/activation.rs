//! Activation of accounts.
//!
//! Invariant: an account is loaded once, however many callers ask for it.

use std::sync::Arc;

use kabar_core::cause::cause;
use kabar_core::store::{CommitFloor, DeliveryWork, StoreError};
use ractor::Actor;

use super::registry::AccountRegistry;
use super::supervisor::SupervisorMessage;
use crate::account::{
    AccountActor, AccountEntry, AccountHandle, AccountStateParts, LoadedAccount, note_lost_commits, view_of,
};
use crate::error::AccountError;

impl AccountRegistry {
    /// Returns the loaded account; loads it if need be.
    ///
    /// # Errors
    /// [`AccountError::Elsewhere`] when another node serves it, and, once accounts are handed over, after they have
    /// been released: it can be asked for at the other nodes then.
    pub(super) async fn load_account(
        &self,
        entry: &Arc<AccountEntry>,
    ) -> Result<Arc<LoadedAccount>, AccountError> {
        if let Some(loaded) = entry.loaded_account() {
            return Ok(loaded);
        }
        if !self.0.cluster.is_leaving() {
            let found = self.load_once(entry).await;
            let handed_over = matches!(found, Err(AccountError::Storage)) && self.0.cluster.is_leaving();
            if !handed_over {
                return found;
            }
        }
        // No other node can take it before.
        self.0.cluster.wait_released().await;
        Err(AccountError::Elsewhere)
    }

    async fn load_once(&self, entry: &Arc<AccountEntry>) -> Result<Arc<LoadedAccount>, AccountError> {
        let _one_at_a_time = entry.activating.lock().await;
        if let Some(loaded) = entry.loaded_account() {
            return Ok(loaded);
        }
        Box::pin(self.activate_account(entry)).await?;
        // Loading may have taken longer than the lease.
        entry.loaded_account().ok_or(AccountError::Storage)
    }

    /// Loads the account and puts it into its entry, which gives it out while its lease runs.
    async fn activate_account(&self, entry: &Arc<AccountEntry>) -> Result<(), AccountError> {
        let context = &self.0.context;
        let number = entry.current_account().number;
        let lease = self.0.cluster.lease_to_load().ok_or(AccountError::Storage)?;
        if let Some(outlived) = entry.find_loaded() {
            entry.release_account(&outlived);
        }
        let most = context.options.resident_conversations;
        let found = context.store.activate_account(number, lease.node_id(), most, entry.commit_floor()).await;
        if let Err(StoreError::Elsewhere(owner)) = &found {
            entry.set_elsewhere(owner.clone(), context.clock.monotonic_now());
        }
        let activation = found.map_err(|error| AccountError::from_store(&error, "account not loaded"))?;
        let activation = activation.ok_or(AccountError::Storage)?;
        note_lost_commits(&activation);
        let (revision, sequence) = (activation.revision, activation.sequence);
        entry.raise_floor(CommitFloor { revision, sequence, at: activation.last_commit_at });
        entry.set_account(activation.account.clone());
        let queued = context.options.queued_commands;
        // Loaded under this lease and served under no other, however long the loading took.
        let loaded =
            Arc::new(LoadedAccount::new(lease, view_of(&activation), queued, context.clock.monotonic_now()));
        let parts = AccountStateParts {
            context: context.clone(),
            account: AccountHandle::new(entry.clone(), Arc::new(self.clone())),
            loaded: loaded.clone(),
            listener: self.0.listener.clone(),
            graph_calls: self.0.graph_calls.clone(),
            epoch: activation.epoch,
            has_pending: activation.has_pending,
            has_parked: activation.has_parked,
            has_erased: activation.erasing.is_some(),
            erasures: self.0.erasures.clone(),
        };
        let spawned = Actor::spawn_linked(None, AccountActor, parts, context.supervisor.clone()).await;
        let (actor, _joined) = spawned.map_err(|error| {
            tracing::error!(error = cause(&error), "account actor not started");
            AccountError::Crashed
        })?;
        let watch = SupervisorMessage::Watch(actor.get_id(), Arc::downgrade(entry), Arc::downgrade(&loaded));
        // Without a supervisor the process is on its way down.
        let _stopping = self.0.supervisor.cast(watch);
        loaded.set_actor(actor);
        entry.put_loaded(loaded);
        if self.0.dispatcher.is_wanted(entry) {
            let dispatcher = self.0.dispatcher.clone();
            context.tasks.spawn(async move { dispatcher.take_up_all(DeliveryWork::OfAccount(number)).await });
        }
        if self.0.dispatcher.has_plugins(entry) {
            self.0.effects.request_look(entry);
        }
        if activation.erasing.is_some() {
            self.0.erasures.request_look(entry);
        }
        context.metrics.activations.inc();
        context.metrics.residents.inc();
        Ok(())
    }

    /// Resumes sends that were left since before the last stop.
    pub(super) async fn resume_sending(&self) -> Result<(), AccountError> {
        let waiting = self.0.context.store.unserved_with_pending(self.0.cluster.node_id()).await;
        for number in
            waiting.map_err(|error| AccountError::from_store(&error, "pending messages not read"))?
        {
            let entry = self.0.directory.account_of_row(number);
            if let Some(entry) = entry.filter(|entry| !entry.is_suspended()) {
                match self.load_account(&entry).await {
                    // Another node was faster.
                    Ok(_) | Err(AccountError::Elsewhere) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        Ok(())
    }
}
