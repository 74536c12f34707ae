//! `Prefer: wait=<seconds>` (RFC 7240): holds the response until it would change.
//!
//! Invariant: an unknown preference, or one out of range, counts as absent; the first `wait` counts.

use std::time::Duration;

use poem::http::HeaderMap;
use poem::http::header::HeaderName;

/// The header's name.
pub(crate) const PREFER: HeaderName = HeaderName::from_static("prefer");
/// Longest wait (contract, section 4).
const WAIT_S_MAX: u64 = 60;

/// Seconds that a client is willing to wait, 1 to 60.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct WaitPreference(u64);

impl WaitPreference {
    /// Reads the preference from the headers.
    pub(crate) fn from_headers(headers: &HeaderMap) -> Option<Self> {
        let lines = headers.get_all(PREFER).into_iter().filter_map(|line| line.to_str().ok());
        let preferences = lines.flat_map(|line| line.split(','));
        let wait = preferences.filter_map(|preference| {
            // Parameters after `;` belong to the preference; none is defined for `wait`.
            let (name, value) = preference.split(';').next()?.split_once('=')?;
            name.trim().eq_ignore_ascii_case("wait").then_some(value)
        });
        wait.map(Self::parse_wait).next().flatten()
    }

    fn parse_wait(value: &str) -> Option<Self> {
        let value = value.trim();
        let value = value.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')).unwrap_or(value);
        let digits = value.bytes().all(|byte| byte.is_ascii_digit());
        let seconds = value.parse().ok().filter(|seconds| (1..=WAIT_S_MAX).contains(seconds));
        seconds.filter(|_| digits).map(Self)
    }

    /// Returns the whole seconds.
    pub(crate) const fn seconds(self) -> u64 {
        self.0
    }

    /// Returns the duration.
    pub(crate) const fn duration(self) -> Duration {
        Duration::from_secs(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::HeaderValue;

    fn wait(lines: &[&str]) -> Option<u64> {
        let mut headers = HeaderMap::new();
        for line in lines {
            headers.append("prefer", HeaderValue::from_str(line).unwrap());
        }
        WaitPreference::from_headers(&headers).map(WaitPreference::seconds)
    }

    #[test]
    fn the_first_wait_in_range_counts() {
        assert_eq!(wait(&["wait=10"]), Some(10));
        assert_eq!(wait(&["respond-async, Wait = \"60\"; x=1"]), Some(60));
        assert_eq!(wait(&["return=minimal", "wait=1, wait=2"]), Some(1));
    }

    #[test]
    fn anything_else_is_ignored() {
        for line in [
            "", "wait", "wait=", "wait=0", "wait=61", "wait=-1", "wait=+5", "wait=1.5", "await=5", "wait=\"5",
        ] {
            assert_eq!(wait(&[line]), None, "{line}");
        }
        assert_eq!(wait(&["wait=0, wait=5"]), None);
        assert_eq!(wait(&[]), None);
    }
}
