//! Names of statements, for spans.

use std::fmt;

/// Name of a statement: its verb and its first table, as in `SELECT messages`. It is made of the statement's
/// fixed text, which holds no value of a client; it costs nothing until it is written.
pub(super) struct StatementName<'a>(pub(super) &'a str);

impl fmt::Display for StatementName<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut words = self.0.split(|sign: char| sign.is_whitespace() || "(),;".contains(sign));
        let verb = words.find(|word| !word.is_empty()).unwrap_or("?");
        f.write_str(verb)?;
        if verb == "UPDATE" {
            return words.next().map_or(Ok(()), |table| write!(f, " {table}"));
        }
        // A sub-query may stand where a table is expected.
        while words.by_ref().any(|word| matches!(word, "FROM" | "INTO" | "UPDATE")) {
            if let Some(table) = words.next().filter(|word| !word.is_empty()) {
                return write!(f, " {table}");
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_verb_and_the_first_table() {
        let cases = [
            ("SELECT id, name FROM contacts WHERE account = $1", "SELECT contacts"),
            ("INSERT INTO kv(plugin, key) VALUES ($1, $2)", "INSERT kv"),
            ("UPDATE contacts SET name = $2", "UPDATE contacts"),
            ("DELETE FROM events WHERE at < $1", "DELETE events"),
            ("SELECT a FROM (SELECT b FROM runs) AS r", "SELECT runs"),
            ("WITH passed AS (UPDATE accounts SET revision = 1) SELECT number FROM passed", "WITH accounts"),
            ("BEGIN IMMEDIATE", "BEGIN"),
            ("", "?"),
        ];
        for (sql, name) in cases {
            assert_eq!(StatementName(sql).to_string(), name, "{sql}");
        }
    }
}
