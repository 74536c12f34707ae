//! Budget per client address: refusals a minute that an address may cause.
//!
//! Invariants: pure; the caller passes the time in. At most `BLOCKS_MAX` addresses are kept: further ones share one
//! budget, so a client with many addresses neither grows the table nor empties it.

use std::collections::HashMap;

use crate::address_block::AddressBlock;
use crate::domain::time::Timestamp;
use crate::policy::token_bucket::TokenBucket;

/// Addresses with a budget of their own.
const BLOCKS_MAX: usize = 10_000;

/// Budgets of the addresses that used some of theirs.
#[derive(Debug)]
pub struct AddressBudget {
    per_minute: u32,
    buckets: HashMap<AddressBlock, TokenBucket>,
}

impl AddressBudget {
    /// Creates full budgets of this size.
    #[must_use]
    pub fn new(per_minute: u32) -> Self {
        Self { per_minute, buckets: HashMap::new() }
    }

    /// Takes one token of an address. Returns the seconds until there is one again when there was none.
    pub fn take_token(&mut self, block: AddressBlock, now: Timestamp) -> Option<u32> {
        let block = self.own_block(block, now);
        let bucket = self.buckets.entry(block).or_insert_with(|| TokenBucket::new_full(self.per_minute, now));
        bucket.take_token(self.per_minute, now).retry_after_s
    }

    /// Returns the seconds until an address has a token again; `None` when it has one.
    pub fn exhausted_for(&mut self, block: AddressBlock, now: Timestamp) -> Option<u32> {
        let block = if self.buckets.contains_key(&block) { block } else { self.own_block(block, now) };
        let bucket = self.buckets.get_mut(&block)?;
        let quote = bucket.take_token(self.per_minute, now);
        if quote.retry_after_s.is_none() {
            bucket.give_back();
        }
        quote.retry_after_s
    }

    /// Returns the block whose budget an address uses: its own, or the common one when the table is full.
    fn own_block(&mut self, block: AddressBlock, now: Timestamp) -> AddressBlock {
        if self.buckets.len() < BLOCKS_MAX || self.buckets.contains_key(&block) {
            return block;
        }
        let per_minute = self.per_minute;
        self.buckets.retain(|_, bucket| {
            bucket.refill_tokens(per_minute, now);
            !bucket.is_full()
        });
        if self.buckets.len() < BLOCKS_MAX { block } else { AddressBlock::UNKNOWN }
    }
}

#[cfg(test)]
mod tests {
    use std::net::{IpAddr, Ipv4Addr};
    use std::time::Duration;

    use super::*;

    fn block(nth: u32) -> AddressBlock {
        AddressBlock::from_address(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + nth)))
    }

    #[test]
    fn an_address_has_its_own_budget_which_refills() {
        let (mut budget, now) = (AddressBudget::new(20), Timestamp::from_seconds(1_000));
        for _ in 0..20 {
            assert_eq!(budget.exhausted_for(block(1), now), None);
            assert_eq!(budget.take_token(block(1), now), None);
        }
        assert_eq!(budget.take_token(block(1), now), Some(3));
        assert_eq!(budget.exhausted_for(block(1), now), Some(3));
        assert_eq!(budget.exhausted_for(block(2), now), None, "the other address pays nothing");
        let later = now.plus_duration(Duration::from_secs(3));
        assert_eq!(budget.exhausted_for(block(1), later), None);
        assert_eq!(budget.exhausted_for(block(1), later), None, "asking costs nothing");
    }

    #[test]
    fn addresses_beyond_the_table_share_one_budget() {
        let (mut budget, now) = (AddressBudget::new(2), Timestamp::from_seconds(1_000));
        for nth in 0..u32::try_from(BLOCKS_MAX).unwrap() {
            assert_eq!(budget.take_token(block(nth), now), None);
        }
        let beyond = |nth: u32| block(1_000_000 + nth);
        assert_eq!(budget.take_token(beyond(1), now), None);
        assert_eq!(budget.take_token(beyond(2), now), None);
        assert!(budget.take_token(beyond(3), now).is_some());
        assert!(budget.exhausted_for(beyond(4), now).is_some());
        assert!(budget.buckets.len() <= BLOCKS_MAX + 1);
        let later = now.plus_duration(Duration::from_mins(2));
        assert_eq!(budget.take_token(beyond(3), later), None, "addresses with full budgets are forgotten");
        assert!(budget.buckets.len() <= 2);
    }
}
