//! Placement of accounts: an account is served here or on another node. Also the release of the accounts here
//! when this server loses its lease or its lock on the database.
//!
//! Invariant: after a loss nothing is served from what was in memory before it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kabar_core::ids::NodeId;
use kabar_core::store::{DeliveryWork, NodePeer};
use kabar_core::surroundings;
use tokio_util::sync::CancellationToken;

use super::registry::AccountRegistry;
use super::retirement::STOP_TIME;
use crate::account::{AccountEntry, REMEMBERED};
use crate::cluster::LeaseState;
use crate::error::AccountError;

/// Time for calls to WhatsApp to end before accounts are handed over.
const CALLS_TIME: Duration = Duration::from_secs(1);

/// Time that a request may be under way between nodes.
const MARGIN: Duration = Duration::from_millis(500);

/// Node that serves an account.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AccountPlace {
    /// This server.
    Here,
    /// Another node.
    There(NodePeer),
}

impl AccountRegistry {
    /// Finds the node that serves this account. Loads the account here if no other node has it.
    ///
    /// # Errors
    /// [`AccountError`] when the owner cannot be found out, or the account cannot be loaded.
    pub async fn find_owner(&self, entry: &Arc<AccountEntry>) -> Result<AccountPlace, AccountError> {
        if let Some(peer) = entry.find_recent_owner(self.context().clock.monotonic_now()) {
            return Ok(AccountPlace::There(peer));
        }
        match self.load_account(entry).await {
            Ok(_resident) => Ok(AccountPlace::Here),
            Err(AccountError::Elsewhere) if self.0.cluster.is_leaving() => {
                self.place_after_leaving(entry).await
            }
            Err(AccountError::Elsewhere) => {
                let peer = entry.find_recent_owner(self.context().clock.monotonic_now());
                // A server without a cluster takes no requests of other nodes.
                let peer = peer.filter(|peer| !peer.address.is_empty());
                peer.map(AccountPlace::There).ok_or(AccountError::Elsewhere)
            }
            Err(other) => Err(other),
        }
    }

    /// Returns the node for an account that this node has handed over: its new owner, or, while it has none,
    /// any other node, which then takes it.
    async fn place_after_leaving(&self, entry: &AccountEntry) -> Result<AccountPlace, AccountError> {
        let context = self.context();
        self.0.cluster.wait_released().await;
        let owner = context.store.find_owner(entry.current_account().number, self.0.cluster.node_id()).await;
        let owner = owner.map_err(|error| AccountError::from_store(&error, "owner not read"))?;
        let peer = owner.filter(|peer| !peer.address.is_empty()).or_else(|| self.0.cluster.any_peer());
        peer.map(AccountPlace::There).ok_or(AccountError::Elsewhere)
    }

    /// Gives every account to the other nodes, so that clients of a node that stops lose no request. Returns
    /// `false` where there is no other node. Accounts are served here until they are released, and no new send
    /// starts. Calls to WhatsApp that are under way have one second to end; after it their messages wait
    /// for their echoes at the next owner. To be called once `stopping` is cancelled.
    pub async fn hand_over(&self) -> bool {
        if !self.0.cluster.is_shared() {
            return false;
        }
        // A node may have joined since the last renewal.
        let _kept_or_lost = self.0.cluster.renew_lease().await;
        if self.0.cluster.any_peer().is_none() {
            return false;
        }
        self.0.graph_calls.unrecorded.close();
        if tokio::time::timeout(CALLS_TIME, self.0.graph_calls.unrecorded.wait()).await.is_err() {
            tracing::info!("calls to WhatsApp are under way; the next owners wait for their echoes");
        }
        self.0.cluster.begin_leaving();
        let mut actors = Vec::new();
        for entry in self.0.directory.all_accounts() {
            if let Some(loaded) = entry.find_loaded() {
                actors.extend(loaded.actor_ref().cloned());
                entry.release_account(&loaded);
            }
        }
        let stopped = join_all(actors.iter().map(|actor| actor.wait(Some(STOP_TIME)))).await;
        let late = stopped.iter().filter(|stopped| stopped.is_err()).count();
        if late > 0 {
            tracing::warn!(late, "accounts given up with commits under way");
        }
        self.0.cluster.leave_cluster().await;
        // Until the last node has forgotten that accounts were here, its requests are accepted and forwarded. A
        // request that met a closing connection may have been carried out for all that node knows.
        surroundings::sleep(REMEMBERED + MARGIN).await;
        true
    }

    /// Returns the id of this node; another one after it has lost its lease.
    #[must_use]
    pub fn node_id(&self) -> NodeId {
        self.0.cluster.node_id()
    }

    /// Returns the time that all nodes share, in milliseconds since the Unix epoch: the database's clock, or this
    /// server's before that is known.
    #[must_use]
    pub fn cluster_now_ms(&self) -> i64 {
        let own = || self.context().clock.read_now().millis();
        self.0.cluster.database_now_ms().unwrap_or_else(own)
    }

    /// Returns when this node is gone: its lease is over, and another node may serve what it owned.
    pub async fn until_gone(&self, peer: &NodePeer) {
        self.peer_gone(peer).cancelled().await;
    }

    /// Returns a token that is cancelled when this node is gone.
    #[must_use]
    pub fn peer_gone(&self, peer: &NodePeer) -> CancellationToken {
        self.0.cluster.peer_gone(peer)
    }

    /// Renews this server's lease, until it need not go on.
    pub(super) async fn keep_place(&self) {
        let context = self.context();
        loop {
            tokio::select! {
                () = surroundings::sleep(self.0.cluster.look_every()) => {}
                () = self.0.cluster.renewal_ended() => return,
            }
            if self.0.cluster.renew_lease().await == LeaseState::Lost {
                self.release_all();
                if !self.0.cluster.serve_again(&context.clock).await {
                    continue;
                }
            }
            if let Some(skew_s) = self.0.cluster.clock_skew_s(context.clock.read_now()) {
                context.metrics.database_clock_skew.set(skew_s);
            }
            context.metrics.nodes.set(i64::from(self.0.cluster.count_nodes()));
            self.0.memory.set_nodes(self.0.cluster.count_nodes());
        }
    }

    /// Takes over the accounts, deliveries and effects that a dead node has left, without a request for them. A
    /// task apart from the renewal of the lease, because loading all those accounts may take longer than the
    /// lease.
    pub(super) async fn keep_taking_over(&self) {
        let context = self.context();
        loop {
            tokio::select! {
                () = surroundings::sleep(self.0.cluster.look_every()) => {}
                () = context.stopping.cancelled() => return,
            }
            if self.0.cluster.is_serving() {
                // The error is logged; the next round tries again.
                let _unavailable = self.resume_sending().await;
                let _unavailable = self.resume_deliveries().await;
                let _unavailable = self.resume_effects().await;
                let _unavailable = self.resume_erasures().await;
                let _unavailable = self.resume_removals(false).await;
            }
        }
    }

    /// Starts delivery workers for what was left since before the last stop, and for what a dead node left.
    pub(super) async fn resume_deliveries(&self) -> Result<(), AccountError> {
        self.take_over(DeliveryWork::Unserved).await
    }

    pub(super) async fn take_over(&self, work: DeliveryWork) -> Result<(), AccountError> {
        let found = self.0.dispatcher.find_work(work).await;
        for (subscriber, account) in
            found.map_err(|error| AccountError::from_store(&error, "delivery workers not started"))?
        {
            let Some(entry) = self.0.directory.account_of_row(account) else { continue };
            if entry.is_suspended() {
                continue;
            }
            if self.is_clustered() {
                match self.load_account(&entry).await {
                    Ok(_resident) => {}
                    // Its delivery workers run on the node that serves it.
                    Err(AccountError::Elsewhere) => continue,
                    Err(error) => return Err(error),
                }
            }
            self.0.dispatcher.take_up(subscriber, &entry);
        }
        Ok(())
    }

    fn release_all(&self) {
        self.0.dispatcher.stop_workers();
        for entry in self.0.directory.all_accounts() {
            if let Some(loaded) = entry.find_loaded() {
                entry.release_account(&loaded);
            }
        }
    }
}
