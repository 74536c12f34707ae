//! A budget that all nodes draw on together, in leases of a few tokens.
//!
//! Invariants: what all nodes let through together never exceeds the budget while Redis answers, and one
//! node alone quotes what the bucket of `policy::token_bucket` would; requests that need a new lease at the same
//! time share one visit. While Redis is away, or absent, each node keeps to its share of the budget, and
//! reports what it spent when Redis is back. The law is `policy::budget_lease`'s and `lease.lua`'s; here is the
//! way between the two.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use redis::aio::MultiplexedConnection;

use super::RedisCache;
use super::connection::{RedisConnection, RedisFailure};
use crate::domain::time::Timestamp;
use crate::policy::budget_lease::{Lease, LeaseGrant, LeaseReport};
use crate::policy::token_bucket::BudgetQuote;

/// How long Redis keeps a budget that nobody draws on. After a minute it is full, as one not known is.
const KEPT_MS: u64 = 120_000;

/// See the module.
pub struct RedisBudget {
    memory: RedisCache,
    key: String,
    lease: Mutex<Lease>,
    /// Held by the one who visits Redis for all.
    visiting: tokio::sync::Mutex<()>,
    waiting: AtomicU64,
    /// Whether the sweeper knows of it.
    listed: AtomicBool,
}

impl std::fmt::Debug for RedisBudget {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisBudget").field("key", &self.key).finish_non_exhaustive()
    }
}

/// One who waits for a visit.
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

    /// Where Redis keeps it.
    #[cfg(test)]
    pub(super) fn redis_key(&self) -> &str {
        &self.key
    }

    fn redis_connection(&self) -> Option<&RedisConnection> {
        self.memory.0.link.as_ref().filter(|link| link.is_up())
    }

    /// Takes a token, or says when there is one. `capacity` is the budget's figure of today.
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
        // Whoever was here before may have brought enough, or found that Redis is away.
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

    /// Reports, and takes what Redis gives. Only for whoever holds `visiting`.
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

    /// Gives back what nobody drew on for a while.
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

    /// Gives back whatever is held.
    pub(super) async fn return_all(self: &Arc<Self>) {
        if self.lock_lease().holds_tokens() {
            self.give_all_back(self.memory.0.clock.read_now()).await;
        }
    }

    async fn give_all_back(self: &Arc<Self>, now: Timestamp) {
        let _turn = self.visiting.lock().await;
        let capacity = self.lock_lease().set_capacity();
        // When Redis is away the lease counts as spent there, and is this node's here.
        let _told = self.refresh_lease(0, capacity, now).await;
    }

    /// Gives a token back, as a 304 does. No round trip.
    #[must_use]
    pub fn give_back(&self) -> BudgetQuote {
        self.lock_lease().give_back()
    }
}

/// Reads what the script answers; `None` when it would not hear the report.
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
