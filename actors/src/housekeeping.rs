//! Forgets what need not be kept any longer, in small steps, so that no write waits for it.

use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::store::PurgeAges;

use crate::accounts::Accounts;

/// Pause while there is nothing to forget.
const ROUND_EVERY: Duration = Duration::from_mins(10);
/// Pause between two steps, so that other writers go first.
const STEP_EVERY: Duration = Duration::from_millis(50);

impl Accounts {
    /// Purges until shutdown.
    pub(crate) async fn purge(&self) {
        let ground = self.ground();
        let ages = PurgeAges { events: ground.options.event_retention, ..PurgeAges::default() };
        loop {
            let removed = ground.store.purge(ground.clock.now(), &ages).await;
            let pause = match removed {
                Ok(0) => ROUND_EVERY,
                Ok(_) => STEP_EVERY,
                Err(error) => {
                    tracing::warn!(error = cause(&error), "old rows not purged");
                    ROUND_EVERY
                }
            };
            tokio::select! {
                () = ground.clock.wait_until(ground.clock.now().plus(pause)) => {}
                () = ground.stopping.cancelled() => return,
            }
        }
    }
}
