//! Organisations, API keys and users: their rows, and every statement that reads or writes them.
//!
//! Invariant: of a key only its digest is stored. These rows are few and read whole at start; after that only
//! changes by other nodes are read. Requests never read them from the database.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::engine::{EngineRow, RowFields, Sql};
use super::principal_row::{principal_text, read_principal};
use super::row::{RowPlace, RowText, instant_millis};
use super::{DirectoryRows, Store, StoreError};
use crate::domain::organisation::{ApiKey, Organisation, PriceTier, RateLimits, User};
use crate::domain::scopes::KeyScopes;
use crate::domain::time::Timestamp;
use crate::ids::{ApiKeyId, OperatorTokenId, OrganisationId, UserId};

/// Columns of `organisations`, in the order in which they are read and written.
const ORGANISATION: &str =
    "id, name, tier, write_per_minute, read_per_minute, sandbox, suspended, created_at, row_version";

/// Columns of `api_keys` that a key is read from and written to, in order.
const API_KEY: &str = "id, organisation_id, label, last4, digest, scopes, expires_at, created_at, created_by";

fn read_organisation(row: &EngineRow) -> Result<Organisation, StoreError> {
    read_columns(&mut row.read_fields("organisations"))
}

/// Reads a tenant, and the instant of its deletion.
fn read_tombstone(row: &EngineRow) -> Result<(Organisation, Option<i64>), StoreError> {
    let mut fields = row.read_fields("organisations");
    Ok((read_columns(&mut fields)?, fields.opt_int()?))
}

fn read_columns(fields: &mut RowFields<'_>) -> Result<Organisation, StoreError> {
    const TABLE: &str = "organisations";
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    Ok(Organisation {
        id: at.check_value("id", OrganisationId::parse(&id).ok())?,
        name: fields.take_text()?.into(),
        tier: at.check_value("tier", PriceTier::parse(&fields.take_text()?))?,
        limits: RateLimits {
            write_per_minute: at.check_count("write_per_minute", fields.take_int()?)?,
            read_per_minute: at.check_count("read_per_minute", fields.take_int()?)?,
        },
        sandbox: at.check_flag("sandbox", fields.take_int()?)?,
        suspended: at.check_flag("suspended", fields.take_int()?)?,
        created_at: at.check_time("created_at", fields.take_int()?)?,
        row_version: at.row_version(fields.take_int()?)?,
    })
}

fn read_api_key(row: &EngineRow) -> Result<ApiKey, StoreError> {
    const TABLE: &str = "api_keys";
    let mut fields = row.read_fields(TABLE);
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    Ok(ApiKey {
        id: at.check_value("id", ApiKeyId::parse(&id).ok())?,
        organisation_id: at
            .check_value("organisation_id", OrganisationId::parse(&fields.take_text()?).ok())?,
        label: fields.take_text()?.into(),
        last4: fields.take_text()?.into(),
        digest: at.check_digest("digest", &fields.take_text()?)?,
        scopes: at.check_value("scopes", KeyScopes::parse_words(&fields.take_text()?))?,
        expires_at: at.opt_time("expires_at", fields.opt_int()?)?,
        created_at: at.check_time("created_at", fields.take_int()?)?,
        created_by: read_principal(at, "created_by", &fields.take_text()?)?,
    })
}

fn read_user(row: &EngineRow) -> Result<User, StoreError> {
    let user = UserRow::read_joined(&mut row.read_fields("users"))?;
    user.ok_or_else(|| StoreError::Corrupt("users: a null".into()))?.into_user()
}

/// A row of `users`.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct UserRow<'a> {
    id: String,
    organisation_id: String,
    name: RowText<'a>,
    email: Option<RowText<'a>>,
    created_at: i64,
}

impl<'a> UserRow<'a> {
    /// Creates the row of a user.
    pub(super) fn from_user(user: &'a User) -> Self {
        Self {
            id: user.id.to_string(),
            organisation_id: user.organisation_id.to_string(),
            name: RowText::Borrowed(&user.name),
            email: user.email.as_deref().map(RowText::Borrowed),
            created_at: user.created_at.millis(),
        }
    }

    /// Reads a user's five columns, all null where an outer join found none.
    pub(super) fn read_joined(fields: &mut RowFields<'_>) -> Result<Option<Self>, StoreError> {
        let id = fields.opt_text()?;
        let organisation_id = fields.opt_text()?;
        let name = fields.opt_text()?;
        let email = fields.opt_text()?.map(RowText::Owned);
        let created_at = fields.opt_int()?;
        Ok(match (id, organisation_id, name, created_at) {
            (Some(id), Some(organisation_id), Some(name), Some(created_at)) => {
                Some(Self { id, organisation_id, name: name.into(), email, created_at })
            }
            _ => None,
        })
    }

    /// Converts the row into a user.
    pub(super) fn into_user(self) -> Result<User, StoreError> {
        let at = RowPlace { table: "users", id: &self.id };
        let organisation_id = OrganisationId::parse(&self.organisation_id).ok();
        Ok(User {
            id: at.check_value("id", UserId::parse(&self.id).ok())?,
            organisation_id: at.check_value("organisation_id", organisation_id)?,
            name: self.name.into(),
            email: self.email.map(Arc::from),
            created_at: at.check_time("created_at", self.created_at)?,
        })
    }
}

/// Changes of the directory since a revision.
#[derive(Debug, Clone, Default)]
pub struct DirectoryChanges {
    /// The current revision: the next changes are those after it.
    pub revision: i64,
    /// New and changed rows; of keys, the live ones.
    pub rows: DirectoryRows,
    /// Keys that were revoked.
    pub revoked: Vec<ApiKeyId>,
    /// Tenants that were deleted, with everything that they owned.
    pub deleted: Vec<OrganisationId>,
    /// Tokens of the operator that were revoked.
    pub revoked_tokens: Vec<OperatorTokenId>,
}

impl Store {
    /// Returns the changes after this revision. Only for a database that nodes share.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn directory_changes(&self, after: i64) -> Result<DirectoryChanges, StoreError> {
        // Read first: later changes are read again the next time.
        let revision = self.directory_revision().await?;
        let mut changes = DirectoryChanges { revision, ..DirectoryChanges::default() };
        let since = || vec![after.into()];
        let sql = format!(
            "SELECT {ORGANISATION}, deleted_at FROM organisations WHERE directory_revision > $1 ORDER BY id"
        );
        for row in &self.read_for_server().fetch_rows(sql, since()).await? {
            let (organisation, deleted_at) = read_tombstone(row)?;
            if deleted_at.is_some() {
                changes.deleted.push(organisation.id);
            } else {
                changes.rows.organisations.push(organisation);
            }
        }
        let sql = format!(
            "SELECT {API_KEY} FROM api_keys WHERE directory_revision > $1 AND revoked_at IS NULL ORDER BY id"
        );
        let rows = self.read_for_server().fetch_rows(sql, since()).await?;
        changes.rows.api_keys = rows.iter().map(read_api_key).collect::<Result<_, _>>()?;
        let sql = format!(
            "SELECT {API_KEY} FROM api_keys \
             WHERE directory_revision > $1 AND revoked_at IS NOT NULL ORDER BY id"
        );
        for row in &self.read_for_server().fetch_rows(sql, since()).await? {
            changes.revoked.push(read_api_key(row)?.id);
        }
        let sql = "SELECT id, organisation_id, name, email, created_at \
                   FROM users WHERE directory_revision > $1 ORDER BY id";
        let rows = self.read_for_server().fetch_rows(sql, since()).await?;
        changes.rows.users = rows.iter().map(read_user).collect::<Result<_, _>>()?;
        changes.rows.accounts = self.accounts_changed(after).await?;
        (changes.rows.operator_tokens, changes.revoked_tokens) = self.operator_token_changes(after).await?;
        Ok(changes)
    }

    pub(super) async fn load_organisations(&self) -> Result<Vec<Organisation>, StoreError> {
        let sql = format!("SELECT {ORGANISATION} FROM organisations WHERE deleted_at IS NULL ORDER BY id");
        self.read_for_server().fetch_rows(sql, Vec::new()).await?.iter().map(read_organisation).collect()
    }

    pub(super) async fn live_api_keys(&self) -> Result<Vec<ApiKey>, StoreError> {
        let sql = format!("SELECT {API_KEY} FROM api_keys WHERE revoked_at IS NULL ORDER BY id");
        self.read_for_server().fetch_rows(sql, Vec::new()).await?.iter().map(read_api_key).collect()
    }

    pub(super) async fn load_users(&self) -> Result<Vec<User>, StoreError> {
        let sql = "SELECT id, organisation_id, name, email, created_at FROM users ORDER BY id";
        self.read_for_server().fetch_rows(sql, Vec::new()).await?.iter().map(read_user).collect()
    }

    /// Finds a tenant's current row.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_organisation(&self, id: OrganisationId) -> Result<Option<Organisation>, StoreError> {
        let sql = format!("SELECT {ORGANISATION} FROM organisations WHERE id = $1 AND deleted_at IS NULL");
        let rows = self.read_for_server().fetch_rows(sql, vec![id.to_string().into()]).await?;
        rows.first().map(read_organisation).transpose()
    }

    /// Inserts a tenant.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_organisation(&self, organisation: &Organisation) -> Result<(), StoreError> {
        let sql =
            format!("INSERT INTO organisations ({ORGANISATION}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
        self.write_organisation(sql.into(), organisation).await.map(drop)
    }

    /// Overwrites a tenant's row of the version that the change was decided on, and returns the new row.
    /// `None`, and nothing is written, when the version has changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn update_organisation(
        &self,
        decided: Organisation,
    ) -> Result<Option<Organisation>, StoreError> {
        let sql = "UPDATE organisations SET name = $2, tier = $3, write_per_minute = $4, \
                   read_per_minute = $5, sandbox = $6, suspended = $7, created_at = $8, \
                   row_version = row_version + 1 WHERE id = $1 AND row_version = $9 AND deleted_at IS NULL RETURNING id";
        let written = self.write_organisation(sql.into(), &decided).await?;
        let row_version = decided.row_version.next();
        Ok((!written.is_empty()).then_some(Organisation { row_version, ..decided }))
    }

    async fn write_organisation(
        &self,
        sql: Sql,
        organisation: &Organisation,
    ) -> Result<Vec<EngineRow>, StoreError> {
        let args = vec![
            organisation.id.to_string().into(),
            organisation.name.as_ref().into(),
            organisation.tier.as_str().into(),
            i64::from(organisation.limits.write_per_minute).into(),
            i64::from(organisation.limits.read_per_minute).into(),
            i64::from(organisation.sandbox).into(),
            i64::from(organisation.suspended).into(),
            organisation.created_at.millis().into(),
            organisation.row_version.to_row().into(),
        ];
        self.write_for_server().write_statement(sql, args).await
    }

    /// Inserts a key.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_api_key(&self, key: &ApiKey) -> Result<(), StoreError> {
        let sql = format!("INSERT INTO api_keys ({API_KEY}) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)");
        let args = vec![
            key.id.to_string().into(),
            key.organisation_id.to_string().into(),
            key.label.as_ref().into(),
            key.last4.as_ref().into(),
            hex::encode(key.digest).into(),
            key.scopes.words().into(),
            instant_millis(key.expires_at).into(),
            key.created_at.millis().into(),
            principal_text(&key.created_by)?.into(),
        ];
        self.write_for_server().write_statement(sql, args).await.map(drop)
    }

    /// Revokes a key; `false` when it is unknown, or was revoked before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn revoke_api_key(&self, id: ApiKeyId, at: Timestamp) -> Result<bool, StoreError> {
        let sql = "UPDATE api_keys SET revoked_at = $2 WHERE id = $1 AND revoked_at IS NULL RETURNING id";
        let rows = self
            .write_for_server()
            .write_statement(sql, vec![id.to_string().into(), at.millis().into()])
            .await?;
        Ok(!rows.is_empty())
    }

    /// Inserts a user.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_user(&self, user: &User) -> Result<(), StoreError> {
        let sql = "INSERT INTO users (id, organisation_id, name, email, created_at) \
                   VALUES ($1, $2, $3, $4, $5)";
        let args = vec![
            user.id.to_string().into(),
            user.organisation_id.to_string().into(),
            user.name.as_ref().into(),
            user.email.as_deref().into(),
            user.created_at.millis().into(),
        ];
        self.write_for_server().write_statement(sql, args).await.map(drop)
    }
}
