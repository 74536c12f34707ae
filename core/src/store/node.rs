//! Nodes: servers that share one database, and which of them serves an account.
//!
//! Invariants: a node is alive as long as its row is there; a row that was removed never comes back,
//! so a node that finds its row gone has lost everything it owned; an account changes hands only
//! from an owner without a row to one with a row, in the statement that raises its epoch. A server
//! that is alone on PostgreSQL has a row too, with an empty address, beside which there is no other.
//! A file has one server: there `nodes` stays empty.

use std::sync::Arc;
use std::time::Duration;

use super::dialect::Dialect;
use super::engine::{DatabaseLock, DatabaseTenure, EngineRow};
use super::{CommitFloor, Store, StoreError};
use crate::ids::NodeId;

const TABLE: &str = "nodes";

/// Tries to become an account's owner before it is said that somebody else was faster.
const TAKE_OVER_TRIES: usize = 3;

/// PostgreSQL's clock in milliseconds; it goes on within a statement that waits.
pub(super) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// A node as others see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePeer {
    /// Its id, which it has until it loses its row.
    pub id: NodeId,
    /// Where it is reached; empty: it is alone, and takes nothing from others.
    pub address: Arc<str>,
}

/// What a node learns when it says that it is alive.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRenewal {
    /// The other nodes, and how long the lease of each runs at least from the database's answer on.
    pub peers: Vec<(NodePeer, Duration)>,
    /// The database's clock, in milliseconds since the Unix epoch.
    pub database_ms: i64,
}

/// What came of asking for a row among the nodes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEntry {
    /// The row is there.
    Entered,
    /// A row is in the way whose lease runs: the server that is alone, or one of the same address.
    Blocked {
        /// Identity of the process that wrote it; see [`crate::process_identity`].
        process: String,
        /// Its node.
        id: NodeId,
    },
}

/// An account that has a new owner.
pub(super) struct TakenOver {
    /// The new owner's fence.
    pub(super) epoch: i64,
    /// The account's numbers lay below the floor.
    pub(super) had_lost_commits: bool,
}

impl Store {
    /// Whether several servers may work on this database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.engine.dialect() == Dialect::Postgres
    }

    /// Takes a place among the servers of this database: the only place, or one beside others that ask
    /// for one beside others. `None` when somebody is in the way. The place is held until the
    /// [`DatabaseLock`] is dropped, this process ends, or the connection to the database breaks. `last` is
    /// the stay of this server that was lost; if the database has not noticed the loss, it is ended.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn lock_database(
        &self,
        alone: bool,
        last: Option<&DatabaseTenure>,
    ) -> Result<Option<DatabaseLock>, StoreError> {
        self.engine.lock_database(alone, last).await
    }

    /// Makes a node known; an empty address is that of a server that is alone. Nothing is written while a
    /// row is in the way: for a server that is alone any other row, else that of a server that is alone or
    /// one of the same address.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn insert_node(
        &self,
        node: NodeId,
        address: &str,
        process: &str,
        lease: Duration,
    ) -> Result<NodeEntry, StoreError> {
        self.remove_expired_nodes().await?;
        let in_the_way = "$2 = '' OR address = '' OR address = $2";
        let sql = format!(
            "INSERT INTO nodes (id, address, process, expires_at) SELECT $1, $2, $3, {NOW} + $4 \
             WHERE NOT EXISTS (SELECT 1 FROM nodes WHERE {in_the_way}) \
             ON CONFLICT (address) DO NOTHING RETURNING id"
        );
        let args = vec![node.to_string().into(), address.into(), process.into(), duration_ms(lease).into()];
        if !self.engine.fetch_rows(sql, args).await?.is_empty() {
            return Ok(NodeEntry::Entered);
        }
        let sql = "SELECT id, process FROM nodes WHERE $1 = '' OR address = '' OR address = $1 LIMIT 1";
        let rows = self.engine.fetch_rows(sql, vec![address.into()]).await?;
        // Gone in between: the caller asks again.
        let Some(row) = rows.first() else {
            return Ok(NodeEntry::Blocked { process: String::new(), id: node });
        };
        let mut fields = row.read_fields(TABLE);
        let id = node_id(&fields.take_text()?)?;
        Ok(NodeEntry::Blocked { process: fields.take_text()?, id })
    }

    /// Says that a node is alive for another `lease`, and removes those whose time is over; `None` when
    /// this one was removed before.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn renew_node(
        &self,
        node: NodeId,
        lease: Duration,
    ) -> Result<Option<LeaseRenewal>, StoreError> {
        let sql = format!("UPDATE nodes SET expires_at = {NOW} + $2 WHERE id = $1 RETURNING id");
        let args = vec![node.to_string().into(), duration_ms(lease).into()];
        if self.engine.fetch_rows(sql, args).await?.is_empty() {
            return Ok(None);
        }
        self.remove_expired_nodes().await?;
        let sql = format!("SELECT id, address, expires_at, {NOW} FROM nodes");
        let mut renewed = LeaseRenewal { peers: Vec::new(), database_ms: 0 };
        for row in self.engine.fetch_rows(sql, Vec::new()).await? {
            let mut fields = row.read_fields(TABLE);
            let peer = NodePeer { id: node_id(&fields.take_text()?)?, address: fields.take_text()?.into() };
            let expires_at = fields.take_int()?;
            renewed.database_ms = fields.take_int()?;
            let left = u64::try_from(expires_at.saturating_sub(renewed.database_ms)).unwrap_or(0);
            if peer.id != node {
                renewed.peers.push((peer, Duration::from_millis(left)));
            }
        }
        Ok(Some(renewed))
    }

    /// Removes the nodes whose time is over.
    async fn remove_expired_nodes(&self) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM nodes WHERE expires_at <= {NOW}");
        self.engine.fetch_rows(sql, Vec::new()).await.map(drop)
    }

    /// Removes a node: it gives up everything that it owns, or is known to have ended.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn remove_node(&self, node: NodeId) -> Result<(), StoreError> {
        self.engine
            .fetch_rows("DELETE FROM nodes WHERE id = $1", vec![node.to_string().into()])
            .await
            .map(drop)
    }

    /// The other node that owns an account; `None` when there is none.
    ///
    /// # Errors
    /// See [`StoreError`].
    pub async fn find_owner(
        &self,
        account_number: i64,
        node: NodeId,
    ) -> Result<Option<NodePeer>, StoreError> {
        let sql = "SELECT n.id, n.address FROM accounts a JOIN nodes n ON n.id = a.owner \
                   WHERE a.number = $1 AND n.id <> $2";
        let rows = self.engine.fetch_rows(sql, vec![account_number.into(), node.to_string().into()]).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.read_fields(TABLE);
        Ok(Some(NodePeer { id: node_id(&fields.take_text()?)?, address: fields.take_text()?.into() }))
    }

    /// Raises an account's epoch for its new owner, and its numbers to `floor`; `None` when there is no
    /// such account.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] when another node serves it; [`StoreError::LeaseLost`] when the new owner
    /// has no row any more; [`StoreError::Fenced`] when other owners come in between again and again.
    pub(super) async fn take_over(
        &self,
        account_number: i64,
        node: NodeId,
        floor: CommitFloor,
    ) -> Result<Option<TakenOver>, StoreError> {
        for _ in 0..TAKE_OVER_TRIES {
            match self.take_over_once(account_number, node, floor).await {
                // Perhaps by this node's own attempt before, whose answer was lost on the way.
                Err(StoreError::Fenced) => {}
                done => return done,
            }
        }
        Err(StoreError::Fenced)
    }

    async fn take_over_once(
        &self,
        account_number: i64,
        node: NodeId,
        floor: CommitFloor,
    ) -> Result<Option<TakenOver>, StoreError> {
        let own = node.to_string();
        // A file has no rows of nodes: its only server may always own.
        let (is_over, is_member) = match self.engine.dialect() {
            Dialect::Postgres => {
                (format!("n.expires_at <= {NOW}"), "EXISTS (SELECT 1 FROM nodes WHERE id = $2)")
            }
            Dialect::Sqlite => ("1 = 0".to_owned(), "1 = 1"),
        };
        let sql = format!(
            "SELECT a.epoch, {}, {}, {}, n.id, n.address FROM accounts a \
             LEFT JOIN nodes n ON n.id = a.owner AND n.id <> $2 WHERE a.number = $1",
            flag_column("a.revision < $3 OR a.sequence < $4"),
            flag_column(&is_over),
            flag_column(is_member),
        );
        let args =
            vec![account_number.into(), own.as_str().into(), floor.revision.into(), floor.sequence.into()];
        let rows = self.engine.fetch_rows(sql, args).await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.read_fields("accounts");
        let (seen, had_lost_commits) = (fields.take_int()?, fields.take_int()? != 0);
        let (is_over, is_member_now) = (fields.take_int()? != 0, fields.take_int()? != 0);
        if !is_member_now {
            return Err(StoreError::LeaseLost);
        }
        if let Some(id) = fields.opt_text()? {
            if !is_over {
                let owner = NodePeer { id: node_id(&id)?, address: fields.take_text()?.into() };
                return Err(StoreError::Elsewhere(owner));
            }
            self.remove_expired_nodes().await?;
        }
        let epoch = self.become_owner(account_number, node, seen, floor).await?;
        Ok(Some(TakenOver { epoch, had_lost_commits }))
    }

    /// Writes down that an account of this epoch has a new owner. An owner without a row never gets one again, and
    /// the epoch tells whether another one has come. An owner that has a row is one, expired or not: it may have
    /// renewed its lease since it was looked at.
    pub(super) async fn become_owner(
        &self,
        account_number: i64,
        node: NodeId,
        seen_epoch: i64,
        floor: CommitFloor,
    ) -> Result<i64, StoreError> {
        // A file has no rows of nodes: its only server may always own.
        let may_own = match self.engine.dialect() {
            Dialect::Postgres => {
                "EXISTS (SELECT 1 FROM nodes WHERE id = $2) \
                 AND NOT EXISTS (SELECT 1 FROM nodes n WHERE n.id = accounts.owner AND n.id <> $2)"
            }
            Dialect::Sqlite => "1 = 1",
        };
        let sql = format!(
            "UPDATE accounts SET epoch = epoch + 1, owner = $2, revision = {}, sequence = {}, last_commit_at = {} \
             WHERE number = $1 AND epoch = $3 AND {may_own} RETURNING epoch",
            at_least("revision", 4),
            at_least("sequence", 5),
            at_least("last_commit_at", 6),
        );
        let args = vec![
            account_number.into(),
            node.to_string().into(),
            seen_epoch.into(),
            floor.revision.into(),
            floor.sequence.into(),
            floor.at.millis().into(),
        ];
        let rows = self.writer.write_statement(sql, args).await?;
        rows.first().ok_or(StoreError::Fenced)?.read_fields("accounts").take_int()
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
        let rows = self.engine.fetch_rows(sql, vec![node.to_string().into()]).await?;
        rows.iter().map(|row: &EngineRow| row.read_fields("messages").take_int()).collect()
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
            self.engine.fetch_rows("SELECT revision FROM directory_counter WHERE id = 1", Vec::new()).await?;
        rows.first()
            .ok_or_else(|| StoreError::Corrupt("directory_counter".into()))?
            .read_fields(TABLE)
            .take_int()
    }
}

fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// A condition as a column of 0 and 1.
fn flag_column(condition: &str) -> String {
    format!("CAST(CASE WHEN {condition} THEN 1 ELSE 0 END AS BIGINT)")
}

/// A column's value, or the argument if that is higher.
fn at_least(column: &str, argument: usize) -> String {
    format!("CASE WHEN {column} < ${argument} THEN ${argument} ELSE {column} END")
}

fn node_id(text: &str) -> Result<NodeId, StoreError> {
    NodeId::parse(text).map_err(|_unreadable| StoreError::Corrupt(format!("nodes.id {text:?}")))
}
