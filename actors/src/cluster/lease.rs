//! Lease of one generation of this server: a node id, and the time until which it may serve.
//!
//! Invariants: a lease belongs to one node id for its whole life, and one that was ended never runs again. A
//! loaded account holds the lease under which it was loaded, so an account that outlives its lease can be found
//! but not served. Time is counted on a clock that goes on while the process is stopped. A process that wakes
//! up after its lease finds it over before it answers anything.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use kabar_core::boot_clock::since_boot;
use kabar_core::ids::NodeId;
use tokio_util::sync::CancellationToken;

/// A lease without an end.
const UNLIMITED: u64 = u64::MAX;

/// Lease of one node id.
#[derive(Debug)]
pub(crate) struct NodeLease {
    node: NodeId,
    /// End of the lease in milliseconds of [`since_boot`].
    until_ms: AtomicU64,
    ended: CancellationToken,
}

impl NodeLease {
    /// Creates a lease that is not running yet.
    pub(crate) fn new(node: NodeId) -> Self {
        Self { node, until_ms: AtomicU64::new(0), ended: CancellationToken::new() }
    }

    /// Returns the node id of its generation.
    pub(crate) const fn node_id(&self) -> NodeId {
        self.node
    }

    /// Returns `true` while this generation may answer for its accounts.
    pub(crate) fn is_running(&self) -> bool {
        let until = self.until_ms.load(Ordering::Acquire);
        (until == UNLIMITED || now_ms() < until) && !self.ended.is_cancelled()
    }

    /// Extends the lease to `length` after `asked_at_ms`, which was read before the database was asked.
    pub(crate) fn extend_until(&self, asked_at_ms: u64, length: Duration) {
        let length = u64::try_from(length.as_millis()).unwrap_or(UNLIMITED);
        self.until_ms.store(asked_at_ms.saturating_add(length).min(UNLIMITED - 1), Ordering::Release);
    }

    /// Lets the lease run until it is ended, for a database that no other server can use.
    pub(crate) fn extend_without_end(&self) {
        self.until_ms.store(UNLIMITED, Ordering::Release);
    }

    /// Ends it for good.
    pub(crate) fn end_lease(&self) {
        self.ended.cancel();
    }

    /// Returns `true` after [`NodeLease::end_lease`].
    pub(crate) fn is_ended(&self) -> bool {
        self.ended.is_cancelled()
    }

    /// Returns when the lease is not running any more. It may run again if it was not ended.
    pub(crate) async fn stopped_running(&self) {
        loop {
            let until = self.until_ms.load(Ordering::Acquire);
            let left = Duration::from_millis(until.saturating_sub(now_ms()));
            if left.is_zero() || self.ended.is_cancelled() {
                return;
            }
            tokio::select! {
                () = self.ended.cancelled() => return,
                // A renewal in between is seen when this wait ends.
                () = tokio::time::sleep(left.min(WAIT_MAX)) => {}
            }
        }
    }
}

/// The longest sleep before a lease is checked again; a sleep does not count the time for which the machine
/// slept.
const WAIT_MAX: Duration = Duration::from_mins(1);

/// Reads the clock of the leases, in milliseconds.
pub(crate) fn now_ms() -> u64 {
    u64::try_from(since_boot().as_millis()).unwrap_or(UNLIMITED - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_ended_lease_never_runs_again() {
        let lease = NodeLease::new(NodeId::from_bits(1));
        assert!(!lease.is_running());
        lease.extend_until(now_ms(), Duration::from_mins(1));
        assert!(lease.is_running());
        lease.extend_until(now_ms().saturating_sub(60_000), Duration::from_mins(1));
        assert!(!lease.is_running(), "counted from the question");
        lease.stopped_running().await;
        lease.extend_without_end();
        assert!(lease.is_running());
        lease.end_lease();
        lease.stopped_running().await;
        lease.extend_without_end();
        assert!(!lease.is_running());
    }
}
