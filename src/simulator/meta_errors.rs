//! Failures of sends, with Meta's error numbers and their form.
//!
//! Invariant: if Meta reports an error by a `failed` status, the send is accepted first, as at Meta. Source:
//! "Error codes" of Meta's Cloud API documentation.

/// The failure of sends to one recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecipientFailure {
    /// Meta's error number.
    pub code: i64,
    /// Number of sends that fail before they succeed; `None`: all of them.
    pub times: Option<u32>,
}

impl RecipientFailure {
    /// Builds a failure of every send with this number.
    #[must_use]
    pub const fn always(code: i64) -> Self {
        Self { code, times: None }
    }
}

/// An error of Meta's.
#[derive(Debug, Clone, Copy)]
pub(super) struct KnownError {
    pub(super) code: i64,
    /// HTTP status of the response; `None` when Meta accepts the send and reports later.
    pub(super) http: Option<u16>,
    pub(super) title: &'static str,
}

const fn known_error(code: i64, http: Option<u16>, title: &'static str) -> KnownError {
    KnownError { code, http, title }
}

/// Errors that a recipient's last six digits may select.
pub(super) const KNOWN: [KnownError; 16] = [
    known_error(80_007, Some(400), "Rate limit issues"),
    known_error(130_429, Some(400), "Rate limit hit"),
    known_error(131_000, Some(500), "Something went wrong"),
    known_error(131_016, Some(500), "Service unavailable"),
    known_error(131_026, None, "Message undeliverable"),
    known_error(131_047, None, "Re-engagement message"),
    known_error(131_049, None, "Meta chose not to deliver"),
    known_error(131_050, None, "User has stopped marketing messages"),
    known_error(131_052, None, "Media download error"),
    known_error(131_053, None, "Media upload error"),
    known_error(131_056, Some(400), "Pair rate limit hit"),
    known_error(132_000, Some(400), "Template param count mismatch"),
    known_error(132_001, Some(404), "Template does not exist"),
    known_error(132_012, Some(400), "Template parameter format mismatch"),
    known_error(132_015, Some(400), "Template is paused"),
    known_error(132_016, Some(400), "Template is disabled"),
];

/// Returns the known error of this number.
pub(super) fn describe_error(code: i64) -> KnownError {
    let other = match code {
        0 | 190 => known_error(code, Some(401), "Authentication error"),
        2 => known_error(code, Some(503), "API service"),
        10 | 200..=299 => known_error(code, Some(403), "Permission denied"),
        368 | 131_031 => known_error(code, Some(403), "Account has been locked"),
        131_042 => known_error(code, Some(400), "Business eligibility payment issue"),
        _ => known_error(code, Some(400), "Request refused"),
    };
    KNOWN.into_iter().find(|known| known.code == code).unwrap_or(other)
}

/// Returns the error number in a recipient's last six digits.
pub(super) fn reserved_error(digits: &str) -> Option<i64> {
    let tail = digits.get(digits.len().checked_sub(6)?..)?;
    let code = tail.parse().ok()?;
    KNOWN.iter().any(|known| known.code == code).then_some(code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_six_digits_ask_for_a_failure() {
        for (digits, code) in [
            ("12025131026", Some(131_026)),
            ("12025080007", Some(80_007)),
            ("12025550141", None),
            ("131026", Some(131_026)),
            ("31026", None),
            ("", None),
        ] {
            assert_eq!(reserved_error(digits), code, "{digits}");
        }
    }
}
