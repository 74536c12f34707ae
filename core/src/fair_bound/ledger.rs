//! Ledger of a bound: the permits that each holder has, and the callers that wait for one. Pure.
//!
//! Invariants: `free` and what the holders have make up all permits. A holder is in the rotation as long as a
//! caller of it waits, and in the table as long as it has or wants anything: memory follows use.

use std::collections::{BTreeMap, HashMap, VecDeque};
use std::sync::Arc;

use tokio_util::sync::CancellationToken;

use super::PermitHolder;

/// Figures of a bound.
#[derive(Debug, Clone, Copy)]
pub(super) struct LedgerLimits {
    /// Permits in all.
    pub(super) permits: usize,
    /// Most permits of one holder, whether others want them or not.
    pub(super) holder_max: usize,
    /// Most permits of one group.
    pub(super) group_max: usize,
    /// Most callers of one holder that wait.
    pub(super) waiting_max: usize,
    /// `false` when one holder may have all of them, in turns.
    pub(super) has_shares: bool,
}

impl LedgerLimits {
    pub(super) const fn of_permits(permits: usize) -> Self {
        Self {
            permits,
            holder_max: usize::MAX,
            group_max: usize::MAX,
            waiting_max: usize::MAX,
            has_shares: true,
        }
    }
}

/// A permit that goes to a caller that waited.
#[derive(Debug)]
pub(super) struct PermitGrant<W> {
    pub(super) holder: PermitHolder,
    pub(super) group: Option<Arc<str>>,
    pub(super) waiter: W,
}

/// A caller that waits.
#[derive(Debug)]
struct QueuedWaiter<W> {
    group: Option<Arc<str>>,
    waiter: W,
}

/// Permits that one holder has, and the callers that want more.
#[derive(Debug)]
struct HolderAccount<W> {
    held: usize,
    /// By ticket: in the order in which they came.
    waiting: BTreeMap<u64, QueuedWaiter<W>>,
    /// Permits that can be taken back, by ticket: the oldest first.
    revocable: BTreeMap<u64, CancellationToken>,
}

impl<W> Default for HolderAccount<W> {
    fn default() -> Self {
        Self { held: 0, waiting: BTreeMap::new(), revocable: BTreeMap::new() }
    }
}

/// The permits, and the callers that wait for them.
#[derive(Debug)]
pub(super) struct PermitLedger<W> {
    limits: LedgerLimits,
    free: usize,
    holders: HashMap<PermitHolder, HolderAccount<W>>,
    /// Holders with callers that wait, the longest unserved first.
    rotation: VecDeque<PermitHolder>,
    groups: HashMap<Arc<str>, usize>,
    next_ticket: u64,
    waiting: usize,
    refused: u64,
    revoked: u64,
}

impl<W> PermitLedger<W> {
    pub(super) fn new(limits: LedgerLimits) -> Self {
        Self {
            limits,
            free: limits.permits,
            holders: HashMap::new(),
            rotation: VecDeque::new(),
            groups: HashMap::new(),
            next_ticket: 0,
            waiting: 0,
            refused: 0,
            revoked: 0,
        }
    }

    pub(super) const fn count_held(&self) -> usize {
        self.limits.permits.saturating_sub(self.free)
    }

    pub(super) const fn count_waiting(&self) -> usize {
        self.waiting
    }

    pub(super) const fn count_refused(&self) -> u64 {
        self.refused
    }

    pub(super) const fn count_revoked(&self) -> u64 {
        self.revoked
    }

    pub(super) const fn note_refusal(&mut self) {
        self.refused = self.refused.saturating_add(1);
    }

    fn held_by(&self, holder: PermitHolder) -> usize {
        self.holders.get(&holder).map_or(0, |account| account.held)
    }

    /// Returns `true` when the holder may take one more. `contested` says that others want it.
    fn may_take(&self, holder: PermitHolder, contested: bool) -> bool {
        let held = self.held_by(holder);
        let half = (self.limits.permits / 2).max(1);
        let is_last = held > 0 && self.free <= 1;
        let is_beyond = is_last || contested && held >= half;
        self.free > 0 && held < self.limits.holder_max && !(self.limits.has_shares && is_beyond)
    }

    fn is_group_full(&self, group: Option<&Arc<str>>) -> bool {
        let held = |group| self.groups.get(group).copied().unwrap_or(0);
        group.is_some_and(|group| held(group) >= self.limits.group_max)
    }

    /// Takes a free permit for a caller that has just come; returns `false` when it has to wait.
    pub(super) fn take_free(&mut self, holder: PermitHolder, group: Option<&Arc<str>>) -> bool {
        // What others wait for was not theirs to take either, but half of all is kept for them.
        let waits = self.holders.get(&holder).is_some_and(|account| !account.waiting.is_empty());
        let contested = self.rotation.len() > usize::from(waits);
        let is_free = self.may_take(holder, contested) && !self.is_group_full(group);
        if is_free {
            self.take(holder, group);
        }
        is_free
    }

    /// Takes a free permit that can be taken back, so that none is kept for others; returns `false` when there is none.
    pub(super) fn take_free_revocable(&mut self, holder: PermitHolder) -> bool {
        let is_free = self.free > 0 && self.held_by(holder) < self.limits.holder_max;
        if is_free {
            self.take(holder, None);
        }
        is_free
    }

    fn take(&mut self, holder: PermitHolder, group: Option<&Arc<str>>) {
        self.free = self.free.saturating_sub(1);
        self.holders.entry(holder).or_default().held += 1;
        if let Some(group) = group {
            *self.groups.entry(group.clone()).or_default() += 1;
        }
    }

    /// Gives a permit back.
    pub(super) fn release(&mut self, holder: PermitHolder, group: Option<&Arc<str>>) {
        self.free += 1;
        if let Some(account) = self.holders.get_mut(&holder) {
            account.held = account.held.saturating_sub(1);
        }
        self.forget_unused(holder);
        if let Some(group) = group
            && let Some(held) = self.groups.get_mut(group)
        {
            *held = held.saturating_sub(1);
            if *held == 0 {
                self.groups.remove(group);
            }
        }
    }

    fn forget_unused(&mut self, holder: PermitHolder) {
        let is_unused = self.holders.get(&holder).is_some_and(|account| {
            account.held == 0 && account.waiting.is_empty() && account.revocable.is_empty()
        });
        if is_unused {
            self.holders.remove(&holder);
        }
    }

    fn new_ticket(&mut self) -> u64 {
        self.next_ticket += 1;
        self.next_ticket
    }

    /// Puts a caller behind the others of its holder. Returns its ticket, or `None` when too many wait.
    pub(super) fn push_waiter(
        &mut self,
        holder: PermitHolder,
        group: Option<Arc<str>>,
        waiter: W,
    ) -> Option<u64> {
        let ticket = self.new_ticket();
        let waiting_max = self.limits.waiting_max;
        let account = self.holders.entry(holder).or_default();
        if account.waiting.len() >= waiting_max {
            self.note_refusal();
            self.forget_unused(holder);
            return None;
        }
        if account.waiting.is_empty() {
            self.rotation.push_back(holder);
        }
        account.waiting.insert(ticket, QueuedWaiter { group, waiter });
        self.waiting += 1;
        Some(ticket)
    }

    /// Removes a caller that gave up, or was served.
    pub(super) fn remove_waiter(&mut self, holder: PermitHolder, ticket: u64) {
        let Some(account) = self.holders.get_mut(&holder) else { return };
        if account.waiting.remove(&ticket).is_none() {
            return;
        }
        self.waiting = self.waiting.saturating_sub(1);
        if account.waiting.is_empty() {
            self.rotation.retain(|waiting| *waiting != holder);
        }
        self.forget_unused(holder);
    }

    /// Takes a free permit for a caller that waits, if one may have it.
    pub(super) fn next_grant(&mut self) -> Option<PermitGrant<W>> {
        if self.free == 0 || self.rotation.is_empty() {
            return None;
        }
        // Where the others cannot use what is free, because of limits of their groups, nothing is contested.
        let contested = self.rotation.len() > 1;
        let place = self.grantable_place(contested).or_else(|| self.grantable_place(false))?;
        let (index, ticket) = place;
        let holder = self.rotation.remove(index)?;
        let account = self.holders.get_mut(&holder)?;
        let QueuedWaiter { group, waiter } = account.waiting.remove(&ticket)?;
        if !account.waiting.is_empty() {
            self.rotation.push_back(holder);
        }
        self.waiting = self.waiting.saturating_sub(1);
        self.take(holder, group.as_ref());
        Some(PermitGrant { holder, group, waiter })
    }

    /// Returns the place in the rotation and the ticket of the next caller that may have a permit.
    fn grantable_place(&self, contested: bool) -> Option<(usize, u64)> {
        self.rotation.iter().enumerate().find_map(|(index, holder)| {
            if !self.may_take(*holder, contested) {
                return None;
            }
            let mut waiting = self.holders.get(holder)?.waiting.iter();
            let (ticket, _) = waiting.find(|(_, queued)| !self.is_group_full(queued.group.as_ref()))?;
            Some((index, *ticket))
        })
    }

    /// Notes a permit that was just taken as one that can be taken back. Returns its ticket.
    pub(super) fn push_revocable(&mut self, holder: PermitHolder, revoked: CancellationToken) -> u64 {
        let ticket = self.new_ticket();
        self.holders.entry(holder).or_default().revocable.insert(ticket, revoked);
        ticket
    }

    /// Gives a permit back that can be taken back; nothing when it was.
    pub(super) fn release_revocable(&mut self, holder: PermitHolder, ticket: u64) {
        let account = self.holders.get_mut(&holder);
        if account.is_some_and(|account| account.revocable.remove(&ticket).is_some()) {
            self.release(holder, None);
        }
    }

    /// Takes a permit for this holder from the one with the most, if that has at least two more. Returns `false`
    /// when there is none.
    pub(super) fn take_back_for(&mut self, holder: PermitHolder) -> bool {
        let held = self.held_by(holder);
        if held >= self.limits.holder_max {
            return false;
        }
        let richest = self.holders.iter().max_by_key(|(_, account)| account.revocable.len());
        let Some((richest, account)) = richest else { return false };
        let richest = *richest;
        if account.revocable.len() < held.saturating_add(2) {
            return false;
        }
        let Some(account) = self.holders.get_mut(&richest) else { return false };
        let Some((_, revoked)) = account.revocable.pop_first() else { return false };
        revoked.cancel();
        self.revoked = self.revoked.saturating_add(1);
        self.release(richest, None);
        self.take(holder, None);
        true
    }

    #[cfg(test)]
    pub(super) fn count_holders(&self) -> usize {
        self.holders.len()
    }
}
