//! Probe of the database for readiness checks, one at a time.
//!
//! Invariant: checks that come while a probe is under way share its outcome, so anyone who asks without a key takes one
//! connection to the database from the tenants, however often. No outcome outlives its probe.

use std::sync::{Mutex, PoisonError};

use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Shared, WeakShared};
use kabar_core::cause::cause;
use kabar_core::store::Store;

/// Outcome of a probe: `true` when the database answered.
type ProbeOutcome = BoxFuture<'static, bool>;

/// Probes of one database.
pub(crate) struct ReadinessProbe {
    store: Store,
    current: Mutex<Option<WeakShared<ProbeOutcome>>>,
}

impl ReadinessProbe {
    pub(crate) const fn new(store: Store) -> Self {
        Self { store, current: Mutex::new(None) }
    }

    /// Returns `true` when the database answers.
    pub(crate) async fn probe_database(&self) -> bool {
        self.join_probe().await
    }

    fn join_probe(&self) -> Shared<ProbeOutcome> {
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let under_way = current.as_ref().and_then(WeakShared::upgrade).filter(|probe| probe.peek().is_none());
        under_way.unwrap_or_else(|| {
            let probe = ping_store(self.store.clone()).boxed().shared();
            *current = probe.downgrade();
            probe
        })
    }
}

async fn ping_store(store: Store) -> bool {
    let pinged = store.ping().await;
    if let Err(error) = &pinged {
        tracing::warn!(error = cause(error), "not ready");
    }
    pinged.is_ok()
}

impl std::fmt::Debug for ReadinessProbe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ReadinessProbe")
    }
}
