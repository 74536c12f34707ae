//! Removal of an organisation with everything that it owns.
//!
//! Invariants: one transaction takes the organisation out of sight: its keys are revoked, its subscribers deleted, its
//! numbers free, and its accounts fenced off from their owners. The rows go afterwards, in steps that may be repeated. The row of
//! the organisation stays without data, so that a node that was cut off learns of it. The row of an account goes last, because its
//! number is in the keys of all others.

use crate::domain::time::Timestamp;
use crate::ids::OrganisationId;
use crate::store::engine::{Sql, SqlArg};
use crate::store::purge::OldestRows;
use crate::store::row::{RowPlace, json_array};
use crate::store::statement_owner::StatementOwner;
use crate::store::{Store, StoreError};

/// Rows of one step, at most.
const STEP_ROWS: i64 = 500;
/// Parts of components of one step: 256 KiB each.
const STEP_PARTS: i64 = 8;

/// Tables of an account: of $1, at most $2 rows.
pub(in crate::store) const OF_ACCOUNT: [OldestRows; 10] = [
    OldestRows::matching("messages", "account, id", "account = $1 LIMIT $2"),
    OldestRows::matching("events", "account, sequence", "account = $1 LIMIT $2"),
    OldestRows::matching("raw_items", "account, wamid_key, digest", "account = $1 LIMIT $2"),
    OldestRows::matching("parked_items", "account, wamid_key, slot", "account = $1 LIMIT $2"),
    OldestRows::matching("contact_identifiers", "account, identifier", "account = $1 LIMIT $2"),
    OldestRows::matching("contacts", "account, id", "account = $1 LIMIT $2"),
    OldestRows::matching("conversations", "account, id", "account = $1 LIMIT $2"),
    OldestRows::matching("templates", "account, id", "account = $1 LIMIT $2"),
    OldestRows::matching("erasures", "account, contact_id", "account = $1 LIMIT $2"),
    OldestRows::matching("erased_keys", "account, digest", "account = $1 LIMIT $2"),
];

/// Tables of an organisation: of $1, at most $2 rows. What names another table's rows comes before that table.
pub(in crate::store) const OF_ORGANISATION: [OldestRows; 15] = [
    OldestRows::matching(
        "plugin_run_logs",
        "id",
        "plugin_id IN (SELECT p.id FROM plugins p WHERE p.organisation_id = $1) LIMIT $2",
    ),
    OldestRows::matching(
        "plugin_kv",
        "plugin_id, key",
        "plugin_id IN (SELECT p.id FROM plugins p WHERE p.organisation_id = $1) LIMIT $2",
    ),
    OldestRows::matching(
        "plugin_heads",
        "plugin_id",
        "plugin_id IN (SELECT p.id FROM plugins p WHERE p.organisation_id = $1) LIMIT $2",
    ),
    OldestRows::matching(
        "plugin_parts",
        "version_id, part",
        "version_id IN (SELECT v.id FROM plugins p JOIN plugin_versions v ON v.plugin_id = p.id \
         WHERE p.organisation_id = $1) LIMIT $2",
    ),
    OldestRows::matching(
        "plugin_versions",
        "id",
        "plugin_id IN (SELECT p.id FROM plugins p WHERE p.organisation_id = $1) LIMIT $2",
    ),
    OldestRows::matching("webhook_deliveries", "id", "organisation_id = $1 LIMIT $2"),
    OldestRows::matching(
        "webhook_secrets",
        "id",
        "subscription_id IN (SELECT s.id FROM webhook_subscriptions s WHERE s.organisation_id = $1) LIMIT $2",
    ),
    OldestRows::matching(
        "delivery_cursors",
        "subscriber, account",
        "subscriber IN (SELECT s.id FROM webhook_subscriptions s WHERE s.organisation_id = $1 \
         UNION ALL SELECT p.id FROM plugins p WHERE p.organisation_id = $1) LIMIT $2",
    ),
    OldestRows::matching("webhook_subscriptions", "id", "organisation_id = $1 LIMIT $2"),
    OldestRows::matching("plugins", "id", "organisation_id = $1 LIMIT $2"),
    OldestRows::matching("idempotency_records", "organisation_id, key", "organisation_id = $1 LIMIT $2"),
    OldestRows::matching("users", "id", "organisation_id = $1 LIMIT $2"),
    OldestRows::matching(
        "credential_uses",
        "credential",
        "credential IN (SELECT k.id FROM api_keys k WHERE k.organisation_id = $1) LIMIT $2",
    ),
    OldestRows::matching("api_keys", "id", "organisation_id = $1 LIMIT $2"),
    // What operators did with the tenant stays: it has ids only, and names of operators.
    OldestRows::matching("audit_entries", "id", "organisation_id = $1 AND actor_kind <> 'operator' LIMIT $2"),
];

/// Some runs of the organisation $1.
const RUNS: &str = "SELECT r.id FROM plugins p CROSS JOIN plugin_runs r \
     WHERE p.organisation_id = $1 AND r.plugin_id = p.id LIMIT $2";

impl Store {
    /// Takes an organisation out of sight with everything that it owns. `false` when there is none, or it was deleted
    /// before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn delete_organisation(&self, id: OrganisationId, now: Timestamp) -> Result<bool, StoreError> {
        let id = id.to_string();
        let both = || vec![SqlArg::from(id.as_str()), now.millis().into()];
        let statements: [&str; 5] = [
            "UPDATE organisations SET name = '', suspended = 1, deleted_at = $2, row_version = row_version + 1 \
             WHERE id = $1 AND deleted_at IS NULL RETURNING id",
            "UPDATE api_keys SET revoked_at = $2 WHERE organisation_id = $1 AND revoked_at IS NULL",
            "UPDATE webhook_subscriptions SET deleted_at = $2, row_version = row_version + 1 \
             WHERE organisation_id = $1 AND deleted_at IS NULL",
            "UPDATE plugins SET deleted_at = $2, row_version = row_version + 1 \
             WHERE organisation_id = $1 AND deleted_at IS NULL",
            "UPDATE accounts SET deleted_at = $2, phone_number_id = id, phone = '', access_token = '', app_secret = NULL, \
             name = NULL, waba_id = NULL, profile = '{}', epoch = epoch + 1, owner = NULL \
             WHERE organisation_id = $1 AND deleted_at IS NULL",
        ];
        let script = statements.map(|sql| (Sql::from(sql), both())).into();
        Ok(!self.write_for_server().write_all(script).await?.is_empty())
    }

    /// Returns `true` for an organisation that was deleted.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn is_organisation_deleted(&self, id: OrganisationId) -> Result<bool, StoreError> {
        let sql = "SELECT id FROM organisations WHERE id = $1 AND deleted_at IS NOT NULL";
        Ok(!self.read_for_server().fetch_rows(sql, vec![id.to_string().into()]).await?.is_empty())
    }

    /// Returns deleted organisations of which rows may be left: those deleted before this instant, or all.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unremoved_organisations(
        &self,
        before: Option<Timestamp>,
    ) -> Result<Vec<OrganisationId>, StoreError> {
        let sql = "SELECT id FROM organisations WHERE deleted_at < $1 AND removed_at IS NULL ORDER BY id";
        let args = vec![before.map_or(i64::MAX, Timestamp::millis).into()];
        let rows = self.read_for_server().fetch_rows(sql, args).await?;
        let read = |row: &crate::store::engine::EngineRow| {
            let id = row.read_fields("organisations").take_text()?;
            RowPlace { table: "organisations", id: &id }.check_value("id", OrganisationId::parse(&id).ok())
        };
        rows.iter().map(read).collect()
    }

    /// Records that nothing is left of an organisation but its id.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn end_removal(&self, id: OrganisationId, now: Timestamp) -> Result<(), StoreError> {
        let sql = "UPDATE organisations SET removed_at = $2, row_version = row_version + 1 WHERE id = $1";
        let args = vec![id.to_string().into(), now.millis().into()];
        self.write_erasure(StatementOwner::Server, vec![(sql.into(), args)]).await
    }

    /// Removes some rows of an organisation that was deleted. Returns their number; zero when none are left.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_step(&self, id: OrganisationId) -> Result<u64, StoreError> {
        let id = id.to_string();
        let removed = self.remove_runs(&id).await?;
        if removed > 0 {
            return Ok(removed);
        }
        let sql = "SELECT number FROM accounts WHERE organisation_id = $1 AND deleted_at IS NOT NULL";
        let rows = self.read_for_server().fetch_rows(sql, vec![id.as_str().into()]).await?;
        for row in &rows {
            let number = row.read_fields("accounts").take_int()?;
            for table in &OF_ACCOUNT {
                let removed = self.remove_rows(table, number.into(), STEP_ROWS).await?;
                if removed > 0 {
                    return Ok(removed);
                }
            }
        }
        for table in &OF_ORGANISATION {
            let limit = if table.is_of("plugin_parts") { STEP_PARTS } else { STEP_ROWS };
            let removed = self.remove_rows(table, id.as_str().into(), limit).await?;
            if removed > 0 {
                return Ok(removed);
            }
        }
        let accounts = OldestRows::matching(
            "accounts",
            "number",
            "organisation_id = $1 AND deleted_at IS NOT NULL LIMIT $2",
        );
        self.remove_rows(&accounts, id.as_str().into(), STEP_ROWS).await
    }

    async fn remove_rows(&self, table: &OldestRows, owner: SqlArg, limit: i64) -> Result<u64, StoreError> {
        let sql = table.delete_statement(self.engine.dialect());
        let rows = self.write_for_server().write_statement(sql, vec![owner, limit.into()]).await?;
        Ok(u64::try_from(rows.len()).unwrap_or(u64::MAX))
    }

    async fn remove_runs(&self, id: &str) -> Result<u64, StoreError> {
        let rows = self.read_for_server().fetch_rows(RUNS, vec![id.into(), STEP_ROWS.into()]).await?;
        if rows.is_empty() {
            return Ok(0);
        }
        let runs: Vec<String> =
            rows.iter().map(|row| row.read_fields("plugin_runs").take_text()).collect::<Result<_, _>>()?;
        let (list, listed) = (json_array(&runs)?, self.engine.dialect().in_texts(1));
        let of_runs = |table: &str, column: &str| {
            let sql = format!("DELETE FROM {table} WHERE {column} {listed}");
            (Sql::from(sql), vec![SqlArg::from(list.as_str())])
        };
        let script = vec![
            of_runs("plugin_run_logs", "run_id"),
            of_runs("plugin_effects", "run_id"),
            of_runs("plugin_runs", "id"),
        ];
        self.write_erasure(StatementOwner::Server, script).await?;
        Ok(u64::try_from(runs.len()).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::PERSONAL_TABLES;

    #[test]
    fn every_table_of_a_tenant_is_removed() {
        // The server's own, what is removed with runs or contacts, and what goes last or stays without data.
        let others = [
            "server_secrets",
            "operator_tokens",
            "probes",
            "nodes",
            "key_rotation",
            "directory_counter",
            "contact_search",
            "plugin_runs",
            "plugin_effects",
            "accounts",
            "organisations",
        ];
        for (table, _) in PERSONAL_TABLES {
            let removed = OF_ACCOUNT.iter().chain(&OF_ORGANISATION).filter(|rows| rows.is_of(table)).count();
            assert_eq!(removed, usize::from(!others.contains(table)), "{table}");
        }
    }
}
