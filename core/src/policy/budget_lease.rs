//! A node's lease of a budget that several nodes share: the requests that it may let through by itself, and
//! its reports to the pool.
//!
//! The pool of tokens is kept elsewhere; a node holds a few tokens for a short time. Beside them it keeps a
//! copy of the whole bucket, advanced by the bucket's own rules, from which it quotes. While no other node
//! draws on the budget, the copy *equals* the bucket, so one node quotes exactly as without a pool. With
//! several nodes, the copy is as old as the last refresh, and off by the tokens that other nodes drew since.
//!
//! Invariants: a token is spent only if it is held, and held only if the pool knows of it. Tokens spent
//! without the pool are reported at the next refresh. Pure: the caller brings the time, the lock and the
//! connection to the pool.

use std::time::Duration;

use super::token_bucket::{BudgetQuote, TokenBucket, UNITS_PER_TOKEN};
use crate::domain::time::Timestamp;

/// Time in which a node spends the tokens of a lease. The pool remembers a lease for longer
/// ([`Lease::REMEMBERED`]), so that clocks that drift apart do not make it count tokens twice.
const HELD: Duration = Duration::from_secs(2);
/// Time after a refusal before a node asks again for tokens that other nodes gave back.
const LOOK_AGAIN: Duration = Duration::from_millis(100);
/// Time after which an unused lease is given back.
const IDLE: Duration = Duration::from_secs(1);
/// Tokens of one lease, at most, unless the budget earns more within [`BATCH_TIME`].
const BATCH_MAX: u32 = 64;
/// A large budget loses little when one lease takes what it earns in this time, and its node refreshes less
/// often.
const BATCH_TIME: Duration = Duration::from_millis(10);

/// A node's lease of one budget.
#[derive(Debug, Clone)]
pub struct Lease {
    bucket: TokenBucket,
    capacity: u32,
    /// Tokens that may be spent without the pool.
    held: u64,
    until: Timestamp,
    /// Tokens that the last refresh brought.
    granted: u64,
    /// Tokens spent since the last refresh that was answered, less those given back.
    spent: i64,
    /// Id of the unbroken run of this node's refreshes; 0 when there is none.
    run: u64,
    seq: u64,
    /// Time of the last successful refresh.
    visited_at: Option<Timestamp>,
    used_at: Timestamp,
    /// `true` during a refresh: tokens given back meanwhile are not held.
    visiting: bool,
    alone: bool,
}

/// A node's report to the pool, with its request for tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseReport {
    /// Tokens a minute.
    pub capacity: u32,
    /// The node's time.
    pub at: Timestamp,
    /// The run in which the pool must still be for `units` to be exact.
    pub run: u64,
    /// Rises with every report of one lease.
    pub seq: u64,
    /// The whole bucket as this node knows it, in units.
    pub units: u64,
    /// Units to begin with when the pool has forgotten this budget.
    pub restore: u64,
    /// Tokens that the last answered refresh brought.
    pub granted: u64,
    /// Tokens spent since, less those given back.
    pub spent: i64,
    /// Tokens requested; 0 to give all back.
    pub want: u64,
}

/// The pool's answer to a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseGrant {
    /// Tokens that this node now holds.
    pub granted: u64,
    /// Units left in the pool.
    pub units: u64,
    /// Units that other nodes hold.
    pub reserved: u64,
    /// The pool's time.
    pub at: Timestamp,
    /// Run of refreshes; see [`LeaseReport::run`].
    pub run: u64,
}

impl Lease {
    /// Time for which the pool remembers tokens of a node that does not return. After it they count as spent.
    pub const REMEMBERED: Duration = Duration::from_secs(5);

    /// Creates a lease of a full bucket that the pool does not know yet.
    #[must_use]
    pub fn new_full(capacity: u32, now: Timestamp) -> Self {
        Self {
            bucket: TokenBucket::new_full(capacity, now),
            capacity,
            held: 0,
            until: now,
            granted: 0,
            spent: 0,
            run: 0,
            seq: 0,
            visited_at: None,
            used_at: now,
            visiting: false,
            alone: false,
        }
    }

    fn credit_arrival(&mut self, capacity: u32, now: Timestamp) {
        self.capacity = capacity;
        self.used_at = now;
    }

    /// Decides without the pool: passes a request for a held token, and refuses again shortly after a
    /// refusal. `None`: ask the pool.
    pub fn take_held(&mut self, capacity: u32, now: Timestamp) -> Option<BudgetQuote> {
        if self.alone {
            return None;
        }
        self.credit_arrival(capacity, now);
        self.bucket.refill_tokens(capacity, now);
        self.trim_surplus();
        if self.bucket.has_token() {
            let is_held = self.held > 0 && is_before(now, self.until);
            return is_held.then(|| self.spend_tokens(capacity, now));
        }
        let fresh = self.visited_at.is_some_and(|at| is_before(now, at.plus_duration(LOOK_AGAIN)));
        fresh.then(|| self.bucket.take_token(capacity, now))
    }

    fn spend_tokens(&mut self, capacity: u32, now: Timestamp) -> BudgetQuote {
        self.held = self.held.saturating_sub(1);
        self.spent = self.spent.saturating_add(1);
        self.bucket.take_token(capacity, now)
    }

    /// Decides right after a refresh. `None`: the pool granted nothing although there was a token.
    pub fn take_granted(&mut self, capacity: u32, now: Timestamp) -> Option<BudgetQuote> {
        self.bucket.refill_tokens(capacity, now);
        if self.bucket.has_token() {
            return (self.held > 0).then(|| self.spend_tokens(capacity, now));
        }
        Some(self.bucket.take_token(capacity, now))
    }

    /// Decides while the pool cannot be reached: by the bucket's rules on this node's share of the budget.
    pub fn take_alone(&mut self, capacity: u32, nodes: u32, now: Timestamp) -> BudgetQuote {
        self.credit_arrival(capacity, now);
        self.own_share(nodes, now);
        let quote = self.bucket.take_token((capacity / nodes.max(1)).max(1), now);
        if quote.retry_after_s.is_none() {
            self.spent = self.spent.saturating_add(1);
        }
        BudgetQuote { limit: capacity, ..quote }
    }

    /// Switches to the node's own share: it keeps the tokens that it holds, and takes its share of the pool.
    fn own_share(&mut self, nodes: u32, now: Timestamp) {
        if nodes > 1 {
            // From here on this node knows only a share, never the whole bucket.
            self.run = 0;
        }
        if self.alone {
            return;
        }
        self.alone = true;
        self.bucket.refill_tokens(self.capacity, now);
        let held = self.held.saturating_mul(UNITS_PER_TOKEN).min(self.bucket.token_units());
        let units =
            held.saturating_add((self.bucket.token_units().saturating_sub(held)) / u64::from(nodes.max(1)));
        self.bucket = TokenBucket::known_tokens(self.capacity, units, 0, now.max(self.bucket.level_at()));
        self.held = 0;
    }

    /// Returns one token, as a 304 does.
    pub fn give_back(&mut self) -> BudgetQuote {
        self.spent = self.spent.saturating_sub(1);
        let quote = self.bucket.give_back();
        // A token of a reported lease belongs to the pool: the next report returns it.
        if self.held < self.granted && !self.visiting && !self.alone {
            self.held += 1;
            self.trim_surplus();
        }
        BudgetQuote { limit: self.capacity, ..quote }
    }

    /// Caps the held tokens by the bucket: a capacity may have been lowered.
    fn trim_surplus(&mut self) {
        self.held = self.held.min(self.bucket.token_units() / UNITS_PER_TOKEN);
    }

    /// Returns `true` when tokens are held that have not been used for a while.
    #[must_use]
    pub fn is_idle(&self, now: Timestamp) -> bool {
        self.held > 0 && !is_before(now, self.used_at.plus_duration(IDLE))
    }

    /// Returns `true` when there are tokens to give back.
    #[must_use]
    pub const fn holds_tokens(&self) -> bool {
        self.held > 0
    }

    /// Returns the budget's capacity, as of the last request.
    #[must_use]
    pub const fn last_capacity(&self) -> u32 {
        self.capacity
    }

    /// Puts all held tokens into a report. Requests as many as were used lately, and enough for the waiting
    /// requests; with `waiting` 0 it requests none.
    pub fn build_report(&mut self, capacity: u32, nodes: u32, waiting: u64, now: Timestamp) -> LeaseReport {
        self.capacity = capacity;
        if waiting > 0 {
            self.bucket.refill_tokens(capacity, now);
        }
        // Giving back earns nothing: only a request knows the capacity of its time.
        let at = if waiting > 0 { now } else { self.bucket.level_at() };
        let units = self.bucket.token_units();
        let share = u64::from((self.capacity / nodes.max(1)).max(1)) * UNITS_PER_TOKEN;
        let has_peers = nodes > 1 && (self.visited_at.is_some() || self.alone);
        let lately = u64::try_from(self.spent).unwrap_or(0).saturating_mul(2);
        let want = if waiting == 0 { 0 } else { waiting.max(lately).clamp(1, batch_max(self.capacity)) };
        self.seq = self.seq.saturating_add(1);
        self.held = 0;
        self.visiting = true;
        LeaseReport {
            capacity,
            at,
            run: self.run,
            seq: self.seq,
            units,
            restore: if has_peers { units.min(share) } else { units },
            granted: self.granted,
            spent: self.spent,
            want,
        }
    }

    /// Ends a refresh that was not answered; the pool may or may not have received it.
    pub const fn abandon_grant(&mut self) {
        self.visiting = false;
    }

    /// Applies the pool's answer. If the pool agrees with the reported copy, the copy stays, with all changes
    /// since. Else those changes are repeated on the pool's figures.
    pub fn settle_grant(&mut self, report: &LeaseReport, grant: &LeaseGrant) {
        let units = grant.units.saturating_add(grant.granted.saturating_mul(UNITS_PER_TOKEN));
        let meanwhile = self.spent.saturating_sub(report.spent);
        let spent = u64::try_from(meanwhile).unwrap_or(0);
        if units == report.units && self.run == report.run {
            self.bucket.reserve_share(grant.reserved, grant.at);
        } else {
            self.bucket = TokenBucket::known_tokens(report.capacity, units, grant.reserved, grant.at);
            self.bucket.drain_tokens(spent);
            for _ in meanwhile..0 {
                self.bucket.give_back();
            }
        }
        self.spent = meanwhile;
        self.granted = grant.granted;
        self.held = grant.granted.saturating_sub(spent);
        self.trim_surplus();
        self.run = grant.run;
        self.until = report.at.plus_duration(HELD);
        self.visited_at = Some(report.at);
        self.visiting = false;
        self.alone = false;
    }
}

/// Returns `true` when `now` is before `end`. A longer distance than any span used here comes from a clock
/// that was set back, and counts as not before.
fn is_before(now: Timestamp, end: Timestamp) -> bool {
    end.duration_since(now).is_some_and(|left| left <= HELD * 2)
}

/// Returns the most tokens of one lease of a budget.
fn batch_max(capacity: u32) -> u64 {
    let earned = u128::from(capacity) * BATCH_TIME.as_millis() / Duration::from_mins(1).as_millis();
    let most = u32::try_from(earned).unwrap_or(u32::MAX).max(BATCH_MAX);
    u64::from((capacity / 32).clamp(1, most))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(ms: i64) -> Timestamp {
        Timestamp::from_millis(1_000_000 + ms)
    }

    /// Grant of a pool that belongs to this node alone.
    fn granted(report: &LeaseReport) -> LeaseGrant {
        let tokens = report.want.min(report.units / UNITS_PER_TOKEN);
        LeaseGrant {
            granted: tokens,
            units: report.units - tokens * UNITS_PER_TOKEN,
            reserved: 0,
            at: report.at,
            run: report.seq,
        }
    }

    #[test]
    fn what_is_held_is_spent_without_asking_and_for_two_seconds() {
        let mut lease = Lease::new_full(6000, at(0));
        assert_eq!(lease.take_held(6000, at(0)), None);
        let report = lease.build_report(6000, 1, 3, at(0));
        assert_eq!((report.want, report.units, report.run), (3, 6000 * UNITS_PER_TOKEN, 0));
        lease.settle_grant(&report, &granted(&report));
        for left in [5999, 5998] {
            assert_eq!(lease.take_held(6000, at(0)).unwrap().remaining, left);
        }
        assert!(lease.holds_tokens() && !lease.is_idle(at(999)) && lease.is_idle(at(1000)));
        assert_eq!(lease.take_held(6000, at(2000)), None, "its time is over");
        assert!(!lease.is_idle(at(2500)), "a request came at 2000");
        let report = lease.build_report(6000, 1, 1, at(2000));
        assert_eq!((report.granted, report.spent, report.want), (3, 2, 4));
        assert!(!lease.holds_tokens(), "what is reported is held no more");
    }

    #[test]
    fn a_token_given_back_is_held_again_if_it_was_held() {
        let mut lease = Lease::new_full(6000, at(0));
        let report = lease.build_report(6000, 1, 1, at(0));
        lease.settle_grant(&report, &granted(&report));
        for _ in 0..100 {
            assert_eq!(lease.take_held(6000, at(0)).unwrap().remaining, 5999);
            assert_eq!(lease.give_back().remaining, 6000);
        }
        lease.take_held(6000, at(0)).unwrap();
        let report = lease.build_report(6000, 1, 1, at(0));
        // It comes back while the visit is under way.
        lease.give_back();
        lease.settle_grant(&report, &granted(&report));
        let next = lease.build_report(6000, 1, 1, at(0));
        assert_eq!((next.granted, next.spent, next.units), (2, -1, 6000 * UNITS_PER_TOKEN));
    }

    #[test]
    fn alone_a_node_keeps_to_its_share() {
        let mut lease = Lease::new_full(90, at(0));
        for left in (0..30).rev() {
            let quote = lease.take_alone(90, 3, at(0));
            assert_eq!((quote.limit, quote.remaining, quote.retry_after_s), (90, left, None));
        }
        assert_eq!(lease.take_alone(90, 3, at(0)).retry_after_s, Some(2));
        let report = lease.build_report(90, 3, 1, at(0));
        assert_eq!((report.run, report.spent, report.units), (0, 30, 0));
    }

    #[test]
    fn alone_and_single_it_is_the_bucket() {
        let (mut lease, mut bucket) = (Lease::new_full(60, at(0)), TokenBucket::new_full(60, at(0)));
        for step in 0..200 {
            let now = at(step * 333);
            assert_eq!(lease.take_alone(60, 1, now), bucket.take_token(60, now));
        }
    }

    #[test]
    fn a_large_wish_is_a_small_part_of_the_budget() {
        let wants = [(1, 1), (60, 1), (600, 18), (6000, 64), (384_000, 64), (6_000_000, 1000)];
        for (capacity, want) in wants {
            assert_eq!(
                Lease::new_full(capacity, at(0)).build_report(capacity, 1, 100_000, at(0)).want,
                want,
                "{capacity}"
            );
        }
    }
}
