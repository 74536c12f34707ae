//! What holds for PostgreSQL alone: connections that die, and the order of texts.

use super::*;

async fn postgres() -> (Store, Guard) {
    let guard = Guard::postgres().await;
    (guard.open().await, guard)
}

/// Ends every connection of this test's store, as a restart of the server does.
async fn cut(guard: &Guard) {
    let mut other = sqlx::PgConnection::connect(&guard.url()).await.unwrap();
    // The writing connection has spoken to this test's schema; others belong to other tests.
    let sql = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
               WHERE application_name = 'kabar' AND pid <> pg_backend_pid() AND query LIKE '%' || $1 || '%'";
    let schema: String =
        sqlx::query_scalar("SELECT current_schema()::text").fetch_one(&mut other).await.unwrap();
    sqlx::query(sql).bind(schema).execute(&mut other).await.unwrap();
}
