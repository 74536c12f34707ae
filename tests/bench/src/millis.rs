//! Quantiles of times that are known in whole milliseconds only.

use std::collections::BTreeMap;

/// Times in whole milliseconds, as differences of two that were cut.
#[derive(Debug, Default)]
pub(super) struct Millis(BTreeMap<u64, u64>);

impl Millis {
    pub(super) fn record(&mut self, millis: u64) {
        *self.0.entry(millis).or_default() += 1;
    }

    /// Milliseconds under which so many of a thousand are, as if those of one millisecond were spread
    /// evenly over it.
    pub(super) fn quantile(&self, per_mille: u64) -> f64 {
        let count = |count: u64| f64::from(u32::try_from(count).unwrap_or(u32::MAX));
        let wanted = count(self.0.values().sum()) * count(per_mille) / 1000.0;
        let mut below = 0.0;
        for (millis, here) in &self.0 {
            let here = count(*here);
            if below + here >= wanted {
                return count(*millis) + (wanted - below) / here;
            }
            below += here;
        }
        0.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quantiles_lie_within_their_millisecond() {
        let mut times = Millis::default();
        assert!(times.quantile(990).abs() < f64::EPSILON);
        (0..50).for_each(|_| times.record(1));
        (0..50).for_each(|_| times.record(3));
        let near = |per_mille, wanted: f64| (times.quantile(per_mille) - wanted).abs() < 1e-9;
        assert!(near(250, 1.5) && near(500, 2.0) && near(750, 3.5) && near(1000, 4.0));
    }
}
