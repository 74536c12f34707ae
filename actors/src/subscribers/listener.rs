//! Ports by which a change of a subscriber reaches its delivery workers.

use futures_util::future::BoxFuture;
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::store::DeliveryWork;

/// Listener to changes of subscribers. It is told once a change is visible, and must not wait.
pub(crate) trait SubscriberListener: Send + Sync {
    /// Notes that a subscriber's row has changed, or that it was deleted.
    fn note_change(&self, subscriber: SubscriberId);
}

/// Starter of delivery workers.
pub(crate) trait WorkStarter: Send + Sync {
    /// Wakes or starts the delivery workers with open deliveries, of accounts that are served here. What cannot
    /// be read is logged.
    fn start_work(&self, work: DeliveryWork) -> BoxFuture<'_, ()>;

    /// Has the delivery worker of this subscriber and account read its rows again, if it may run here.
    fn reload_worker(&self, subscriber: SubscriberId, account: i64);
}
