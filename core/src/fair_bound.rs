//! Bound shared by organisations: a number of permits of which each organisation gets its share.
//!
//! Invariants: an organisation that holds a permit never takes the last free one, so an organisation without any
//! finds one; a permit that can be taken back is found by being taken back. While others wait, an organisation holds at most half. Free permits go to the organisations in
//! rotation, to each in the order in which its callers came. A caller that gave up keeps no place. The rules are
//! those of `PermitLedger`, which is pure.

mod ledger;

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{Notify, oneshot};
use tokio_util::sync::CancellationToken;

use self::ledger::{LedgerLimits, PermitGrant, PermitLedger};
use crate::ids::OrganisationId;

/// Holder of permits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum PermitHolder {
    /// The server itself: work that belongs to no organisation. It has a share like an organisation's.
    Server,
    /// An organisation.
    Organisation(OrganisationId),
}

impl From<OrganisationId> for PermitHolder {
    fn from(id: OrganisationId) -> Self {
        Self::Organisation(id)
    }
}

/// Too many callers of one holder wait already.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("too many calls of this organisation wait")]
pub struct BoundOverloaded;

/// State of a bound, for the metrics.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BoundUsage {
    /// Name of the bound.
    pub name: &'static str,
    /// Permits held.
    pub held: usize,
    /// Callers that wait.
    pub waiting: usize,
    /// Calls refused so far.
    pub refused: u64,
    /// Permits taken back for other organisations so far.
    pub revoked: u64,
}

/// A bound shared by organisations.
pub struct FairBound {
    name: &'static str,
    ledger: Mutex<PermitLedger<oneshot::Sender<FairPermit>>>,
    released: Notify,
}

impl FairBound {
    /// Creates a bound of this many permits. `name` labels its metrics.
    #[must_use]
    pub fn new(name: &'static str, permits: usize) -> Arc<Self> {
        Self::with_limits(name, LedgerLimits::of_permits(permits))
    }

    /// Creates a bound of which one holder has at most `holder_max`, and at most `waiting_max` callers that wait.
    #[must_use]
    pub fn with_maxima(
        name: &'static str,
        permits: usize,
        holder_max: usize,
        waiting_max: usize,
    ) -> Arc<Self> {
        Self::with_limits(name, LedgerLimits { holder_max, waiting_max, ..LedgerLimits::of_permits(permits) })
    }

    /// Creates a bound of which one group of calls has at most `group_max`; see
    /// [`FairBound::acquire_in_group`].
    #[must_use]
    pub fn with_groups(name: &'static str, permits: usize, group_max: usize) -> Arc<Self> {
        Self::with_limits(name, LedgerLimits { group_max, ..LedgerLimits::of_permits(permits) })
    }

    /// Creates a bound of permits that are given back after a moment: one holder may have all of them, and others
    /// get theirs in rotation.
    #[must_use]
    pub fn in_turns(name: &'static str, permits: usize) -> Arc<Self> {
        Self::with_limits(name, LedgerLimits { has_shares: false, ..LedgerLimits::of_permits(permits) })
    }

    fn with_limits(name: &'static str, limits: LedgerLimits) -> Arc<Self> {
        Arc::new(Self { name, ledger: Mutex::new(PermitLedger::new(limits)), released: Notify::new() })
    }

    fn lock_ledger(&self) -> MutexGuard<'_, PermitLedger<oneshot::Sender<FairPermit>>> {
        // No code panics in the middle of a change of it.
        self.ledger.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for a permit.
    ///
    /// # Errors
    /// [`BoundOverloaded`] when too many callers of this holder wait already.
    pub async fn acquire(
        self: &Arc<Self>,
        holder: impl Into<PermitHolder>,
    ) -> Result<FairPermit, BoundOverloaded> {
        self.acquire_for(holder.into(), None).await
    }

    /// Takes a permit that is free, without waiting.
    #[must_use]
    pub fn try_acquire(self: &Arc<Self>, holder: impl Into<PermitHolder>) -> Option<FairPermit> {
        let holder = holder.into();
        let is_free = self.lock_ledger().take_free(holder, None);
        is_free.then(|| self.permit(holder, None))
    }

    /// Waits for a permit of this group. A group at its limit delays no other group of the same holder.
    ///
    /// # Errors
    /// As [`FairBound::acquire`].
    pub async fn acquire_in_group(
        self: &Arc<Self>,
        holder: impl Into<PermitHolder>,
        group: &Arc<str>,
    ) -> Result<FairPermit, BoundOverloaded> {
        self.acquire_for(holder.into(), Some(group.clone())).await
    }

    async fn acquire_for(
        self: &Arc<Self>,
        holder: PermitHolder,
        group: Option<Arc<str>>,
    ) -> Result<FairPermit, BoundOverloaded> {
        let (granted, queued) = {
            let mut ledger = self.lock_ledger();
            if ledger.take_free(holder, group.as_ref()) {
                return Ok(self.permit(holder, group));
            }
            let (grant, granted) = oneshot::channel();
            let ticket = ledger.push_waiter(holder, group, grant).ok_or(BoundOverloaded)?;
            (granted, QueuedCaller { bound: self, holder, ticket })
        };
        // What others wait for may be of no use to them: then it is this caller's.
        self.change_ledger(|_unchanged| {});
        let permit = granted.await;
        drop(queued);
        match permit {
            Ok(permit) => Ok(permit),
            // The sender is dropped only with the bound, which this call holds, or with its own place.
            Err(_gone) => std::future::pending().await,
        }
    }

    /// Takes a permit that can be taken back, without waiting. When none is free, one of the holder with the most
    /// is taken back, the oldest one, if that holder has at least two more than this one. `None` else.
    #[must_use]
    pub fn claim(self: &Arc<Self>, holder: impl Into<PermitHolder>) -> Option<RevocablePermit> {
        let holder = holder.into();
        let mut ledger = self.lock_ledger();
        if !ledger.take_free_revocable(holder) && !ledger.take_back_for(holder) {
            ledger.note_refusal();
            return None;
        }
        let revoked = CancellationToken::new();
        let ticket = ledger.push_revocable(holder, revoked.clone());
        Some(RevocablePermit { bound: self.clone(), holder, ticket, revoked })
    }

    fn permit(self: &Arc<Self>, holder: PermitHolder, group: Option<Arc<str>>) -> FairPermit {
        FairPermit { bound: self.clone(), holder, group }
    }

    /// Returns `true` when a caller waits for a permit.
    #[must_use]
    pub fn is_wanted(&self) -> bool {
        self.lock_ledger().count_waiting() > 0
    }

    /// Returns its state.
    #[must_use]
    pub fn usage(&self) -> BoundUsage {
        let ledger = self.lock_ledger();
        BoundUsage {
            name: self.name,
            held: ledger.count_held(),
            waiting: ledger.count_waiting(),
            refused: ledger.count_refused(),
            revoked: ledger.count_revoked(),
        }
    }

    /// Returns once no permit is held.
    pub async fn wait_released(&self) {
        loop {
            // Registered before the count is read: a release between the two is not missed.
            let released = self.released.notified();
            if self.lock_ledger().count_held() == 0 {
                return;
            }
            released.await;
        }
    }

    /// Makes a change, and hands out what it has made free.
    fn change_ledger(self: &Arc<Self>, change: impl FnOnce(&mut PermitLedger<oneshot::Sender<FairPermit>>)) {
        let (granted, is_idle) = {
            let mut ledger = self.lock_ledger();
            change(&mut ledger);
            let granted: Vec<_> = std::iter::from_fn(|| ledger.next_grant()).collect();
            (granted, ledger.count_held() == 0)
        };
        for PermitGrant { holder, group, waiter } in granted {
            // A caller that gave up meanwhile gets none: the permit comes back, and goes to the next one.
            let _unwanted = waiter.send(self.permit(holder, group));
        }
        if is_idle {
            self.released.notify_waiters();
        }
    }
}

impl std::fmt::Debug for FairBound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FairBound").field("usage", &self.usage()).finish_non_exhaustive()
    }
}

/// Place of a caller in the queue; given up when it is dropped.
struct QueuedCaller<'a> {
    bound: &'a Arc<FairBound>,
    holder: PermitHolder,
    ticket: u64,
}

impl Drop for QueuedCaller<'_> {
    fn drop(&mut self) {
        let (holder, ticket) = (self.holder, self.ticket);
        // Others of the holder may go on without it.
        self.bound.change_ledger(|ledger| ledger.remove_waiter(holder, ticket));
    }
}

/// A permit. Dropping it gives it to the next caller.
pub struct FairPermit {
    bound: Arc<FairBound>,
    holder: PermitHolder,
    group: Option<Arc<str>>,
}

impl Drop for FairPermit {
    fn drop(&mut self) {
        let (holder, group) = (self.holder, self.group.take());
        self.bound.change_ledger(|ledger| ledger.release(holder, group.as_ref()));
    }
}

impl std::fmt::Debug for FairPermit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FairPermit").field("holder", &self.holder).finish_non_exhaustive()
    }
}

/// A permit that is taken back when others want it. Dropping it gives it back.
#[derive(Debug)]
pub struct RevocablePermit {
    bound: Arc<FairBound>,
    holder: PermitHolder,
    ticket: u64,
    revoked: CancellationToken,
}

impl RevocablePermit {
    /// Returns once the permit was taken back. It counts for another holder from then on, so what it was for
    /// ends at once.
    pub async fn wait_revoked(&self) {
        self.revoked.cancelled().await;
    }

    /// Returns `true` when the permit was taken back.
    #[must_use]
    pub fn is_revoked(&self) -> bool {
        self.revoked.is_cancelled()
    }
}

impl Drop for RevocablePermit {
    fn drop(&mut self) {
        let (holder, ticket) = (self.holder, self.ticket);
        self.bound.change_ledger(|ledger| ledger.release_revocable(holder, ticket));
    }
}

#[cfg(test)]
mod tests;
