//! Deletes organisations, and removes what they owned.
//!
//! Invariants: once a deletion is answered, no key of the organisation is accepted here, and within a second on no other
//! node. The rows go in small steps; they are looked for twice, because other nodes may have written some while they
//! heard of it. What a stopped server has left is removed after its next start, or by another node.

use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::audit::AuditOrigin;
use kabar_core::ids::OrganisationId;
use kabar_core::store::StoreError;
use kabar_core::surroundings;

use super::registry::AccountRegistry;
use crate::error::AccountError;
use crate::retry::{STEP_PAUSE, pause_for_retry};

/// Time after which no node writes for an organisation that was deleted.
const ALL_HEARD: Duration = Duration::from_secs(3);
/// Age from which another node's removal is taken for abandoned.
const ABANDONED: Duration = Duration::from_mins(10);

fn unwritten(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "organisation not deleted")
}

impl AccountRegistry {
    /// Deletes a tenant with everything that it owns. `false` when there is none.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn delete_organisation(
        &self,
        id: OrganisationId,
        origin: &AuditOrigin,
    ) -> Result<bool, AccountError> {
        if self.0.directory.delete_organisation(id, origin).await? {
            self.0.subscribers.registry().retire_organisation(id).await;
            let remover = self.clone();
            self.0.context.tasks.spawn(async move { remover.remove_organisation(id).await });
            return Ok(true);
        }
        // A second deletion changes nothing.
        self.0.context.store.is_organisation_deleted(id).await.map_err(|error| unwritten(&error))
    }

    async fn remove_organisation(&self, id: OrganisationId) {
        let context = self.context();
        let removing = async {
            loop {
                match self.remove_rows(id).await {
                    Ok(()) => return,
                    Err(error) => {
                        tracing::warn!(organisation_id = %id, error = cause(&error), "removal held up");
                        if !pause_for_retry(&context.clock, &context.stopping).await {
                            return;
                        }
                    }
                }
            }
        };
        context.stopping.run_until_cancelled(removing).await;
    }

    async fn remove_rows(&self, id: OrganisationId) -> Result<(), StoreError> {
        let context = self.context();
        for pass in 0..2 {
            if pass > 0 {
                surroundings::sleep(ALL_HEARD).await;
            }
            loop {
                let removed = context.store.remove_step(id).await?;
                if removed == 0 {
                    break;
                }
                context.metrics.erased_rows.inc_by(removed);
                surroundings::sleep(STEP_PAUSE).await;
            }
        }
        context.store.end_removal(id, context.clock.read_now()).await
    }

    /// Goes on with removals that were left since before the last stop, or by a dead node.
    pub(super) async fn resume_removals(&self, at_start: bool) -> Result<(), AccountError> {
        let context = self.context();
        let others_may_remove = !at_start || self.is_clustered();
        let before = others_may_remove.then(|| context.clock.read_now().minus_duration(ABANDONED));
        let left = context.store.unremoved_organisations(before).await;
        for id in left.map_err(|error| unwritten(&error))? {
            let remover = self.clone();
            context.tasks.spawn(async move { remover.remove_organisation(id).await });
        }
        Ok(())
    }
}
