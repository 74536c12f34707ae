//! A tenant as requests meet it: its row, and its two budgets.

use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use kabar_core::domain::budget::{Bucket, Quote};
use kabar_core::domain::organisation::Organisation;
use kabar_core::domain::time::Timestamp;

/// Which budget a request draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetClass {
    /// GET and HEAD.
    Read,
    /// POST, PUT, PATCH and DELETE.
    Write,
}

/// See the module. There is one per tenant for as long as the server runs, so budgets survive a
/// change of the row.
#[derive(Debug)]
pub struct OrganisationEntry {
    row: ArcSwap<Organisation>,
    read: Mutex<Bucket>,
    write: Mutex<Bucket>,
}

impl OrganisationEntry {
    pub(super) fn new(organisation: Organisation, now: Timestamp) -> Self {
        let limits = organisation.limits;
        Self {
            row: ArcSwap::from_pointee(organisation),
            read: Mutex::new(Bucket::full(limits.read_per_minute, now)),
            write: Mutex::new(Bucket::full(limits.write_per_minute, now)),
        }
    }

    /// The row.
    #[must_use]
    pub fn get(&self) -> Arc<Organisation> {
        self.row.load_full()
    }

    pub(super) fn set(&self, organisation: Arc<Organisation>) {
        self.row.store(organisation);
    }

    const fn bucket(&self, class: BudgetClass) -> &Mutex<Bucket> {
        match class {
            BudgetClass::Read => &self.read,
            BudgetClass::Write => &self.write,
        }
    }

    /// Takes a token, or says when there is one.
    #[must_use]
    pub fn take(&self, class: BudgetClass, now: Timestamp) -> Quote {
        let limits = self.row.load().limits;
        let capacity = match class {
            BudgetClass::Read => limits.read_per_minute,
            BudgetClass::Write => limits.write_per_minute,
        };
        self.bucket(class).lock().unwrap_or_else(PoisonError::into_inner).take(capacity, now)
    }

    /// Gives a token back: a 304 costs nothing.
    #[must_use]
    pub fn give_back(&self, class: BudgetClass) -> Quote {
        self.bucket(class).lock().unwrap_or_else(PoisonError::into_inner).give_back()
    }
}
