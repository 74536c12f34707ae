//! The database under a stage: a SQLite file in the stage's folder, or, if `KABAR_TEST_STORE=postgres`
//! says so, a schema of its own in the server of `KABAR_TEST_POSTGRES_URL`.
//!
//! `./test` runs the whole suite on each; `tests/services run` provides the server to a single run.

use std::path::Path;

use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _};

use super::patiently;

/// Setting that names the file of keys; required on PostgreSQL.
pub(crate) const KEY_FILE: &str = "KABAR_SECRETS__KEY_FILE";
/// Keys of all tests on PostgreSQL that are about something else.
pub(crate) const TEST_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/test.key");

/// The address of an empty database of the engine that this run is about.
pub(crate) async fn chosen(folder: &Path) -> String {
    match setting("KABAR_TEST_STORE").as_deref() {
        None | Some("sqlite") => sqlite(folder),
        Some("postgres") => postgres().await,
        Some(other) => panic!("KABAR_TEST_STORE={other}: sqlite or postgres"),
    }
}

/// The address of a file in this folder.
pub(crate) fn sqlite(folder: &Path) -> String {
    format!("sqlite://{}", folder.join("kabar.db").display())
}

/// The address of an empty schema that no other test uses.
pub(crate) async fn postgres() -> String {
    let server = setting("KABAR_TEST_POSTGRES_URL").expect("run this under tests/services run");
    schema_of(&server).await
}

/// The address of an empty schema of this server.
pub(crate) async fn schema_of(server: &str) -> String {
    let schema = format!("t_{:032x}", rand::random::<u128>());
    let mut connection = sqlx::PgConnection::connect(server).await.unwrap();
    let sql = sqlx::AssertSqlSafe(format!("CREATE SCHEMA {schema}"));
    sqlx::query(sql).execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
    format!("{server}?options[search_path]={schema}")
}

/// Somebody else who keeps the whole database from being written to, not from being read.
pub(crate) enum WriteLock {
    /// Holds SQLite's write lock.
    Sqlite(sqlx::SqliteConnection),
    /// Holds a lock on every table.
    Postgres(sqlx::PgConnection),
}

impl WriteLock {
    /// Takes it, as soon as it is free.
    pub(crate) async fn take(url: &str) -> Self {
        if url.starts_with("sqlite:") {
            let options: SqliteConnectOptions = url.parse().unwrap();
            let mut connection = options.disable_statement_logging().connect().await.unwrap();
            patiently(sqlx::query("BEGIN IMMEDIATE").execute(&mut connection)).await.unwrap();
            return Self::Sqlite(connection);
        }
        let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
        let tables = "SELECT string_agg(format('%I', tablename), ', ') FROM pg_tables \
                      WHERE schemaname = current_schema()";
        let tables: String = sqlx::query_scalar(tables).fetch_one(&mut connection).await.unwrap();
        let lock = sqlx::AssertSqlSafe(format!("BEGIN; LOCK TABLE {tables} IN EXCLUSIVE MODE"));
        patiently(sqlx::raw_sql(lock).execute(&mut connection)).await.unwrap();
        Self::Postgres(connection)
    }

    /// Lets go.
    pub(crate) async fn release(self) {
        match self {
            Self::Sqlite(connection) => connection.close().await.unwrap(),
            Self::Postgres(connection) => connection.close().await.unwrap(),
        }
    }
}

/// Runs a statement behind the server's back.
pub(crate) async fn run(url: &str, sql: &'static str) {
    if url.starts_with("sqlite:") {
        let options: SqliteConnectOptions = url.parse().unwrap();
        let mut connection = options.disable_statement_logging().connect().await.unwrap();
        sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
        return connection.close().await.unwrap();
    }
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::raw_sql(sql).execute(&mut connection).await.unwrap();
}

/// What the database keeps of API keys, byte by byte.
pub(crate) async fn bytes_of_keys(url: &str) -> Vec<u8> {
    if let Some(file) = url.strip_prefix("sqlite://") {
        let mut bytes = std::fs::read(file).unwrap();
        bytes.extend(std::fs::read(format!("{file}-wal")).unwrap());
        return bytes;
    }
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let rows = "SELECT string_agg(api_keys::text, ' ') FROM api_keys";
    sqlx::query_scalar::<_, String>(rows).fetch_one(&mut connection).await.unwrap().into_bytes()
}

/// Returns `true` when a statement gives rows.
pub(crate) async fn has_rows(url: &str, sql: &'static str) -> bool {
    if url.starts_with("sqlite:") {
        let options: SqliteConnectOptions = url.parse().unwrap();
        let mut connection = options.disable_statement_logging().connect().await.unwrap();
        let found = sqlx::query(sql).fetch_optional(&mut connection).await.unwrap().is_some();
        connection.close().await.unwrap();
        return found;
    }
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    sqlx::query(sql).fetch_optional(&mut connection).await.unwrap().is_some()
}

/// Every row of every table, as a text.
pub(crate) async fn all_rows(url: &str) -> Vec<String> {
    let mut rows = Vec::new();
    if url.starts_with("sqlite:") {
        let options: SqliteConnectOptions = url.parse().unwrap();
        let mut connection = options.disable_statement_logging().connect().await.unwrap();
        let columns = "SELECT m.name, group_concat('quote(\"' || c.name || '\")', ' || '' '' || ') \
                       FROM sqlite_master m JOIN pragma_table_info(m.name) c \
                       WHERE m.type = 'table' AND m.name NOT LIKE 'sqlite_%' GROUP BY m.name";
        let tables: Vec<(String, String)> = sqlx::query_as(columns).fetch_all(&mut connection).await.unwrap();
        for (table, columns) in tables {
            let sql = sqlx::AssertSqlSafe(format!("SELECT {columns} FROM \"{table}\""));
            rows.extend(sqlx::query_scalar::<_, String>(sql).fetch_all(&mut connection).await.unwrap());
        }
        connection.close().await.unwrap();
        return rows;
    }
    let mut connection = sqlx::PgConnection::connect(url).await.unwrap();
    let tables = "SELECT tablename::text FROM pg_tables WHERE schemaname = current_schema()";
    let tables: Vec<String> = sqlx::query_scalar(tables).fetch_all(&mut connection).await.unwrap();
    for table in tables {
        let sql = sqlx::AssertSqlSafe(format!("SELECT t::text FROM {table} t"));
        rows.extend(sqlx::query_scalar::<_, String>(sql).fetch_all(&mut connection).await.unwrap());
    }
    rows
}

/// All that the database keeps: the bytes of the files, or every row as a text.
pub(crate) async fn dump(url: &str) -> Vec<u8> {
    let Some(file) = url.strip_prefix("sqlite://") else {
        let rows = all_rows(url).await;
        assert!(rows.len() > 5, "{rows:?}");
        return rows.join("\n").into_bytes();
    };
    let mut bytes = std::fs::read(file).unwrap();
    // After an orderly stop there is nothing beside it.
    for beside in ["-wal", "-shm", "-journal"] {
        bytes.extend(std::fs::read(format!("{file}{beside}")).unwrap_or_default());
    }
    bytes
}

#[expect(clippy::disallowed_methods, reason = "tests have no configuration")]
fn setting(name: &str) -> Option<String> {
    std::env::var(name).ok()
}
