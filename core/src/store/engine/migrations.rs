//! The schema's migrations of each engine, built into the program.
//!
//! Invariant: every file of `migrations/` is listed here, under the number and the words of its name. A macro
//! would list them by itself, but builds both database drivers a second time, for the compiler.

use sqlx::SqlStr;
use sqlx::migrate::{Migration, MigrationType, Migrator};

/// One file: its number, its words, and its text.
type MigrationFile = (i64, &'static str, &'static str);

const SQLITE: [MigrationFile; 1] =
    [(1, "schema", include_str!("../../../../migrations/sqlite/0001_schema.sql"))];
const POSTGRES: [MigrationFile; 1] =
    [(1, "schema", include_str!("../../../../migrations/postgres/0001_schema.sql"))];

/// Returns the migrations of SQLite.
pub(super) fn sqlite_migrations() -> Migrator {
    build_migrator(&SQLITE)
}

/// Returns the migrations of PostgreSQL.
pub(super) fn postgres_migrations() -> Migrator {
    build_migrator(&POSTGRES)
}

fn build_migrator(files: &[MigrationFile]) -> Migrator {
    let build = |(version, words, text): &MigrationFile| {
        let sql = SqlStr::from_static(text);
        Migration::new(*version, (*words).into(), MigrationType::Simple, sql, false)
    };
    Migrator::with_migrations(files.iter().map(build).collect())
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn every_file_is_a_migration() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../migrations");
        for (engine, files) in [("sqlite", SQLITE), ("postgres", POSTGRES)] {
            let entries = std::fs::read_dir(root.join(engine)).unwrap();
            let mut found: Vec<_> =
                entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
            found.sort();
            let listed = files.map(|(version, words, _)| format!("{version:04}_{words}.sql"));
            assert_eq!(found, listed, "{engine}");
        }
    }
}
