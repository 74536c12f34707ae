//! Accounts: their row, their clock and fence, and the initial state of their actors.
//!
//! Invariant: revision, sequence and the instant of the last commit move together, only in a commit
//! that names the epoch and the revision in force; the epoch moves only in an activation.

use std::sync::Arc;

use serde::Serialize;

use super::dialect::{BulkStatement, ColumnKind};
use super::encrypted_column::EncryptedColumn;
use super::engine::{EngineRow, RowFields, SqlArg};
use super::profile_row::ProfileRow;
use super::row::{RowPlace, RowText, json_text};
use super::{
    AccountActivation, AccountCommit, CommitFloor, InsertedAccount, Store, StoreError, conversation, erasure,
    template,
};
use crate::domain::account::{Account, AccountStatus, PhoneNumberId, Secret};
use crate::encryption::KeyRing;
use crate::ids::{AccountId, NodeId, OrganisationId};

/// Name of the table.
pub(super) const TABLE: &str = "accounts";

const COLUMNS: &str = "id, number, organisation_id, phone_number_id, phone, name, status, status_reason, \
     waba_id, profile, access_token, app_secret, messages_per_second, sandbox, created_at";

/// The statement of [`Store::accounts_of_waba`].
pub(super) const OF_WABA: &str = "SELECT phone_number_id FROM accounts WHERE waba_id = $1 ORDER BY number";

/// Passes the commits that name the epoch and the revision in force, increments the revision of those
/// accounts, and returns their numbers.
pub(super) const FENCE: BulkStatement = BulkStatement {
    text: "\
UPDATE accounts SET revision = accounts.revision + 1, sequence = r.sequence, last_commit_at = r.at \
FROM {rows} \
WHERE {same accounts.number = r.number} AND accounts.epoch = r.epoch AND accounts.revision = r.revision \
RETURNING accounts.number",
    columns: &[
        ("number", ColumnKind::Int),
        ("epoch", ColumnKind::Int),
        ("revision", ColumnKind::Int),
        ("sequence", ColumnKind::Int),
        ("at", ColumnKind::Int),
    ],
};

/// Writes the mutable columns of an account's own row.
pub(super) const UPDATE: BulkStatement = BulkStatement {
    text: "\
UPDATE accounts SET name = r.name, status = r.status, status_reason = r.status_reason, waba_id = r.waba_id, \
    profile = r.profile, access_token = r.access_token, app_secret = r.app_secret, messages_per_second = r.messages_per_second \
FROM {rows} WHERE {same accounts.number = r.number}",
    columns: &[
        ("number", ColumnKind::Int),
        ("name", ColumnKind::Text),
        ("status", ColumnKind::Text),
        ("status_reason", ColumnKind::Text),
        ("waba_id", ColumnKind::Text),
        ("profile", ColumnKind::Text),
        ("access_token", ColumnKind::Text),
        ("app_secret", ColumnKind::Text),
        ("messages_per_second", ColumnKind::Int),
    ],
};

/// One commit as [`FENCE`] reads it.
#[derive(Debug, Serialize)]
pub(super) struct FenceRow {
    number: i64,
    epoch: i64,
    revision: i64,
    sequence: i64,
    at: i64,
}

impl From<&AccountCommit> for FenceRow {
    fn from(commit: &AccountCommit) -> Self {
        Self {
            number: commit.account_number,
            epoch: commit.epoch,
            revision: commit.revision,
            sequence: commit.sequence,
            at: commit.at.millis(),
        }
    }
}

/// Column of the token for Meta's API.
pub(super) const ACCESS_TOKEN: EncryptedColumn = EncryptedColumn { table: TABLE, column: "access_token" };
/// Column of the key of webhooks' signatures.
pub(super) const APP_SECRET: EncryptedColumn = EncryptedColumn { table: TABLE, column: "app_secret" };

/// Mutable columns of an account's own row, as [`UPDATE`] reads it.
#[derive(Serialize)]
pub(super) struct AccountRow<'a> {
    number: i64,
    name: Option<RowText<'a>>,
    status: &'static str,
    status_reason: Option<&'a str>,
    waba_id: Option<&'a str>,
    profile: ProfileRow<'a>,
    access_token: String,
    app_secret: Option<String>,
    messages_per_second: u32,
}

impl<'a> AccountRow<'a> {
    /// Creates the row of an account; `number` identifies it. Its secrets are encrypted.
    pub(super) fn from_account(
        number: i64,
        account: &'a Account,
        keys: &KeyRing,
    ) -> Result<Self, sqlx::Error> {
        let id = account.id.to_string();
        let app_secret = account.app_secret.as_ref().map(|secret| APP_SECRET.encrypt(keys, &id, secret));
        Ok(Self {
            number,
            name: account.name.as_deref().map(RowText::Borrowed),
            status: account.status.as_str(),
            status_reason: account.status_reason.as_deref(),
            waba_id: account.profile.waba_id.as_deref(),
            profile: ProfileRow::from_account(account),
            access_token: ACCESS_TOKEN.encrypt(keys, &id, &account.access_token)?,
            app_secret: app_secret.transpose()?,
            messages_per_second: account.messages_per_second,
        })
    }
}

/// Reads [`COLUMNS`].
fn read_account(fields: &mut RowFields<'_>, keys: &KeyRing) -> Result<Account, StoreError> {
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    let number = fields.take_int()?;
    let organisation_id =
        at.check_value("organisation_id", OrganisationId::parse(&fields.take_text()?).ok())?;
    let phone_number_id = at.check_value("phone_number_id", PhoneNumberId::parse(&fields.take_text()?))?;
    let phone = at.check_phone("phone", &fields.take_text()?)?;
    let name = fields.opt_text()?.map(Arc::from);
    let status = at.check_value("status", AccountStatus::parse(&fields.take_text()?))?;
    let status_reason = fields.opt_text()?.map(Arc::from);
    let (profile, recovery) = ProfileRow::read_columns(at, fields)?;
    Ok(Account {
        id: at.check_value("id", AccountId::parse(&id).ok())?,
        number,
        organisation_id,
        phone_number_id,
        phone,
        name,
        status,
        status_reason,
        recovery,
        profile,
        access_token: ACCESS_TOKEN.decrypt(keys, &id, &fields.take_text()?)?,
        app_secret: match fields.opt_text()? {
            Some(value) => Some(APP_SECRET.decrypt(keys, &id, &value)?),
            None => None,
        },
        messages_per_second: at.check_count("messages_per_second", fields.take_int()?)?,
        sandbox: at.check_flag("sandbox", fields.take_int()?)?,
        created_at: at.check_time("created_at", fields.take_int()?)?,
    })
}

fn number_of(row: &EngineRow) -> Result<i64, StoreError> {
    row.read_fields(TABLE).take_int()
}

/// Returns the accounts that passed a fence.
pub(super) fn numbers_of(rows: &[EngineRow]) -> Result<std::collections::HashSet<i64>, StoreError> {
    rows.iter().map(number_of).collect()
}

impl Store {
    /// Notes the organisation of an account whose row was read.
    #[expect(clippy::unnecessary_wraps, reason = "the last step of reading rows that may fail")]
    fn note_account(&self, account: Account) -> Result<Account, StoreError> {
        self.owners.note_owner(account.number, account.organisation_id);
        Ok(account)
    }

    pub(super) async fn load_accounts(&self) -> Result<Vec<Account>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM accounts WHERE deleted_at IS NULL ORDER BY number");
        self.read_for_server()
            .fetch_rows(sql, Vec::new())
            .await?
            .iter()
            .map(|row| self.note_account(read_account(&mut row.read_fields(TABLE), &self.keys)?))
            .collect()
    }

    pub(super) async fn accounts_changed(&self, after: i64) -> Result<Vec<Account>, StoreError> {
        let sql = format!(
            "SELECT {COLUMNS} FROM accounts WHERE directory_revision > $1 AND deleted_at IS NULL ORDER BY number"
        );
        let rows = self.read_for_server().fetch_rows(sql, vec![after.into()]).await?;
        let read =
            |row: &EngineRow| self.note_account(read_account(&mut row.read_fields(TABLE), &self.keys)?);
        rows.iter().map(read).collect()
    }

    /// Connects a number, unless it is connected already. The given `number` is ignored.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_account(&self, mut account: Account) -> Result<InsertedAccount, StoreError> {
        let sql = "INSERT INTO accounts (id, organisation_id, phone_number_id, phone, name, status, \
                   status_reason, waba_id, profile, access_token, app_secret, messages_per_second, sandbox, \
                   created_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14) \
                   ON CONFLICT (phone_number_id) DO NOTHING RETURNING number";
        let bind = |column: EncryptedColumn, secret: &Secret| {
            column.bind_secret(&self.keys, account.id.to_string(), secret)
        };
        let args = vec![
            account.id.to_string().into(),
            account.organisation_id.to_string().into(),
            account.phone_number_id.as_str().into(),
            account.phone.as_str().into(),
            account.name.as_deref().into(),
            account.status.as_str().into(),
            account.status_reason.as_deref().into(),
            account.profile.waba_id.as_deref().into(),
            json_text(&ProfileRow::from_account(&account))?.into(),
            bind(ACCESS_TOKEN, &account.access_token),
            account.app_secret.as_ref().map_or(SqlArg::Text(None), |secret| bind(APP_SECRET, secret)),
            i64::from(account.messages_per_second).into(),
            i64::from(account.sandbox).into(),
            account.created_at.millis().into(),
        ];
        let rows = self.write_for(account.organisation_id).write_statement(sql, args).await?;
        let Some(row) = rows.first() else { return Ok(InsertedAccount::AlreadyConnected) };
        account.number = number_of(row)?;
        self.note_account(account).map(InsertedAccount::Inserted)
    }

    /// Returns the numbers of a WhatsApp Business Account that are connected, by Meta's ids.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn accounts_of_waba(&self, waba_id: &str) -> Result<Vec<PhoneNumberId>, StoreError> {
        let rows = self.read_for_server().fetch_rows(OF_WABA, vec![waba_id.into()]).await?;
        let at = RowPlace { table: TABLE, id: waba_id };
        rows.iter()
            .map(|row| {
                let id = row.read_fields(TABLE).take_text()?;
                at.check_value("phone_number_id", PhoneNumberId::parse(&id))
            })
            .collect()
    }

    /// Makes `node` the account's owner, and loads its initial state with at most `resident_max`
    /// conversations. `None` when there is no such account. Its numbers begin at `floor` if the database has
    /// lost commits that this process had seen.
    ///
    /// The epoch moves through the write queue: writes that a former owner queued before are done by then,
    /// and its later ones are fenced.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] when another node serves it; [`StoreError::LeaseLost`] when `node` has no
    /// row any more; [`StoreError::Fenced`] when another owner took it in between; see [`StoreError`].
    pub async fn activate_account(
        &self,
        account_number: i64,
        node: NodeId,
        resident_max: usize,
        floor: CommitFloor,
    ) -> Result<Option<AccountActivation>, StoreError> {
        let Some(taken) = self.take_over(account_number, node, floor).await? else { return Ok(None) };

        let mut snapshot = self.read_for(account_number).begin_snapshot().await?;
        let sql = format!(
            "SELECT {COLUMNS}, revision, sequence, epoch, last_commit_at FROM accounts WHERE number = $1"
        );
        let rows = snapshot.fetch_rows(sql, vec![account_number.into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.read_fields(TABLE);
        let account = Arc::new(read_account(&mut fields, &self.keys)?);
        let (revision, sequence, epoch) = (fields.take_int()?, fields.take_int()?, fields.take_int()?);
        if epoch != taken.epoch {
            return Err(StoreError::Fenced);
        }
        let id = account.id.to_string();
        let last_commit_at =
            RowPlace { table: TABLE, id: &id }.check_time("last_commit_at", fields.take_int()?)?;

        let wanted = i64::try_from(resident_max).unwrap_or(i64::MAX).saturating_add(1);
        let args = vec![account_number.into(), wanted.into()];
        let rows = snapshot.fetch_rows(conversation::newest_statement(), args).await?;
        let mut conversations = conversation::read_all(&rows)?;
        let complete = conversations.len() <= resident_max;
        conversations.truncate(resident_max);

        let sql = "SELECT id FROM messages WHERE account = $1 AND status = 'pending' \
                   AND next_attempt_at IS NOT NULL LIMIT 1";
        let has_pending = !snapshot.fetch_rows(sql, vec![account_number.into()]).await?.is_empty();
        let sql = "SELECT wamid_key FROM parked_items WHERE account = $1 LIMIT 1";
        let has_parked = !snapshot.fetch_rows(sql, vec![account_number.into()]).await?.is_empty();
        let rows = snapshot.fetch_rows(erasure::CONVERSATIONS, vec![account_number.into()]).await?;
        let (erasing, is_erasing) = (erasure::read_conversations(&rows)?, !rows.is_empty());
        let sql = "SELECT digest FROM erased_keys WHERE account = $1 LIMIT 1";
        let rows = snapshot.fetch_rows(sql, vec![account_number.into()]).await?;
        let has_erased = is_erasing || !rows.is_empty();
        let rows = snapshot.fetch_rows(template::FIND_ANY, vec![account_number.into()]).await?;
        let has_templates = !rows.is_empty();
        snapshot.end_reads().await?;
        Ok(Some(AccountActivation {
            account,
            revision,
            sequence,
            epoch,
            lost_commits: taken.had_lost_commits.then_some(floor),
            last_commit_at,
            conversations,
            has_templates,
            complete,
            has_pending,
            has_parked,
            erasing: has_erased.then_some(erasing),
        }))
    }
}
