//! Token bucket in whole numbers, so that two implementations agree to the last token.
//!
//! Rules: capacity `C` a minute; starts full; refills `C/60` tokens a second. One token is 60 000 units, so
//! that one millisecond adds exactly `C` units. Only the figures in response headers are rounded.

use std::time::Duration;

use crate::domain::time::Timestamp;

/// A last refill further in the future than this comes from a clock that was set back since.
const STEP_MIN: Duration = Duration::from_mins(1);

/// Units of one token.
pub(crate) const UNITS_PER_TOKEN: u64 = 60_000;

/// Bucket of one organisation and one class. Pure: the caller brings the time and the lock.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TokenBucket {
    capacity: u32,
    units: u64,
    /// Units that other nodes hold, so that this bucket cannot fill up with them; 0 for a single node.
    reserved: u64,
    at: Timestamp,
}

/// Figures of the rate-limit headers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BudgetQuote {
    /// `X-RateLimit-Limit`.
    pub limit: u32,
    /// `X-RateLimit-Remaining`: whole tokens left.
    pub remaining: u32,
    /// `X-RateLimit-Reset`: Unix seconds at which the bucket is full again, rounded up.
    pub reset_at_s: i64,
    /// `Retry-After`: whole seconds until one token, at least 1. `None` when the request may pass.
    pub retry_after_s: Option<u32>,
}

impl TokenBucket {
    /// A full bucket.
    #[must_use]
    pub fn new_full(capacity: u32, now: Timestamp) -> Self {
        Self { capacity, units: u64::from(capacity) * UNITS_PER_TOKEN, reserved: 0, at: now }
    }

    /// Creates a bucket from another node's figures: `units` in it at `at`, and `reserved` units held by
    /// other nodes.
    #[must_use]
    pub(crate) fn known_tokens(capacity: u32, units: u64, reserved: u64, at: Timestamp) -> Self {
        let mut bucket = Self { capacity, units, reserved, at };
        bucket.units = units.min(bucket.token_ceiling());
        bucket
    }

    /// Sets the units that other nodes hold, as of `at`.
    pub(crate) fn reserve_share(&mut self, reserved: u64, at: Timestamp) {
        self.reserved = reserved;
        self.units = self.units.min(self.token_ceiling());
        self.at = self.at.max(at);
    }

    /// Returns its content, in units.
    pub(crate) const fn token_units(&self) -> u64 {
        self.units
    }

    /// Returns the time of the last refill.
    pub(crate) const fn level_at(&self) -> Timestamp {
        self.at
    }

    /// Returns `true` when there is a token, as of the last refill.
    pub(crate) const fn has_token(&self) -> bool {
        self.units >= UNITS_PER_TOKEN
    }

    /// Returns `true` when no token is missing, as of the last refill.
    pub(crate) fn is_full(&self) -> bool {
        self.units >= self.token_ceiling()
    }

    /// Removes up to this many tokens.
    pub(crate) fn drain_tokens(&mut self, tokens: u64) {
        self.units = self.units.saturating_sub(tokens.saturating_mul(UNITS_PER_TOKEN));
    }

    fn token_ceiling(&self) -> u64 {
        (u64::from(self.capacity) * UNITS_PER_TOKEN).saturating_sub(self.reserved)
    }

    /// Adds the units earned since the last refill, and adopts a changed capacity. When the clock was set
    /// back, the content stays, and earning continues from `now`.
    pub(crate) fn refill_tokens(&mut self, capacity: u32, now: Timestamp) {
        if self.at.duration_since(now) > Some(STEP_MIN) {
            self.at = now;
        }
        let passed_ms =
            now.duration_since(self.at).map_or(0, |d| u64::try_from(d.as_millis()).unwrap_or(u64::MAX));
        // Time under the old capacity is credited at the old rate; then the new ceiling applies.
        self.units = self.units.saturating_add(passed_ms.saturating_mul(u64::from(self.capacity)));
        self.capacity = capacity;
        self.units = self.units.min(self.token_ceiling());
        self.at = self.at.max(now);
    }

    /// Takes one token if there is one. Adopts a changed capacity.
    pub fn take_token(&mut self, capacity: u32, now: Timestamp) -> BudgetQuote {
        self.refill_tokens(capacity, now);
        if self.units >= UNITS_PER_TOKEN {
            self.units -= UNITS_PER_TOKEN;
            return self.budget_quote(None);
        }
        let missing_ms = (UNITS_PER_TOKEN - self.units).div_ceil(u64::from(self.capacity.max(1)));
        let wait_s = u32::try_from(missing_ms.div_ceil(1000)).unwrap_or(u32::MAX).max(1);
        self.budget_quote(Some(wait_s))
    }

    /// Returns one token, as a 304 does.
    pub fn give_back(&mut self) -> BudgetQuote {
        self.units = (self.units + UNITS_PER_TOKEN).min(self.token_ceiling());
        self.budget_quote(None)
    }

    fn budget_quote(&self, retry_after_s: Option<u32>) -> BudgetQuote {
        let capacity_units = u64::from(self.capacity) * UNITS_PER_TOKEN;
        let missing_ms = capacity_units.saturating_sub(self.units).div_ceil(u64::from(self.capacity.max(1)));
        let full_at_ms = self.at.millis().saturating_add(i64::try_from(missing_ms).unwrap_or(i64::MAX));
        BudgetQuote {
            limit: self.capacity,
            remaining: u32::try_from(self.units / UNITS_PER_TOKEN).unwrap_or(u32::MAX),
            reset_at_s: full_at_ms.saturating_add(999) / 1000,
            retry_after_s,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        /// Over any stretch of time the bucket lets through at most its capacity plus what that
        /// stretch refilled, and a client that obeys `Retry-After` is never refused twice.
        #[test]
        fn never_more_than_capacity_plus_refill(
            capacity in 1_u32..10_000,
            gaps in proptest::collection::vec(0_u64..5_000, 1..200),
        ) {
            let start = Timestamp::from_millis(1_000_000);
            let mut now = start;
            let mut bucket = TokenBucket::new_full(capacity, now);
            let mut passed = 0_u64;
            for gap in gaps {
                now = now.plus_duration(Duration::from_millis(gap));
                let quote = bucket.take_token(capacity, now);
                prop_assert!(quote.remaining <= capacity);
                prop_assert!(quote.reset_at_s * 1000 >= now.millis());
                if let Some(wait) = quote.retry_after_s {
                    let mut later = bucket;
                    let retry = later.take_token(capacity, now.plus_duration(Duration::from_secs(wait.into())));
                    prop_assert_eq!(retry.retry_after_s, None);
                } else {
                    passed += 1;
                }
                let elapsed = u64::try_from(now.millis() - start.millis()).unwrap();
                let allowed = u64::from(capacity) + elapsed * u64::from(capacity) / 60_000;
                prop_assert!(passed <= allowed);
            }
        }

        #[test]
        fn a_token_given_back_leaves_no_trace(capacity in 1_u32..1000, at in 0_i64..1_000_000) {
            let now = Timestamp::from_millis(at);
            let mut bucket = TokenBucket::new_full(capacity, now);
            bucket.take_token(capacity, now);
            bucket.give_back();
            prop_assert_eq!(bucket, TokenBucket::new_full(capacity, now));
        }
    }

    #[test]
    fn a_clock_that_is_set_back_stops_no_refill() {
        let now = Timestamp::from_seconds(1_000_000);
        let mut bucket = TokenBucket::new_full(60, now);
        for _ in 0..60 {
            bucket.take_token(60, now);
        }
        let earlier = now.minus_duration(Duration::from_hours(1));
        let refused = bucket.take_token(60, earlier);
        assert_eq!((refused.retry_after_s, refused.reset_at_s), (Some(1), earlier.millis() / 1000 + 60));
        assert_eq!(bucket.take_token(60, earlier.plus_duration(Duration::from_secs(1))).retry_after_s, None);
    }

    #[test]
    fn headers_of_a_free_tier() {
        let now = Timestamp::from_millis(1_000_500);
        let mut bucket = TokenBucket::new_full(60, now);
        let first = bucket.take_token(60, now);
        assert_eq!((first.limit, first.remaining, first.reset_at_s), (60, 59, 1002));
        for _ in 0..59 {
            assert_eq!(bucket.take_token(60, now).retry_after_s, None);
        }
        let refused = bucket.take_token(60, now);
        assert_eq!((refused.remaining, refused.retry_after_s, refused.reset_at_s), (0, Some(1), 1061));
        let grown = bucket.take_token(600, now.plus_duration(Duration::from_secs(1)));
        assert_eq!((grown.limit, grown.remaining, grown.retry_after_s), (600, 0, None));
    }
}
