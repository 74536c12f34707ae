//! Retirement of idle accounts, and the stop of all.
//!
//! Invariant: an account is retired only while no request waits on it, nothing is queued and nothing is being
//! sent.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kabar_core::cause::cause;

use super::registry::AccountRegistry;
use crate::account::{AccountEntry, LoadedAccount};

/// Interval at which idle accounts are looked for; equal to the longest life of a cached page.
const SWEEP_EVERY: Duration = Duration::from_secs(8);

/// Time that actors have to finish their last commit.
pub(super) const STOP_TIME: Duration = Duration::from_secs(10);

impl AccountRegistry {
    /// Drops idle accounts and expired pages, until shutdown.
    pub(super) async fn sweep_accounts(&self) {
        let mut began = self.0.context.clock.monotonic_now();
        loop {
            tokio::select! {
                () = self.0.context.clock.wait_until(began.saturating_plus(SWEEP_EVERY)) => {}
                () = self.0.context.stopping.cancelled() => return,
            }
            began = self.0.context.clock.monotonic_now();
            let mut loaded = 0_i64;
            for entry in self.0.directory.all_accounts() {
                if let Some(found) = entry.loaded_account() {
                    found.current_view().expire_pages(self.0.context.clock.monotonic_now());
                    if !self.retire_if_idle(&entry, &found) {
                        loaded += 1;
                    }
                }
            }
            self.0.context.metrics.residents.set(loaded);
        }
    }

    fn retire_if_idle(&self, entry: &AccountEntry, loaded: &Arc<LoadedAccount>) -> bool {
        let now = self.0.context.clock.monotonic_now();
        let busy = [&loaded.waiting, &loaded.streaming, &loaded.sending];
        let busy = busy.iter().any(|count| count.load(Ordering::Acquire) > 0);
        if busy || loaded.last_used().saturating_plus(self.0.context.options.idle) > now {
            return false;
        }
        // All permits are held here: nothing is queued, and nothing can be queued until they are given back.
        let all = u32::try_from(self.0.context.options.queued_commands).unwrap_or(u32::MAX);
        let Ok(_held) = loaded.permits.clone().try_acquire_many_owned(all) else { return false };
        entry.release_account(loaded);
        self.0.context.metrics.retirements.inc();
        true
    }

    /// Stops every actor. To be called when no more requests are accepted.
    pub async fn stop_actors(&self) {
        if let Err(error) = self.0.supervisor.stop_and_wait(None, Some(STOP_TIME)).await {
            tracing::warn!(error = cause(&error), "account actors did not stop in order");
        }
    }
}
