//! Bounds of what is tried again, and the pauses before it and between steps.

use std::time::Duration;

use kabar_core::clock::Clock;
use tokio_util::sync::CancellationToken;

/// Most attempts to decide a change of a row when other nodes write the row meanwhile. Each time, one of them
/// has succeeded.
pub(crate) const DECISIONS_MAX: usize = 16;

/// Pause before the store is asked again.
pub(crate) const STORE_RETRY: Duration = Duration::from_secs(1);

/// Pause between two steps of a long piece of work in the store, so that other writers go first.
pub(crate) const STEP_PAUSE: Duration = Duration::from_millis(5);

/// Waits for [`STORE_RETRY`]. Returns `false` when the server stops before that.
pub(crate) async fn pause_for_retry(clock: &Clock, stopping: &CancellationToken) -> bool {
    tokio::select! {
        () = clock.sleep_for(STORE_RETRY) => true,
        () = stopping.cancelled() => false,
    }
}
