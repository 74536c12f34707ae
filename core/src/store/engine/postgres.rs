//! PostgreSQL: a pool that reads, and connections that write.
//!
//! Invariants: COMMIT returns after the server has flushed it, whatever the server's own default is;
//! nothing waits for a server that does not answer longer than [`ANSWER_TIMEOUT`], and a connection
//! that was waited for in vain is never used again; a connection that died while it lay idle fails
//! nobody.

use std::future::Future;
use std::str::FromStr;
use std::time::Duration;

use sqlx::pool::PoolConnection;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgPool, PgPoolOptions, PgRow};
use sqlx::{AssertSqlSafe, ConnectOptions as _, Connection as _, Postgres};

use super::{Arg, STATEMENTS_CACHED, Sql, unusable};
use crate::store::StoreError;

/// The server ends a statement after so long.
const STATEMENT_TIMEOUT: Duration = Duration::from_secs(3);
/// A server that has not answered a statement by then is taken for dead. Longer than
/// [`STATEMENT_TIMEOUT`], so that a slow server can say itself what is slow.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(4);
/// A connection must be open by then.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(3);
/// The server ends a transaction whose client has fallen silent, so that its locks come free.
const SILENCE_TIMEOUT: Duration = Duration::from_secs(10);
/// A pooled connection that was idle longer is asked whether it is alive before it is used.
const TRUSTED_IDLE: Duration = Duration::from_secs(1);
/// The first half of the key of kabar's advisory locks: `kaba` in ASCII.
const LOCK_CLASS: i32 = 0x6b61_6261;
/// `server_version_num` of PostgreSQL 15.
const OLDEST_VERSION: i64 = 150_000;

static MIGRATIONS: sqlx::migrate::Migrator = sqlx::migrate!("../migrations/postgres");

/// An open database.
#[derive(Clone)]
pub(super) struct Database {
    readers: PgPool,
    readers_max: u32,
    writing: PgConnectOptions,
}

impl Database {
    /// Connects to the database that `url` names and brings its schema up. `patience` is how long a
    /// statement waits for a lock that somebody else holds.
    pub(super) async fn open(url: &str, readers: u32, patience: Duration) -> Result<Self, StoreError> {
        let options = connect_options(url, patience)?;
        check(&options).await?;
        let readers_max = readers.max(1);
        let readers = PgPoolOptions::new()
            .max_connections(readers_max)
            .acquire_timeout(CONNECT_TIMEOUT)
            .test_before_acquire(false)
            .before_acquire(|connection, meta| {
                Box::pin(async move {
                    // A connection that does not answer is closed, and another one is taken.
                    Ok(meta.idle_for < TRUSTED_IDLE || answered(connection.ping()).await.is_ok())
                })
            })
            .connect_lazy_with(options.clone());
        // Whatever is written is found by its key; but the planner cannot know how few rows an array holds,
        // and would read every account to find one.
        Ok(Self { readers, readers_max, writing: options.options([("enable_seqscan", "off")]) })
    }

    /// Reads with one statement.
    ///
    /// A restart of the server kills all connections that lie idle, and each that is found dead leaves
    /// the pool; so after as many as there can be a fresh one is reached.
    pub(super) async fn fetch(&self, sql: Sql, args: Vec<Arg>) -> Result<Vec<PgRow>, sqlx::Error> {
        let mut dead = 0;
        loop {
            let mut reader = self.readers.acquire().await?;
            match run(&mut reader, sql.clone(), args.clone()).await {
                Err(error) if is_lost(&error) => {
                    discard(reader);
                    if is_silence(&error) || dead == self.readers_max {
                        return Err(error);
                    }
                    dead += 1;
                }
                done => return done,
            }
        }
    }

    /// Begins several reads that see the same commits.
    pub(super) async fn snapshot(&self) -> Result<Snapshot, sqlx::Error> {
        const BEGIN: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY";
        let mut dead = 0;
        loop {
            let mut snapshot = Snapshot(Some(self.readers.acquire().await?));
            match snapshot.fetch(BEGIN.into(), Vec::new()).await {
                Err(error) if is_lost(&error) && !is_silence(&error) && dead < self.readers_max => dead += 1,
                begun => return begun.map(|_nothing| snapshot),
            }
        }
    }

    /// Opens a connection that writes.
    pub(super) async fn writer(&self) -> Result<PgConnection, sqlx::Error> {
        connect(&self.writing).await
    }

    /// Takes a lock that lasts as long as its connection: alone, or beside others who are not alone.
    /// `last` is the stay of this server whose connection was lost.
    pub(super) async fn enter(&self, alone: bool, last: Option<&Stay>) -> Result<Option<Lock>, sqlx::Error> {
        // The server notices within seconds that this machine has gone without a word.
        let options = self.writing.clone().options([
            ("tcp_keepalives_idle", "5"),
            ("tcp_keepalives_interval", "2"),
            ("tcp_keepalives_count", "3"),
        ]);
        let mut connection = connect(&options).await?;
        if let Some(last) = last {
            last.end(&mut connection).await?;
        }
        let function = if alone { "pg_try_advisory_lock" } else { "pg_try_advisory_lock_shared" };
        let sql = format!("SELECT {function}({LOCK_CLASS}, hashtext(current_schema()))");
        let taken: bool = answered(sqlx::query_scalar(AssertSqlSafe(sql)).fetch_one(&mut connection)).await?;
        if !taken {
            return Ok(None);
        }
        let stay = Stay::begin(&mut connection).await?;
        Ok(Some(Lock { connection, stay }))
    }

    /// Closes the readers.
    pub(super) async fn close(&self) {
        // A server that does not answer is not waited for.
        let _silent = tokio::time::timeout(ANSWER_TIMEOUT, self.readers.close()).await;
    }
}

/// The connection that holds a server's place.
pub(super) struct Lock {
    connection: PgConnection,
    pub(super) stay: Stay,
}

impl Lock {
    /// Asks whether the connection is alive, and with it the lock.
    pub(super) async fn check(&mut self) -> Result<(), sqlx::Error> {
        answered(self.connection.ping()).await
    }
}

/// One holding of the lock. Stays are numbered, so that who loses the lock and gets it back can tell
/// whether somebody else had it in between.
#[derive(Debug, Clone)]
pub(super) struct Stay {
    number: i64,
    backend: i32,
    backend_since: String,
}

impl Stay {
    async fn begin(connection: &mut PgConnection) -> Result<Self, sqlx::Error> {
        let sql = "INSERT INTO probes (id, written) VALUES (2, 1) \
                   ON CONFLICT (id) DO UPDATE SET written = probes.written + 1 \
                   RETURNING written, pg_backend_pid(), (SELECT backend_start::text \
                   FROM pg_stat_activity WHERE pid = pg_backend_pid())";
        let (number, backend, backend_since) = answered(sqlx::query_as(sql).fetch_one(connection)).await?;
        Ok(Self { number, backend, backend_since })
    }

    /// Ends its session if the server has not noticed yet that the connection is gone.
    async fn end(&self, connection: &mut PgConnection) -> Result<(), sqlx::Error> {
        let sql = "SELECT pg_terminate_backend(pid, 1000) FROM pg_stat_activity \
                   WHERE pid = $1 AND backend_start::text = $2";
        let ended = sqlx::query(sql).bind(self.backend).bind(&self.backend_since);
        answered(ended.fetch_all(connection)).await.map(drop)
    }

    /// Whether nobody was there between that stay and this one.
    pub(super) const fn follows(&self, last: &Self) -> bool {
        self.number == last.number + 1
    }
}

/// Reads that see the same commits. Dropping it ends them.
pub(super) struct Snapshot(Option<PoolConnection<Postgres>>);

impl Snapshot {
    /// Reads with one statement.
    pub(super) async fn fetch(&mut self, sql: Sql, args: Vec<Arg>) -> Result<Vec<PgRow>, sqlx::Error> {
        let reader = self.0.as_mut().ok_or(sqlx::Error::PoolClosed)?;
        let read = run(reader, sql, args).await;
        if let Err(error) = &read
            && is_lost(error)
            && let Some(reader) = self.0.take()
        {
            discard(reader);
        }
        read
    }

    /// Ends them, and gives the connection back.
    pub(super) async fn end(mut self) -> Result<(), sqlx::Error> {
        self.fetch("COMMIT".into(), Vec::new()).await?;
        // Still there, since the statement went well; what is left in `self` is dropped as nothing.
        drop(self.0.take());
        Ok(())
    }
}

impl Drop for Snapshot {
    fn drop(&mut self) {
        // Its transaction is open still: the server ends it with the connection.
        if let Some(reader) = self.0.take() {
            discard(reader);
        }
    }
}

/// Closes a connection without a word, and frees its place in the pool.
fn discard(reader: PoolConnection<Postgres>) {
    drop(reader.detach());
}

/// Runs one statement and collects its rows.
pub(super) async fn run(
    connection: &mut PgConnection,
    sql: Sql,
    args: Vec<Arg>,
) -> Result<Vec<PgRow>, sqlx::Error> {
    // Composed of this floor's own fragments only; whatever a client gave is bound.
    let mut query = sqlx::query(AssertSqlSafe(sql));
    for arg in args {
        query = match arg {
            Arg::Int(value) => query.bind(value),
            Arg::Text(value) => query.bind(value),
            Arg::Bytes(value) => query.bind(Vec::from(value)),
        };
    }
    answered(query.fetch_all(connection)).await
}

/// Says goodbye and closes.
pub(super) async fn close(connection: PgConnection) -> Result<(), sqlx::Error> {
    answered(connection.close()).await
}

/// Whether this SQLSTATE says that the statement, and not the database, is at fault.
pub(super) fn refuses(state: &str) -> bool {
    // https://www.postgresql.org/docs/15/errcodes-appendix.html: the first two characters are the
    // class. 22 data exception, 23 constraint violation, 42 syntax error or access rule.
    matches!(state.get(..2), Some("22" | "23" | "42"))
}

/// Whether the connection is gone, as opposed to a server that answers with an error.
pub(super) fn is_lost(error: &sqlx::Error) -> bool {
    // 57P0x: the server shuts down, and closes the connection after saying so.
    let ends = |state: &str| {
        matches!(state, "57P01" | "57P02" | "57P03") || state.get(..2).is_some_and(|it| it == "08")
    };
    match error.as_database_error() {
        Some(error) => error.code().is_some_and(|state| ends(&state)),
        None => matches!(error, sqlx::Error::Io(_) | sqlx::Error::Protocol(_) | sqlx::Error::Tls(_)),
    }
}

/// Whether the server was waited for in vain: to ask again would be to wait again.
pub(super) fn is_silence(error: &sqlx::Error) -> bool {
    matches!(error, sqlx::Error::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

/// What a server that can be reached says within [`ANSWER_TIMEOUT`].
async fn answered<T>(question: impl Future<Output = Result<T, sqlx::Error>>) -> Result<T, sqlx::Error> {
    within(ANSWER_TIMEOUT, question).await
}

async fn within<T>(
    limit: Duration,
    question: impl Future<Output = Result<T, sqlx::Error>>,
) -> Result<T, sqlx::Error> {
    let silent = || std::io::Error::new(std::io::ErrorKind::TimedOut, "PostgreSQL does not answer");
    tokio::time::timeout(limit, question).await.unwrap_or_else(|_late| Err(sqlx::Error::Io(silent())))
}

async fn connect(options: &PgConnectOptions) -> Result<PgConnection, sqlx::Error> {
    within(CONNECT_TIMEOUT, options.connect()).await
}

fn connect_options(url: &str, patience: Duration) -> Result<PgConnectOptions, sqlx::Error> {
    let ms = |limit: Duration| limit.as_millis().to_string();
    let named = PgConnectOptions::from_str(url)?;
    let named = if named.get_application_name().is_some() { named } else { named.application_name("kabar") };
    Ok(named
        .options([
            ("statement_timeout", ms(STATEMENT_TIMEOUT)),
            ("lock_timeout", ms(patience)),
            ("idle_in_transaction_session_timeout", ms(SILENCE_TIMEOUT)),
            ("synchronous_commit", "on".to_owned()),
            // Plans cost more to compile than these statements take to run.
            ("jit", "off".to_owned()),
        ])
        .statement_cache_capacity(STATEMENTS_CACHED)
        .disable_statement_logging())
}

/// Looks at the server, and brings the schema up.
async fn check(options: &PgConnectOptions) -> Result<(), StoreError> {
    let mut first = connect(options).await?;
    let settings = "SELECT current_setting('server_version_num')::bigint, current_setting('server_encoding'), \
                    current_setting('fsync')";
    let (version, encoding, fsync): (i64, String, String) =
        answered(sqlx::query_as(settings).fetch_one(&mut first)).await?;
    if version < OLDEST_VERSION {
        return Err(unusable("PostgreSQL 15 or later is needed"));
    }
    if encoding != "UTF8" {
        return Err(unusable("the database must be made with ENCODING 'UTF8'"));
    }
    if fsync != "on" {
        tracing::warn!("PostgreSQL runs with fsync=off: acknowledged writes do not survive its crash");
    }
    // May take long: another node may be at it, and a schema change reads whole tables.
    sqlx::query("SET statement_timeout = 0").execute(&mut first).await?;
    sqlx::query("SET lock_timeout = 0").execute(&mut first).await?;
    MIGRATIONS.run(&mut first).await.map_err(sqlx::Error::from)?;
    Ok(close(first).await?)
}
