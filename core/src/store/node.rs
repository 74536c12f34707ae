//! Nodes: servers that share one database, and the owner of each account.
//!
//! Invariants: a node is alive as long as its row exists. A removed row never comes back, so a node without
//! its row has lost everything that it owned. An account changes its owner only from an owner without a row
//! to one with a row, in the statement that raises its epoch. A server that runs alone on PostgreSQL has a
//! row too, with an empty address, and no other row exists beside it. A SQLite file has one server: there
//! `nodes` stays empty.

use std::sync::Arc;
use std::time::Duration;

use super::dialect::Dialect;
use super::engine::{DatabaseLock, DatabaseTenure, EngineRow};
use super::{CommitFloor, Store, StoreError};
use crate::ids::NodeId;
use crate::process_identity::has_ended;

const TABLE: &str = "nodes";

/// Attempts to become an account's owner before the call reports that another node was faster.
const TAKE_OVER_TRIES: usize = 3;

/// PostgreSQL's clock in milliseconds; it advances within a statement that waits.
pub(super) const NOW: &str = "(extract(epoch FROM clock_timestamp()) * 1000)::bigint";

/// A node as other nodes see it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NodePeer {
    /// Its id, valid until it loses its row.
    pub id: NodeId,
    /// Address at which it is reached; empty for a server that runs alone and accepts no forwarded requests.
    pub address: Arc<str>,
}

/// Result of a lease renewal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LeaseRenewal {
    /// The other nodes, and the shortest remaining time of each lease, counted from the database's answer.
    pub peers: Vec<(NodePeer, Duration)>,
    /// The database's clock, in milliseconds since the Unix epoch.
    pub database_ms: i64,
}

/// Result of inserting a node's row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeEntry {
    /// The row was inserted.
    Entered,
    /// A row with a running lease blocks it: that of the server that runs alone, or one of the same address.
    Blocked {
        /// Identity of the process that wrote it; see [`crate::process_identity`].
        process: String,
        /// Id of its node.
        id: NodeId,
    },
}

/// An account with a new owner.
pub(super) struct TakenOver {
    /// The new owner's fence.
    pub(super) epoch: i64,
    /// `true` when the account's numbers were below the floor.
    pub(super) had_lost_commits: bool,
}

impl Store {
    /// Returns `true` when several servers may share this database.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.engine.dialect() == Dialect::Postgres
    }

    /// Locks the database for this server, exclusively or shared with other servers that lock it shared.
    /// `None` when another server holds a conflicting lock. The lock is held until the [`DatabaseLock`] is
    /// dropped, this process ends, or the connection to the database breaks. `last` is the tenure of this
    /// server that was lost; if the database has not noticed the loss, its session is ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn lock_database(
        &self,
        alone: bool,
        last: Option<&DatabaseTenure>,
    ) -> Result<Option<DatabaseLock>, StoreError> {
        self.engine.lock_database(alone, last).await
    }

    /// Registers a node; an empty address is that of a server that runs alone. Nothing is written while
    /// another row conflicts: for a server that runs alone any other row, else that of a server that runs
    /// alone or one of the same address.
    ///
    /// # Errors
    /// [`StoreError`].
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
        if !self.read_for_server().fetch_rows(sql, args).await?.is_empty() {
            return Ok(NodeEntry::Entered);
        }
        let sql = "SELECT id, process FROM nodes WHERE $1 = '' OR address = '' OR address = $1 LIMIT 1";
        let rows = self.read_for_server().fetch_rows(sql, vec![address.into()]).await?;
        // Removed in between: the caller asks again.
        let Some(row) = rows.first() else {
            return Ok(NodeEntry::Blocked { process: String::new(), id: node });
        };
        let mut fields = row.read_fields(TABLE);
        let id = node_id(&fields.take_text()?)?;
        Ok(NodeEntry::Blocked { process: fields.take_text()?, id })
    }

    /// Renews a node's lease for another `lease`, and removes nodes with an expired lease. `None` when this
    /// node was removed before.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn renew_node(
        &self,
        node: NodeId,
        lease: Duration,
    ) -> Result<Option<LeaseRenewal>, StoreError> {
        let sql = format!("UPDATE nodes SET expires_at = {NOW} + $2 WHERE id = $1 RETURNING id");
        let args = vec![node.to_string().into(), duration_ms(lease).into()];
        if self.read_for_server().fetch_rows(sql, args).await?.is_empty() {
            return Ok(None);
        }
        self.remove_expired_nodes().await?;
        let sql = format!("SELECT id, address, expires_at, {NOW} FROM nodes");
        let mut renewed = LeaseRenewal { peers: Vec::new(), database_ms: 0 };
        for row in self.read_for_server().fetch_rows(sql, Vec::new()).await? {
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

    /// Removes the nodes with an expired lease.
    async fn remove_expired_nodes(&self) -> Result<(), StoreError> {
        let sql = format!("DELETE FROM nodes WHERE expires_at <= {NOW}");
        self.read_for_server().fetch_rows(sql, Vec::new()).await.map(drop)
    }

    /// Removes a node whose process, as it identified itself, has provably ended on this machine. Returns `false`,
    /// and removes nothing, when that cannot be proven.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_ended_node(&self, process: &str, node: NodeId) -> Result<bool, StoreError> {
        if !has_ended(process) {
            return Ok(false);
        }
        tracing::info!(%node, "removing a node whose process has ended on this machine");
        self.remove_node(node).await?;
        Ok(true)
    }

    /// Removes a node: it gives up all that it owns, or is known to have ended.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn remove_node(&self, node: NodeId) -> Result<(), StoreError> {
        self.read_for_server()
            .fetch_rows("DELETE FROM nodes WHERE id = $1", vec![node.to_string().into()])
            .await
            .map(drop)
    }

    /// Finds the other node that owns an account; `None` when there is none.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn find_owner(
        &self,
        account_number: i64,
        node: NodeId,
    ) -> Result<Option<NodePeer>, StoreError> {
        let sql = "SELECT n.id, n.address FROM accounts a JOIN nodes n ON n.id = a.owner \
                   WHERE a.number = $1 AND n.id <> $2";
        let rows = self
            .read_for(account_number)
            .fetch_rows(sql, vec![account_number.into(), node.to_string().into()])
            .await?;
        let Some(row) = rows.first() else { return Ok(None) };
        let mut fields = row.read_fields(TABLE);
        Ok(Some(NodePeer { id: node_id(&fields.take_text()?)?, address: fields.take_text()?.into() }))
    }

    /// Raises an account's epoch for its new owner, and its numbers to `floor`; `None` when there is no such
    /// account.
    ///
    /// # Errors
    /// [`StoreError::Elsewhere`] when another node serves it; [`StoreError::LeaseLost`] when the new owner
    /// has no row any more; [`StoreError::Fenced`] when other owners repeatedly take it in between.
    pub(super) async fn take_over(
        &self,
        account_number: i64,
        node: NodeId,
        floor: CommitFloor,
    ) -> Result<Option<TakenOver>, StoreError> {
        for _ in 0..TAKE_OVER_TRIES {
            match self.take_over_once(account_number, node, floor).await {
                // Possibly by this node's own earlier attempt, if its answer was lost.
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
        // A SQLite file has no rows of nodes: its only server may always own.
        let (is_over, is_member) = match self.engine.dialect() {
            Dialect::Postgres => {
                (format!("n.expires_at <= {NOW}"), "EXISTS (SELECT 1 FROM nodes WHERE id = $2)")
            }
            Dialect::Sqlite => ("1 = 0".to_owned(), "1 = 1"),
        };
        let sql = format!(
            "SELECT a.epoch, {}, {}, {}, n.id, n.address FROM accounts a \
             LEFT JOIN nodes n ON n.id = a.owner AND n.id <> $2 WHERE a.number = $1 AND a.deleted_at IS NULL",
            flag_column("a.revision < $3 OR a.sequence < $4"),
            flag_column(&is_over),
            flag_column(is_member),
        );
        let args =
            vec![account_number.into(), own.as_str().into(), floor.revision.into(), floor.sequence.into()];
        let rows = self.read_for(account_number).fetch_rows(sql, args).await?;
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

    /// Records the new owner of an account with this epoch. An owner without a row never gets one again, and
    /// the epoch tells whether another one has taken over. An owner with a row stays the owner, expired or
    /// not: it may have renewed its lease since it was read.
    pub(super) async fn become_owner(
        &self,
        account_number: i64,
        node: NodeId,
        seen_epoch: i64,
        floor: CommitFloor,
    ) -> Result<i64, StoreError> {
        // A SQLite file has no rows of nodes: its only server may always own.
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
        let rows = self.write_for(account_number).write_statement(sql, args).await?;
        rows.first().ok_or(StoreError::Fenced)?.read_fields("accounts").take_int()
    }

    /// Returns the numbers of accounts with pending messages that no other node serves.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn unserved_with_pending(&self, node: NodeId) -> Result<Vec<i64>, StoreError> {
        let sql = "SELECT DISTINCT m.account FROM messages m \
                   JOIN accounts a ON a.number = m.account \
                   LEFT JOIN nodes n ON n.id = a.owner AND n.id <> $1 \
                   WHERE m.status = 'pending' AND m.next_attempt_at IS NOT NULL AND n.id IS NULL ORDER BY m.account";
        let rows = self.read_for_server().fetch_rows(sql, vec![node.to_string().into()]).await?;
        rows.iter().map(|row: &EngineRow| row.read_fields("messages").take_int()).collect()
    }

    /// Returns the number of the last change of the directory; zero where no other server could change it.
    ///
    /// # Errors
    /// [`StoreError`].
    pub async fn directory_revision(&self) -> Result<i64, StoreError> {
        if !self.is_shared() {
            return Ok(0);
        }
        let rows = self
            .read_for_server()
            .fetch_rows("SELECT revision FROM directory_counter WHERE id = 1", Vec::new())
            .await?;
        rows.first()
            .ok_or_else(|| StoreError::Corrupt("directory_counter".into()))?
            .read_fields(TABLE)
            .take_int()
    }
}

fn duration_ms(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// Returns a condition as a column of 0 and 1.
fn flag_column(condition: &str) -> String {
    format!("CAST(CASE WHEN {condition} THEN 1 ELSE 0 END AS BIGINT)")
}

/// Returns a column's value, or the argument if that is higher.
fn at_least(column: &str, argument: usize) -> String {
    format!("CASE WHEN {column} < ${argument} THEN ${argument} ELSE {column} END")
}

fn node_id(text: &str) -> Result<NodeId, StoreError> {
    NodeId::parse(text).map_err(|_unreadable| StoreError::Corrupt(format!("nodes.id {text:?}")))
}
