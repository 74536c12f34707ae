//! One connection to the current primary.
//!
//! Invariant: no statement is sent, and no answer is returned, after another server became the primary. A
//! commit that a replaced primary confirms has an unknown outcome, like one with a lost answer.

use sqlx::Connection as _;
use sqlx::postgres::{PgConnectOptions, PgConnection, PgRow};

use super::primary_tracker::PrimaryTracker;
use super::server_role::identify_server;
use super::{Sql, SqlArg, is_lost, run_statement, within_answer_timeout};

/// Connection to the current primary, of one generation.
pub(in crate::store::engine) struct PrimaryConnection {
    connection: PgConnection,
    tracker: PrimaryTracker,
    generation: u64,
}

impl PrimaryConnection {
    /// Opens a connection. `shape` adds settings of the session.
    pub(super) async fn open(
        tracker: &PrimaryTracker,
        shape: fn(PgConnectOptions) -> PgConnectOptions,
    ) -> Result<Self, sqlx::Error> {
        let (connection, generation) = tracker.connect_primary(shape).await?;
        Ok(Self { connection, tracker: tracker.clone(), generation })
    }

    /// Returns `true` when its server is the current primary.
    pub(super) fn is_current(&self) -> bool {
        self.tracker.is_current(self.generation)
    }

    /// Runs one statement and collects its rows.
    pub(in crate::store::engine) async fn run_statement(
        &mut self,
        sql: Sql,
        args: Vec<SqlArg>,
    ) -> Result<Vec<PgRow>, sqlx::Error> {
        self.ensure_current()?;
        let answer = run_statement(&mut self.connection, sql, args).await;
        let rows = self.note_loss(answer)?;
        self.ensure_current()?;
        Ok(rows)
    }

    /// Checks that it is alive.
    pub(super) async fn ping_server(&mut self) -> Result<(), sqlx::Error> {
        let answer = within_answer_timeout(self.connection.ping()).await;
        self.note_loss(answer)
    }

    /// Checks that its server is still a primary, and the current one. Asks the hosts too if a connection was
    /// lost since they were last asked.
    pub(super) async fn check_primary(&mut self) -> Result<(), sqlx::Error> {
        if self.tracker.is_doubted()
            && let Err(error) = self.tracker.current_primary().await
        {
            // This connection may still be good.
            tracing::warn!(%error, "the hosts of the database were asked in vain");
        }
        self.ensure_current()?;
        let role = identify_server(&mut self.connection).await;
        if self.tracker.is_identity(&self.note_loss(role)?) {
            return Ok(());
        }
        self.tracker.doubt_generation(self.generation);
        Err(replaced())
    }

    /// Returns the connection itself, for work before it is used.
    pub(super) const fn raw_connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Closes it cleanly.
    pub(in crate::store::engine) async fn close_connection(self) -> Result<(), sqlx::Error> {
        within_answer_timeout(self.connection.close()).await
    }

    fn ensure_current(&self) -> Result<(), sqlx::Error> {
        if self.is_current() { Ok(()) } else { Err(replaced()) }
    }

    fn note_loss<T>(&self, answer: Result<T, sqlx::Error>) -> Result<T, sqlx::Error> {
        if answer.as_ref().is_err_and(is_lost) {
            self.tracker.doubt_generation(self.generation);
        }
        answer
    }
}

fn replaced() -> sqlx::Error {
    let reason = "the server of this connection is not the primary any more";
    sqlx::Error::Io(std::io::Error::new(std::io::ErrorKind::ConnectionReset, reason))
}
