//! Places for connections: how many there are at a time, and the share of one client address.
//!
//! Invariants: fewer connections are accepted than the process may open files, so that accepting never fails for want of
//! a descriptor and the database, outbound calls and child processes keep theirs. A connection beyond its address's share
//! is accepted and closed at once, so that it keeps no other client waiting.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use kabar_core::address_block::AddressBlock;
use kabar_core::config::ServerMode;
use rustix::process::{Resource, getrlimit};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Descriptors that are kept for all but connections, at least.
const RESERVE_MIN: u64 = 64;
/// Share of the descriptors that is kept: one in this many.
const RESERVE_PART: u64 = 4;
const FEW_FILES: &str =
    "the process may open few files; raise its limit (ulimit -n, LimitNOFILE) for more connections";

/// Limits of the connections of a listener.
#[derive(Debug, Clone, Copy)]
pub(in crate::server) struct ConnectionLimits {
    /// Connections at a time.
    pub(in crate::server) total: usize,
    /// Connections of one address at a time.
    pub(in crate::server) per_address: usize,
}

impl ConnectionLimits {
    /// Lowers the limits to what the process's limit of open files allows. The log says so: a warning where it keeps
    /// clients waiting, and a line on a machine of a developer, who has none.
    pub(in crate::server) fn within_descriptors(self, mode: ServerMode) -> Self {
        let allowed = getrlimit(Resource::Nofile).current.map_or(usize::MAX, connections_allowed);
        if allowed >= self.total {
            return self;
        }
        let (connections, wanted) = (allowed, self.total);
        match mode {
            ServerMode::Serve => tracing::warn!(connections, wanted, "{FEW_FILES}"),
            ServerMode::Dev => tracing::info!(connections, wanted, "{FEW_FILES}"),
        }
        // One address leaves a part to the others, as large a one as was asked for.
        let part = self.per_address.saturating_mul(allowed) / self.total.max(1);
        let per_address = if self.per_address < allowed { self.per_address } else { part };
        Self { total: allowed, per_address: per_address.max(1) }
    }
}

/// Returns the connections that a process with this limit of open files may have.
fn connections_allowed(descriptors: u64) -> usize {
    let reserve = (descriptors / RESERVE_PART).max(RESERVE_MIN);
    usize::try_from(descriptors.saturating_sub(reserve)).unwrap_or(usize::MAX).max(1)
}

type AddressCounts = Arc<Mutex<HashMap<AddressBlock, usize>>>;

/// Places of a listener.
#[derive(Debug, Clone)]
pub(super) struct ConnectionPlaces {
    free: Arc<Semaphore>,
    by_address: AddressCounts,
    per_address: usize,
}

/// Place of a connection; dropped with it.
#[derive(Debug)]
pub(super) struct ConnectionPlace {
    block: AddressBlock,
    by_address: AddressCounts,
    _permit: Option<OwnedSemaphorePermit>,
}

impl ConnectionPlaces {
    pub(super) fn new(limits: ConnectionLimits) -> Self {
        let free = Arc::new(Semaphore::new(limits.total.min(Semaphore::MAX_PERMITS)));
        Self { free, by_address: AddressCounts::default(), per_address: limits.per_address }
    }

    /// Waits for a place.
    pub(super) async fn wait_for_permit(&self) -> Option<OwnedSemaphorePermit> {
        // The semaphore is never closed.
        self.free.clone().acquire_owned().await.ok()
    }

    /// Takes a place for a connection from this address; `None` when the address has its share.
    pub(super) fn take_place(
        &self,
        block: AddressBlock,
        permit: Option<OwnedSemaphorePermit>,
    ) -> Option<ConnectionPlace> {
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        let count = counts.entry(block).or_default();
        if *count >= self.per_address {
            return None;
        }
        *count += 1;
        Some(ConnectionPlace { block, by_address: self.by_address.clone(), _permit: permit })
    }
}

impl Drop for ConnectionPlace {
    fn drop(&mut self) {
        let mut counts = self.by_address.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = counts.get_mut(&self.block) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                counts.remove(&self.block);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reserve_of_descriptors_is_kept() {
        for (descriptors, connections) in [(256, 192), (1024, 768), (65_536, 49_152), (80, 16), (10, 1)] {
            assert_eq!(connections_allowed(descriptors), connections, "{descriptors}");
        }
    }

    #[test]
    fn an_address_has_its_share_and_leaves_nothing_behind() {
        let places = ConnectionPlaces::new(ConnectionLimits { total: 10, per_address: 2 });
        let block = |text: &str| AddressBlock::from_address(text.parse().unwrap());
        let take = |text: &str| places.take_place(block(text), None);
        let (first, second) = (take("192.0.2.1").unwrap(), take("192.0.2.1"));
        assert!(second.is_some() && take("192.0.2.1").is_none() && take("192.0.2.2").is_some());
        drop(first);
        assert!(take("192.0.2.1").is_some());
        drop(second);
        assert!(places.by_address.lock().unwrap().is_empty());
    }
}
