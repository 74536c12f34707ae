//! Webhook subscriptions of tenants: listed, created and deleted.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use kabar_core::domain::account::Secret;
use kabar_core::domain::audit::{AuditAction, AuditOrigin, AuditTarget, AuditTargetKind};
use kabar_core::domain::event::EventTypes;
use kabar_core::domain::principal::Principal;
use kabar_core::domain::row_version::RowVersion;
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::subscription::{SigningSecret, Subscription, SubscriptionStatus, WebhookFormat};
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{IdSource, OrganisationId, SigningSecretId, SubscriptionId};
use kabar_core::store::{DeliveryWork, StoreError};
use rand::RngExt as _;

use super::directory::SubscriberDirectory;
use super::errors::SubscriptionError;
use super::registry::subscription_of;
use crate::audit::AuditedChanges;
use crate::error::AccountError;
use crate::idempotency::KeyClaim;

/// Random bytes of a signing secret.
const SECRET_BYTES: usize = 32;

/// A subscription to be created.
#[derive(Debug, Clone)]
pub struct NewSubscription {
    /// Target URL of the deliveries; validated already.
    pub url: Arc<str>,
    /// At least one type.
    pub events: EventTypes,
    /// Form of the requests.
    pub format: WebhookFormat,
    /// Description for a person.
    pub description: Option<Arc<str>>,
    /// Its creator.
    pub created_by: Principal,
}

/// Changes of a subscription; `None` leaves a field as it is.
#[derive(Debug, Clone, Default)]
pub struct SubscriptionPatch {
    /// New URL; validated already.
    pub url: Option<Arc<str>>,
    /// New types; they also hold for committed events that are not deliveries yet.
    pub events: Option<EventTypes>,
    /// New form; it holds for open deliveries too.
    pub format: Option<WebhookFormat>,
    /// New description, or none.
    pub description: Option<Option<Arc<str>>>,
    /// Stop (`Paused`), or resume (`Active`) with all events that were committed meanwhile.
    pub status: Option<SubscriptionStatus>,
}

pub(super) fn unwritten(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "subscription not written")
}

pub(super) fn fresh_secret(ids: &mut dyn IdSource, now: Timestamp, created_by: Principal) -> SigningSecret {
    let entropy: [u8; SECRET_BYTES] = rand::rng().random();
    SigningSecret {
        id: SigningSecretId::from_bits(ids.next_bits(now.millis())),
        secret: Secret::new(&format!("whsec_{}", STANDARD.encode(entropy))),
        created_at: now,
        created_by,
        expires_at: None,
    }
}

impl SubscriberDirectory {
    /// Lists a tenant's subscriptions, newest first.
    #[must_use]
    pub fn subscriptions_of(&self, organisation: OrganisationId) -> Vec<Arc<Subscription>> {
        let snapshot = self.registry.current_snapshot();
        let rows = snapshot.of_organisation(organisation).filter_map(|one| subscription_of(&one.get()));
        let mut rows: Vec<_> = rows.collect();
        rows.reverse();
        rows
    }

    /// Finds a tenant's subscription.
    #[must_use]
    pub fn find_subscription(
        &self,
        organisation: OrganisationId,
        id: SubscriptionId,
    ) -> Option<Arc<Subscription>> {
        self.registry.find_webhook(organisation, id)
    }

    /// Creates a subscription, which begins with the next event of each account. It contains its first signing
    /// secret.
    ///
    /// # Errors
    /// [`SubscriptionError::TooMany`], and [`AccountError::Storage`].
    pub async fn create_subscription(
        &self,
        organisation_id: OrganisationId,
        new: NewSubscription,
        origin: &AuditOrigin,
        claim: Option<KeyClaim<Arc<Subscription>>>,
    ) -> Result<Arc<Subscription>, SubscriptionError> {
        let mut ids = self.registry.lock_writing().await;
        if self.subscriptions_of(organisation_id).len() >= self.limits.subscriptions {
            return Err(SubscriptionError::TooMany);
        }
        let now = self.registry.0.clock.read_now();
        let subscription = Subscription {
            id: SubscriptionId::from_bits(ids.next_bits(now.millis())),
            organisation_id,
            url: new.url,
            events: new.events,
            format: new.format,
            description: new.description,
            status: SubscriptionStatus::Active,
            dead_in_row: 0,
            secrets: vec![fresh_secret(&mut *ids, now, new.created_by.clone())],
            created_at: now,
            created_by: new.created_by,
            updated_at: now,
            row_version: RowVersion::FIRST,
        };
        let subscription = Arc::new(subscription);
        let answer = claim.as_ref().map(|claim| claim.build_record(&subscription, now));
        let target = AuditTarget::one(AuditTargetKind::Subscription, &subscription.id);
        let action = AuditAction::SubscriptionCreated;
        let store = self.registry.audited(origin, Some(organisation_id), action, target);
        let inserted = store.insert_subscription(&subscription, answer.as_ref()).await;
        inserted.map_err(|error| unwritten(&error))?;
        if let Some(claim) = &claim {
            claim.note_answered();
        }
        self.registry.publish_webhook(&subscription);
        let id = SubscriberId::Webhook(subscription.id);
        // Commits between the cursor and this moment have notified no delivery worker of it.
        self.starter.start_work(DeliveryWork::Of(id)).await;
        Ok(subscription)
    }

    /// Deletes a subscription.
    ///
    /// # Errors
    /// [`SubscriptionError::NotFound`], and [`AccountError::Storage`].
    pub async fn delete_subscription(
        &self,
        organisation: OrganisationId,
        id: SubscriptionId,
        origin: &AuditOrigin,
    ) -> Result<(), SubscriptionError> {
        let _turn = self.registry.lock_writing().await;
        self.find_subscription(organisation, id).ok_or(SubscriptionError::NotFound)?;
        let target = AuditTarget::one(AuditTargetKind::Subscription, &id);
        let action = AuditAction::SubscriptionDeleted;
        let store = self.registry.audited(origin, Some(organisation), action, target);
        let deleted = store.delete_subscription(id, self.registry.0.clock.read_now()).await;
        deleted.map_err(|error| unwritten(&error))?;
        self.registry.retire_subscriber(SubscriberId::Webhook(id));
        Ok(())
    }
}
