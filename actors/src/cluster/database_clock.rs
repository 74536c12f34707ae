//! The database's clock, as the last renewal of this node's lease has shown it: the time that all nodes share.

use std::sync::PoisonError;

use kabar_core::domain::time::Timestamp;

use super::Cluster;
use super::lease::now_ms;

impl Cluster {
    /// Returns the seconds by which the wall clock `now` is ahead of the database's; `None` before that is
    /// known.
    pub(crate) fn clock_skew_s(&self, now: Timestamp) -> Option<i64> {
        let ahead = now.millis().saturating_sub(self.database_now_ms()?);
        Some(ahead.saturating_add(500).div_euclid(1000))
    }

    /// Returns the database's clock, in milliseconds since the Unix epoch; `None` before it is known.
    pub(crate) fn database_now_ms(&self) -> Option<i64> {
        let (database_ms, then) = (*self.0.database_clock.lock().unwrap_or_else(PoisonError::into_inner))?;
        let since = i64::try_from(now_ms().saturating_sub(then)).unwrap_or(i64::MAX);
        Some(database_ms.saturating_add(since))
    }
}
