//! Plugins: their row, and every statement that reads or writes it.
//!
//! Invariants: a plugin begins, in the transaction that activates its first version, at the current end of
//! the log of each account that it subscribes to. Plugins are read whole at start; after that only changes by
//! other nodes are read.

mod version;

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::dialect::Dialect;
use super::encrypted_column::EncryptedColumn;
use super::engine::{RowFields, Sql, SqlArg};
use super::principal_row::{principal_text, read_principal};
use super::row::{RowPlace, json_array};
use super::{Store, StoreError};
use crate::domain::account::{PhoneNumberId, Secret};
use crate::domain::allowed_hosts::{AllowedHosts, HostPattern};
use crate::domain::event::{EventType, EventTypes};
use crate::domain::plugin::{Capabilities, Capability, Plugin, PluginHealth, PluginState};
use crate::domain::row_version::RowVersion;
use crate::domain::time::Timestamp;
use crate::encryption::KeyRing;
use crate::ids::{OrganisationId, PluginId, PluginVersionId};

const TABLE: &str = "plugins";
/// Column of all secrets of a plugin: a JSON object; the empty text where there is none.
pub(super) const SECRETS: EncryptedColumn = EncryptedColumn { table: TABLE, column: "secrets" };

const COLUMNS: &str = "id, organisation_id, name, description, events, accounts, config, secrets, \
     allowed_hosts, capabilities, enabled, state, state_since, state_reason, by_operator, active_version, \
     previous_version, created_at, updated_at, row_version, created_by";

fn to_json<T: DeserializeOwned>(at: RowPlace<'_>, column: &str, text: &str) -> Result<T, StoreError> {
    at.check_value(column, serde_json::from_str(text).ok())
}

fn read_texts(at: RowPlace<'_>, column: &str, text: &str) -> Result<Vec<String>, StoreError> {
    to_json(at, column, text)
}

/// Reads [`COLUMNS`].
fn read_plugin(fields: &mut RowFields<'_>, keys: &KeyRing) -> Result<Plugin, StoreError> {
    let id = fields.take_text()?;
    let at = RowPlace { table: TABLE, id: &id };
    let organisation_id = OrganisationId::parse(&fields.take_text()?).ok();
    let (name, description) = (fields.take_text()?.into(), fields.opt_text()?.map(Arc::from));
    let events = read_texts(at, "events", &fields.take_text()?)?;
    let events: Option<EventTypes> = events.iter().map(|word| EventType::parse(word)).collect();
    let accounts = match fields.opt_text()? {
        None => None,
        Some(listed) => {
            let listed = read_texts(at, "accounts", &listed)?;
            let parsed: Option<Vec<_>> = listed.iter().map(|number| PhoneNumberId::parse(number)).collect();
            Some(at.check_value("accounts", parsed)?.into())
        }
    };
    let config: BTreeMap<String, String> = to_json(at, "config", &fields.take_text()?)?;
    let secrets = match fields.take_text()? {
        none if none.is_empty() => BTreeMap::new(),
        // Its components read them.
        value => to_json::<BTreeMap<String, String>>(
            at,
            SECRETS.column,
            SECRETS.decrypt(keys, &id, &value)?.reveal(),
        )?,
    };
    let hosts = read_texts(at, "allowed_hosts", &fields.take_text()?)?;
    let capabilities = match fields.opt_text()? {
        None => None,
        Some(listed) => {
            let listed = read_texts(at, "capabilities", &listed)?;
            let parsed: Option<Capabilities> = listed.iter().map(|word| Capability::parse(word)).collect();
            Some(at.check_value("capabilities", parsed)?)
        }
    };
    Ok(Plugin {
        id: at.check_value("id", PluginId::parse(&id).ok())?,
        organisation_id: at.check_value("organisation_id", organisation_id)?,
        name,
        description,
        events: at.check_value("events", events)?,
        accounts,
        config: Arc::new(config.into_iter().map(|(key, value)| (key.into(), value.into())).collect()),
        secrets: Arc::new(
            secrets.into_iter().map(|(key, value)| (key.into(), Secret::new(&value))).collect(),
        ),
        allowed_hosts: at.check_value("allowed_hosts", AllowedHosts::parse(hosts).ok())?,
        capabilities,
        enabled: at.check_flag("enabled", fields.take_int()?)?,
        standing: PluginHealth {
            state: at.check_value("state", PluginState::parse(&fields.take_text()?))?,
            since: at.check_time("state_since", fields.take_int()?)?,
            reason: fields.opt_text()?.map(Arc::from),
            by_operator: at.check_flag("by_operator", fields.take_int()?)?,
        },
        active_version: version_id(at, "active_version", fields.opt_text()?)?,
        previous_version: version_id(at, "previous_version", fields.opt_text()?)?,
        created_at: at.check_time("created_at", fields.take_int()?)?,
        updated_at: at.check_time("updated_at", fields.take_int()?)?,
        row_version: at.row_version(fields.take_int()?)?,
        created_by: read_principal(at, "created_by", &fields.take_text()?)?,
    })
}

fn version_id(
    at: RowPlace<'_>,
    column: &str,
    text: Option<String>,
) -> Result<Option<PluginVersionId>, StoreError> {
    text.map(|text| at.check_value(column, PluginVersionId::parse(&text).ok())).transpose()
}

fn text_of<T: serde::Serialize>(value: &T) -> Result<String, StoreError> {
    serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()).into())
}

/// Returns the JSON array of these numbers.
fn number_array(accounts: &[PhoneNumberId]) -> Result<String, sqlx::Error> {
    json_array(&accounts.iter().map(PhoneNumberId::as_str).collect::<Vec<_>>())
}

/// Returns the value of [`SECRETS`].
fn secrets_value(one: &Plugin, keys: &KeyRing) -> Result<SqlArg, StoreError> {
    if one.secrets.is_empty() {
        return Ok("".into());
    }
    // Its components read them, so they must be stored.
    let secrets: BTreeMap<&str, &str> =
        one.secrets.iter().map(|(key, value)| (&**key, value.reveal())).collect();
    let secret = Secret::new(&text_of(&secrets)?);
    Ok(SECRETS.bind_secret(keys, one.id.to_string(), &secret))
}

/// Returns the values of [`COLUMNS`], in their order.
fn column_values(one: &Plugin, keys: &KeyRing) -> Result<Vec<SqlArg>, StoreError> {
    let events: Vec<&str> = one.events.iter().map(EventType::as_str).collect();
    let capabilities: Option<Vec<&str>> =
        one.capabilities.map(|some| some.iter().map(Capability::as_str).collect());
    let config: BTreeMap<&str, &str> = one.config.iter().map(|(key, value)| (&**key, &**value)).collect();
    let hosts: Vec<&str> = one.allowed_hosts.iter().map(HostPattern::as_str).collect();
    let version = |id: Option<PluginVersionId>| id.map(|id| id.to_string());
    Ok(vec![
        one.id.to_string().into(),
        one.organisation_id.to_string().into(),
        one.name.as_ref().into(),
        one.description.as_deref().into(),
        json_array(&events)?.into(),
        one.accounts.as_deref().map(number_array).transpose()?.as_deref().into(),
        text_of(&config)?.into(),
        secrets_value(one, keys)?,
        json_array(&hosts)?.into(),
        capabilities.map(|some| json_array(&some)).transpose()?.as_deref().into(),
        i64::from(one.enabled).into(),
        one.standing.state.as_str().into(),
        one.standing.since.millis().into(),
        one.standing.reason.as_deref().into(),
        i64::from(one.standing.by_operator).into(),
        version(one.active_version).as_deref().into(),
        version(one.previous_version).as_deref().into(),
        one.created_at.millis().into(),
        one.updated_at.millis().into(),
        one.row_version.to_row().into(),
        principal_text(&one.created_by)?.into(),
    ])
}

/// Returns the statement that puts a plugin at the current end of the logs of accounts that it newly
/// subscribes to; `None` when there can be none. The store lists the accounts, because another node may just
/// have added one.
fn begin_at_the_end(
    dialect: Dialect,
    before: &Plugin,
    one: &Plugin,
) -> Result<Option<(Sql, Vec<SqlArg>)>, StoreError> {
    let ran = before.active_version.is_some();
    if one.active_version.is_none() || ran && (before.accounts.is_none() || before.accounts == one.accounts) {
        return Ok(None);
    }
    let mut args = vec![SqlArg::from(one.id.to_string()), one.organisation_id.to_string().into()];
    let mut heard = String::new();
    let listed = [("AND", &one.accounts), ("AND NOT", &before.accounts)];
    for (word, accounts) in listed.into_iter().take(if ran { 2 } else { 1 }) {
        if let Some(accounts) = accounts {
            args.push(number_array(accounts)?.into());
            heard = format!("{heard} {word} phone_number_id {}", dialect.in_texts(args.len()));
        }
    }
    let sql = format!(
        "INSERT INTO delivery_cursors (subscriber, account, cursor) \
         SELECT $1, number, sequence FROM accounts WHERE organisation_id = $2{heard} \
         ON CONFLICT (subscriber, account) DO UPDATE SET cursor = excluded.cursor"
    );
    Ok(Some((sql.into(), args)))
}

impl Store {
    /// Returns every plugin that was not deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn load_plugins(&self) -> Result<Vec<Plugin>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM plugins WHERE deleted_at IS NULL ORDER BY id");
        let rows = self.read_for_server().fetch_rows(sql, Vec::new()).await?;
        rows.iter()
            .map(|row| self.note_plugin(read_plugin(&mut row.read_fields(TABLE), &self.keys)?))
            .collect()
    }

    /// Finds a plugin; `None` when it was deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_plugin(&self, id: PluginId) -> Result<Option<Plugin>, StoreError> {
        let sql = format!("SELECT {COLUMNS} FROM plugins WHERE id = $1 AND deleted_at IS NULL");
        let rows = self.read_for(id).fetch_rows(sql, vec![id.to_string().into()]).await?;
        rows.first().map(|row| read_plugin(&mut row.read_fields(TABLE), &self.keys)).transpose()
    }

    /// Returns the plugins changed and deleted after this revision of the directory. Only for a database that
    /// nodes share.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn plugin_changes(&self, after: i64) -> Result<(Vec<Plugin>, Vec<PluginId>), StoreError> {
        let sql =
            format!("SELECT {COLUMNS}, deleted_at FROM plugins WHERE directory_revision > $1 ORDER BY id");
        let rows = self.read_for_server().fetch_rows(sql, vec![after.into()]).await?;
        let (mut kept, mut deleted) = (Vec::new(), Vec::new());
        for row in &rows {
            let mut fields = row.read_fields(TABLE);
            let plugin = self.note_plugin(read_plugin(&mut fields, &self.keys)?)?;
            if fields.opt_int()?.is_some() { deleted.push(plugin.id) } else { kept.push(plugin) }
        }
        Ok((kept, deleted))
    }

    /// Notes the organisation of a plugin whose row was read.
    #[expect(clippy::unnecessary_wraps, reason = "the last step of reading rows that may fail")]
    fn note_plugin(&self, plugin: Plugin) -> Result<Plugin, StoreError> {
        self.owners.note_owner(plugin.id, plugin.organisation_id);
        Ok(plugin)
    }

    /// Inserts a plugin, which has no keys and values yet.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn insert_plugin(&self, one: &Plugin) -> Result<(), StoreError> {
        let places: Vec<String> = (1..=21).map(|n| format!("${n}")).collect();
        let sql = format!("INSERT INTO plugins ({COLUMNS}) VALUES ({})", places.join(", "));
        let head = "INSERT INTO plugin_heads (plugin_id, kv_revision, gate) VALUES ($1, 0, '')";
        let script = vec![
            (sql.into(), column_values(one, &self.keys)?),
            (head.into(), vec![one.id.to_string().into()]),
        ];
        self.owners.note_owner(one.id, one.organisation_id);
        self.write_for(one.id).write_all(script).await.map(drop)
    }

    /// Overwrites a plugin's row of the version that the change was decided on, with `before` as its known
    /// state, and returns the new row. `None`, and nothing is written, when the version has changed, or the
    /// plugin was deleted. The plugin begins at the current end of the logs of accounts that it newly
    /// subscribes to.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn update_plugin(
        &self,
        before: &Plugin,
        decided: Plugin,
    ) -> Result<Option<Plugin>, StoreError> {
        // Over another version the whole script is refused.
        let sql = "UPDATE plugins SET name = $3, description = $4, events = $5, accounts = $6, config = $7, \
                   secrets = $8, allowed_hosts = $9, capabilities = $10, enabled = $11, state = $12, \
                   state_since = $13, state_reason = $14, by_operator = $15, active_version = $16, \
                   previous_version = $17, created_at = $18, updated_at = $19, created_by = $21, \
                   row_version = CASE WHEN row_version = $20 AND deleted_at IS NULL THEN row_version + 1 END \
                   WHERE id = $1 AND organisation_id = $2";
        let mut script = vec![(Sql::from(sql), column_values(&decided, &self.keys)?)];
        script.extend(begin_at_the_end(self.engine.dialect(), before, &decided)?);
        let version = decided.row_version;
        match self.write_for(decided.id).write_all(script).await {
            Ok(_) => Ok(Some(Plugin { row_version: version.next(), ..decided })),
            Err(refused @ StoreError::Refused(_)) => {
                let stands = self.find_plugin(decided.id).await?;
                if stands.is_some_and(|row| row.row_version == version) { Err(refused) } else { Ok(None) }
            }
            Err(error) => Err(error),
        }
    }

    /// Writes a plugin's health, and returns the new version of its row. `None`, and nothing is written, when
    /// the operator has disabled the plugin, or it was deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn set_plugin_standing(
        &self,
        id: PluginId,
        standing: &PluginHealth,
    ) -> Result<Option<RowVersion>, StoreError> {
        let sql = "UPDATE plugins SET state = $2, state_since = $3, state_reason = $4, by_operator = $5, \
                   row_version = row_version + 1 \
                   WHERE id = $1 AND deleted_at IS NULL AND by_operator <= $5 RETURNING id, row_version";
        let args = vec![
            id.to_string().into(),
            standing.state.as_str().into(),
            standing.since.millis().into(),
            standing.reason.as_deref().into(),
            i64::from(standing.by_operator).into(),
        ];
        let rows = self.write_for(id).write_statement(sql, args).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.read_fields(TABLE);
        let id = fields.take_text()?;
        RowPlace { table: TABLE, id: &id }.row_version(fields.take_int()?).map(Some)
    }

    /// Deletes a plugin with its components, keys and values and cursors, and gives up its open runs. Its
    /// runs can be purged, because no client can see them any more.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_plugin(&self, id: PluginId, now: Timestamp) -> Result<(), StoreError> {
        let name = || SqlArg::from(id.to_string());
        let gone = "UPDATE plugins SET deleted_at = $2, secrets = '' WHERE id = $1 AND deleted_at IS NULL \
                    RETURNING id";
        let parts = "DELETE FROM plugin_parts WHERE version_id IN \
                     (SELECT v.id FROM plugin_versions v WHERE v.plugin_id = $1)";
        let closed = "UPDATE plugin_runs SET status = 'dead', next_attempt_at = NULL \
                      WHERE plugin_id = $1 AND next_attempt_at IS NOT NULL";
        let script = vec![
            (gone.into(), vec![name(), now.millis().into()]),
            ("DELETE FROM plugin_heads WHERE plugin_id = $1".into(), vec![name()]),
            ("DELETE FROM plugin_kv WHERE plugin_id = $1".into(), vec![name()]),
            (parts.into(), vec![name()]),
            ("DELETE FROM plugin_versions WHERE plugin_id = $1".into(), vec![name()]),
            ("DELETE FROM delivery_cursors WHERE subscriber = $1".into(), vec![name()]),
            (closed.into(), vec![name()]),
        ];
        self.write_for(id).write_all(script).await?;
        self.owners.forget_owner(id);
        Ok(())
    }

    /// Makes other nodes read a plugin again, because its runs have changed.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn touch_plugin(&self, id: PluginId) -> Result<(), StoreError> {
        let sql = "UPDATE plugins SET deleted_at = deleted_at WHERE id = $1";
        self.write_for(id).write_statement(sql, vec![id.to_string().into()]).await.map(drop)
    }
}
