//! Deliveries to webhooks: their row, their lists, and their replay.
//!
//! Invariant: a row has a next attempt exactly while its status is `pending` or `failed`, so the index of
//! open deliveries holds exactly the open ones.

use std::collections::HashMap;
use std::sync::Arc;

use serde::Serialize;

use super::dialect::{BulkStatement, ColumnKind};
use super::engine::{EngineRow, RowFields, SqlArg};
use super::row::{RowPlace, instant_millis, json_array};
use super::statement_owner::StatementOwner;
use super::{IdempotencyRecord, Store, StoreError};
use crate::domain::delivery::{Delivery, DeliveryAttempt, DeliveryStatus, RenderedBody};
use crate::domain::due_time::DueTime;
use crate::domain::event::EventType;
use crate::domain::page::{DeliveryFilter, DeliveryQuery, RowPage};
use crate::domain::subscriber::SubscriberId;
use crate::domain::time::Timestamp;
use crate::ids::{ContactId, DeliveryId, EventId, OrganisationId, ulid};

/// Name of the table.
pub(super) const TABLE: &str = "webhook_deliveries";

pub(super) const COLUMNS: &str = "id, subscription_id, organisation_id, account, sequence, event_id, event_type, \
     contact_id, status, attempts, attempt_count, tries, next_attempt_at, created_at, updated_at, replays";

/// Inserts all rows of an array, if the subscriber's cursor has just been moved past their events. The body of a
/// message that was taken back or removed since it was rendered is not kept.
pub(super) const INSERT: BulkStatement = BulkStatement {
    text: "\
INSERT INTO webhook_deliveries (id, subscription_id, organisation_id, account, sequence, event_id, \
    event_type, contact_id, status, attempts, attempt_count, tries, next_attempt_at, created_at, updated_at, \
    message_id, body) \
SELECT r.id, r.subscription_id, r.organisation_id, r.account, r.sequence, r.event_id, \
    r.event_type, r.contact_id, r.status, r.attempts, r.attempt_count, r.tries, r.next_attempt_at, \
    r.created_at, r.updated_at, r.message_id, CASE WHEN r.body IS NOT NULL AND EXISTS \
        (SELECT 1 FROM messages m WHERE m.account = r.account AND m.id = r.message_id \
        AND NOT (m.content = '' AND m.payload = '{}')) THEN r.body END \
FROM {rows} WHERE EXISTS (SELECT 1 FROM delivery_cursors \
    WHERE subscriber = $2 AND account = $3 AND cursor = $4) \
ON CONFLICT (subscription_id, account, sequence) DO NOTHING",
    columns: &[
        ("id", ColumnKind::Text),
        ("subscription_id", ColumnKind::Text),
        ("organisation_id", ColumnKind::Text),
        ("account", ColumnKind::Int),
        ("sequence", ColumnKind::Int),
        ("event_id", ColumnKind::Text),
        ("event_type", ColumnKind::Text),
        ("contact_id", ColumnKind::Text),
        ("status", ColumnKind::Text),
        ("attempts", ColumnKind::Text),
        ("attempt_count", ColumnKind::Int),
        ("tries", ColumnKind::Int),
        ("next_attempt_at", ColumnKind::Int),
        ("created_at", ColumnKind::Int),
        ("updated_at", ColumnKind::Int),
        ("message_id", ColumnKind::Text),
        ("body", ColumnKind::Text),
    ],
};

/// Inserts all rows of an array of a subscription that was not deleted. Existing rows are made due instead,
/// at the beginning of their retry schedule.
pub(super) const REPLAY: BulkStatement = BulkStatement {
    text: "\
INSERT INTO webhook_deliveries (id, subscription_id, organisation_id, account, sequence, event_id, \
    event_type, contact_id, status, attempts, attempt_count, tries, next_attempt_at, created_at, updated_at, \
    message_id, body) \
SELECT r.id, r.subscription_id, r.organisation_id, r.account, r.sequence, r.event_id, \
    r.event_type, r.contact_id, r.status, r.attempts, r.attempt_count, r.tries, r.next_attempt_at, \
    r.created_at, r.updated_at, r.message_id, CASE WHEN r.body IS NOT NULL AND EXISTS \
        (SELECT 1 FROM messages m WHERE m.account = r.account AND m.id = r.message_id \
        AND NOT (m.content = '' AND m.payload = '{}')) THEN r.body END \
FROM {rows} WHERE EXISTS (SELECT 1 FROM webhook_subscriptions s \
    WHERE s.id = r.subscription_id AND s.deleted_at IS NULL) \
ON CONFLICT (subscription_id, account, sequence) DO UPDATE SET status = 'pending', tries = 0, \
    next_attempt_at = excluded.next_attempt_at, updated_at = excluded.updated_at, \
    message_id = excluded.message_id, body = excluded.body, replays = webhook_deliveries.replays + 1",
    columns: INSERT.columns,
};

/// Writes the outcomes of attempts, each unless another attempt was recorded since the one before it. A row
/// that was replayed during the attempt gets the attempt, and stays due.
pub(super) const RECORD: BulkStatement = BulkStatement {
    text: "\
UPDATE webhook_deliveries SET attempts = r.attempts, attempt_count = r.attempt_count, \
    status = CASE WHEN webhook_deliveries.replays = r.replays THEN r.status ELSE webhook_deliveries.status END, \
    tries = CASE WHEN webhook_deliveries.replays = r.replays THEN r.tries ELSE webhook_deliveries.tries END, \
    next_attempt_at = CASE WHEN webhook_deliveries.replays = r.replays THEN r.next_attempt_at \
        ELSE webhook_deliveries.next_attempt_at END, \
    updated_at = CASE WHEN webhook_deliveries.replays = r.replays OR webhook_deliveries.updated_at < r.updated_at \
        THEN r.updated_at ELSE webhook_deliveries.updated_at END \
FROM {rows} \
WHERE {same webhook_deliveries.id = r.id} AND webhook_deliveries.attempt_count = r.attempt_count - 1 \
RETURNING webhook_deliveries.id, webhook_deliveries.replays",
    columns: &[
        ("id", ColumnKind::Text),
        ("status", ColumnKind::Text),
        ("attempts", ColumnKind::Text),
        ("attempt_count", ColumnKind::Int),
        ("tries", ColumnKind::Int),
        ("next_attempt_at", ColumnKind::Int),
        ("updated_at", ColumnKind::Int),
        ("replays", ColumnKind::Int),
    ],
};

/// Time, status code, milliseconds, error.
type AttemptRow = (i64, Option<u16>, u32, Option<String>);

/// A row of `webhook_deliveries`, or the same columns of `plugin_runs`.
#[derive(Debug, Serialize)]
pub(super) struct DeliveryRow {
    id: String,
    subscription_id: String,
    organisation_id: String,
    account: i64,
    sequence: i64,
    event_id: String,
    event_type: &'static str,
    contact_id: String,
    status: &'static str,
    attempts: Vec<AttemptRow>,
    attempt_count: u32,
    tries: u32,
    next_attempt_at: Option<i64>,
    created_at: i64,
    updated_at: i64,
    replays: u32,
    #[serde(skip_serializing_if = "Option::is_none")]
    message_id: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    body: Option<Arc<str>>,
}

impl DeliveryRow {
    /// Creates the rows of new deliveries, with their bodies.
    pub(super) fn with_bodies(
        deliveries: &[Delivery],
        bodies: &HashMap<DeliveryId, RenderedBody>,
    ) -> Vec<Self> {
        let row = |one: &Delivery| {
            let body = bodies.get(&one.id);
            Self {
                message_id: body.map(|body| body.message_id.to_string()),
                body: body.map(|body| body.json.clone()),
                ..Self::from(one)
            }
        };
        deliveries.iter().map(row).collect()
    }
}

impl From<&Delivery> for DeliveryRow {
    fn from(one: &Delivery) -> Self {
        let attempt = |attempt: &DeliveryAttempt| {
            let error = attempt.error.as_deref().map(str::to_owned);
            (attempt.at.millis(), attempt.status_code, attempt.duration_ms, error)
        };
        Self {
            id: one.shown_id(),
            subscription_id: one.subscriber.to_string(),
            organisation_id: one.organisation_id.to_string(),
            account: one.account,
            sequence: one.sequence,
            event_id: one.event_id.to_string(),
            event_type: one.event_type.as_str(),
            contact_id: one.contact_id.to_string(),
            status: one.status.as_str(),
            attempts: one.attempts.iter().map(attempt).collect(),
            attempt_count: one.attempt_count,
            tries: one.tries,
            next_attempt_at: instant_millis(one.next_attempt_at.map(DueTime::to_row)),
            created_at: one.created_at.millis(),
            updated_at: one.updated_at.millis(),
            replays: one.replays,
            message_id: None,
            body: None,
        }
    }
}

/// Reads [`COLUMNS`] of either table.
pub(super) fn read_delivery(fields: &mut RowFields<'_>, table: &'static str) -> Result<Delivery, StoreError> {
    let id = fields.take_text()?;
    let at = RowPlace { table, id: &id };
    let attempt = |(ms, status_code, duration_ms, error): AttemptRow| {
        let error = error.map(Arc::from);
        Ok(DeliveryAttempt { at: at.check_time("attempts", ms)?, status_code, duration_ms, error })
    };
    Ok(Delivery {
        id: at.check_value("id", Delivery::parse_id(&id))?,
        subscriber: at.check_value("subscription_id", SubscriberId::parse(&fields.take_text()?))?,
        organisation_id: at
            .check_value("organisation_id", OrganisationId::parse(&fields.take_text()?).ok())?,
        account: fields.take_int()?,
        sequence: fields.take_int()?,
        event_id: at.check_value("event_id", EventId::parse(&fields.take_text()?).ok())?,
        event_type: at.check_value("event_type", EventType::parse(&fields.take_text()?))?,
        contact_id: at.check_value("contact_id", ContactId::parse(&fields.take_text()?).ok())?,
        status: at.check_value("status", DeliveryStatus::parse(&fields.take_text()?))?,
        attempts: {
            let rows: Option<Vec<AttemptRow>> = serde_json::from_str(&fields.take_text()?).ok();
            let rows = at.check_value("attempts", rows)?.into_iter();
            rows.map(attempt).collect::<Result<_, StoreError>>()?
        },
        attempt_count: at.check_count("attempt_count", fields.take_int()?)?,
        tries: at.check_count("tries", fields.take_int()?)?,
        next_attempt_at: at.opt_due_time("next_attempt_at", fields.opt_int()?)?,
        created_at: at.check_time("created_at", fields.take_int()?)?,
        updated_at: at.check_time("updated_at", fields.take_int()?)?,
        replays: at.check_count("replays", fields.take_int()?)?,
    })
}

/// Reads deliveries from rows that hold [`COLUMNS`].
pub(super) fn read_all(rows: &[EngineRow]) -> Result<Vec<Delivery>, StoreError> {
    rows.iter().map(|row| read_delivery(&mut row.read_fields(TABLE), TABLE)).collect()
}

/// Reads id and replays of a row that begins with them.
pub(super) fn id_and_replays(row: &EngineRow) -> Result<(DeliveryId, u32), StoreError> {
    let mut fields = row.read_fields(TABLE);
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    Ok((at.check_value("id", DeliveryId::parse(&id).ok())?, at.check_count("replays", fields.take_int()?)?))
}

/// Reads the id of a row that begins with it.
pub(super) fn id_of(row: &EngineRow) -> Result<DeliveryId, StoreError> {
    let id = row.read_fields(TABLE).take_text()?;
    RowPlace { table: TABLE, id: &id }.check_value("id", DeliveryId::parse(&id).ok())
}

/// Returns the statement for a delivery worker's open deliveries.
pub(super) fn open_statement() -> String {
    format!(
        "SELECT {COLUMNS} FROM webhook_deliveries WHERE subscription_id = $1 AND account = $2 \
         AND sequence > $3 AND next_attempt_at IS NOT NULL ORDER BY sequence LIMIT $4"
    )
}

/// Adds the conditions of a filter to a statement.
fn narrow_filter(sql: String, filter: &DeliveryFilter) -> (String, Vec<SqlArg>) {
    let (mut sql, mut args) = (sql, Vec::new());
    let mut narrow = |condition: &str, value: SqlArg| {
        let word = if args.is_empty() { "WHERE" } else { "AND" };
        args.push(value);
        sql = format!("{sql} {word} {condition} ${}", args.len());
    };
    narrow("organisation_id =", filter.organisation_id.to_string().into());
    if let Some(id) = filter.subscription_id {
        narrow("subscription_id =", id.to_string().into());
    }
    if let Some(status) = filter.status {
        narrow("status =", status.as_str().into());
    }
    if let Some(one) = filter.event_type {
        narrow("event_type =", one.as_str().into());
    }
    let first_of = |at: Timestamp| DeliveryId::from_bits(ulid(at.millis(), 0));
    if let Some(after) = filter.created_after {
        narrow("id >=", first_of(after.next()).to_string().into());
    }
    if let Some(before) = filter.created_before {
        narrow("id <", first_of(before).to_string().into());
    }
    (sql, args)
}

/// Returns the statement and the values of one page, one row longer than the page.
pub(super) fn page_statement(query: &DeliveryQuery) -> (String, Vec<SqlArg>) {
    let (mut sql, mut args) =
        narrow_filter(format!("SELECT {COLUMNS} FROM webhook_deliveries"), &query.filter);
    if let Some(after) = query.after {
        args.push(after.to_string().into());
        sql = format!("{sql} AND id < ${}", args.len());
    }
    args.push(SqlArg::from(i64::try_from(query.limit.rows() + 1).ok()));
    (format!("{sql} ORDER BY id DESC LIMIT ${}", args.len()), args)
}

impl Store {
    /// Returns a page of deliveries, newest first.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn page_deliveries(&self, query: &DeliveryQuery) -> Result<RowPage<Delivery>, StoreError> {
        let (sql, args) = page_statement(query);
        Ok(RowPage::cut_to(
            read_all(&self.read_for(query.filter.organisation_id).fetch_rows(sql, args).await?)?,
            query.limit,
        ))
    }

    /// Finds a tenant's delivery.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_delivery(
        &self,
        organisation: OrganisationId,
        id: DeliveryId,
    ) -> Result<Option<Delivery>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook_deliveries WHERE id = $1 AND organisation_id = $2");
        let rows = self
            .read_for(organisation)
            .fetch_rows(sql, vec![id.to_string().into(), organisation.to_string().into()])
            .await?;
        Ok(read_all(&rows)?.pop())
    }

    /// Returns the oldest deliveries that a filter passes, at most `limit` of them, and `true` when there are
    /// more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn oldest_deliveries(
        &self,
        filter: &DeliveryFilter,
        limit: usize,
    ) -> Result<(Vec<DeliveryId>, bool), StoreError> {
        let (sql, mut args) = narrow_filter("SELECT id FROM webhook_deliveries".to_owned(), filter);
        args.push(SqlArg::from(i64::try_from(limit.saturating_add(1)).ok()));
        let sql = format!("{sql} ORDER BY id LIMIT ${}", args.len());
        let rows = self.read_for(filter.organisation_id).fetch_rows(sql, args).await?;
        let mut ids = rows.iter().map(id_of).collect::<Result<Vec<_>, _>>()?;
        let capped = ids.len() > limit;
        ids.truncate(limit);
        Ok((ids, capped))
    }

    /// Makes these deliveries due at `now`, at the beginning of the retry schedule, in whatever state they
    /// are, and stores the answer. Returns subscription and account of each.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn reopen_deliveries(
        &self,
        organisation: OrganisationId,
        ids: &[DeliveryId],
        now: Timestamp,
        answer: Option<&IdempotencyRecord>,
    ) -> Result<Vec<(SubscriberId, i64)>, StoreError> {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let listed = self.engine.dialect().in_texts(1);
        let sql = format!(
            "UPDATE webhook_deliveries SET status = 'pending', tries = 0, replays = replays + 1, next_attempt_at = $2, \
             updated_at = CASE WHEN updated_at > $2 THEN updated_at ELSE $2 END WHERE id {listed} RETURNING id, subscription_id, account"
        );
        let mut script = vec![(sql.into(), vec![json_array(&names)?.into(), now.millis().into()])];
        script.extend(answer.map(|record| self.insert_record(record)));
        let rows = self.write_for(organisation).write_all(script).await?;
        let read = |row: &EngineRow| {
            let mut fields = row.read_fields(TABLE);
            let id = fields.take_text()?;
            let at = RowPlace { table: TABLE, id: &id };
            let subscriber = SubscriberId::parse(&fields.take_text()?);
            Ok((at.check_value("subscription_id", subscriber)?, fields.take_int()?))
        };
        rows.iter().map(read).collect()
    }

    /// Makes the deliveries of these events due, whether they were delivered, given up or purged before, and
    /// stores the answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn replay_deliveries(
        &self,
        deliveries: &[Delivery],
        bodies: &HashMap<DeliveryId, RenderedBody>,
        answer: Option<&IdempotencyRecord>,
    ) -> Result<(), StoreError> {
        let rows = DeliveryRow::with_bodies(deliveries, bodies);
        let mut script =
            vec![(self.engine.dialect().bulk_text(&REPLAY).into(), vec![json_array(&rows)?.into()])];
        script.extend(answer.map(|record| self.insert_record(record)));
        let owner = deliveries.first().map(|one| one.organisation_id);
        let owner = owner.map_or(StatementOwner::Server, StatementOwner::from);
        self.write_for(owner).write_all(script).await.map(drop)
    }
}
