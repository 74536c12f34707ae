//! Instants in whole milliseconds, and RFC 3339 in and out.
//!
//! Invariant: output has exactly three decimals and `Z`. Input may have any offset and precision;
//! [`TimeBound`] records whether it lies between two milliseconds.

use std::fmt;
use std::time::Duration;

use chrono::{DateTime, SecondsFormat, Utc};

/// Milliseconds since the Unix epoch.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

/// 9999-12-31T23:59:59.999Z, the last instant RFC 3339 can spell.
const LAST_MS: i64 = 253_402_300_799_999;

impl Timestamp {
    /// 1970-01-01T00:00:00.000Z.
    pub const EPOCH: Self = Self(0);

    /// 9999-12-31T23:59:59.999Z, the last instant.
    pub const LAST: Self = Self(LAST_MS);

    /// Creates an instant from milliseconds since the epoch, kept within years 1970 to 9999.
    #[must_use]
    pub const fn from_millis(ms: i64) -> Self {
        Self(if ms < 0 {
            0
        } else if ms > LAST_MS {
            LAST_MS
        } else {
            ms
        })
    }

    /// Creates an instant from whole seconds since the epoch.
    #[must_use]
    pub const fn from_seconds(seconds: i64) -> Self {
        Self::from_millis(seconds.saturating_mul(1000))
    }

    /// Milliseconds since the epoch.
    #[must_use]
    pub const fn millis(self) -> i64 {
        self.0
    }

    /// Returns the instant this much later.
    #[must_use]
    pub fn plus_duration(self, by: Duration) -> Self {
        Self::from_millis(self.0.saturating_add(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// Returns the instant this much earlier.
    #[must_use]
    pub fn minus_duration(self, by: Duration) -> Self {
        Self::from_millis(self.0.saturating_sub(i64::try_from(by.as_millis()).unwrap_or(i64::MAX)))
    }

    /// The next millisecond.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0 + 1)
    }

    /// Returns the time from `earlier` to this instant; `None` unless this one is later.
    #[must_use]
    pub fn duration_since(self, earlier: Self) -> Option<Duration> {
        u64::try_from(self.0 - earlier.0).ok().filter(|ms| *ms > 0).map(Duration::from_millis)
    }
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = DateTime::<Utc>::from_timestamp_millis(self.0).unwrap_or(DateTime::UNIX_EPOCH);
        f.write_str(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// An instant as a client wrote it: at `floor`, or between `floor` and the next millisecond.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct TimeBound {
    floor: Timestamp,
    between: bool,
}

impl TimeBound {
    /// Reads RFC 3339 of any offset and precision. A blank where the offset's sign belongs is a
    /// plus that a client forgot to escape; an offset may lack its colon, as `strftime` writes it.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let mended;
        let text = match text.rsplit_once(' ') {
            // "2026-06-19T18:00:00 07:00": the blank follows the time, which follows a `T`.
            Some((time, offset)) if time.contains(['T', 't']) || time.contains(' ') => {
                mended = format!("{time}+{offset}");
                mended.as_str()
            }
            _ => text,
        };
        let at = match text.split_at_checked(text.len().saturating_sub(2)) {
            Some((time, minutes)) if lacks_colon(time, minutes) => {
                DateTime::parse_from_rfc3339(&format!("{time}:{minutes}")).ok()?
            }
            _ => DateTime::parse_from_rfc3339(text).ok()?,
        };
        let ms = at.timestamp_millis();
        // A time before 1970 is before every row there is: the epoch says the same.
        Some(Self {
            floor: Timestamp::from_millis(ms),
            between: ms >= 0 && at.timestamp_subsec_nanos() % 1_000_000 != 0,
        })
    }

    /// Rows strictly after this bound are the rows with a millisecond greater than this.
    #[must_use]
    pub const fn strictly_after(self) -> Timestamp {
        self.floor
    }

    /// Rows strictly before this bound are the rows with a millisecond less than this.
    #[must_use]
    pub const fn strictly_before(self) -> Timestamp {
        if self.between { self.floor.next() } else { self.floor }
    }
}

/// Returns `true` when this ends with an offset of four digits, such as `+0700`.
fn lacks_colon(time: &str, minutes: &str) -> bool {
    let Some((clock, hours)) = time.rsplit_once(['+', '-']) else { return false };
    let two_digits = |text: &str| text.len() == 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    clock.contains(['T', 't', ' ']) && two_digits(hours) && two_digits(minutes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn timestamps_have_three_decimals_and_z() {
        let at = Timestamp::from_millis(1_781_866_800_000);
        assert_eq!(at.to_string(), "2026-06-19T11:00:00.000Z");
        assert_eq!(Timestamp::EPOCH.to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_millis(i64::MAX).to_string(), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn bounds_take_any_offset_precision_and_a_lost_plus() {
        let eleven = Timestamp::from_millis(1_781_866_800_000);
        for text in [
            "2026-06-19T11:00:00Z",
            "2026-06-19T11:00:00.000Z",
            "2026-06-19T18:00:00+07:00",
            "2026-06-19T18:00:00 07:00",
            "2026-06-19 18:00:00 07:00",
            "2026-06-19T18:00:00.000+0700",
            "2026-06-19T18:00:00 0700",
            "2026-06-19T04:00:00-0700",
            "2026-06-19T04:00:00-07:00",
        ] {
            let bound = TimeBound::parse(text).unwrap_or_else(|| panic!("{text}"));
            assert_eq!(bound.strictly_after(), eleven, "{text}");
            assert_eq!(bound.strictly_before(), eleven, "{text}");
        }
        let between = TimeBound::parse("2026-06-19T11:00:00.0004Z").unwrap();
        assert_eq!(between.strictly_after(), eleven);
        assert_eq!(between.strictly_before(), eleven.next());
        for text in
            ["", "yesterday", "2026-06-19", "2026-06-19T11:00:00", "2026-13-01T00:00:00Z", "1781866800"]
        {
            assert_eq!(TimeBound::parse(text), None, "{text}");
        }
    }
}
