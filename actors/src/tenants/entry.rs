//! Directory entry of a tenant: its row, and its two budgets.

use std::sync::Arc;

use arc_swap::ArcSwap;
use kabar_core::domain::organisation::Organisation;
use kabar_core::domain::time::Timestamp;
use kabar_core::policy::token_bucket::BudgetQuote;
use kabar_core::redis::{RedisBudget, RedisCache};
use tokio::sync::watch;

use crate::standing::TenantStanding;

/// Budget that a request draws on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BudgetClass {
    /// GET and HEAD.
    Read,
    /// POST, PUT, PATCH and DELETE.
    Write,
}

/// One tenant. There is one entry per tenant as long as the server runs, so budgets survive a change of the
/// row.
#[derive(Debug)]
pub struct OrganisationEntry {
    row: ArcSwap<Organisation>,
    standing: Arc<TenantStanding>,
    read: Arc<RedisBudget>,
    write: Arc<RedisBudget>,
}

impl OrganisationEntry {
    pub(super) fn new(
        organisation: Organisation,
        standing: Arc<TenantStanding>,
        memory: &RedisCache,
    ) -> Self {
        let _goes_on = standing.set_suspended(organisation.suspended);
        let (id, limits) = (organisation.id, organisation.limits);
        Self {
            row: ArcSwap::from_pointee(organisation),
            standing,
            read: memory.budget(&format!("{id}:read"), limits.read_per_minute),
            write: memory.budget(&format!("{id}:write"), limits.write_per_minute),
        }
    }

    /// The row.
    #[must_use]
    pub fn get(&self) -> Arc<Organisation> {
        self.row.load_full()
    }

    /// Puts a changed row in force. Returns `true` when the tenant goes on after it was suspended.
    pub(super) fn set_organisation(&self, organisation: Arc<Organisation>) -> bool {
        let suspended = organisation.suspended;
        self.row.store(organisation);
        self.standing.set_suspended(suspended)
    }

    /// Returns `true` while the tenant is suspended.
    #[must_use]
    pub fn is_suspended(&self) -> bool {
        self.standing.is_suspended()
    }

    /// Returns a receiver of the changes of the tenant's access.
    pub(super) fn watch_changes(&self) -> watch::Receiver<()> {
        self.standing.watch_changes()
    }

    pub(super) const fn standing(&self) -> &Arc<TenantStanding> {
        &self.standing
    }

    const fn budget_of(&self, class: BudgetClass) -> &Arc<RedisBudget> {
        match class {
            BudgetClass::Read => &self.read,
            BudgetClass::Write => &self.write,
        }
    }

    /// Takes a token, or returns the time until one is free. Waits only if the node holds none and the Redis
    /// cache must be asked.
    pub async fn take_token(&self, class: BudgetClass, now: Timestamp) -> BudgetQuote {
        let limits = self.row.load().limits;
        let capacity = match class {
            BudgetClass::Read => limits.read_per_minute,
            BudgetClass::Write => limits.write_per_minute,
        };
        self.budget_of(class).take_token(capacity, now).await
    }

    /// Gives a token back, because a 304 costs nothing.
    #[must_use]
    pub fn give_back(&self, class: BudgetClass) -> BudgetQuote {
        self.budget_of(class).give_back()
    }
}
