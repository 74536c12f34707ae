//! Removal of expired rows, in small steps.
//!
//! Invariant: of an account's log the oldest events are removed first, so the rest has no gap. One step
//! removes a bounded number of rows, so that the writes of accounts never wait long behind it.

use std::sync::atomic::Ordering;
use std::time::Duration;

use super::dialect::Dialect;
use super::engine::SqlArg;
use super::{IdempotencyRecord, Store, StoreError};
use crate::domain::time::Timestamp;
use crate::ids::{AuditEntryId, ulid};

/// Rows of each kind that one step removes, at most.
const STEP_ROWS: i64 = 1000;

/// Parked items of one account, at most.
const PARKED_MAX: i64 = 100_000;

/// Longer than any upload.
const UPLOAD_TIME: Duration = Duration::from_hours(24);

/// Retention times.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PurgeAges {
    /// Answers under an `Idempotency-Key`, and claims of keys that were never released.
    pub idempotency_records: Duration,
    /// Items about messages that never appeared.
    pub parked_items: Duration,
    /// Keys of what was erased.
    pub erased_keys: Duration,
    /// Items as they came from WhatsApp.
    pub raw_items: Duration,
    /// The event log.
    pub events: Duration,
    /// Deliveries to webhooks, in any state.
    pub deliveries: Duration,
    /// Runs of hooks with their logs and effects, in any state.
    pub runs: Duration,
    /// The audit log; `None` keeps it for ever.
    pub audit: Option<Duration>,
}

impl Default for PurgeAges {
    fn default() -> Self {
        const DAY: Duration = Duration::from_hours(24);
        Self {
            idempotency_records: IdempotencyRecord::KEPT,
            parked_items: 8 * DAY,
            erased_keys: 30 * DAY,
            raw_items: 30 * DAY,
            events: 30 * DAY,
            deliveries: 30 * DAY,
            runs: 30 * DAY,
            audit: None,
        }
    }
}

/// The oldest rows of a table.
pub(super) struct OldestRows {
    table: &'static str,
    key: &'static str,
    which: &'static str,
}

pub(super) const IDEMPOTENCY_RECORDS: OldestRows = OldestRows {
    table: "idempotency_records",
    key: "organisation_id, key",
    which: "created_at < $1 ORDER BY created_at LIMIT $2",
};

pub(super) const PARKED_ITEMS: OldestRows = OldestRows {
    table: "parked_items",
    key: "account, wamid_key, slot",
    which: "parked_at < $1 ORDER BY parked_at LIMIT $2",
};

pub(super) const ERASED_KEYS: OldestRows = OldestRows {
    table: "erased_keys",
    key: "account, digest",
    which: "erased_at < $1 ORDER BY erased_at LIMIT $2",
};

/// The oldest parked items of the account $1.
pub(super) const PARKED_SURPLUS: OldestRows = OldestRows {
    table: "parked_items",
    key: "account, wamid_key, slot",
    which: "account = $1 ORDER BY parked_at LIMIT $2",
};

pub(super) const RAW_ITEMS: OldestRows = OldestRows {
    table: "raw_items",
    key: "account, wamid_key, digest",
    which: "received_at < $1 ORDER BY received_at LIMIT $2",
};

pub(super) const EVENTS: OldestRows = OldestRows {
    table: "events",
    key: "account, sequence",
    which: "created_at < $1 ORDER BY created_at, sequence LIMIT $2",
};

pub(super) const DELIVERIES: OldestRows = OldestRows {
    table: "webhook_deliveries",
    key: "id",
    which: "created_at < $1 ORDER BY created_at LIMIT $2",
};

pub(super) const RUNS: OldestRows =
    OldestRows { table: "plugin_runs", key: "id", which: "created_at < $1 ORDER BY created_at LIMIT $2" };

pub(super) const RUN_LOGS: OldestRows =
    OldestRows { table: "plugin_run_logs", key: "id", which: "created_at < $1 ORDER BY created_at LIMIT $2" };

pub(super) const EFFECTS: OldestRows = OldestRows {
    table: "plugin_effects",
    key: "run_id, ordinal",
    which: "created_at < $1 ORDER BY created_at LIMIT $2",
};

/// Entries of the audit log made before an id.
pub(super) const AUDIT_ENTRIES: OldestRows =
    OldestRows { table: "audit_entries", key: "id", which: "id < $1 ORDER BY id LIMIT $2" };

impl OldestRows {
    /// Names the rows of a table for which a condition holds; the condition has the limit $2.
    pub(super) const fn matching(table: &'static str, key: &'static str, which: &'static str) -> Self {
        Self { table, key, which }
    }

    /// Returns `true` for rows of this table.
    pub(super) fn is_of(&self, table: &str) -> bool {
        self.table == table
    }

    /// Returns the statement that removes rows older than $1, at most $2 of them, and returns a row for each.
    pub(super) fn delete_statement(&self, dialect: Dialect) -> String {
        let Self { table, key, which } = self;
        match dialect {
            Dialect::Sqlite => format!(
                "DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE {which}) RETURNING 1"
            ),
            // By ctid, because a sub-query would be joined, perhaps with the whole table. A row that moves
            // meanwhile has been updated, and stays.
            Dialect::Postgres => format!(
                "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {which})) \
                 RETURNING 1"
            ),
        }
    }
}

impl Store {
    /// Returns the number of parked items that were dropped because their account had too many.
    #[must_use]
    pub fn parked_items_dropped(&self) -> u64 {
        self.parked_dropped.load(Ordering::Relaxed)
    }

    /// Removes some of the oldest parked items of each account that has more than `max`, and returns their
    /// number.
    pub(super) async fn drop_parked_surplus(&self, max: i64) -> Result<u64, StoreError> {
        let sql = "SELECT account, count(*) FROM parked_items GROUP BY account HAVING count(*) > $1";
        let mut dropped = 0;
        for row in self.read_for_server().fetch_rows(sql, vec![max.into()]).await? {
            let mut fields = row.read_fields("parked_items");
            let (account, count) = (fields.take_int()?, fields.take_int()?);
            let surplus = count.saturating_sub(max).min(STEP_ROWS);
            let sql = PARKED_SURPLUS.delete_statement(self.engine.dialect());
            let rows =
                self.write_for_server().write_statement(sql, vec![account.into(), surplus.into()]).await?;
            dropped += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        }
        self.parked_dropped.fetch_add(dropped, Ordering::Relaxed);
        Ok(dropped)
    }

    /// Removes some of the rows older than `ages`, and of the parked items of accounts that have too many.
    /// Returns their number; zero when none are left to remove.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn purge_rows(&self, now: Timestamp, ages: &PurgeAges) -> Result<u64, StoreError> {
        let steps = [
            (IDEMPOTENCY_RECORDS, ages.idempotency_records),
            (PARKED_ITEMS, ages.parked_items),
            (ERASED_KEYS, ages.erased_keys),
            (RAW_ITEMS, ages.raw_items),
            (EVENTS, ages.events),
            (DELIVERIES, ages.deliveries),
            (RUNS, ages.runs),
            (RUN_LOGS, ages.runs),
            (EFFECTS, ages.runs),
        ];
        let mut steps: Vec<(OldestRows, SqlArg)> =
            steps.map(|(oldest, age)| (oldest, now.minus_duration(age).millis().into())).into();
        if let Some(age) = ages.audit {
            let first = AuditEntryId::from_bits(ulid(now.minus_duration(age).millis(), 0));
            steps.push((AUDIT_ENTRIES, first.to_string().into()));
        }
        let mut removed = self.drop_parked_surplus(PARKED_MAX).await?;
        for (oldest, first_kept) in steps {
            let sql = oldest.delete_statement(self.engine.dialect());
            let args = vec![first_kept, STEP_ROWS.into()];
            let rows = self.write_for_server().write_statement(sql, args).await?;
            removed += u64::try_from(rows.len()).unwrap_or(u64::MAX);
        }
        self.purge_unfinished_versions(now.minus_duration(UPLOAD_TIME)).await?;
        Ok(removed)
    }
}
