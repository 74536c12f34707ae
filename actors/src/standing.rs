//! Standing of a tenant: whether it is suspended, and notice of each change of its access.
//!
//! Invariant: there is one standing per tenant as long as the server runs. Its accounts hold it, so what works for
//! an account sees at once that the tenant is suspended.

use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::watch;

/// Standing of one tenant.
#[derive(Debug)]
pub(crate) struct TenantStanding {
    suspended: AtomicBool,
    /// Wakes the requests that are held for the tenant.
    changes: watch::Sender<()>,
}

impl Default for TenantStanding {
    fn default() -> Self {
        Self { suspended: AtomicBool::new(false), changes: watch::Sender::new(()) }
    }
}

impl TenantStanding {
    /// Returns `true` while nothing may be done for the tenant but to take in what WhatsApp brings.
    pub(crate) fn is_suspended(&self) -> bool {
        self.suspended.load(Ordering::Acquire)
    }

    /// Suspends the tenant, or lets it go on. Returns `true` when that lets it go on.
    pub(crate) fn set_suspended(&self, suspended: bool) -> bool {
        let before = self.suspended.swap(suspended, Ordering::AcqRel);
        if before != suspended {
            self.note_change();
        }
        before && !suspended
    }

    /// Returns once the tenant is suspended.
    pub(crate) async fn until_suspended(&self) {
        // Before the first look: a change between the two is not missed.
        let mut changes = self.watch_changes();
        while !self.is_suspended() {
            // The sender is this standing's own.
            let _changed = changes.changed().await;
        }
    }

    /// Wakes what is held for the tenant, because a key of it was revoked. To be called once that is visible.
    pub(crate) fn note_change(&self) {
        self.changes.send_replace(());
    }

    /// Returns a receiver of the changes after this call.
    pub(crate) fn watch_changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_goes_on_once_after_each_suspension() {
        let standing = TenantStanding::default();
        let changes = standing.watch_changes();
        assert!(!standing.set_suspended(false) && !changes.has_changed().unwrap());
        assert!(!standing.set_suspended(true) && standing.is_suspended());
        assert!(changes.has_changed().unwrap());
        assert!(!standing.set_suspended(true) && standing.set_suspended(false));
        assert!(!standing.set_suspended(false) && !standing.is_suspended());
    }
}
