//! A budget that all nodes share, in leases of a few tokens.
//!
//! Invariants: while Redis answers, all nodes together never exceed the budget, and a single node quotes what
//! the bucket of `policy::token_bucket` would quote. Requests that need a new lease at the same time share
//! one refresh. While Redis is away, or absent, each node keeps to its share of the budget, and reports the
//! tokens that it spent when Redis is back. The rules are in `policy::budget_lease` and `lease.lua`; this
//! module connects the two.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;

use super::RedisCache;
use super::connection::{RedisConnection, RedisFailure};
use crate::domain::time::Timestamp;
use crate::policy::budget_lease::{Lease, LeaseGrant, LeaseReport};
use crate::policy::token_bucket::BudgetQuote;

/// Time for which Redis keeps an unused budget. After a minute it is full, like an unknown one.
const KEPT_MS: u64 = 120_000;

/// One shared budget.
pub struct RedisBudget {
    memory: RedisCache,
    key: String,
    lease: Mutex<Lease>,
    /// Held by the request that refreshes the lease for all.
    visiting: tokio::sync::Mutex<()>,
    waiting: AtomicU64,
    /// `true` while the sweeper knows of it.
    listed: AtomicBool,
}

impl std::fmt::Debug for RedisBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBudget").field("key", &self.key).finish_non_exhaustive()
    }
}

/// A request that waits for a refresh.
struct RefreshWaiter<'a>(&'a AtomicU64);

impl<'a> RefreshWaiter<'a> {
    fn try_enter(waiting: &'a AtomicU64) -> Self {
        waiting.fetch_add(1, Ordering::Relaxed);
        Self(waiting)
    }
}

impl Drop for RefreshWaiter<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl RedisBudget {
    pub(super) fn new(memory: RedisCache, key: String, capacity: u32, now: Timestamp) -> Self {
        Self {
            memory,
            key,
            lease: Mutex::new(Lease::new_full(capacity, now)),
            visiting: tokio::sync::Mutex::default(),
            waiting: AtomicU64::new(0),
            listed: AtomicBool::new(false),
        }
    }

    pub(super) fn lock_lease(&self) -> MutexGuard<'_, Lease> {
        self.lease.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns its key in Redis.
    #[cfg(test)]
    pub(super) fn redis_key(&self) -> &str {
        &self.key
    }

    fn redis_connection(&self) -> Option<&RedisConnection> {
        self.memory.0.link.as_ref().filter(|link| link.is_up())
    }

    /// Takes a token, or returns the time at which there is one. `capacity` is the budget's current capacity.
    pub async fn take_token(self: &Arc<Self>, capacity: u32, now: Timestamp) -> BudgetQuote {
        match self.take_now(capacity, now) {
            Some(quote) => quote,
            None => Box::pin(self.take_after_visit(capacity, now)).await,
        }
    }

    /// Decides without waiting. `None`: Redis must be asked.
    fn take_now(&self, capacity: u32, now: Timestamp) -> Option<BudgetQuote> {
        if self.redis_connection().is_none() {
            return Some(self.lock_lease().take_alone(capacity, self.memory.nodes(), now));
        }
        self.lock_lease().take_held(capacity, now)
    }

    async fn take_after_visit(self: &Arc<Self>, capacity: u32, now: Timestamp) -> BudgetQuote {
        let _seat = RefreshWaiter::try_enter(&self.waiting);
        let _turn = self.visiting.lock().await;
        // An earlier request may have brought enough tokens, or found that Redis is away.
        if let Some(quote) = self.take_now(capacity, now) {
            return quote;
        }
        let waiting = self.waiting.load(Ordering::Relaxed).max(1);
        if self.refresh_lease(waiting, capacity, now).await
            && let Some(quote) = self.lock_lease().take_granted(capacity, now)
        {
            return quote;
        }
        self.lock_lease().take_alone(capacity, self.memory.nodes(), now)
    }

    /// Reports to Redis and takes the tokens that it grants. Only for the holder of `visiting`.
    async fn refresh_lease(self: &Arc<Self>, waiting: u64, capacity: u32, now: Timestamp) -> bool {
        let Some(link) = self.redis_connection() else { return false };
        let report = self.lock_lease().build_report(capacity, self.memory.nodes(), waiting, now);
        self.memory.0.metrics.budget_refreshes.inc();
        match self.request_lease(link, &report).await {
            Ok(Some(grant)) => {
                self.lock_lease().settle_grant(&report, &grant);
                if grant.granted > 0 && !self.listed.swap(true, Ordering::AcqRel) {
                    self.memory.lend(self);
                }
                true
            }
            Ok(None) | Err(RedisFailure::Away | RedisFailure::Foreign) => {
                self.lock_lease().abandon_grant();
                false
            }
        }
    }

    pub(super) async fn request_lease(
        &self,
        link: &RedisConnection,
        report: &LeaseReport,
    ) -> Result<Option<LeaseGrant>, RedisFailure> {
        let mut call = link.lease_script().prepare_invoke();
        call.key(&self.key).arg(&self.memory.0.node).arg(report.at.millis()).arg(report.capacity);
        call.arg(report.run).arg(report.seq).arg(report.units).arg(report.restore);
        call.arg(report.granted).arg(report.spent).arg(report.want);
        call.arg(u64::try_from(Lease::REMEMBERED.as_millis()).unwrap_or(u64::MAX)).arg(KEPT_MS);
        let answered: Vec<i64> = link
            .run_command(async |connection: &mut MultiplexedConnection| call.invoke_async(connection).await)
            .await?;
        Ok(read_grant(&answered))
    }

    /// Gives back tokens that have not been used for a while.
    pub(super) async fn return_idle(self: &Arc<Self>) {
        let now = self.memory.0.clock.read_now();
        self.listed.store(false, Ordering::Release);
        if self.lock_lease().is_idle(now) {
            self.give_all_back(now).await;
        }
        if self.lock_lease().holds_tokens() && !self.listed.swap(true, Ordering::AcqRel) {
            self.memory.lend(self);
        }
    }

    /// Gives back all held tokens.
    pub(super) async fn return_all(self: &Arc<Self>) {
        if self.lock_lease().holds_tokens() {
            self.give_all_back(self.memory.0.clock.read_now()).await;
        }
    }

    async fn give_all_back(self: &Arc<Self>, now: Timestamp) {
        let _turn = self.visiting.lock().await;
        let capacity = self.lock_lease().last_capacity();
        // When Redis is away, the lease counts as spent there and stays usable on this node.
        let _told = self.refresh_lease(0, capacity, now).await;
    }

    /// Returns a token, as a 304 does. No round trip.
    #[must_use]
    pub fn give_back(&self) -> BudgetQuote {
        self.lock_lease().give_back()
    }
}

/// Reads the script's answer; `None` when it did not accept the report.
fn read_grant(answered: &[i64]) -> Option<LeaseGrant> {
    let [1, granted, units, reserved, at, run] = answered else { return None };
    let whole = |figure: &i64| u64::try_from(*figure).ok();
    Some(LeaseGrant {
        granted: whole(granted)?,
        units: whole(units)?,
        reserved: whole(reserved)?,
        at: Timestamp::from_millis(*at),
        run: whole(run)?,
    })
}
