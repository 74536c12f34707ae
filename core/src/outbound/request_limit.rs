//! Limit of concurrent requests: in all, and for one tenant.
//!
//! Invariant: a waiting request holds no permit of another tenant, so a tenant with hanging receivers uses up
//! only its own permits.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ids::OrganisationId;

/// Concurrent requests of the whole server, at most; each holds a socket.
const ALL_MAX: usize = 4096;
/// Concurrent requests of one tenant, at most.
const TENANT_MAX: usize = 256;

/// Semaphores of the server and of each tenant.
pub(super) struct RequestLimit {
    all: Arc<Semaphore>,
    tenants: Mutex<HashMap<OrganisationId, Arc<Semaphore>>>,
}

/// A permit, returned when it is dropped.
pub(super) struct RequestPermit<'a> {
    gate: &'a RequestLimit,
    tenant: OrganisationId,
    own: Arc<Semaphore>,
    places: Option<(OwnedSemaphorePermit, OwnedSemaphorePermit)>,
}

impl RequestLimit {
    pub(super) fn new() -> Self {
        Self { all: Arc::new(Semaphore::new(ALL_MAX)), tenants: Mutex::default() }
    }

    fn lock_tenants(&self) -> MutexGuard<'_, HashMap<OrganisationId, Arc<Semaphore>>> {
        // No code panics in the middle of a change of it.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a permit. `None` never happens, because the semaphores are never closed.
    pub(super) async fn acquire_permit(&self, tenant: OrganisationId) -> Option<RequestPermit<'_>> {
        let fresh = || Arc::new(Semaphore::new(TENANT_MAX));
        let own = self.lock_tenants().entry(tenant).or_insert_with(fresh).clone();
        let mut pass = RequestPermit { gate: self, tenant, own: own.clone(), places: None };
        let mine = own.acquire_owned().await.ok()?;
        pass.places = Some((mine, self.all.clone().acquire_owned().await.ok()?));
        Some(pass)
    }
}

impl Drop for RequestPermit<'_> {
    fn drop(&mut self) {
        self.places = None;
        let mut tenants = self.gate.lock_tenants();
        // The list's reference and this one; new references are created under the lock.
        if Arc::strong_count(&self.own) <= 2 {
            tenants.remove(&self.tenant);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;

    use super::*;

    #[test]
    fn a_tenant_that_uses_up_its_places_leaves_the_others_theirs() {
        let gate = RequestLimit::new();
        let (greedy, other) = (OrganisationId::from_bits(1), OrganisationId::from_bits(2));
        let mut held: Vec<_> =
            (0..TENANT_MAX).map(|_| gate.acquire_permit(greedy).now_or_never().unwrap()).collect();
        assert!(gate.acquire_permit(greedy).now_or_never().is_none());
        assert!(gate.acquire_permit(other).now_or_never().is_some());
        held.pop();
        assert!(gate.acquire_permit(greedy).now_or_never().is_some());
        drop(held);
        assert!(gate.lock_tenants().is_empty(), "who has left is forgotten");
        assert_eq!(gate.all.available_permits(), ALL_MAX);
    }
}
