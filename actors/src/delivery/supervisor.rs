//! Start of a delivery worker, and the watch over it until it ends.

use std::sync::Arc;
use std::time::Duration;

use kabar_core::cause::cause;
use ractor::{Actor, ActorCell};

use super::context::DeliveryContext;
use super::entries::WorkerHandle;
use super::worker::{DeliveryWorker, DeliveryWorkerActor, DeliveryWorkerParts};
use super::worker_message::DeliveryWorkerMessage;

/// Pause before a delivery worker that died is started again.
const RESTART_AFTER: Duration = Duration::from_secs(1);

/// Starts a delivery worker and waits until it ends. Returns `true` when it died and is to be started again; its
/// entry is removed then.
pub(super) async fn supervise_worker(
    context: Arc<DeliveryContext>,
    supervisor: ActorCell,
    parts: DeliveryWorkerParts,
) -> bool {
    let (key, entry) = (parts.worker_key(), parts.entry.clone());
    let account = parts.account_entry.current_account().id;
    match Actor::spawn_linked(None, DeliveryWorkerActor, DeliveryWorker::new(parts), supervisor).await {
        Ok((worker, ended)) => {
            entry.set_worker(WorkerHandle::new(&worker, || DeliveryWorkerMessage::Look));
            if !context.entries.has_entry(&key, &entry) {
                worker.stop(None);
            }
            let _just_started = worker.cast(DeliveryWorkerMessage::Look);
            tokio::select! {
                _ended = ended => {}
                () = context.stopping.cancelled() => return false,
            }
        }
        Err(error) => tracing::error!(error = cause(&error), "delivery worker not started"),
    }
    if !context.entries.has_entry(&key, &entry) {
        // It closed its entry, or was released.
        return false;
    }
    context.metrics.delivery_worker_crashes.inc();
    tracing::error!(subscriber = %key.0, %account, "delivery worker died; starting it again");
    tokio::select! {
        () = context.clock.sleep_for(RESTART_AFTER) => {}
        () = context.stopping.cancelled() => return false,
    }
    context.entries.remove_entry(&key, &entry)
}
