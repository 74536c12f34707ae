//! Interpretation of a receiver's response for its delivery (contract, section 11).
//!
//! Pure. The error text is for the tenant to read; it does not repeat the response's body.

use std::time::Duration;

use chrono::DateTime;
use http::StatusCode;
use http::header::RETRY_AFTER;

use super::retry;
use crate::domain::delivery::AttemptOutcome;
use crate::domain::time::Timestamp;
use crate::outbound::OutboundAnswer;
use crate::ports::AttemptResult;

/// Returns the result of this response, which arrived at `now`.
pub(super) fn classify_response(answer: &OutboundAnswer, now: Timestamp) -> AttemptResult {
    let status = answer.status;
    let code = Some(status.as_u16());
    let ended = |outcome, error: &str| AttemptResult {
        outcome,
        status_code: code,
        error: Some(error.into()),
        report: None,
    };
    match status {
        _ if status.is_success() => {
            AttemptResult { outcome: AttemptOutcome::Delivered, status_code: code, error: None, report: None }
        }
        StatusCode::GONE => {
            ended(AttemptOutcome::Gone, "the receiver answered 410: the subscription is paused")
        }
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            retry(code, retry_after(answer, now), &format!("the receiver answered {}", status.as_u16()))
        }
        _ if status.is_client_error() => {
            ended(AttemptOutcome::Rejected, &format!("the receiver answered {}", status.as_u16()))
        }
        _ if status.is_redirection() => {
            let error = format!("the receiver answered {}; redirects are not followed", status.as_u16());
            retry(code, None, &error)
        }
        _ => retry(code, retry_after(answer, now), &format!("the receiver answered {}", status.as_u16())),
    }
}

/// Returns the result for an event that the subscriber's form does not show.
pub(super) const fn nothing_to_send() -> AttemptResult {
    AttemptResult { outcome: AttemptOutcome::Delivered, status_code: None, error: None, report: None }
}

/// Returns the result of an attempt without a response.
pub(super) fn classify_failure(error: &str) -> AttemptResult {
    retry(None, None, error)
}

/// Reads `Retry-After` (RFC 9110, 10.2.3): seconds, or a date; a date in the past means now.
fn retry_after(answer: &OutboundAnswer, now: Timestamp) -> Option<Duration> {
    let text = answer.headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit()) {
        // More digits than fit mean "for ever"; the delivery worker waits an hour at most.
        return Some(Duration::from_secs(text.parse().unwrap_or(u64::from(u32::MAX))));
    }
    let date = DateTime::parse_from_rfc2822(text).ok()?;
    Some(Timestamp::from_millis(date.timestamp_millis()).duration_since(now).unwrap_or_default())
}
