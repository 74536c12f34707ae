//! Runs a statement on a connection to SQLite.

use sqlx::sqlite::SqliteRow;
use sqlx::{AssertSqlSafe, SqliteConnection};

use super::{Sql, SqlArg};

/// Runs one statement and collects its rows.
pub(super) async fn run_statement(
    connection: &mut SqliteConnection,
    sql: Sql,
    args: Vec<SqlArg>,
) -> Result<Vec<SqliteRow>, sqlx::Error> {
    // Composed of fixed fragments of this layer only; values from clients are bound.
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for arg in args {
        query = match arg {
            SqlArg::Int(value) => query.bind(value),
            SqlArg::Text(value) => query.bind(value),
            SqlArg::Bytes(value) => query.bind(Vec::from(value)),
            SqlArg::Late(text) => query.bind(text.compose()?),
        };
    }
    query.fetch_all(connection).await
}
