//! Deliveries as they are listed, and how they are brought again.
//!
//! Invariant: a replayed delivery keeps its id, its event and its attempts; it begins its ladder afresh.

use std::collections::BTreeSet;

use kabar_core::domain::delivery::Delivery;
use kabar_core::domain::page::{DeliveryFilter, DeliveryQuery, Page};
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::ids::{DeliveryId, OrganisationId, SubscriptionId};
use kabar_core::store::{Reopened, StoreError};

use super::Couriers;
use super::courier::CourierMessage;
use crate::accounts::Unavailable;

/// The most that one call brings again (contract, section 11).
const REPLAYED_MAX: usize = 1000;

/// What became of a replay of many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replayed {
    /// So many are brought again.
    pub enqueued: usize,
    /// There were more, which stay as they are.
    pub capped: bool,
}

fn unread(error: &StoreError) -> Unavailable {
    Unavailable::of(error, "deliveries not read")
}

impl Couriers {
    /// A page of a tenant's deliveries, newest first.
    ///
    /// # Errors
    /// [`Unavailable::Storage`].
    pub async fn deliveries(&self, query: &DeliveryQuery) -> Result<Page<Delivery>, Unavailable> {
        self.0.store.deliveries(query).await.map_err(|error| unread(&error))
    }

    /// A tenant's delivery.
    ///
    /// # Errors
    /// [`Unavailable::Storage`].
    pub async fn delivery(
        &self,
        organisation: OrganisationId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, Unavailable> {
        self.0.store.delivery(organisation, id).await.map_err(|error| unread(&error))
    }

    /// Brings one delivery again, whatever became of it; `None` when the tenant has none of this id, or
    /// its subscription was deleted. What belongs to a stopped subscription waits until that goes on.
    ///
    /// # Errors
    /// [`Unavailable::Storage`].
    pub async fn replay(
        &self,
        organisation: OrganisationId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, Unavailable> {
        let Some(found) = self.delivery(organisation, id).await? else { return Ok(None) };
        if self.subscription(organisation, found.subscription_id).is_none() {
            return Ok(None);
        }
        let reopened = self.0.store.reopen(&[id], self.0.clock.now()).await;
        self.bring_again(&reopened.map_err(|error| unread(&error))?).await?;
        self.delivery(organisation, id).await
    }

    /// Brings the oldest of what a filter lets through again, whatever became of it; `None` when the
    /// filter names no subscription of the tenant's.
    ///
    /// # Errors
    /// [`Unavailable::Storage`].
    pub async fn replay_many(&self, filter: &DeliveryFilter) -> Result<Option<Replayed>, Unavailable> {
        let named = filter.subscription_id.and_then(|id| self.subscription(filter.organisation_id, id));
        if named.is_none() {
            return Ok(None);
        }
        let reopened = self.0.store.reopen_deliveries(filter, self.0.clock.now(), REPLAYED_MAX).await;
        let Reopened { deliveries, capped } = reopened.map_err(|error| unread(&error))?;
        self.bring_again(&deliveries).await?;
        Ok(Some(Replayed { enqueued: deliveries.len(), capped }))
    }

    /// Has couriers read the rows that have been opened.
    async fn bring_again(&self, opened: &[(DeliveryId, SubscriptionId, i64)]) -> Result<(), Unavailable> {
        let pairs: BTreeSet<_> =
            opened.iter().map(|(_, subscription, account)| (*subscription, *account)).collect();
        for (subscription, account) in &pairs {
            self.reload(SubscriberId::Webhook(*subscription), *account);
        }
        if self.0.cluster.is_shared() && !pairs.is_empty() {
            // Their couriers may be on other nodes, which look at what has changed.
            let ids: BTreeSet<_> = pairs.iter().map(|(subscription, _)| *subscription).collect();
            let ids: Vec<_> = ids.into_iter().collect();
            self.0.store.touch_subscriptions(&ids).await.map_err(|error| unread(&error))?;
        }
        Ok(())
    }

    fn reload(&self, subscriber: SubscriberId, account: i64) {
        let Some(slot) = self.0.directory.account_of_row(account) else { return };
        let working = self.desks().get(&(subscriber, account)).and_then(|desk| desk.courier.get().cloned());
        if let Some(courier) = working {
            let _gone = courier.cast(CourierMessage::Reload);
        }
        // One that is just leaving, or not here, is started.
        if !self.0.cluster.is_shared() || slot.resident().is_some() {
            self.take_up(subscriber, &slot);
        }
    }
}
