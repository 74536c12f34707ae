//! Metrics of the bounds that organisations share, by the name of the bound and never by organisation.

use std::sync::{Arc, Mutex, PoisonError};

use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

use crate::fair_bound::FairBound;

type BoundLabel = [(&'static str, &'static str); 1];

/// Metrics of the shared bounds, read from the bounds when they are asked for.
pub(super) struct SharedBoundMetrics {
    bounds: Mutex<Vec<Arc<FairBound>>>,
    held: Family<BoundLabel, Gauge>,
    waiting: Family<BoundLabel, Gauge>,
    refused: Family<BoundLabel, Counter>,
    revoked: Family<BoundLabel, Counter>,
}

impl SharedBoundMetrics {
    pub(super) fn register(registry: &mut Registry) -> Self {
        let (held, waiting) =
            (Family::<BoundLabel, Gauge>::default(), Family::<BoundLabel, Gauge>::default());
        let (refused, revoked) =
            (Family::<BoundLabel, Counter>::default(), Family::<BoundLabel, Counter>::default());
        registry.register(
            "shared_permits_held",
            "Permits held of a bound that organizations share",
            held.clone(),
        );
        registry.register("shared_waiting", "Calls that wait for a permit of such a bound", waiting.clone());
        let help = "Calls that such a bound refused because their organization had its share";
        registry.register("shared_refused", help, refused.clone());
        let help = "Permits of such a bound taken back for other organizations";
        registry.register("shared_revoked", help, revoked.clone());
        Self { bounds: Mutex::default(), held, waiting, refused, revoked }
    }

    pub(super) fn watch_bound(&self, bound: Arc<FairBound>) {
        self.bounds.lock().unwrap_or_else(PoisonError::into_inner).push(bound);
    }

    /// Reads all bounds.
    pub(super) fn read_bounds(&self) {
        let whole = |count: usize| i64::try_from(count).unwrap_or(i64::MAX);
        for bound in self.bounds.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let usage = bound.usage();
            let label: BoundLabel = [("bound", usage.name)];
            self.held.get_or_create(&label).set(whole(usage.held));
            self.waiting.get_or_create(&label).set(whole(usage.waiting));
            raise_to(&self.refused.get_or_create(&label), usage.refused);
            raise_to(&self.revoked.get_or_create(&label), usage.revoked);
        }
    }
}

fn raise_to(counter: &Counter, so_far: u64) {
    counter.inc_by(so_far.saturating_sub(counter.get()));
}
