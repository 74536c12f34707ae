//! Every table of the database, with what an erasure does to it. A test compares the list with the schema, so that a
//! new table cannot be forgotten.

/// Personal data in a table, and how an erasure removes it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PersonalTable {
    /// Rows about a contact are deleted by the commit that deletes the contact.
    WithContact,
    /// Rows about a contact are deleted, or lose their data, in the steps afterwards.
    InSteps,
    /// No data of contacts.
    None,
    /// Data that a tenant's own hook keeps, in a form that only the hook knows.
    OfHook,
}

/// What an erasure does, by table.
pub const PERSONAL_TABLES: &[(&str, PersonalTable)] = &[
    ("server_secrets", PersonalTable::None),
    ("probes", PersonalTable::None),
    ("nodes", PersonalTable::None),
    ("key_rotation", PersonalTable::None),
    ("directory_counter", PersonalTable::None),
    ("organisations", PersonalTable::None),
    ("api_keys", PersonalTable::None),
    ("users", PersonalTable::None),
    ("operator_tokens", PersonalTable::None),
    ("credential_uses", PersonalTable::None),
    ("audit_entries", PersonalTable::None),
    ("accounts", PersonalTable::None),
    ("contacts", PersonalTable::WithContact),
    ("contact_search", PersonalTable::WithContact),
    ("contact_identifiers", PersonalTable::WithContact),
    ("conversations", PersonalTable::WithContact),
    ("messages", PersonalTable::InSteps),
    ("raw_items", PersonalTable::InSteps),
    ("parked_items", PersonalTable::InSteps),
    ("events", PersonalTable::InSteps),
    ("templates", PersonalTable::None),
    ("erasures", PersonalTable::InSteps),
    ("erased_keys", PersonalTable::None),
    ("idempotency_records", PersonalTable::InSteps),
    ("delivery_cursors", PersonalTable::None),
    ("webhook_subscriptions", PersonalTable::None),
    ("webhook_secrets", PersonalTable::None),
    ("webhook_deliveries", PersonalTable::InSteps),
    ("plugins", PersonalTable::None),
    ("plugin_versions", PersonalTable::None),
    ("plugin_parts", PersonalTable::None),
    ("plugin_heads", PersonalTable::None),
    ("plugin_kv", PersonalTable::OfHook),
    ("plugin_runs", PersonalTable::InSteps),
    ("plugin_run_logs", PersonalTable::InSteps),
    ("plugin_effects", PersonalTable::InSteps),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_table_of_the_schema_is_listed() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../migrations");
        let mut tables = std::collections::BTreeSet::new();
        for engine in ["sqlite", "postgres"] {
            for file in std::fs::read_dir(format!("{folder}/{engine}")).unwrap() {
                let sql = std::fs::read_to_string(file.unwrap().path()).unwrap();
                for line in sql.lines() {
                    let rest =
                        line.strip_prefix("CREATE TABLE ").or(line.strip_prefix("CREATE VIRTUAL TABLE "));
                    if let Some(name) = rest.and_then(|rest| rest.split([' ', '(']).next()) {
                        tables.insert(name.to_owned());
                    }
                }
            }
        }
        let listed: std::collections::BTreeSet<String> =
            PERSONAL_TABLES.iter().map(|(name, _)| (*name).to_owned()).collect();
        assert_eq!(tables, listed);
        assert_eq!(listed.len(), PERSONAL_TABLES.len(), "a table is listed once");
    }
}
