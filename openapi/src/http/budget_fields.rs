//! Header fields of a response that show the budget, in two forms: `X-RateLimit-*`, and the fields of the IETF's draft
//! (draft-ietf-httpapi-ratelimit-headers-10).

use bytes::{BufMut as _, BytesMut};
use kabar_actors::BudgetClass;
use kabar_core::domain::time::Timestamp;
use kabar_core::policy::token_bucket::BudgetQuote;
use poem::http::HeaderMap;
use poem::http::header::{HeaderName, HeaderValue};

const LIMIT: HeaderName = HeaderName::from_static("x-ratelimit-limit");
const REMAINING: HeaderName = HeaderName::from_static("x-ratelimit-remaining");
const RESET: HeaderName = HeaderName::from_static("x-ratelimit-reset");
const RATE_LIMIT: HeaderName = HeaderName::from_static("ratelimit");
const RATE_LIMIT_POLICY: HeaderName = HeaderName::from_static("ratelimit-policy");
/// Bytes of a field with its longest numbers, about.
const FIELD_BYTES: usize = 48;

/// Adds the fields, as of `now`.
pub(super) fn write_budget(headers: &mut HeaderMap, class: BudgetClass, quote: BudgetQuote, now: Timestamp) {
    headers.insert(LIMIT, quote.limit.into());
    headers.insert(REMAINING, quote.remaining.into());
    headers.insert(RESET, quote.reset_at_s.into());
    let name = policy_name(class);
    let wait_s = seconds_until_full(quote, now);
    insert_text(headers, RATE_LIMIT, format_args!("{name};r={};t={wait_s}", quote.remaining));
    insert_text(headers, RATE_LIMIT_POLICY, format_args!("{name};q={};w=60", quote.limit));
}

/// Returns the name of the budget, as a string of structured fields.
const fn policy_name(class: BudgetClass) -> &'static str {
    match class {
        BudgetClass::Read => "\"read\"",
        BudgetClass::Write => "\"write\"",
    }
}

/// Returns the seconds until the bucket is full again, rounded up.
fn seconds_until_full(quote: BudgetQuote, now: Timestamp) -> u64 {
    if quote.remaining == quote.limit {
        return 0;
    }
    let left_ms = quote.reset_at_s.saturating_mul(1000).saturating_sub(now.millis());
    u64::try_from(left_ms).unwrap_or(0).div_ceil(1000)
}

fn insert_text(headers: &mut HeaderMap, name: HeaderName, text: std::fmt::Arguments<'_>) {
    let mut value = BytesMut::with_capacity(FIELD_BYTES).writer();
    let written = std::io::Write::write_fmt(&mut value, text);
    if written.is_ok()
        && let Ok(value) = HeaderValue::from_maybe_shared(value.into_inner().freeze())
    {
        headers.insert(name, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_forms_show_the_same_budget() {
        let quote =
            BudgetQuote { limit: 600, remaining: 597, reset_at_s: 1_764_470_401, retry_after_s: None };
        let mut headers = HeaderMap::new();
        let now = Timestamp::from_millis(1_764_470_400_250);
        write_budget(&mut headers, BudgetClass::Read, quote, now);
        let shown: Vec<_> =
            headers.iter().map(|(name, value)| (name.as_str(), value.to_str().unwrap())).collect();
        assert_eq!(
            shown,
            [
                ("x-ratelimit-limit", "600"),
                ("x-ratelimit-remaining", "597"),
                ("x-ratelimit-reset", "1764470401"),
                ("ratelimit", "\"read\";r=597;t=1"),
                ("ratelimit-policy", "\"read\";q=600;w=60"),
            ]
        );
    }
}
