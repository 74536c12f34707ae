//! Refused keys and tokens: counted, logged by sample, and bounded per client address.
//!
//! Invariants: a valid key is never refused here, however many wrong ones its address has shown. The operator's API is
//! closed to an address that has shown too many wrong tokens, for a valid token too, so that guessing one takes for
//! ever. Requests with a valid credential cost nothing here but the look at their address on the operator's API.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kabar_core::address_block::AddressBlock;
use kabar_core::address_budget::AddressBudget;
use kabar_core::clock::Clock;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::metrics::Metrics;
use kabar_core::surroundings;

use crate::rest::error::{ApiError, ErrorCode};

/// Wrong tokens of the operator a minute from one address (contract, section 28).
const OPERATOR_REFUSALS_MAX: u32 = 20;
/// Wrong API keys a minute from one address that are answered 401; further ones are answered 429.
const KEY_REFUSALS_MAX: u32 = 600;
/// Shortest time between two log lines of one kind.
const LOG_EVERY: Duration = Duration::from_secs(10);

/// Pause before a refusal beyond the budget, so that a connection asks once a second at most and costs the others
/// next to nothing.
pub(super) const REFUSAL_PAUSE: Duration = Duration::from_secs(1);

/// Shortest time between two entries in the audit log: strangers must not fill the database.
const ENTER_EVERY: Duration = Duration::from_mins(1);

/// Refusals of one kind of credential.
struct RefusalRecord {
    budget: AddressBudget,
    logged_at: Option<MonotonicInstant>,
    unlogged: u64,
    /// Time of the last entry in the audit log.
    entered_at: Option<MonotonicInstant>,
}

impl RefusalRecord {
    fn new(per_minute: u32) -> Mutex<Self> {
        Mutex::new(Self {
            budget: AddressBudget::new(per_minute),
            logged_at: None,
            unlogged: 0,
            entered_at: None,
        })
    }

    /// Counts a refusal for the log. Returns the number since the last line when a line is due.
    fn sample_line(&mut self, now: MonotonicInstant) -> Option<u64> {
        self.unlogged += 1;
        let is_due = self.logged_at.is_none_or(|last| now.saturating_since(last) >= Some(LOG_EVERY));
        is_due.then(|| {
            self.logged_at = Some(now);
            std::mem::take(&mut self.unlogged)
        })
    }

    /// Returns `true` when an entry in the audit log is due.
    fn sample_entry(&mut self, now: MonotonicInstant) -> bool {
        let is_due = self.entered_at.is_none_or(|last| now.saturating_since(last) >= Some(ENTER_EVERY));
        if is_due {
            self.entered_at = Some(now);
        }
        is_due
    }
}

/// Record of the refused keys and tokens.
pub(super) struct AuthRefusals {
    operator: Mutex<RefusalRecord>,
    keys: Mutex<RefusalRecord>,
    clock: Arc<Clock>,
    metrics: Arc<Metrics>,
}

impl AuthRefusals {
    pub(super) fn new(clock: Arc<Clock>, metrics: Arc<Metrics>) -> Self {
        let (operator, keys) =
            (RefusalRecord::new(OPERATOR_REFUSALS_MAX), RefusalRecord::new(KEY_REFUSALS_MAX));
        Self { operator, keys, clock, metrics }
    }

    /// Refuses a request to the operator's API from an address that has shown too many wrong tokens.
    ///
    /// # Errors
    /// `rate_limit_exceeded`.
    pub(super) fn check_operator_address(&self, address: AddressBlock) -> Result<(), ApiError> {
        let mut record = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = record.budget.exhausted_for(address, self.clock.read_now());
        wait.map_or(Ok(()), |seconds| Err(too_many_refusals("operator tokens", seconds)))
    }

    /// Notes the refusal of a request to the operator's API. Returns `true` when the audit log is due an entry.
    pub(super) fn note_operator_refusal(&self, address: AddressBlock, refusal: &ApiError) -> bool {
        if !is_wrong_secret(refusal) {
            return false;
        }
        self.metrics.operator_refusals.inc();
        let mut record = self.operator.lock().unwrap_or_else(PoisonError::into_inner);
        record.budget.take_token(address, self.clock.read_now());
        if let Some(refused) = record.sample_line(self.clock.monotonic_now()) {
            tracing::warn!(%address, refused, "wrong operator token");
        }
        record.sample_entry(self.clock.monotonic_now())
    }

    /// Notes the refusal of a tenant's request. Returns the answer: the refusal or, beyond the budget and after
    /// [`REFUSAL_PAUSE`], 429.
    pub(super) async fn refuse_key(&self, address: AddressBlock, refusal: ApiError) -> ApiError {
        let Some(beyond) = self.note_key_refusal(address, &refusal) else { return refusal };
        surroundings::sleep(REFUSAL_PAUSE).await;
        beyond
    }

    /// Counts a wrong key, and returns the refusal beyond the budget.
    fn note_key_refusal(&self, address: AddressBlock, refusal: &ApiError) -> Option<ApiError> {
        if !is_wrong_secret(refusal) {
            return None;
        }
        self.metrics.key_refusals.inc();
        let mut record = self.keys.lock().unwrap_or_else(PoisonError::into_inner);
        let wait = record.budget.take_token(address, self.clock.read_now());
        if let Some(refused) = record.sample_line(self.clock.monotonic_now()) {
            tracing::warn!(%address, refused, "wrong API key");
        }
        wait.map(|seconds| too_many_refusals("API keys", seconds))
    }
}

fn is_wrong_secret(refusal: &ApiError) -> bool {
    matches!(refusal.code(), ErrorCode::InvalidApiKey | ErrorCode::ExpiredApiKey)
}

fn too_many_refusals(shown: &str, seconds: u32) -> ApiError {
    let message = format!("too many wrong {shown} came from this address; try again in {seconds} s");
    ApiError::new(ErrorCode::RateLimitExceeded, message).retry_after(seconds)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refusals_are_logged_by_sample() {
        let record = RefusalRecord::new(1);
        let mut record = record.lock().unwrap();
        let at = MonotonicInstant::from_millis;
        assert_eq!(record.sample_line(at(5)), Some(1));
        assert_eq!(record.sample_line(at(6)), None);
        assert_eq!(record.sample_line(at(10_004)), None);
        assert_eq!(record.sample_line(at(10_005)), Some(3));
        assert!(
            record.sample_entry(at(5)) && !record.sample_entry(at(60_004)) && record.sample_entry(at(60_005))
        );
    }
}
