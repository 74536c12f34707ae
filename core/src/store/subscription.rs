//! Webhook subscriptions and their secrets: their rows, and every statement that reads or writes them.
//!
//! Invariant: a subscription begins, in the transaction that creates it, at the current end of the log of
//! each of its tenant's accounts. Subscriptions are read whole at start; after that only changes by other
//! nodes are read.

use std::collections::HashMap;
use std::sync::Arc;

use super::encrypted_column::EncryptedColumn;
use super::engine::{EngineRow, RowFields, Sql, SqlArg};
use super::principal_row::{principal_text, read_principal};
use super::row::{RowPlace, instant_millis, json_array};
use super::{IdempotencyRecord, Store, StoreError};
use crate::domain::event::{EventType, EventTypes};
use crate::domain::row_version::RowVersion;
use crate::domain::subscription::{
    DEAD_IN_ROW_MAX, SigningSecret, Subscription, SubscriptionStatus, WebhookFormat,
};
use crate::domain::time::Timestamp;
use crate::encryption::KeyRing;
use crate::ids::{OrganisationId, SigningSecretId, SubscriptionId};

const TABLE: &str = "webhook_subscriptions";

const COLUMNS: &str = "id, organisation_id, url, events, format, description, status, dead_in_row, created_at, \
     updated_at, row_version, created_by";

fn words_of(types: EventTypes) -> Result<String, StoreError> {
    let words: Vec<&str> = types.iter().map(EventType::as_str).collect();
    Ok(json_array(&words)?)
}

/// Reads [`COLUMNS`]; the secrets are in another table.
fn read_subscription(fields: &mut RowFields<'_>) -> Result<Subscription, StoreError> {
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    let organisation_id = OrganisationId::parse(&fields.take_text()?).ok();
    let url = fields.take_text()?.into();
    let words: Option<Vec<String>> = serde_json::from_str(&fields.take_text()?).ok();
    let words = at.check_value("events", words)?;
    let types: Option<EventTypes> = words.iter().map(|word| EventType::parse(word)).collect();
    Ok(Subscription {
        id: at.check_value("id", SubscriptionId::parse(&id).ok())?,
        organisation_id: at.check_value("organisation_id", organisation_id)?,
        url,
        events: at.check_value("events", types)?,
        format: at.check_value("format", WebhookFormat::parse(&fields.take_text()?))?,
        description: fields.opt_text()?.map(Arc::from),
        status: at.check_value("status", SubscriptionStatus::parse(&fields.take_text()?))?,
        dead_in_row: at.check_count("dead_in_row", fields.take_int()?)?,
        secrets: Vec::new(),
        created_at: at.check_time("created_at", fields.take_int()?)?,
        updated_at: at.check_time("updated_at", fields.take_int()?)?,
        row_version: at.row_version(fields.take_int()?)?,
        created_by: read_principal(at, "created_by", &fields.take_text()?)?,
    })
}

const SECRETS_TABLE: &str = "webhook_secrets";
/// Column of a secret.
pub(super) const SECRET: EncryptedColumn = EncryptedColumn { table: SECRETS_TABLE, column: "secret" };

fn read_secret(row: &EngineRow, keys: &KeyRing) -> Result<(SubscriptionId, SigningSecret), StoreError> {
    let mut fields = row.read_fields(SECRETS_TABLE);
    let id = fields.take_text()?;
    let at = RowPlace { table: SECRETS_TABLE, id: &id };
    let subscription = SubscriptionId::parse(&fields.take_text()?).ok();
    let secret = SigningSecret {
        id: at.check_value("id", SigningSecretId::parse(&id).ok())?,
        secret: SECRET.decrypt(keys, &id, &fields.take_text()?)?,
        created_at: at.check_time("created_at", fields.take_int()?)?,
        expires_at: at.opt_time("expires_at", fields.opt_int()?)?,
        created_by: read_principal(at, "created_by", &fields.take_text()?)?,
    };
    Ok((at.check_value("subscription_id", subscription)?, secret))
}

fn insert_secret(
    subscription: SubscriptionId,
    secret: &SigningSecret,
    keys: &KeyRing,
) -> Result<(Sql, Vec<SqlArg>), StoreError> {
    let sql = "INSERT INTO webhook_secrets (id, subscription_id, secret, created_at, expires_at, created_by) \
               VALUES ($1, $2, $3, $4, $5, $6)";
    let args = vec![
        secret.id.to_string().into(),
        subscription.to_string().into(),
        SECRET.bind_secret(keys, secret.id.to_string(), &secret.secret),
        secret.created_at.millis().into(),
        instant_millis(secret.expires_at).into(),
        principal_text(&secret.created_by)?.into(),
    ];
    Ok((sql.into(), args))
}

/// State of a subscription after the count of deliveries that were given up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotedDeaths {
    /// State; only an active one receives events.
    pub status: SubscriptionStatus,
    /// Deliveries given up since the last one that was accepted.
    pub dead_in_row: u32,
    /// Version of its row.
    pub row_version: RowVersion,
}

impl Store {
    /// Returns every subscription that was not deleted, with its secrets.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_subscriptions(&self) -> Result<Vec<Subscription>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook_subscriptions WHERE deleted_at IS NULL ORDER BY id");
        let rows = self.read_for_server().fetch_rows(sql, Vec::new()).await?;
        self.with_secrets(
            rows.iter()
                .map(|row| read_subscription(&mut row.read_fields(TABLE)))
                .collect::<Result<_, _>>()?,
        )
        .await
    }

    /// Finds a subscription with its secrets; `None` when it was deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_subscription(&self, id: SubscriptionId) -> Result<Option<Subscription>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM webhook_subscriptions WHERE id = $1 AND deleted_at IS NULL");
        let rows = self.read_for(id).fetch_rows(sql, vec![id.to_string().into()]).await?;
        let rows = rows
            .iter()
            .map(|row| read_subscription(&mut row.read_fields(TABLE)))
            .collect::<Result<_, _>>()?;
        Ok(self.with_secrets(rows).await?.pop())
    }

    /// Returns the subscriptions changed and deleted after this revision of the directory. Only for a
    /// database that nodes share.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn subscription_changes(
        &self,
        after: i64,
    ) -> Result<(Vec<Subscription>, Vec<SubscriptionId>), StoreError> {
        let sql = format!(
            "SELECT {COLUMNS}, deleted_at FROM webhook_subscriptions WHERE directory_revision > $1 ORDER BY id"
        );
        let rows = self.read_for_server().fetch_rows(sql, vec![after.into()]).await?;
        let (mut kept, mut deleted) = (Vec::new(), Vec::new());
        for row in &rows {
            let mut fields = row.read_fields(TABLE);
            let subscription = read_subscription(&mut fields)?;
            if fields.opt_int()?.is_some() {
                deleted.push(subscription.id);
            } else {
                kept.push(subscription);
            }
        }
        Ok((self.with_secrets(kept).await?, deleted))
    }

    async fn with_secrets(&self, mut rows: Vec<Subscription>) -> Result<Vec<Subscription>, StoreError> {
        if rows.is_empty() {
            return Ok(rows);
        }
        let names: Vec<String> = rows.iter().map(|row| row.id.to_string()).collect();
        let sql = format!(
            "SELECT id, subscription_id, secret, created_at, expires_at, created_by FROM webhook_secrets \
             WHERE subscription_id {} ORDER BY id",
            self.engine.dialect().in_texts(1)
        );
        let mut secrets: HashMap<SubscriptionId, Vec<SigningSecret>> = HashMap::new();
        for row in &self.read_for_server().fetch_rows(sql, vec![json_array(&names)?.into()]).await? {
            let (subscription, secret) = read_secret(row, &self.keys)?;
            secrets.entry(subscription).or_default().push(secret);
        }
        for row in &mut rows {
            self.owners.note_owner(row.id, row.organisation_id);
            row.secrets = secrets.remove(&row.id).unwrap_or_default();
        }
        Ok(rows)
    }

    /// Inserts a subscription with its secrets, at the current end of its tenant's logs, and stores the
    /// answer.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_subscription(
        &self,
        one: &Subscription,
        answer: Option<&IdempotencyRecord>,
    ) -> Result<(), StoreError> {
        let sql = "INSERT INTO webhook_subscriptions (id, organisation_id, url, events, format, description, \
                   status, dead_in_row, created_at, updated_at, row_version, created_by) \
                   VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)";
        let args = vec![
            one.id.to_string().into(),
            one.organisation_id.to_string().into(),
            one.url.as_ref().into(),
            words_of(one.events)?.into(),
            one.format.as_str().into(),
            one.description.as_deref().into(),
            one.status.as_str().into(),
            i64::from(one.dead_in_row).into(),
            one.created_at.millis().into(),
            one.updated_at.millis().into(),
            one.row_version.to_row().into(),
            principal_text(&one.created_by)?.into(),
        ];
        let cursors = "INSERT INTO delivery_cursors (subscriber, account, cursor) \
                       SELECT $1, number, sequence FROM accounts WHERE organisation_id = $2";
        let of_tenant = vec![one.id.to_string().into(), one.organisation_id.to_string().into()];
        let mut script = vec![(sql.into(), args), (cursors.into(), of_tenant)];
        for secret in &one.secrets {
            script.push(insert_secret(one.id, secret, &self.keys)?);
        }
        script.extend(answer.map(|record| self.insert_record(record)));
        self.owners.note_owner(one.id, one.organisation_id);
        self.write_for(one.id).write_all(script).await.map(drop)
    }

    /// Overwrites a subscription's row of the version that the change was decided on, and returns the new
    /// row. `None`, and nothing is written, when the version has changed, or the subscription was deleted.
    /// Its secrets stay.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn update_subscription(
        &self,
        decided: Subscription,
    ) -> Result<Option<Subscription>, StoreError> {
        let sql = "UPDATE webhook_subscriptions SET url = $2, events = $3, description = $4, status = $5, \
                   dead_in_row = $6, updated_at = $7, format = $9, row_version = row_version + 1 \
                   WHERE id = $1 AND row_version = $8 AND deleted_at IS NULL RETURNING id";
        let args = vec![
            decided.id.to_string().into(),
            decided.url.as_ref().into(),
            words_of(decided.events)?.into(),
            decided.description.as_deref().into(),
            decided.status.as_str().into(),
            i64::from(decided.dead_in_row).into(),
            decided.updated_at.millis().into(),
            decided.row_version.to_row().into(),
            decided.format.as_str().into(),
        ];
        let written = self.write_for(decided.id).write_statement(sql, args).await?;
        let row_version = decided.row_version.next();
        Ok((!written.is_empty()).then_some(Subscription { row_version, ..decided }))
    }

    /// Inserts the last secret of a subscription that was decided on, and stores the answer. Older secrets
    /// expire at `older_until`, if not before; expired ones are deleted. Returns the new subscription.
    /// `None`, and nothing is written, when its row has another version, or it was deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_signing_secret(
        &self,
        decided: Subscription,
        older_until: Timestamp,
        answer: Option<&IdempotencyRecord>,
    ) -> Result<Option<Subscription>, StoreError> {
        let Some(secret) = decided.secrets.last() else { return Ok(Some(decided)) };
        // Over another version the whole script is refused.
        let touched = "UPDATE webhook_subscriptions SET updated_at = $2, \
                       row_version = CASE WHEN row_version = $3 AND deleted_at IS NULL THEN row_version + 1 END \
                       WHERE id = $1";
        let expired = "DELETE FROM webhook_secrets WHERE subscription_id = $1 AND expires_at <= $2";
        let older = "UPDATE webhook_secrets SET expires_at = $2 \
                     WHERE subscription_id = $1 AND (expires_at IS NULL OR expires_at > $2)";
        let id = || SqlArg::from(decided.id.to_string());
        let version = decided.row_version;
        let changed_at = decided.updated_at.millis().into();
        let mut script = vec![
            (touched.into(), vec![id(), changed_at, version.to_row().into()]),
            (expired.into(), vec![id(), secret.created_at.millis().into()]),
            (older.into(), vec![id(), older_until.millis().into()]),
            insert_secret(decided.id, secret, &self.keys)?,
        ];
        script.extend(answer.map(|record| self.insert_record(record)));
        match self.write_for(decided.id).write_all(script).await {
            Ok(_) => Ok(Some(Subscription { row_version: version.next(), ..decided })),
            Err(refused @ StoreError::Refused(_)) => {
                let stands = self.find_subscription(decided.id).await?;
                if stands.is_some_and(|row| row.row_version == version) { Err(refused) } else { Ok(None) }
            }
            Err(error) => Err(error),
        }
    }

    /// Deletes a subscription, its secrets and its cursors, and gives up its open deliveries. Its deliveries
    /// stay visible.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_subscription(&self, id: SubscriptionId, now: Timestamp) -> Result<(), StoreError> {
        let gone = "UPDATE webhook_subscriptions SET deleted_at = $2 WHERE id = $1 AND deleted_at IS NULL \
                    RETURNING id";
        let closed = "UPDATE webhook_deliveries SET status = 'dead', next_attempt_at = NULL \
                      WHERE subscription_id = $1 AND next_attempt_at IS NOT NULL";
        let name = || SqlArg::from(id.to_string());
        let script = vec![
            (gone.into(), vec![name(), now.millis().into()]),
            ("DELETE FROM webhook_secrets WHERE subscription_id = $1".into(), vec![name()]),
            ("DELETE FROM delivery_cursors WHERE subscriber = $1".into(), vec![name()]),
            (closed.into(), vec![name()]),
        ];
        self.write_for(id).write_all(script).await.map(drop)
    }

    /// Makes other nodes read a subscription again, because its deliveries have changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn touch_subscriptions(&self, ids: &[SubscriptionId]) -> Result<(), StoreError> {
        let names: Vec<String> = ids.iter().map(ToString::to_string).collect();
        let sql = format!(
            "UPDATE webhook_subscriptions SET deleted_at = deleted_at WHERE id {}",
            self.engine.dialect().in_texts(1)
        );
        self.write_for_server().write_statement(sql, vec![json_array(&names)?.into()]).await.map(drop)
    }

    /// Counts deliveries that were given up: `deaths` more, or `deaths` in all when one was accepted before
    /// them. Too many disable the subscription. `None` when it is gone.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn note_deaths(
        &self,
        id: SubscriptionId,
        taken_before: bool,
        deaths: u32,
    ) -> Result<Option<NotedDeaths>, StoreError> {
        let sql = "UPDATE webhook_subscriptions SET \
                   dead_in_row = dead_in_row * $2 + $3, \
                   status = CASE WHEN status = 'active' AND dead_in_row * $2 + $3 >= $4 THEN 'disabled' \
                   ELSE status END, row_version = row_version + 1 \
                   WHERE id = $1 AND deleted_at IS NULL RETURNING id, status, dead_in_row, row_version";
        let kept = i64::from(!taken_before);
        let most = i64::from(DEAD_IN_ROW_MAX);
        let args = vec![id.to_string().into(), kept.into(), i64::from(deaths).into(), most.into()];
        let rows = self.write_for(id).write_statement(sql, args).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.read_fields(TABLE);
        let id = fields.take_text()?;
        let at = RowPlace { table: TABLE, id: &id };
        Ok(Some(NotedDeaths {
            status: at.check_value("status", SubscriptionStatus::parse(&fields.take_text()?))?,
            dead_in_row: at.check_count("dead_in_row", fields.take_int()?)?,
            row_version: at.row_version(fields.take_int()?)?,
        }))
    }
}
