//! What other nodes change of tenants, keys, users, accounts and subscribers.
//!
//! Invariants: nothing is passed over: what could not be followed is followed in the next round; a courier
//! is looked after only once its subscriber's row is known. Without other nodes there is nothing to follow.

use std::collections::BTreeSet;
use std::sync::PoisonError;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::store::{CourierWork, StoreError};

use super::{Accounts, Unavailable};

/// How often a node looks for changes that others made. A revoked key must fail everywhere within a second.
const FOLLOW_EVERY: Duration = Duration::from_millis(300);

/// How far it has come.
pub(crate) struct Following {
    /// Subscribers are known up to this revision of the directory.
    subscribers: tokio::sync::Mutex<i64>,
    /// Subscribers that have changed, and whose couriers were not looked after since.
    changed: std::sync::Mutex<BTreeSet<SubscriberId>>,
}

impl Following {
    /// From the revision that subscribers were read at.
    pub(super) fn from(revision: i64) -> Self {
        Self { subscribers: tokio::sync::Mutex::new(revision), changed: std::sync::Mutex::default() }
    }

    fn changed(&self) -> std::sync::MutexGuard<'_, BTreeSet<SubscriberId>> {
        // Nobody panics half-way through a change of it.
        self.changed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Accounts {
    /// Takes over at once what other nodes have changed, for who must not miss it. Costs a statement when
    /// nothing has changed, and none where there are no other nodes.
    ///
    /// # Errors
    /// [`Unavailable::Storage`].
    pub async fn catch_up(&self) -> Result<(), Unavailable> {
        if !self.is_clustered() {
            return Ok(());
        }
        self.follow().await.map_err(|error| Unavailable::of(&error, "directory not refreshed"))
    }

    /// Follows until shutdown, and looks after couriers.
    pub(super) async fn keep_following(&self) {
        let ground = self.ground();
        let mut behind = false;
        loop {
            tokio::select! {
                () = tokio::time::sleep(FOLLOW_EVERY) => {}
                () = ground.stopping.cancelled() => return,
            }
            match self.follow().await {
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

    async fn follow(&self) -> Result<(), StoreError> {
        let ground = self.ground();
        ground.directory.refresh().await?;
        let mut followed = ground.following.subscribers.lock().await;
        let known = ground.directory.known();
        if known != *followed {
            let changed = ground.couriers.follow(*followed).await?;
            ground.following.changed().extend(changed);
            *followed = known;
        }
        Ok(())
    }

    async fn look_after_changed(&self) {
        let changed = std::mem::take(&mut *self.ground().following.changed());
        for subscriber in changed {
            if self.bring(CourierWork::Of(subscriber)).await.is_err() {
                // Said in the log.
                self.ground().following.changed().insert(subscriber);
            }
        }
    }
}
