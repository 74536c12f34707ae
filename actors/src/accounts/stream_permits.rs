//! Permits of the streams of events: so many in this process, and so many of one tenant.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use kabar_core::ids::OrganisationId;
use kabar_core::metrics::Metrics;

/// Counts of open streams.
#[derive(Debug, Default)]
struct OpenStreams {
    all: usize,
    of: HashMap<OrganisationId, usize>,
}

/// Permits of all streams in this process.
#[derive(Debug, Default, Clone)]
pub(super) struct StreamPermits(Arc<Mutex<OpenStreams>>);

impl StreamPermits {
    fn lock_open(&self) -> MutexGuard<'_, OpenStreams> {
        // No thread panics half-way through a change of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Takes a permit; `None` when `(all_max, own_max)` are taken already.
    pub(super) fn take_permit(
        &self,
        organisation: OrganisationId,
        most: (usize, usize),
        metrics: &Arc<Metrics>,
    ) -> Option<StreamPermit> {
        if !self.count_stream(organisation, most) {
            return None;
        }
        metrics.event_streams.inc();
        Some(StreamPermit { permits: self.clone(), organisation, metrics: metrics.clone() })
    }

    fn count_stream(&self, organisation: OrganisationId, (all_max, own_max): (usize, usize)) -> bool {
        let mut taken = self.lock_open();
        let own = taken.of.get(&organisation).copied().unwrap_or(0);
        if taken.all >= all_max || own >= own_max {
            return false;
        }
        taken.all = taken.all.saturating_add(1);
        taken.of.insert(organisation, own.saturating_add(1));
        true
    }

    fn give_back(&self, organisation: OrganisationId) {
        let mut taken = self.lock_open();
        taken.all = taken.all.saturating_sub(1);
        let left = taken.of.get(&organisation).copied().unwrap_or(0).saturating_sub(1);
        if left == 0 {
            taken.of.remove(&organisation);
        } else {
            taken.of.insert(organisation, left);
        }
    }
}

/// A permit of one stream. Given back when it is dropped.
pub(super) struct StreamPermit {
    permits: StreamPermits,
    organisation: OrganisationId,
    metrics: Arc<Metrics>,
}

impl Drop for StreamPermit {
    fn drop(&mut self) {
        self.permits.give_back(self.organisation);
        self.metrics.event_streams.dec();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_for_each_and_for_all() {
        let permits = StreamPermits::default();
        let [a, b, c] = [1, 2, 3].map(OrganisationId::from_bits);
        let take = |organisation| permits.count_stream(organisation, (3, 2));
        assert!(take(a) && take(a) && !take(a), "two are its own most");
        assert!(take(b) && !take(b) && !take(c), "three are the most of all");
        permits.give_back(a);
        assert!(take(c) && !take(a));
        for organisation in [a, b, c] {
            permits.give_back(organisation);
        }
        assert!(permits.lock_open().all == 0 && permits.lock_open().of.is_empty());
    }
}
