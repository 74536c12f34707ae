//! Health of webhook subscriptions: a receiver that is gone pauses its subscription, and too many deliveries
//! given up in a row disable it.

use std::sync::Arc;

use kabar_core::cause::cause;
use kabar_core::domain::delivery::{Delivery, DeliveryStatus};
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::subscription::{Subscription, SubscriptionStatus};
use kabar_core::store::NotedDeaths;

use super::registry::{SubscriberRegistry, subscription_of};
use super::subscriber::SubscriberState;

impl SubscriberRegistry {
    /// Counts these outcomes for a subscriber's health; too many failures stop the subscriber.
    pub(crate) async fn note_outcomes(&self, subscriber_state: &SubscriberState, ended: &[Delivery]) {
        let (mut taken, mut deaths) = (false, 0_u32);
        for delivery in ended {
            match delivery.status {
                DeliveryStatus::Delivered => (taken, deaths) = (true, 0),
                DeliveryStatus::Dead => deaths = deaths.saturating_add(1),
                DeliveryStatus::Pending | DeliveryStatus::Failed => {}
            }
        }
        let Some(known) = subscription_of(&subscriber_state.get()) else { return };
        let gone = subscriber_state.take_gone();
        if deaths == 0 && !gone && (!taken || known.dead_in_row == 0) {
            return;
        }
        let _turn = self.lock_writing().await;
        let noted = match self.0.store.note_deaths(known.id, taken, deaths).await {
            Ok(Some(noted)) => noted,
            Ok(None) => return,
            Err(error) => {
                return tracing::error!(error = cause(&error), "health of a subscription not noted");
            }
        };
        let Some(row) = self.publish_deaths(&known, &noted).await else { return };
        if gone && row.status == SubscriptionStatus::Active {
            // The error is logged; the next 410 tries again.
            let paused = Subscription { status: SubscriptionStatus::Paused, ..Subscription::clone(&row) };
            let _unavailable = self.write_webhook(paused, &self.0.store).await;
            tracing::warn!(subscription = %known.id, "the receiver is gone; subscription paused");
            return;
        }
        if row.status != known.status {
            tracing::warn!(subscription = %known.id, status = row.status.as_str(), "subscription stopped");
            self.tell_change(SubscriberId::Webhook(row.id));
        }
    }

    /// Publishes what was stored of a subscription's health; `None` when it was deleted, or cannot be read. The
    /// caller holds the writers' lock.
    async fn publish_deaths(&self, known: &Subscription, noted: &NotedDeaths) -> Option<Arc<Subscription>> {
        let found = self.find_webhook(known.organisation_id, known.id)?;
        if found.row_version.next() != noted.row_version {
            // Another node has written more than this.
            return self.read_webhook(known.id).await.unwrap_or_else(|error| {
                tracing::error!(error = cause(&error), "subscription not read again");
                None
            });
        }
        let NotedDeaths { status, dead_in_row, row_version } = *noted;
        let row = Arc::new(Subscription { status, dead_in_row, row_version, ..Subscription::clone(&found) });
        self.publish_webhook(&row);
        Some(row)
    }
}
