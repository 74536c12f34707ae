//! Process time: instants of one process, in whole milliseconds, from a clock that is never set.
//!
//! Invariant: a [`MonotonicInstant`] is compared only with another one. There is no conversion from or to a
//! [`Timestamp`](super::time::Timestamp): a span between two wall times may become a wait of this process, an
//! instant may not.

use std::fmt;
use std::time::Duration;

/// An instant of this process's clock, which goes on while the process is stopped or the machine sleeps.
///
/// It means nothing to another process and is never persisted. Timers, deadlines, lifetimes of pages, pace and
/// back-off are measured with it.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct MonotonicInstant(u64);

impl MonotonicInstant {
    /// The earliest instant: before everything that this process does.
    pub const START: Self = Self(0);

    /// Creates an instant from milliseconds since the clock's own origin.
    #[must_use]
    pub const fn from_millis(ms: u64) -> Self {
        Self(ms)
    }

    /// Milliseconds since the clock's own origin.
    #[must_use]
    pub const fn millis(self) -> u64 {
        self.0
    }

    /// Returns the instant this much later.
    #[must_use]
    pub fn saturating_plus(self, by: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(by.as_millis()).unwrap_or(u64::MAX)))
    }

    /// The time from `earlier` to this; `None` unless this is later.
    #[must_use]
    pub const fn saturating_since(self, earlier: Self) -> Option<Duration> {
        match self.0.checked_sub(earlier.0) {
            None | Some(0) => None,
            Some(ms) => Some(Duration::from_millis(ms)),
        }
    }
}

impl fmt::Debug for MonotonicInstant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} ms", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_span_is_positive_or_none() {
        let (early, late) = (MonotonicInstant::from_millis(5), MonotonicInstant::from_millis(9));
        assert_eq!(late.saturating_since(early), Some(Duration::from_millis(4)));
        assert_eq!((early.saturating_since(late), early.saturating_since(early)), (None, None));
        assert_eq!(early.saturating_plus(Duration::from_micros(4_900)), late);
        assert_eq!(late.saturating_plus(Duration::MAX), MonotonicInstant::from_millis(u64::MAX));
    }
}
