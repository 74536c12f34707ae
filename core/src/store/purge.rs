//! Removal of what has grown too old, in small steps.
//!
//! Invariant: of an account's log the oldest events go first, so what remains has no gap. One step
//! removes a bounded number of rows, so that the writes of accounts never wait long behind it.

use std::time::Duration;

use super::engine::Row;
use super::{Store, StoreError};
use crate::domain::time::Timestamp;

/// Rows of each kind that one step removes at most.
const STEP_ROWS: i64 = 1000;

/// How long things are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeAges {
    /// Answers under an `Idempotency-Key`.
    pub idempotency_records: Duration,
    /// Statuses of messages that never appeared.
    pub parked_statuses: Duration,
    /// The event log.
    pub events: Duration,
    /// Deliveries to webhooks, whatever became of them.
    pub deliveries: Duration,
}

impl Default for PurgeAges {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self { idempotency_records: DAY, parked_statuses: 8 * DAY, events: 30 * DAY, deliveries: 30 * DAY }
    }
}

pub(super) const IDEMPOTENCY_RECORDS: &str = "\
DELETE FROM idempotency_records WHERE (organisation_id, key) IN \
    (SELECT organisation_id, key FROM idempotency_records WHERE created_at < $1 \
     ORDER BY created_at LIMIT $2) \
RETURNING 1";

pub(super) const PARKED_STATUSES: &str = "\
DELETE FROM parked_statuses WHERE (account, wamid, status) IN \
    (SELECT account, wamid, status FROM parked_statuses WHERE parked_at < $1 \
     ORDER BY parked_at LIMIT $2) \
RETURNING 1";

pub(super) const EVENTS: &str = "\
DELETE FROM events WHERE (account, sequence) IN \
    (SELECT account, sequence FROM events WHERE created_at < $1 \
     ORDER BY created_at, sequence LIMIT $2) \
RETURNING 1";

pub(super) const DELIVERIES: &str = "\
DELETE FROM webhook_deliveries WHERE id IN \
    (SELECT id FROM webhook_deliveries WHERE created_at < $1 ORDER BY created_at LIMIT $2) \
RETURNING 1";

impl Store {
    /// Removes some of what is older than `ages`, and returns how many rows went; zero when
    /// nothing is left to remove.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn purge(&self, now: Timestamp, ages: &PurgeAges) -> Result<u64, StoreError> {
        let steps = [
            (IDEMPOTENCY_RECORDS, ages.idempotency_records),
            (PARKED_STATUSES, ages.parked_statuses),
            (EVENTS, ages.events),
            (DELIVERIES, ages.deliveries),
        ];
        let mut removed = 0;
        for (sql, age) in steps {
            let args = vec![now.minus(age).millis().into(), STEP_ROWS.into()];
            let rows: Vec<Row> = self.writer.write(sql, args).await?;
            removed += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        }
        Ok(removed)
    }
}
