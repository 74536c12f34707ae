//! Deletes rows that need not be kept any longer, in small steps, so that no write waits for it.

use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::store::PurgeAges;
use kabar_core::surroundings;

use super::registry::AccountRegistry;

/// Time from the start of one purge to that of the next, once no old rows are left. It bounds the time for
/// which expired rows are overlooked.
const ROUND_EVERY: Duration = Duration::from_mins(10);
/// Pause between two steps, so that other writers go first. It spares the database, so the machine's time
/// counts.
const STEP_PAUSE: Duration = Duration::from_millis(50);

impl AccountRegistry {
    /// Purges until shutdown.
    pub(crate) async fn purge_rows(&self) {
        let context = self.context();
        let ages = PurgeAges {
            events: context.options.event_retention,
            raw_items: context.options.raw_retention,
            audit: context.options.audit_retention,
            ..PurgeAges::default()
        };
        loop {
            let began = context.clock.take_reading();
            let removed = context.store.purge_rows(began.wall, &ages).await;
            match &removed {
                Ok(0) => drop(context.metrics.purge_rounds.inc()),
                Ok(1..) => {}
                Err(error) => tracing::warn!(error = cause(error), "old rows not purged"),
            }
            let pause = async {
                match removed {
                    Ok(1..) => surroundings::sleep(STEP_PAUSE).await,
                    Ok(0) | Err(_) => {
                        context.clock.wait_until(began.monotonic.saturating_plus(ROUND_EVERY)).await;
                    }
                }
            };
            if matches!(removed, Ok(0))
                && let Some(kept) = context.options.message_retention
            {
                self.expire_messages(kept).await;
            }
            if context.stopping.run_until_cancelled(pause).await.is_none() {
                return;
            }
        }
    }
}
