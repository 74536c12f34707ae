//! Access of a caller that was accepted: whether it lasts, and the moment at which it ends.
//!
//! Invariant: the end of access is noticed without a timer per request. A change of the directory wakes the requests
//! that are held for its tenant; the expiry of a key is known from the start.

use super::{AuthFailure, Caller, TenantDirectory};

impl TenantDirectory {
    /// Checks that a caller that was accepted before would be accepted now.
    ///
    /// # Errors
    /// [`AuthFailure`].
    pub fn check_access(&self, caller: &Caller) -> Result<(), AuthFailure> {
        if !self.current_snapshot().callers.contains_key(&caller.key.digest) {
            return Err(AuthFailure::Unknown);
        }
        if caller.key.expires_at.is_some_and(|at| at <= self.0.clock.read_now()) {
            return Err(AuthFailure::Expired);
        }
        if caller.organisation.is_suspended() { Err(AuthFailure::Suspended) } else { Ok(()) }
    }

    /// Returns once the caller is not accepted any more: its key was revoked or has expired, or its tenant is
    /// suspended.
    pub async fn until_access_ends(&self, caller: &Caller) -> AuthFailure {
        // Before the first look: a change between the two is not missed.
        let mut changes = caller.organisation.watch_changes();
        loop {
            changes.borrow_and_update();
            if let Err(ended) = self.check_access(caller) {
                return ended;
            }
            let expiry = async {
                match caller.key.expires_at {
                    Some(at) => {
                        let left = at.duration_since(self.0.clock.read_now()).unwrap_or_default();
                        self.0.clock.sleep_for(left).await;
                    }
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // The entry of the tenant, which the caller holds, keeps the sender.
                _changed = changes.changed() => {}
                () = expiry => {}
            }
        }
    }
}
