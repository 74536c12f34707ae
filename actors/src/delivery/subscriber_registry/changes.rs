//! Changes of subscriptions that any node may make at any moment.
//!
//! Invariant: a change is written only over the row that it was decided on. Where another node has written
//! the row meanwhile, it is read again and the change is decided anew, so neither change undoes the other.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::subscription::{SIGNING_SECRETS_MAX, Subscription, SubscriptionStatus};
use kabar_core::ids::{OrganisationId, SubscriptionId};
use kabar_core::store::{DeliveryWork, NotedDeaths};

use super::{SubscriptionPatch, fresh_secret, unwritten};
use crate::accounts::AccountError;
use crate::delivery::DeliveryDispatcher;
use crate::idempotency::KeyClaim;
use crate::tenants::DECISIONS_MAX;

impl SubscriptionPatch {
    /// Returns the changed subscription. One that becomes active again has its count of dead deliveries reset.
    fn apply(self, found: &Subscription) -> Subscription {
        let mut row = Subscription::clone(found);
        row.url = self.url.unwrap_or(row.url);
        row.events = self.events.unwrap_or(row.events);
        row.description = self.description.unwrap_or(row.description);
        if let Some(status) = self.status {
            if status == SubscriptionStatus::Active && row.status != status {
                row.dead_in_row = 0;
            }
            row.status = status;
        }
        row
    }
}

impl DeliveryDispatcher {
    /// Changes a subscription; `None` when the tenant has none of this id.
    ///
    /// # Errors
    /// [`AccountError::Storage`]; [`AccountError::Overloaded`] when other nodes change it all the time.
    pub async fn patch_subscription(
        &self,
        organisation: OrganisationId,
        id: SubscriptionId,
        patch: SubscriptionPatch,
    ) -> Result<Option<Arc<Subscription>>, AccountError> {
        let _turn = self.0.writing.lock().await;
        let Some(mut found) = self.find_subscription(organisation, id) else { return Ok(None) };
        for _ in 0..DECISIONS_MAX {
            if let Some(row) = self.rewrite_registry(patch.clone().apply(&found)).await? {
                return Ok(Some(row));
            }
            let Some(again) = self.read_subscription(id).await? else { return Ok(None) };
            found = again;
        }
        Err(AccountError::Overloaded)
    }

    /// Writes a changed row; `None` when another node has written it since it was read. The caller holds the
    /// writers' lock.
    pub(super) async fn rewrite_registry(
        &self,
        mut row: Subscription,
    ) -> Result<Option<Arc<Subscription>>, AccountError> {
        row.updated_at = self.0.clock.read_now().max(row.updated_at);
        let written = self.0.store.update_subscription(row).await;
        let Some(row) = written.map_err(|error| unwritten(&error))? else { return Ok(None) };
        self.publish_registry(|next| self.put_subscriber(next, &row));
        let id = SubscriberId::Webhook(row.id);
        self.look_all(id);
        if row.status == SubscriptionStatus::Active {
            self.take_up_all(DeliveryWork::Of(id)).await;
        }
        Ok(Some(Arc::new(row)))
    }

    /// Reads a row again that another node has written, and publishes it; `None` when it was deleted. The
    /// caller holds the writers' lock.
    async fn read_subscription(&self, id: SubscriptionId) -> Result<Option<Arc<Subscription>>, AccountError> {
        let found = self.0.store.find_subscription(id).await;
        let found = found.map_err(|error| AccountError::from_store(&error, "subscription not read"))?;
        match &found {
            Some(row) => self.publish_registry(|next| self.put_subscriber(next, row)),
            None => self.retire_subscriber(SubscriberId::Webhook(id)),
        }
        Ok(found.map(Arc::new))
    }

    /// Publishes what was stored of a subscription's health; `None` when it was deleted, or cannot be read. The
    /// caller holds the writers' lock.
    pub(super) async fn noted(&self, known: &Subscription, noted: &NotedDeaths) -> Option<Arc<Subscription>> {
        let found = self.find_subscription(known.organisation_id, known.id)?;
        if found.row_version.next() != noted.row_version {
            // Another node has written more than this.
            return self.read_subscription(known.id).await.unwrap_or_else(|error| {
                tracing::error!(error = cause(&error), "subscription not read again");
                None
            });
        }
        let NotedDeaths { status, dead_in_row, row_version } = *noted;
        let row = Subscription { status, dead_in_row, row_version, ..Subscription::clone(&found) };
        self.publish_registry(|next| self.put_subscriber(next, &row));
        Some(Arc::new(row))
    }

    /// Adds a signing secret, as the last one of the subscription. The older ones expire after `older_for`, and
    /// expired ones are removed. `None` when the tenant has no such subscription, and when it has the largest
    /// allowed number of secrets.
    ///
    /// # Errors
    /// [`AccountError::Storage`]; [`AccountError::Overloaded`] when other nodes change it all the time.
    pub async fn add_signing_secret(
        &self,
        organisation: OrganisationId,
        id: SubscriptionId,
        older_for: Duration,
        claim: Option<KeyClaim<Arc<Subscription>>>,
    ) -> Result<Option<Arc<Subscription>>, AccountError> {
        let mut ids = self.0.writing.lock().await;
        let Some(mut found) = self.find_subscription(organisation, id) else { return Ok(None) };
        for _ in 0..DECISIONS_MAX {
            let now = self.0.clock.read_now();
            let mut row = Subscription::clone(&found);
            row.secrets.retain(|one| one.expires_at.is_none_or(|at| now < at));
            if row.secrets.len() >= SIGNING_SECRETS_MAX {
                return Ok(None);
            }
            let until = now.plus_duration(older_for);
            for older in &mut row.secrets {
                older.expires_at = Some(older.expires_at.map_or(until, |at| at.min(until)));
            }
            row.secrets.push(fresh_secret(&mut *ids, now));
            row.updated_at = now.max(row.updated_at);
            let row = Arc::new(row);
            let answer = claim.as_ref().map(|claim| claim.build_record(&row, now));
            let written =
                self.0.store.insert_signing_secret(Subscription::clone(&row), until, answer.as_ref()).await;
            if let Some(row) = written.map_err(|error| unwritten(&error))? {
                if let Some(claim) = &claim {
                    claim.note_answered();
                }
                self.publish_registry(|next| self.put_subscriber(next, &row));
                return Ok(Some(Arc::new(row)));
            }
            let Some(again) = self.read_subscription(id).await? else { return Ok(None) };
            found = again;
        }
        Err(AccountError::Overloaded)
    }
}
