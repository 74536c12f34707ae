//! Claims of keys in the database, which keep other nodes from running the same call.
//!
//! Invariant: a claim of this node either belongs to a call that holds the key's lock, or is being released. A
//! release is tried again until it succeeds or this server stops; then the end of the lease frees the key.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::NodeId;
use kabar_core::store::{IdempotencyRecord, KeyState};
use kabar_core::surroundings;
use tokio::task::JoinHandle;

use super::{IdempotencyKeys, KeyLock, KeyLockHolder};
use crate::error::AccountError;

/// Pause before claims that could not be released are looked for. It is longer than the database works on one
/// statement. So a claim with a lost answer has been written by then, or never will be.
const SWEEP_AFTER: Duration = Duration::from_secs(5);

fn not_before(now: Timestamp) -> Timestamp {
    now.minus_duration(IdempotencyRecord::KEPT)
}

impl KeyLock {
    /// Checks if the call may be run: [`KeyState::Free`] when nothing is in the way, and, among several nodes,
    /// the key is claimed for this one.
    ///
    /// A caller that goes away does not cancel the claim: otherwise it could be released before it is written.
    pub(super) async fn enter(self: Arc<Self>) -> Result<KeyState, AccountError> {
        let Some(node) = self.claimed_by else { return self.look_alone().await };
        let tasks = self.registry.0.tasks.clone();
        tasks.spawn(async move { self.claim(node).await }).await.unwrap_or(Err(AccountError::Crashed))
    }

    /// Reads the state of the key in the database.
    pub(super) async fn read_state(&self) -> Result<KeyState, AccountError> {
        let since = not_before(self.registry.0.clock.read_now());
        let state = self.registry.0.store.idempotency_key(self.organisation_id, &self.key, since).await;
        state.map_err(|error| AccountError::from_store(&error, "idempotency record not read"))
    }

    async fn claim(&self, node: NodeId) -> Result<KeyState, AccountError> {
        let (store, now) = (&self.registry.0.store, self.registry.0.clock.read_now());
        let instants = (now, not_before(now));
        let claimed = store.claim_idempotency_key(self.organisation_id, &self.key, node, instants).await;
        match claimed {
            Ok(true) => return Ok(KeyState::Free),
            Ok(false) => {}
            Err(error) => {
                // It may be written all the same, and later than the lock releases it.
                self.registry.sweep_later();
                return Err(AccountError::from_store(&error, "idempotency key not claimed"));
            }
        }
        match self.read_state().await? {
            // It became free a moment ago, and is not claimed yet.
            KeyState::Free => Ok(KeyState::Claimed(node)),
            other @ (KeyState::Claimed(_) | KeyState::Answered(_)) => Ok(other),
        }
    }

    /// Reads the state of the key for a server that is alone. A claim belongs to a former node and is removed.
    async fn look_alone(&self) -> Result<KeyState, AccountError> {
        let state = self.read_state().await?;
        if let KeyState::Claimed(former) = state {
            let store = &self.registry.0.store;
            let released = store.release_idempotency_key(self.organisation_id, &self.key, former).await;
            released.map_err(|error| AccountError::from_store(&error, "idempotency key not released"))?;
            return Ok(KeyState::Free);
        }
        Ok(state)
    }
}

impl IdempotencyKeys {
    /// Releases the claims of this node that no call here uses; `false` when any are left.
    async fn sweep_claims(&self) -> bool {
        let node = self.0.cluster.node_id();
        let left = match self.0.store.claimed_idempotency_keys(node).await {
            Ok(left) => left,
            Err(error) => {
                tracing::debug!(error = cause(&error), "claimed idempotency keys not read");
                return false;
            }
        };
        let mut done = true;
        for (organisation, key) in left {
            let id = (organisation, Arc::<str>::from(key));
            // A call that holds the lock releases the key itself.
            let Ok(permit) = self.lock_key(&id).try_acquire_owned() else { continue };
            let place = KeyLockHolder { registry: self.clone(), id, permit: Some(permit) };
            done &= self.0.store.release_idempotency_key(organisation, &place.id.1, node).await.is_ok();
        }
        done
    }

    /// Looks for claims without a call until none is left.
    fn sweep_later(&self) {
        if self.0.sweeping.swap(true, Ordering::AcqRel) {
            return;
        }
        let keys = self.clone();
        self.0.tasks.spawn(async move {
            loop {
                let pause = keys.0.stopping.run_until_cancelled(surroundings::sleep(SWEEP_AFTER));
                if pause.await.is_none() {
                    return;
                }
                // A release that fails from here on starts another task.
                keys.0.sweeping.store(false, Ordering::Release);
                if keys.sweep_claims().await || keys.0.sweeping.swap(true, Ordering::AcqRel) {
                    return;
                }
            }
        });
    }
}

impl KeyLockHolder {
    /// Releases the key in the database, and then its lock.
    pub(super) async fn release(self, node: NodeId) {
        // A caller that goes away does not cancel the release.
        let _ended = self.release_later(node).await;
    }

    /// Starts [`KeyLockHolder::release`] in a task.
    pub(super) fn release_later(self, node: NodeId) -> JoinHandle<()> {
        let tasks = self.registry.0.tasks.clone();
        tasks.spawn(async move {
            let registry = &self.registry;
            let released = registry.0.store.release_idempotency_key(self.id.0, &self.id.1, node).await;
            if let Err(error) = released {
                tracing::warn!(error = cause(&error), "idempotency key not released yet");
                registry.sweep_later();
            }
        })
    }
}
