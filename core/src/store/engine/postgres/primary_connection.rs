//! One connection to the current primary.
//!
//! Invariant: nothing is asked, and no answer is handed on, after another server became the primary. A
//! commit that a replaced primary confirms has an unknown outcome, as one whose answer was lost.

use sqlx::Connection as _;
use sqlx::postgres::{PgConnection, PgRow};

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
    pub(super) const fn new(connection: PgConnection, tracker: PrimaryTracker, generation: u64) -> Self {
        Self { connection, tracker, generation }
    }

    /// Whether its server is the current primary.
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

    /// Asks whether it is alive.
    pub(super) async fn ping_server(&mut self) -> Result<(), sqlx::Error> {
        let answer = within_answer_timeout(self.connection.ping()).await;
        self.note_loss(answer)
    }

    /// Asks whether its server is still a primary, and the current one. Hosts are asked too if a
    /// connection was lost since they were asked last.
    pub(super) async fn check_primary(&mut self) -> Result<(), sqlx::Error> {
        if self.tracker.is_doubted()
            && let Err(error) = self.tracker.current_primary().await
        {
            // This connection may be good all the same.
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

    /// The connection itself, for what is done before it is used.
    pub(super) const fn raw_connection(&mut self) -> &mut PgConnection {
        &mut self.connection
    }

    /// Closes it in good order.
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
