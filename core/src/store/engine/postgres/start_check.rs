//! Checks of the server before its database is used: its version, its settings, and its locks.
//!
//! Invariant: a server without working advisory locks is refused, because they keep two servers from using
//! one database exclusively.

use sqlx::AssertSqlSafe;
use sqlx::postgres::PgConnection;

use super::primary_connection::PrimaryConnection;
use super::primary_tracker::PrimaryTracker;
use super::{LOCK_CLASS, OLDEST_VERSION, unusable_value, within_answer_timeout};
use crate::store::StoreError;
use crate::store::engine::migrations::postgres_migrations;

/// Error message when a lock of one session is also granted to another one.
const NO_LOCKS: &str = "advisory locks do not lock here: kabar needs PostgreSQL itself, and no pooler that \
                        shares its sessions";

/// Checks the server, and migrates the schema.
pub(super) async fn check_server(tracker: &PrimaryTracker) -> Result<(), StoreError> {
    let mut first = PrimaryConnection::open(tracker, std::convert::identity).await?;
    let settings = "SELECT current_setting('server_version_num')::bigint, current_setting('server_version'), \
                    current_setting('server_encoding'), current_setting('fsync'), \
                    current_setting('synchronous_standby_names')";
    let (number, version, encoding, fsync, standbys): (i64, String, String, String, String) =
        within_answer_timeout(sqlx::query_as(settings).fetch_one(first.raw_connection())).await?;
    if number < OLDEST_VERSION {
        return Err(unusable_value("PostgreSQL 15 or later is needed"));
    }
    if encoding != "UTF8" {
        return Err(unusable_value("the database must be made with ENCODING 'UTF8'"));
    }
    let mut second = PrimaryConnection::open(tracker, std::convert::identity).await?;
    check_locks(first.raw_connection(), second.raw_connection()).await?;
    second.close_connection().await?;
    if fsync != "on" {
        tracing::warn!("PostgreSQL runs with fsync=off: acknowledged writes do not survive its crash");
    }
    tracing::info!(version, synchronous_standby_names = standbys, "PostgreSQL is the database");
    // May take long: another node may be migrating, and a schema change reads whole tables.
    within_answer_timeout(sqlx::query("SET statement_timeout = 0").execute(first.raw_connection())).await?;
    within_answer_timeout(sqlx::query("SET lock_timeout = 0").execute(first.raw_connection())).await?;
    postgres_migrations().run(first.raw_connection()).await.map_err(sqlx::Error::from)?;
    Ok(first.close_connection().await?)
}

/// Checks that a lock of one session is not granted to another one, and is granted when it is free. The key
/// is random, so that servers that start at the same time do not collide.
async fn check_locks(first: &mut PgConnection, second: &mut PgConnection) -> Result<(), StoreError> {
    let key = format!("{}, {}", LOCK_CLASS.wrapping_add(1), rand::random::<i32>());
    let ask = async |connection: &mut PgConnection, function: &str| {
        let sql = AssertSqlSafe(format!("SELECT {function}({key})"));
        within_answer_timeout(sqlx::query_scalar::<_, bool>(sql).fetch_one(connection)).await
    };
    let locks = ask(first, "pg_try_advisory_lock").await?
        && !ask(second, "pg_try_advisory_lock").await?
        && !ask(second, "pg_try_advisory_lock_shared").await?
        && ask(first, "pg_advisory_unlock").await?
        && ask(second, "pg_try_advisory_lock").await?;
    if locks { Ok(()) } else { Err(unusable_value(NO_LOCKS)) }
}
