//! State of delivery workers: each subscriber's cursor in each account's log, and the pairs of both with open
//! deliveries.
//!
//! Invariants: a cursor moves from the expected number in the transaction that appends the deliveries of the
//! events that it passes, or nothing is written. So of two delivery workers of one subscriber and account
//! only one takes in each event, and neither skips one. An outcome is recorded only by a worker that knows
//! every attempt before it.

use std::collections::HashMap;

use super::delivery::{self, DeliveryRow};
use super::engine::{EngineRow, SqlArg};
use super::row::json_array;
use super::statement_owner::StatementOwner;
use super::{Store, StoreError, run};
use crate::domain::delivery::{Delivery, RenderedBody};
use crate::domain::subscriber::SubscriberId;
use crate::ids::DeliveryId;

const TABLE: &str = "delivery_cursors";

/// Position of a delivery worker.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeliveryCursor {
    /// Number of the last event that was taken in.
    pub cursor: i64,
    /// Number of the last event of the log.
    pub head: i64,
}

/// Events that a delivery worker takes in from the log.
#[derive(Debug)]
pub struct Intake<'a> {
    /// The subscriber.
    pub subscriber: SubscriberId,
    /// The account of the log.
    pub account: i64,
    /// Position of the cursor before.
    pub from: i64,
    /// Position of the cursor after.
    pub to: i64,
    /// Deliveries of the events between.
    pub deliveries: &'a [Delivery],
    /// Bodies of those that have one already.
    pub bodies: &'a HashMap<DeliveryId, RenderedBody>,
}

/// Delivery workers to look for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DeliveryWork {
    /// Those of this account.
    OfAccount(i64),
    /// Those of this subscriber.
    Of(SubscriberId),
    /// Those of accounts that no node serves.
    Unserved,
}

/// Moves a cursor; without a row it is at the beginning.
pub(super) const MOVE: &str = "\
INSERT INTO delivery_cursors (subscriber, account, cursor) SELECT $1, $2, $4 \
WHERE $3 = 0 OR EXISTS (SELECT 1 FROM delivery_cursors WHERE subscriber = $1 AND account = $2) \
ON CONFLICT (subscriber, account) DO UPDATE SET cursor = excluded.cursor \
    WHERE delivery_cursors.cursor = $3 \
RETURNING cursor";

/// One kind of subscribers: their table, the condition of the active ones, and their open deliveries.
struct WorkKind {
    table: &'static str,
    active: &'static str,
    owed: &'static str,
}

const WEBHOOKS: WorkKind = WorkKind {
    table: "webhook_subscriptions",
    active: "s.status = 'active'",
    owed: "webhook_deliveries d WHERE d.subscription_id",
};

const HOOKS: WorkKind = WorkKind {
    table: "plugins",
    active: "s.enabled = 1 AND s.active_version IS NOT NULL AND s.state <> 'disabled'",
    owed: "plugin_runs d WHERE d.plugin_id",
};

pub(super) fn work_statement(work: DeliveryWork) -> String {
    let (whose, kinds): (_, &[WorkKind]) = match work {
        DeliveryWork::OfAccount(_) => ("a.number = $1", &[WEBHOOKS, HOOKS]),
        DeliveryWork::Of(SubscriberId::Webhook(_)) => ("s.id = $1", &[WEBHOOKS]),
        DeliveryWork::Of(SubscriberId::Hook(_)) => ("s.id = $1", &[HOOKS]),
        DeliveryWork::Unserved => {
            ("$1 = 0 AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = a.owner)", &[WEBHOOKS, HOOKS])
        }
    };
    let of_kind = |WorkKind { table, active, owed }: &WorkKind| {
        format!(
            "SELECT s.id AS subscriber, a.number AS account FROM accounts a \
             JOIN {table} s ON s.organisation_id = a.organisation_id \
             LEFT JOIN delivery_cursors c ON c.subscriber = s.id AND c.account = a.number \
             WHERE {whose} AND {active} AND s.deleted_at IS NULL \
             AND (COALESCE(c.cursor, 0) < a.sequence OR EXISTS (SELECT 1 FROM {owed} = s.id \
                 AND d.account = a.number AND d.next_attempt_at IS NOT NULL))"
        )
    };
    let kinds: Vec<String> = kinds.iter().map(of_kind).collect();
    format!("{} ORDER BY account, subscriber", kinds.join(" UNION ALL "))
}

impl Store {
    /// Returns the position of a delivery worker; `None` when there is no such account.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delivery_cursor(
        &self,
        subscriber: SubscriberId,
        account: i64,
    ) -> Result<Option<DeliveryCursor>, StoreError> {
        let sql = "SELECT a.sequence, c.cursor FROM accounts a \
                   LEFT JOIN delivery_cursors c ON c.account = a.number AND c.subscriber = $1 \
                   WHERE a.number = $2";
        let rows = self
            .read_for(account)
            .fetch_rows(sql, vec![subscriber.to_string().into(), account.into()])
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.read_fields(TABLE);
        let head = fields.take_int()?;
        Ok(Some(DeliveryCursor { cursor: fields.opt_int()?.unwrap_or(0), head }))
    }

    /// Appends deliveries and moves the cursor past their events. `false`, and nothing is written, when the
    /// cursor is not at the given position.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn take_in(&self, intake: Intake<'_>) -> Result<bool, StoreError> {
        let Intake { subscriber, account, from, to, deliveries, bodies } = intake;
        let is_hook = matches!(subscriber, SubscriberId::Hook(_));
        let subscriber = subscriber.to_string();
        let args = vec![SqlArg::from(subscriber.as_str()), account.into(), from.into(), to.into()];
        let mut script = vec![(MOVE.into(), args)];
        if !deliveries.is_empty() {
            let rows = DeliveryRow::with_bodies(deliveries, bodies);
            let insert = if is_hook { &run::INSERT } else { &delivery::INSERT };
            let args = vec![json_array(&rows)?.into(), subscriber.into(), account.into(), to.into()];
            script.push((self.engine.dialect().bulk_text(insert).into(), args));
        }
        Ok(!self.write_for(account).write_all(script).await?.is_empty())
    }

    /// Returns open deliveries of a subscriber and account after this number of the log, in order, at most
    /// `limit`.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn open_deliveries(
        &self,
        subscriber: SubscriberId,
        account: i64,
        after: i64,
        limit: usize,
    ) -> Result<Vec<Delivery>, StoreError> {
        let limit = i64::try_from(limit).unwrap_or(i64::MAX);
        let sql = match subscriber {
            SubscriberId::Webhook(_) => delivery::open_statement(),
            SubscriberId::Hook(_) => run::open_statement(),
        };
        let args = vec![subscriber.to_string().into(), account.into(), after.into(), limit.into()];
        delivery::read_all(&self.read_for(account).fetch_rows(sql, args).await?)
    }

    /// Records the outcomes of attempts, and returns the ids of the rows that were written. The other rows
    /// were recorded by another delivery worker, were replayed during the attempt and are due, or are gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn record_deliveries(&self, deliveries: &[Delivery]) -> Result<Vec<DeliveryId>, StoreError> {
        let rows: Vec<DeliveryRow> = deliveries.iter().map(DeliveryRow::from).collect();
        let sql = self.engine.dialect().bulk_text(&delivery::RECORD);
        let Some(first) = deliveries.first() else { return Ok(Vec::new()) };
        let recorded = self
            .write_for(first.organisation_id)
            .write_statement(sql, vec![json_array(&rows)?.into()])
            .await?;
        let recorded = recorded.iter().map(delivery::id_and_replays).collect::<Result<HashMap<_, _>, _>>()?;
        let stands = |one: &&Delivery| recorded.get(&one.id) == Some(&one.replays);
        Ok(deliveries.iter().filter(stands).map(|one| one.id).collect())
    }

    /// Returns subscribers and accounts that have open deliveries, or a log that reaches beyond the cursor.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delivery_work(&self, work: DeliveryWork) -> Result<Vec<(SubscriberId, i64)>, StoreError> {
        let (whose, owner): (SqlArg, _) = match work {
            DeliveryWork::OfAccount(number) => (number.into(), StatementOwner::Account(number)),
            DeliveryWork::Of(subscriber) => {
                (subscriber.to_string().into(), StatementOwner::Subscriber(subscriber))
            }
            DeliveryWork::Unserved => (0.into(), StatementOwner::Server),
        };
        let read = |row: &EngineRow| {
            let mut fields = row.read_fields(TABLE);
            let id = fields.take_text()?;
            let subscriber = SubscriberId::parse(&id);
            let subscriber =
                subscriber.ok_or_else(|| StoreError::Corrupt(format!("{id:?} is no subscriber")))?;
            Ok((subscriber, fields.take_int()?))
        };
        self.read_for(owner).fetch_rows(work_statement(work), vec![whose]).await?.iter().map(read).collect()
    }
}
