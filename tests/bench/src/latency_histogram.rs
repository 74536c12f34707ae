//! Latencies in a histogram of two significant digits, so a figure is off by 1 % at most.
//!
//! Invariant: recording allocates nothing and takes a few nanoseconds. A latency of more than a day
//! counts as one of a day.

use std::time::Duration;

use hdrhistogram::Histogram;

const LATENCY_MAX: Duration = Duration::from_hours(24);
const SIGNIFICANT_DIGITS: u8 = 2;

/// Counts of latencies, in nanoseconds.
#[derive(Debug, Clone)]
pub(super) struct LatencyHistogram {
    counts: Histogram<u32>,
    longest: Duration,
}

impl Default for LatencyHistogram {
    fn default() -> Self {
        Self::new()
    }
}

impl LatencyHistogram {
    #[expect(clippy::expect_used, reason = "both bounds are constants that the crate accepts")]
    pub(super) fn new() -> Self {
        let counts = Histogram::new_with_max(nanos_of(LATENCY_MAX), SIGNIFICANT_DIGITS);
        Self { counts: counts.expect("a day in two digits"), longest: Duration::ZERO }
    }

    pub(super) fn record(&mut self, latency: Duration) {
        self.counts.saturating_record(nanos_of(latency));
        self.longest = self.longest.max(latency);
    }

    pub(super) fn merge(&mut self, other: &Self) {
        self.counts += &other.counts;
        self.longest = self.longest.max(other.longest);
    }

    /// Number of recorded latencies.
    pub(super) fn total(&self) -> u32 {
        u32::try_from(self.counts.len()).unwrap_or(u32::MAX)
    }

    /// The longest one, exactly.
    pub(super) const fn longest(&self) -> Duration {
        self.longest
    }

    /// The latency that `per_mille` of 1000 do not exceed.
    pub(super) fn quantile(&self, per_mille: u32) -> Duration {
        let nanos = self.counts.value_at_quantile(f64::from(per_mille) / 1000.0);
        Duration::from_nanos(nanos).min(self.longest)
    }
}

fn nanos_of(latency: Duration) -> u64 {
    u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_kept_finely_enough() {
        let mut value = 1_u64;
        while value < nanos_of(LATENCY_MAX) / 2 {
            for nanos in [value - 1, value, value + value / 3] {
                let mut one = LatencyHistogram::new();
                one.record(Duration::from_nanos(nanos));
                one.record(LATENCY_MAX);
                let kept = u64::try_from(one.quantile(500).as_nanos()).unwrap();
                assert!(kept >= nanos && kept - nanos <= nanos / 100, "{nanos} is kept as {kept}");
            }
            value *= 2;
        }
    }

    #[test]
    fn a_latency_of_more_than_a_day_is_counted() {
        let mut one = LatencyHistogram::new();
        one.record(LATENCY_MAX * 3);
        assert_eq!((one.total(), one.longest()), (1, LATENCY_MAX * 3));
        assert!(one.quantile(990) >= LATENCY_MAX);
    }

    #[test]
    fn quantiles_are_ranks() {
        let mut one = LatencyHistogram::new();
        let mut other = LatencyHistogram::new();
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
        assert_eq!(LatencyHistogram::new().quantile(500), Duration::ZERO);
    }
}
