//! Nodes: servers that share one database, and which of them serves an account.
//!
//! Invariants: a node is alive as long as its row is there; a row that was removed never comes back,
//! so a node that finds its row gone has lost everything it owned; an account changes hands only
//! from an owner without a row, in the statement that raises its epoch. A file has one server:
//! there `nodes` stays empty.

use std::time::Duration;

use super::dialect::Dialect;
use super::engine::{Presence, Row, Stay};
use super::{Store, StoreError};
use crate::ids::NodeId;

const TABLE: &str = "nodes";

/// Tries to become an account's owner before it is said that somebody else was faster.
const TAKE_OVER_TRIES: usize = 3;

/// PostgreSQL's clock in milliseconds; it goes on within a statement that waits.
const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// What a node learns when it says that it is alive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Renewed {
    /// Nodes alive, this one included.
    pub nodes: u32,
    /// Number of the last change of the directory.
    pub directory_revision: i64,
}

impl Store {
    /// Whether several servers may work on this database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.engine.dialect() == Dialect::Postgres
    }

    /// Takes a place among the servers of this database: the only place, or one beside others that ask
    /// for one beside others. `None` when somebody is in the way. The place is held until the
    /// [`Presence`] is dropped, this process ends, or the connection to the database breaks. `last` is
    /// the stay of this server that was lost; if the database has not noticed the loss, it is ended.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn enter(&self, alone: bool, last: Option<&Stay>) -> Result<Option<Presence>, StoreError> {
        self.engine.enter(alone, last).await
    }

    /// Makes a node known, in the place of one that had the same address.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn join(&self, node: NodeId, address: &str, lease: Duration) -> Result<(), StoreError> {
        // A process that reaches this point listens at the address, so nobody else does any more.
        self.engine.fetch("DELETE FROM nodes WHERE address = $1", vec![address.into()]).await?;
        let sql = format!("INSERT INTO nodes (id, address, expires_at) VALUES ($1, $2, {NOW} + $3)");
        let args = vec![node.to_string().into(), address.into(), ms(lease).into()];
        self.engine.fetch(sql, args).await.map(drop)
    }

    /// Says that a node is alive for another `lease`, and removes those whose time is over; `None` when
    /// this one was removed before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn renew(&self, node: NodeId, lease: Duration) -> Result<Option<Renewed>, StoreError> {
        let sql = format!("UPDATE nodes SET expires_at = {NOW} + $2 WHERE id = $1 RETURNING id");
        let args = vec![node.to_string().into(), ms(lease).into()];
        if self.engine.fetch(sql, args).await?.is_empty() {
            return Ok(None);
        }
        self.bury().await?;
        let sql = "SELECT count(*), (SELECT revision FROM directory_counter WHERE id = 1) FROM nodes";
        let rows = self.engine.fetch(sql, Vec::new()).await?;
        let mut fields = rows.first().ok_or_else(|| StoreError::Corrupt("nodes".into()))?.fields(TABLE);
        let nodes = u32::try_from(fields.int()?).unwrap_or(u32::MAX);
        Ok(Some(Renewed { nodes, directory_revision: fields.int()? }))
    }

    /// Removes the nodes whose time is over.
    async fn bury(&self) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM nodes WHERE expires_at <= {NOW}");
        self.engine.fetch(sql, Vec::new()).await.map(drop)
    }

    /// Whether some node may still serve accounts; those whose time is over are removed.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn has_nodes(&self) -> Result<bool, StoreError> {
        if !self.is_shared() {
            return Ok(false);
        }
        self.bury().await?;
        Ok(!self.engine.fetch("SELECT 1 FROM nodes LIMIT 1", Vec::new()).await?.is_empty())
    }

    /// Gives up everything that a node owns.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn leave(&self, node: NodeId) -> Result<(), StoreError> {
        self.engine.fetch("DELETE FROM nodes WHERE id = $1", vec![node.to_string().into()]).await.map(drop)
    }

    /// Raises an account's epoch for its new owner; `None` when there is no such account.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] when another node serves it; [`StoreError::Fenced`] when other owners
    /// come in between again and again.
    pub(super) async fn take_over(
        &self,
        account_number: i64,
        node: NodeId,
    ) -> Result<Option<i64>, StoreError> {
        for _ in 0..TAKE_OVER_TRIES {
            match self.take_over_once(account_number, &node.to_string()).await {
                // Perhaps by this node's own attempt before, whose answer was lost on the way.
                Err(StoreError::Fenced) => {}
                done => return done,
            }
        }
        Err(StoreError::Fenced)
    }

    async fn take_over_once(&self, account_number: i64, node: &str) -> Result<Option<i64>, StoreError> {
        let sql = "SELECT a.epoch, n.address FROM accounts a \
                   LEFT JOIN nodes n ON n.id = a.owner AND n.id <> $2 WHERE a.number = $1";
        let args = vec![account_number.into(), node.into()];
        let rows = self.engine.fetch(sql, args).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.fields("accounts");
        let seen = fields.int()?;
        if let Some(address) = fields.opt_text()? {
            return Err(StoreError::Elsewhere(address.into()));
        }
        // Whoever was seen to own it has no row any more, and never will; the epoch tells whether
        // somebody else has come since.
        let sql = "UPDATE accounts SET epoch = epoch + 1, owner = $2 WHERE number = $1 AND epoch = $3 \
                   RETURNING epoch";
        let args = vec![account_number.into(), node.into(), seen.into()];
        let rows = self.writer.write(sql, args).await?;
        let row = rows.first().ok_or(StoreError::Fenced)?;
        row.fields("accounts").int().map(Some)
    }

    /// Numbers of the accounts that have messages waiting to be sent and that no other node serves.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn unserved_with_pending(&self, node: NodeId) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT DISTINCT m.account FROM messages m \
                   JOIN accounts a ON a.number = m.account \
                   LEFT JOIN nodes n ON n.id = a.owner AND n.id <> $1 \
                   WHERE m.status = 'pending' AND n.id IS NULL ORDER BY m.account";
        let rows = self.engine.fetch(sql, vec![node.to_string().into()]).await?;
        rows.iter().map(|row: &Row| row.fields("messages").int()).collect()
    }

    /// Number of the last change of the directory; zero where nobody else could change it.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn directory_revision(&self) -> Result<i64, StoreError> {
        if !self.is_shared() {
            return Ok(0);
        }
        let rows =
            self.engine.fetch("SELECT revision FROM directory_counter WHERE id = 1", Vec::new()).await?;
        rows.first().ok_or_else(|| StoreError::Corrupt("directory_counter".into()))?.fields(TABLE).int()
    }
}

fn ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}
