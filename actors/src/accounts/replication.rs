//! Changes that other nodes make to tenants, keys, users, accounts and subscribers.
//!
//! Invariants: no change is passed over; one that could not be read is read in the next round. A delivery
//! worker is started or woken only once its subscriber's row is known. Without other nodes there is nothing to
//! follow.

use std::sync::atomic::Ordering;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::store::{DeliveryWork, StoreError};
use kabar_core::surroundings;

use super::registry::AccountRegistry;
use crate::cluster::lease::now_ms;
use crate::error::AccountError;

/// Interval at which a node looks for changes of other nodes. A revoked key must fail everywhere within a
/// second.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

/// Greatest age of the directory when a key is accepted (contract, section 3: a revoked key fails on every node
/// within 1 s).
const FRESH_FOR: Duration = Duration::from_secs(1);

/// Longest wait of a request for a directory that is fresh again: as long as a statement may take.
const ASK_TIME: Duration = Duration::from_secs(3);

impl AccountRegistry {
    /// Reads at once what other nodes have changed, for callers that must not miss it. Costs a statement when
    /// nothing has changed, and none where there are no other nodes.
    ///
    /// # Errors
    /// [`AccountError::Storage`]; also on a server without a cluster that has lost its lease, because another
    /// server may have taken its place.
    pub async fn catch_up(&self) -> Result<(), AccountError> {
        if !self.is_clustered() {
            return self.ensure_lease();
        }
        self.follow_log().await.map_err(|error| AccountError::from_store(&error, "directory not refreshed"))
    }

    /// Returns once the keys in the directory were read at most one second before this call. That is at once
    /// where there are no other nodes, and as a rule elsewhere, because other nodes' changes are read more
    /// often than that.
    ///
    /// # Errors
    /// [`AccountError::Storage`] when that cannot be found out within three seconds: a node that is cut off from
    /// the database accepts no key that may have been revoked.
    pub async fn ensure_fresh_directory(&self) -> Result<(), AccountError> {
        let called_at_ms = now_ms();
        if !self.is_clustered() {
            return self.ensure_lease();
        }
        if self.is_directory_fresh_at(called_at_ms) {
            return Ok(());
        }
        let ask = async {
            let _one_at_a_time = self.0.following.asking.lock().await;
            // However long the read took: its result counts from the time of the request.
            if self.is_directory_fresh_at(called_at_ms) { Ok(()) } else { self.catch_up().await }
        };
        tokio::time::timeout(ASK_TIME, ask).await.unwrap_or(Err(AccountError::Storage))
    }

    fn ensure_lease(&self) -> Result<(), AccountError> {
        if self.0.cluster.is_serving() { Ok(()) } else { Err(AccountError::Storage) }
    }

    fn is_directory_fresh_at(&self, at_ms: u64) -> bool {
        at_ms < self.0.following.fresh_until_ms.load(Ordering::Acquire)
    }

    /// Follows the log of changes until the lease need not go on, and starts or wakes delivery workers.
    pub(super) async fn keep_following(&self) {
        let mut behind = false;
        loop {
            tokio::select! {
                () = surroundings::sleep(FOLLOW_EVERY) => {}
                () = self.0.cluster.renewal_ended() => return,
            }
            let followed = match self.follow_log().await {
                Ok(()) => self.follow_rotation().await,
                Err(error) => Err(error),
            };
            match followed {
                Ok(()) => {
                    behind = false;
                    self.look_after_changed().await;
                }
                Err(error) => {
                    if !behind {
                        tracing::error!(error = cause(&error), "directory not refreshed; trying on");
                    }
                    behind = true;
                }
            }
        }
    }

    pub(super) async fn follow_log(&self) -> Result<(), StoreError> {
        let fresh_until = now_ms().saturating_add(u64::try_from(FRESH_FOR.as_millis()).unwrap_or(u64::MAX));
        for id in self.0.directory.refresh_directory().await? {
            self.0.subscribers.registry().retire_organisation(id).await;
        }
        self.0.following.fresh_until_ms.fetch_max(fresh_until, Ordering::AcqRel);
        let mut followed = self.0.following.subscribers.lock().await;
        let known = self.0.directory.known_revision();
        if known != *followed {
            let changed = self.0.subscribers.registry().follow_changes(*followed).await?;
            self.0.following.lock_changed().extend(changed);
            *followed = known;
        }
        Ok(())
    }

    async fn look_after_changed(&self) {
        let changed = std::mem::take(&mut *self.0.following.lock_changed());
        for subscriber in changed {
            if self.take_over(DeliveryWork::Of(subscriber)).await.is_err() {
                // The error is logged.
                self.0.following.lock_changed().insert(subscriber);
            }
        }
    }
}
