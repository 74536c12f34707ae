//! How many requests may be under way: in all, and for one tenant.
//!
//! Invariant: whoever waits holds no place of the others, so a tenant whose receivers hang uses up its own
//! places only.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::ids::OrganisationId;

/// Requests under way in the whole server; each holds a socket.
const ALL_MAX: usize = 4096;
/// Requests under way for one tenant.
const TENANT_MAX: usize = 256;

/// See the module.
pub(super) struct RequestLimit {
    all: Arc<Semaphore>,
    tenants: Mutex<HashMap<OrganisationId, Arc<Semaphore>>>,
}

/// A place, given back when it is dropped.
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
        // Nobody panics half-way through a change of it.
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a place; `None` never happens, since nobody closes the gate.
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
        // The list's and this one's; new ones are made under the lock.
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
