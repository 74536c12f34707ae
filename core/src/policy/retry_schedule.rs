//! Schedules of delivery attempts: the pause before each, and their number.

use std::time::Duration;

/// Pauses before each attempt, counted from the end of the attempt before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetrySchedule(&'static [Duration]);

impl RetrySchedule {
    /// Schedule of webhooks (contract, section 11).
    pub const WEBHOOK: Self = Self(&[
        Duration::ZERO,
        Duration::from_secs(10),
        Duration::from_secs(30),
        Duration::from_mins(2),
        Duration::from_mins(10),
        Duration::from_hours(1),
        Duration::from_hours(6),
        Duration::from_hours(24),
    ]);

    /// Schedule of hooks (contract, section 10).
    pub const HOOK: Self = Self(&[
        Duration::ZERO,
        Duration::from_secs(5),
        Duration::from_secs(30),
        Duration::from_mins(2),
        Duration::from_mins(10),
        Duration::from_hours(1),
        Duration::from_hours(6),
    ]);

    /// Attempts before a delivery is given up.
    #[must_use]
    pub fn attempts_max(self) -> u32 {
        u32::try_from(self.0.len()).unwrap_or(u32::MAX)
    }

    /// Returns the pause after so many attempts, or `None` when that was the last one. `chance` from 0 to 1
    /// makes it up to a fifth shorter or longer.
    #[must_use]
    pub fn pause_before(self, tries: u32, chance: f64) -> Option<Duration> {
        let step = self.0.get(usize::try_from(tries).ok()?)?;
        Some(step.mul_f64(chance.clamp(0.0, 1.0).mul_add(0.4, 0.8)))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn chance_moves_a_pause_by_a_fifth_at_most(tries in 1_u32..8, chance in 0.0_f64..=1.0) {
            let exact = RetrySchedule::WEBHOOK.pause_before(tries, 0.5).unwrap().as_secs_f64();
            let moved = RetrySchedule::WEBHOOK.pause_before(tries, chance).unwrap().as_secs_f64();
            prop_assert!((0.8 * exact - 0.001..=1.2 * exact + 0.001).contains(&moved));
        }
    }
}
