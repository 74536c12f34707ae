//! The pace of an account's sends: at most so many in any one second of the clock.

use kabar_core::domain::time::Timestamp;

/// Counts the sends of the current second.
#[derive(Debug, Default)]
pub(super) struct Pace {
    second: i64,
    sent: u32,
}

impl Pace {
    /// Takes a place in this second, or says when the next second begins.
    pub(super) const fn take(&mut self, per_second: u32, now: Timestamp) -> Result<(), Timestamp> {
        let second = now.millis() / 1000;
        if second != self.second {
            self.second = second;
            self.sent = 0;
        }
        if self.sent >= per_second {
            return Err(Timestamp::from_seconds(second + 1));
        }
        self.sent += 1;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_second_holds_more_than_its_share() {
        let mut pace = Pace::default();
        let at = |ms| Timestamp::from_millis(ms);
        assert_eq!(pace.take(2, at(10_000)), Ok(()));
        assert_eq!(pace.take(2, at(10_500)), Ok(()));
        assert_eq!(pace.take(2, at(10_999)), Err(at(11_000)));
        assert_eq!(pace.take(2, at(11_000)), Ok(()));
        assert_eq!(pace.take(0, at(12_000)), Err(at(13_000)));
    }
}
