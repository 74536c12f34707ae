//! Changes of subscriptions that any node may make at any moment.
//!
//! Invariant: a change is written only over the row that it was decided on. Where another node has written
//! the row meanwhile, it is read again and the change is decided anew, so neither change undoes the other.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::domain::audit::{AuditAction, AuditOrigin, AuditTarget, AuditTargetKind};
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::subscription::{SIGNING_SECRETS_MAX, Subscription, SubscriptionStatus};
use kabar_core::ids::{OrganisationId, SubscriptionId};
use kabar_core::store::DeliveryWork;

use super::directory::SubscriberDirectory;
use super::errors::SubscriptionError;
use super::webhooks::{SubscriptionPatch, fresh_secret, unwritten};
use crate::audit::AuditedChanges;
use crate::error::AccountError;
use crate::idempotency::KeyClaim;
use crate::retry::DECISIONS_MAX;

impl SubscriptionPatch {
    /// Returns the changed subscription. One that becomes active again has its count of dead deliveries reset.
    fn apply(self, found: &Subscription) -> Subscription {
        let mut row = Subscription::clone(found);
        row.url = self.url.unwrap_or(row.url);
        row.events = self.events.unwrap_or(row.events);
        row.format = self.format.unwrap_or(row.format);
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

impl SubscriberDirectory {
    /// Changes a subscription.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`]; [`AccountError::Storage`]; [`AccountError::Overloaded`] when other nodes
    /// change it all the time.
    pub async fn patch_subscription(
        &self,
        organisation: OrganisationId,
        id: SubscriptionId,
        patch: SubscriptionPatch,
        origin: &AuditOrigin,
    ) -> Result<Arc<Subscription>, SubscriptionError> {
        let _turn = self.registry.lock_writing().await;
        let target = AuditTarget::one(AuditTargetKind::Subscription, &id);
        let action = AuditAction::SubscriptionUpdated;
        let store = self.registry.audited(origin, Some(organisation), action, target);
        let mut found = self.find_subscription(organisation, id).ok_or(SubscriptionError::NotFound)?;
        for _ in 0..DECISIONS_MAX {
            if let Some(row) = self.registry.write_webhook(patch.clone().apply(&found), &store).await? {
                if row.status == SubscriptionStatus::Active {
                    self.starter.start_work(DeliveryWork::Of(SubscriberId::Webhook(row.id))).await;
                }
                return Ok(row);
            }
            found = self.registry.read_webhook(id).await?.ok_or(SubscriptionError::NotFound)?;
        }
        Err(AccountError::Overloaded.into())
    }

    /// Adds a signing secret, as the last one of the subscription. The older ones expire after `older_for`, and
    /// expired ones are removed.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`]; [`SubscriptionError::TooManySecrets`]; [`AccountError::Storage`];
    /// [`AccountError::Overloaded`] when other nodes change it all the time.
    pub async fn add_signing_secret(
        &self,
        organisation: OrganisationId,
        id: SubscriptionId,
        older_for: Duration,
        origin: &AuditOrigin,
        claim: Option<KeyClaim<Arc<Subscription>>>,
    ) -> Result<Arc<Subscription>, SubscriptionError> {
        let mut ids = self.registry.lock_writing().await;
        let mut found = self.find_subscription(organisation, id).ok_or(SubscriptionError::NotFound)?;
        for _ in 0..DECISIONS_MAX {
            let now = self.registry.0.clock.read_now();
            let mut row = Subscription::clone(&found);
            row.secrets.retain(|one| one.expires_at.is_none_or(|at| now < at));
            if row.secrets.len() >= SIGNING_SECRETS_MAX {
                return Err(SubscriptionError::TooManySecrets);
            }
            let until = now.plus_duration(older_for);
            for older in &mut row.secrets {
                older.expires_at = Some(older.expires_at.map_or(until, |at| at.min(until)));
            }
            let secret = fresh_secret(&mut *ids, now, origin.actor.clone());
            let target = AuditTarget::one(AuditTargetKind::SigningSecret, &secret.id);
            let action = AuditAction::SigningSecretCreated;
            row.secrets.push(secret);
            row.updated_at = now.max(row.updated_at);
            let row = Arc::new(row);
            let answer = claim.as_ref().map(|claim| claim.build_record(&row, now));
            let store = self.registry.audited(origin, Some(organisation), action, target);
            let written =
                store.insert_signing_secret(Subscription::clone(&row), until, answer.as_ref()).await;
            if let Some(row) = written.map_err(|error| unwritten(&error))?.map(Arc::new) {
                if let Some(claim) = &claim {
                    claim.note_answered();
                }
                self.registry.publish_webhook(&row);
                return Ok(row);
            }
            found = self.registry.read_webhook(id).await?.ok_or(SubscriptionError::NotFound)?;
        }
        Err(AccountError::Overloaded.into())
    }
}
