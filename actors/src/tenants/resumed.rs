//! Tenants that go on after they were suspended, until their work has been taken up.
//!
//! Invariant: bounded by the number of tenants; a tenant is noted once, however often it was resumed meanwhile.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};

use kabar_core::ids::OrganisationId;
use tokio::sync::Notify;

/// Tenants whose work is to be taken up.
#[derive(Default)]
pub(super) struct ResumedTenants {
    noted: Mutex<BTreeSet<OrganisationId>>,
    wake: Notify,
}

impl ResumedTenants {
    /// Notes that a tenant goes on.
    pub(super) fn note_tenant(&self, id: OrganisationId) {
        self.noted.lock().unwrap_or_else(PoisonError::into_inner).insert(id);
        self.wake.notify_one();
    }

    /// Waits for tenants that go on, and takes them.
    pub(super) async fn take_noted(&self) -> BTreeSet<OrganisationId> {
        loop {
            let noted = std::mem::take(&mut *self.noted.lock().unwrap_or_else(PoisonError::into_inner));
            if !noted.is_empty() {
                return noted;
            }
            self.wake.notified().await;
        }
    }
}
