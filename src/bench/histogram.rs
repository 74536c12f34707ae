//! Latencies in buckets: 64 for each doubling of the nanoseconds, so a figure is off by 1.6 % at most.
//!
//! Invariant: recording allocates nothing and takes a few nanoseconds. What is beyond the last
//! bucket (over a day) counts in it.

use std::time::Duration;

const SUB_BITS: u32 = 6;
const SUB_BUCKETS: u64 = 1 << SUB_BITS;
/// Doublings above the first 64 ns; 2^46 ns is 19 hours.
const DOUBLINGS: u64 = 41;

/// Counts of latencies.
#[derive(Debug, Clone)]
pub(super) struct Histogram {
    counts: Vec<u32>,
    total: u32,
    longest: Duration,
}

impl Default for Histogram {
    fn default() -> Self {
        Self::new()
    }
}

impl Histogram {
    pub(super) fn new() -> Self {
        let buckets = usize::try_from(SUB_BUCKETS * (DOUBLINGS + 1)).unwrap_or(0);
        Self { counts: vec![0; buckets], total: 0, longest: Duration::ZERO }
    }

    pub(super) fn record(&mut self, latency: Duration) {
        let last = self.counts.len() - 1;
        let bucket = bucket_of(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)).min(last);
        if let Some(count) = self.counts.get_mut(bucket) {
            *count += 1;
        }
        self.total += 1;
        self.longest = self.longest.max(latency);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        for (count, more) in self.counts.iter_mut().zip(&other.counts) {
            *count += more;
        }
        self.total += other.total;
        self.longest = self.longest.max(other.longest);
    }

    /// How many were recorded.
    pub(super) const fn total(&self) -> u32 {
        self.total
    }

    /// The longest one, exactly.
    pub(super) const fn longest(&self) -> Duration {
        self.longest
    }

    /// The latency that `per_mille` of 1000 do not exceed.
    pub(super) fn quantile(&self, per_mille: u32) -> Duration {
        let rank = u64::from(self.total) * u64::from(per_mille);
        let mut seen = 0;
        for (bucket, count) in self.counts.iter().enumerate() {
            seen += u64::from(*count) * 1000;
            if seen >= rank && *count > 0 {
                return Duration::from_nanos(upper_bound_of(bucket)).min(self.longest);
            }
        }
        self.longest
    }
}

fn bucket_of(nanos: u64) -> usize {
    let doubling = u64::from((u64::BITS - nanos.leading_zeros()).saturating_sub(SUB_BITS));
    // Below 64 ns a bucket holds one value; from there on the top seven bits choose it.
    let bucket = match doubling {
        0 => nanos,
        _ => (doubling << SUB_BITS) + ((nanos >> (doubling - 1)) & (SUB_BUCKETS - 1)),
    };
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

fn upper_bound_of(bucket: usize) -> u64 {
    let bucket = u64::try_from(bucket).unwrap_or(0);
    let (doubling, sub) = (bucket >> SUB_BITS, bucket & (SUB_BUCKETS - 1));
    match doubling {
        0 => sub,
        _ => ((SUB_BUCKETS + sub + 1) << (doubling - 1)) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_their_values_and_are_fine_enough() {
        let mut value = 1_u64;
        while value < 1 << 46 {
            for nanos in [value - 1, value, value + value / 3] {
                let upper = upper_bound_of(bucket_of(nanos));
                assert!(
                    upper >= nanos && upper - nanos <= nanos / 64,
                    "{nanos} is in the bucket up to {upper}"
                );
            }
            value *= 2;
        }
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut one = Histogram::new();
        let mut other = Histogram::new();
        for micros in 1..=500 {
            one.record(Duration::from_micros(micros));
            other.record(Duration::from_micros(500 + micros));
        }
        one.merge(&other);
        assert_eq!((one.total(), one.longest()), (1000, Duration::from_millis(1)));
        for (per_mille, micros) in [(500, 500), (990, 990), (1000, 1000)] {
            let found = one.quantile(per_mille).as_micros();
            assert!(found >= micros && found <= micros + micros / 64 + 1, "{per_mille}: {found}");
        }
        assert_eq!(Histogram::new().quantile(500), Duration::ZERO);
    }
}
