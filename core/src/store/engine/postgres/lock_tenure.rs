//! The connection that holds a server's lock, and its record after it is lost.
//!
//! Invariant: a lock lasts only while its connection leads to the current primary: a lock on a replaced
//! primary excludes no other server.

use sqlx::AssertSqlSafe;
use sqlx::postgres::{PgConnectOptions, PgConnection};

use super::primary_connection::PrimaryConnection;
use super::primary_tracker::PrimaryTracker;
use super::{LOCK_CLASS, within_answer_timeout};

/// The connection that holds a server's lock.
pub(in crate::store::engine) struct PostgresLock {
    connection: PrimaryConnection,
    pub(in crate::store::engine) stay: LockTenure,
}

impl PostgresLock {
    /// Takes a lock that lasts as long as its connection: exclusive, or shared with other servers that take
    /// it shared. `last` is the tenure of this server that ended when its connection was lost.
    pub(super) async fn take_lock(
        tracker: &PrimaryTracker,
        alone: bool,
        last: Option<&LockTenure>,
    ) -> Result<Option<Self>, sqlx::Error> {
        let mut connection = PrimaryConnection::open(tracker, noticed_when_gone).await?;
        if let Some(last) = last {
            last.end_session(connection.raw_connection()).await?;
        }
        let function = if alone { "pg_try_advisory_lock" } else { "pg_try_advisory_lock_shared" };
        let sql = format!("SELECT {function}({LOCK_CLASS}, hashtext(current_schema()))");
        let ask = sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(connection.raw_connection());
        let taken: bool = within_answer_timeout(ask).await?;
        if !taken {
            return Ok(None);
        }
        let stay = LockTenure::begin_tenure(connection.raw_connection()).await?;
        Ok(Some(Self { connection, stay }))
    }

    /// Checks that the connection is alive, and with it the lock.
    pub(in crate::store::engine) async fn check_alive(&mut self) -> Result<(), sqlx::Error> {
        self.connection.check_primary().await
    }
}

/// Makes the server notice within seconds that this machine has disappeared.
fn noticed_when_gone(options: PgConnectOptions) -> PgConnectOptions {
    options.options([
        ("tcp_keepalives_idle", "5"),
        ("tcp_keepalives_interval", "2"),
        ("tcp_keepalives_count", "3"),
    ])
}

/// One tenure of the lock. Tenures are numbered. So a server that loses the lock and gets it back can tell
/// whether another server had it in between.
#[derive(Debug, Clone)]
pub(in crate::store::engine) struct LockTenure {
    number: i64,
    backend: i32,
    backend_since: String,
}

impl LockTenure {
    async fn begin_tenure(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let sql = "INSERT INTO probes (id, written) VALUES (2, 1) \
                   ON CONFLICT (id) DO UPDATE SET written = probes.written + 1 \
                   RETURNING written, pg_backend_pid(), (SELECT backend_start::text \
                   FROM pg_stat_activity WHERE pid = pg_backend_pid())";
        let (number, backend, backend_since) =
            within_answer_timeout(sqlx::query_as(sql).fetch_one(connection)).await?;
        Ok(Self { number, backend, backend_since })
    }

    /// Ends its session if the server has not noticed yet that the connection is gone.
    async fn end_session(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let sql = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity \
                   WHERE pid = $1 AND backend_start::text = $2";
        let ended = sqlx::query(sql).bind(self.backend).bind(&self.backend_since);
        within_answer_timeout(ended.fetch_all(connection)).await.map(drop)
    }

    /// Returns `true` when no server held the lock between that tenure and this one.
    pub(in crate::store::engine) const fn follows_directly(&self, last: &Self) -> bool {
        self.number == last.number + 1
    }
}
