//! Lists deliveries, and replays them.
//!
//! Invariant: a replayed delivery keeps its id, its event and its attempts; it begins its retry schedule afresh.

use std::collections::BTreeSet;

use kabar_core::clock::Clock;
use kabar_core::domain::audit::{AuditAction, AuditOrigin, AuditTarget, AuditTargetKind};
use kabar_core::domain::delivery::Delivery;
use kabar_core::domain::page::{DeliveryFilter, DeliveryQuery, RowPage};
use kabar_core::domain::subscriber::{Subscriber, SubscriberId};
use kabar_core::ids::{DeliveryId, OrganisationId, SubscriptionId};
use kabar_core::store::{DeliveryCursor, Store, StoreError};

use super::dispatcher::DeliveryDispatcher;
use super::webhook_forms;
use super::worker::build_delivery;
use crate::account::AccountEntry;
use crate::audit::AuditedChanges;
use crate::error::AccountError;
use crate::idempotency::KeyClaim;

/// Most deliveries that one call replays (contract, section 11).
const REPLAYED_MAX: usize = 1000;

/// Outcome of a replay of many deliveries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayedDeliveries {
    /// Deliveries that are replayed.
    pub enqueued: usize,
    /// Set when there were more, which stay as they are.
    pub capped: bool,
}

/// Outcome of a replay of a part of a log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ReplayedLog {
    /// Events that are replayed.
    pub enqueued: usize,
    /// Set when there were more.
    pub capped: bool,
    /// Number of the last event that was read; further events begin behind it.
    pub last_sequence: i64,
}

fn unread(error: &StoreError) -> AccountError {
    AccountError::from_store(error, "deliveries not read")
}

impl AuditedChanges for DeliveryDispatcher {
    fn clock_and_store(&self) -> (&Clock, &Store) {
        (&self.0.context.clock, &self.0.context.store)
    }
}

impl DeliveryDispatcher {
    /// Reads a page of a tenant's deliveries, newest first.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn page_deliveries(&self, query: &DeliveryQuery) -> Result<RowPage<Delivery>, AccountError> {
        self.0.context.store.page_deliveries(query).await.map_err(|error| unread(&error))
    }

    /// Finds a tenant's delivery.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn find_delivery(
        &self,
        organisation: OrganisationId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, AccountError> {
        self.0.context.store.find_delivery(organisation, id).await.map_err(|error| unread(&error))
    }

    /// Replays one delivery, whatever its outcome was; `None` when the tenant has none of this id, or its
    /// subscription was deleted. A delivery of a stopped subscription waits until the subscription is active
    /// again.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn replay_delivery(
        &self,
        organisation: OrganisationId,
        id: DeliveryId,
        origin: &AuditOrigin,
        claim: Option<KeyClaim<Delivery>>,
    ) -> Result<Option<Delivery>, AccountError> {
        let Some(found) = self.find_delivery(organisation, id).await? else { return Ok(None) };
        if !self.0.context.subscribers.has_subscriber(organisation, found.subscriber) {
            return Ok(None);
        }
        let mut replayed = found;
        let now = self.0.context.clock.read_now();
        replayed.reopen_at(now);
        let answer = claim.as_ref().map(|claim| claim.build_record(&replayed, now));
        let target = AuditTarget::one(AuditTargetKind::Delivery, &id);
        let store = self.audited(origin, Some(organisation), AuditAction::DeliveryReplayed, target);
        let reopened = store.reopen_deliveries(organisation, &[id], now, answer.as_ref()).await;
        let reopened = reopened.map_err(|error| unread(&error))?;
        if let Some(claim) = &claim {
            claim.note_answered();
        }
        self.bring_again(reopened).await?;
        Ok(Some(replayed))
    }

    /// Replays the oldest deliveries that a filter selects, whatever their outcome was; `None` when the filter
    /// names no subscription of the tenant's.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn replay_many(
        &self,
        filter: &DeliveryFilter,
        origin: &AuditOrigin,
        claim: Option<KeyClaim<ReplayedDeliveries>>,
    ) -> Result<Option<ReplayedDeliveries>, AccountError> {
        let named = filter
            .subscription_id
            .and_then(|id| self.0.context.subscribers.find_webhook(filter.organisation_id, id));
        let Some(named) = named else { return Ok(None) };
        let oldest = self.0.context.store.oldest_deliveries(filter, REPLAYED_MAX).await;
        let (ids, capped) = oldest.map_err(|error| unread(&error))?;
        let (replayed, now) =
            (ReplayedDeliveries { enqueued: ids.len(), capped }, self.0.context.clock.read_now());
        let answer = claim.as_ref().map(|claim| claim.build_record(&replayed, now));
        let target = AuditTarget::one(AuditTargetKind::Subscription, &named.id);
        let store =
            self.audited(origin, Some(filter.organisation_id), AuditAction::DeliveriesReplayed, target);
        let reopened = store.reopen_deliveries(filter.organisation_id, &ids, now, answer.as_ref()).await;
        let reopened = reopened.map_err(|error| unread(&error))?;
        if let Some(claim) = &claim {
            claim.note_answered();
        }
        self.bring_again(reopened).await?;
        Ok(Some(replayed))
    }

    /// Has delivery workers read the rows that have been opened.
    async fn bring_again(
        &self,
        opened: impl IntoIterator<Item = (SubscriberId, i64)>,
    ) -> Result<(), AccountError> {
        let pairs: BTreeSet<_> = opened.into_iter().collect();
        for (subscriber, account) in &pairs {
            self.take_up_number(*subscriber, *account);
        }
        if self.0.context.cluster.is_shared() && !pairs.is_empty() {
            // Their delivery workers may be on other nodes, which read the changes.
            let ids: BTreeSet<_> =
                pairs.iter().filter_map(|(subscriber, _)| subscriber.for_webhook()).collect();
            let ids: Vec<_> = ids.into_iter().collect();
            self.0.context.store.touch_subscriptions(&ids).await.map_err(|error| unread(&error))?;
        }
        Ok(())
    }

    /// Replays the events of a part of an account's log (from 0: from the oldest that is kept). Replays events
    /// of the subscription's types only, and at most 1 000 of them. Events that are older than the subscription
    /// are included. `None` when the tenant has no such subscription.
    ///
    /// # Errors
    /// [`AccountError::Storage`], and [`AccountError::Expired`] when the log does not reach back so far.
    pub async fn replay_log(
        &self,
        id: SubscriptionId,
        account_entry: &AccountEntry,
        (from, to): (i64, Option<i64>),
        origin: &AuditOrigin,
        claim: Option<KeyClaim<ReplayedLog>>,
    ) -> Result<Option<ReplayedLog>, AccountError> {
        let account = account_entry.current_account();
        let Some(subscription) = self.0.context.subscribers.find_webhook(account.organisation_id, id) else {
            return Ok(None);
        };
        let subscriber = Subscriber::Webhook(subscription);
        let store = &self.0.context.store;
        let place = store.delivery_cursor(subscriber.subscriber_id(), account.number).await;
        let DeliveryCursor { cursor, head } =
            place.map_err(|error| unread(&error))?.unwrap_or(DeliveryCursor { cursor: 0, head: 0 });
        let oldest = store.oldest_event(account.number).await.map_err(|error| unread(&error))?;
        let oldest = oldest.unwrap_or(head + 1);
        if 0 < from && from < oldest.min(head + 1) {
            return Err(AccountError::Expired { oldest });
        }
        // Events behind the cursor become deliveries anyway.
        let to = to.map_or(cursor, |to| to.min(cursor));
        let between = (from.saturating_sub(1), to);
        let events =
            store.events_of(account.number, between, subscriber.event_types(), REPLAYED_MAX + 1).await;
        let mut events = events.map_err(|error| unread(&error))?;
        let capped = events.len() > REPLAYED_MAX;
        events.truncate(REPLAYED_MAX);
        let last = events.last().filter(|_| capped).map_or(to, |event| event.sequence);
        events.retain(|event| webhook_forms::is_shown(&subscriber, &event.kind));
        let now = self.0.context.clock.read_now();
        let deliveries: Vec<Delivery> = {
            let mut ids = self.0.context.subscribers.lock_writing().await;
            events
                .iter()
                .map(|event| build_delivery(&mut ids, &subscriber, account.number, event, now))
                .collect()
        };
        let rows = deliveries.iter().zip(&events);
        let bodies = webhook_forms::render_bodies(&self.0.context, &account, &subscriber, rows).await;
        let bodies = bodies.map_err(|error| unread(&error))?;
        let last_sequence = last.max(from.saturating_sub(1));
        let replayed = ReplayedLog { enqueued: deliveries.len(), capped, last_sequence };
        let answer = claim.as_ref().map(|claim| claim.build_record(&replayed, now));
        let target = AuditTarget::one(AuditTargetKind::Subscription, &id);
        let store =
            self.audited(origin, Some(account.organisation_id), AuditAction::SubscriptionReplayed, target);
        let written = store.replay_deliveries(&deliveries, &bodies, answer.as_ref()).await;
        written.map_err(|error| unread(&error))?;
        if let Some(claim) = &claim {
            claim.note_answered();
        }
        self.bring_again((!deliveries.is_empty()).then_some((subscriber.subscriber_id(), account.number)))
            .await?;
        Ok(Some(replayed))
    }
}
