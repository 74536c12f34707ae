//! Memory for the bodies of requests that are not authenticated yet.
//!
//! Invariant: all of them together hold at most the budget. A share is taken as bytes come, not as they are announced,
//! so that a client that only announces takes nothing from the others. It is given back once the request is
//! authenticated, or ends.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Bytes that are left for bodies that are not authenticated yet.
#[derive(Debug)]
pub(crate) struct BodyBudget {
    left: AtomicUsize,
}

impl BodyBudget {
    pub(crate) fn new(bytes: usize) -> Arc<Self> {
        Arc::new(Self { left: AtomicUsize::new(bytes) })
    }

    /// Creates an empty share.
    pub(crate) fn open_share(self: &Arc<Self>) -> BodyShare {
        BodyShare { budget: self.clone(), bytes: AtomicUsize::new(0) }
    }
}

/// Bytes that one body holds of the budget.
#[derive(Debug)]
pub(crate) struct BodyShare {
    budget: Arc<BodyBudget>,
    bytes: AtomicUsize,
}

impl BodyShare {
    /// Takes this many bytes more; returns `false` when they are not left.
    pub(crate) fn take_bytes(&self, bytes: usize) -> bool {
        let left = &self.budget.left;
        let taken = left.fetch_update(Ordering::AcqRel, Ordering::Acquire, |left| left.checked_sub(bytes));
        if taken.is_ok() {
            self.bytes.fetch_add(bytes, Ordering::AcqRel);
        }
        taken.is_ok()
    }

    /// Gives all of it back.
    pub(crate) fn give_back(&self) {
        let bytes = self.bytes.swap(0, Ordering::AcqRel);
        self.budget.left.fetch_add(bytes, Ordering::AcqRel);
    }
}

impl Drop for BodyShare {
    fn drop(&mut self) {
        self.give_back();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_hold_no_more_than_the_budget_and_give_all_back() {
        let budget = BodyBudget::new(10);
        let (first, second) = (budget.open_share(), budget.open_share());
        assert!(first.take_bytes(4) && first.take_bytes(2) && second.take_bytes(4));
        assert!(!second.take_bytes(1));
        first.give_back();
        assert!(second.take_bytes(6) && !first.take_bytes(1));
        drop(second);
        assert!(first.take_bytes(10));
        drop(first);
        assert_eq!(budget.left.load(Ordering::Acquire), 10);
    }
}
