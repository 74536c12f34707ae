//! Work of tenants that go on after they were suspended: their sends, deliveries, runs and effects.
//!
//! Invariants: nothing of it is lost while it stands still, because it is in rows; it goes on in the order in which it
//! was left, and without waiting for a round. Every node takes up what it serves. A tenant whose work could not be
//! taken up is tried again.

use kabar_core::cause::cause;
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::ids::OrganisationId;
use kabar_core::store::DeliveryWork;

use super::registry::AccountRegistry;
use crate::account::AccountMessage;
use crate::error::AccountError;
use crate::retry::pause_for_retry;

impl AccountRegistry {
    /// Takes up the work of tenants that go on, until shutdown.
    pub(super) async fn keep_resuming(&self) {
        let context = self.context();
        while let Some(tenants) = context.stopping.run_until_cancelled(self.0.directory.take_resumed()).await
        {
            for id in tenants {
                let Err(error) = self.resume_tenant(id).await else { continue };
                tracing::warn!(organisation_id = %id, error = cause(&error), "work of a tenant not taken up");
                self.0.directory.note_resumed(id);
                if !pause_for_retry(&context.clock, &context.stopping).await {
                    return;
                }
            }
        }
    }

    async fn resume_tenant(&self, id: OrganisationId) -> Result<(), AccountError> {
        let registry = self.0.subscribers.registry();
        // Before they are tried again.
        registry.restart_pauses(id).await?;
        self.resume_sending().await?;
        for entry in self.0.directory.accounts_that(|account| account.organisation_id == id) {
            let loaded = entry.loaded_account();
            if let Some(actor) = loaded.as_ref().and_then(|loaded| loaded.actor_ref()) {
                // An actor that has stopped has a successor, which reads the queue.
                let _gone = actor.cast(AccountMessage::ReadQueue);
            }
            if (loaded.is_some() || !self.is_clustered()) && self.0.dispatcher.has_plugins(&entry) {
                self.0.effects.request_look(&entry);
            }
        }
        let snapshot = registry.current_snapshot();
        let subscribers: Vec<SubscriberId> =
            snapshot.of_organisation(id).map(|state| state.subscriber_id()).collect();
        for subscriber in subscribers {
            self.take_over(DeliveryWork::Of(subscriber)).await?;
        }
        self.resume_effects().await
    }
}
