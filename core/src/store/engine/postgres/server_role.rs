//! The role of the server at the other end of a connection, its identity as a primary, and its ability to
//! commit.
//!
//! Invariant: a primary keeps its identity until its postmaster restarts. A promoted standby was no primary
//! before, and a primary becomes a standby only by a restart.

use sqlx::postgres::PgConnection;

use super::within_answer_timeout;

/// Identity of a primary.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ServerIdentity {
    /// The system identifier, which a primary and its standbys share; empty where it cannot be queried.
    pub(super) system: String,
    /// The timeline, which every promotion raises; zero where it cannot be queried.
    pub(super) timeline: i64,
    /// Start of the postmaster, to the microsecond.
    pub(super) started: String,
}

/// Role of a server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ServerRole {
    /// It takes writes.
    Primary(ServerIdentity),
    /// It follows a primary.
    Standby,
    /// It is configured to refuse writes, as operators do with a primary that they replace.
    ReadOnly,
}

type ServerRoleRow = (bool, bool, String, Option<String>, Option<i64>);

/// The timeline is part of the name of the current WAL file: after a promotion it is there at once, while
/// `pg_control_checkpoint()` lags behind by a checkpoint.
const ROLE: &str = "SELECT pg_is_in_recovery(), current_setting('transaction_read_only') = 'on', \
    pg_postmaster_start_time()::text, (SELECT system_identifier::text FROM pg_control_system()), \
    CASE WHEN NOT pg_is_in_recovery() \
    THEN ('x' || substr(pg_walfile_name(pg_current_wal_lsn()), 1, 8))::bit(32)::bigint END";
/// For services that run PostgreSQL without these functions.
const ROLE_WITHOUT_WAL: &str = "SELECT pg_is_in_recovery(), \
    current_setting('transaction_read_only') = 'on', pg_postmaster_start_time()::text, NULL::text, NULL::bigint";

/// Queries the server's role. Must be called outside a transaction.
pub(super) async fn identify_server(connection: &mut PgConnection) -> Result<ServerRole, sqlx::Error> {
    let answer: Result<ServerRoleRow, _> =
        within_answer_timeout(sqlx::query_as(ROLE).fetch_one(&mut *connection)).await;
    let (standby, read_only, started, system, timeline) = match answer {
        Err(error) if is_unsupported(&error) => {
            within_answer_timeout(sqlx::query_as(ROLE_WITHOUT_WAL).fetch_one(connection)).await?
        }
        answer => answer?,
    };
    Ok(match (standby, read_only) {
        (true, _) => ServerRole::Standby,
        (false, true) => ServerRole::ReadOnly,
        (false, false) => ServerRole::Primary(ServerIdentity {
            system: system.unwrap_or_default(),
            timeline: timeline.unwrap_or_default(),
            started,
        }),
    })
}

/// Returns once a commit of this session is as durable as the server makes commits, and with it every earlier
/// commit.
///
/// After a crash a primary shows commits that its synchronous standby may not have: they would be lost if
/// that standby were promoted, so they must not be shown before. The message of `pg_logical_emit_message` is
/// the smallest record with which a commit waits for the standby; it changes no table.
pub(super) async fn commit_barrier(connection: &mut PgConnection) -> Result<(), sqlx::Error> {
    let emit = "SELECT pg_logical_emit_message(true, 'kabar', '')::text";
    match within_answer_timeout(sqlx::query(emit).execute(connection)).await {
        Err(error) if is_unsupported(&error) => Ok(()),
        done => done.map(drop),
    }
}

/// Returns `true` when the server lacks a function, or denies it to this role.
fn is_unsupported(error: &sqlx::Error) -> bool {
    // https://www.postgresql.org/docs/15/errcodes-appendix.html: classes 0A, feature not supported, and 42,
    // syntax error or access rule violation.
    let state = error.as_database_error().and_then(sqlx::error::DatabaseError::code);
    state.is_some_and(|state| matches!(state.get(..2), Some("0A" | "42")))
}
