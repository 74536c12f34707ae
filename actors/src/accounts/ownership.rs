//! Placement of accounts: an account is served here or on another node. Also the release of the accounts here
//! when this server loses its lease or its lock on the database.
//!
//! Invariant: after a loss nothing is served from what was in memory before it.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::join_all;
use kabar_core::store::{DeliveryWork, NodePeer};
use kabar_core::surroundings;
use tokio_util::sync::CancellationToken;

use super::activation::STOP_TIME;
use super::{AccountError, AccountRegistry};
use crate::account_entry;
use crate::account_entry::AccountEntry;
use crate::cluster::LeaseState;

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
    pub async fn find_owner(&self, slot: &Arc<AccountEntry>) -> Result<AccountPlace, AccountError> {
        if let Some(peer) = slot.find_recent_owner(self.context().clock.monotonic_now()) {
            return Ok(AccountPlace::There(peer));
        }
        match self.load_account(slot).await {
            Ok(_resident) => Ok(AccountPlace::Here),
            Err(AccountError::Elsewhere) if self.context().cluster.is_leaving() => {
                self.place_after_leaving(slot).await
            }
            Err(AccountError::Elsewhere) => {
                let peer = slot.find_recent_owner(self.context().clock.monotonic_now());
                // A server without a cluster takes no requests of other nodes.
                let peer = peer.filter(|peer| !peer.address.is_empty());
                peer.map(AccountPlace::There).ok_or(AccountError::Elsewhere)
            }
            Err(other) => Err(other),
        }
    }

    /// Returns the node for an account that this node has handed over: its new owner, or, while it has none,
    /// any other node, which then takes it.
    async fn place_after_leaving(&self, slot: &AccountEntry) -> Result<AccountPlace, AccountError> {
        let ground = self.context();
        ground.cluster.wait_released().await;
        let owner = ground.store.find_owner(slot.current_account().number, ground.cluster.node_id()).await;
        let owner = owner.map_err(|error| AccountError::from_store(&error, "owner not read"))?;
        let peer = owner.filter(|peer| !peer.address.is_empty()).or_else(|| ground.cluster.any_peer());
        peer.map(AccountPlace::There).ok_or(AccountError::Elsewhere)
    }

    /// Gives every account to the other nodes, so that clients of a node that stops lose no request. Returns
    /// `false` where there is no other node. Accounts are served here until they are released, and no new send
    /// starts. Calls to WhatsApp that are under way have one second to end; after it their messages wait
    /// for their echoes at the next owner. To be called once `stopping` is cancelled.
    pub async fn hand_over(&self) -> bool {
        let ground = self.context();
        if !ground.cluster.is_shared() {
            return false;
        }
        // A node may have joined since the last renewal.
        let _kept_or_lost = ground.cluster.renew_lease().await;
        if ground.cluster.any_peer().is_none() {
            return false;
        }
        ground.calls.close();
        if tokio::time::timeout(CALLS_TIME, ground.calls.wait()).await.is_err() {
            tracing::info!("calls to WhatsApp are under way; the next owners wait for their echoes");
        }
        ground.cluster.begin_leaving();
        let mut actors = Vec::new();
        for slot in ground.directory.all_accounts() {
            if let Some(resident) = slot.find_loaded() {
                actors.extend(resident.actor_ref().cloned());
                Self::release_account(&slot, &resident);
            }
        }
        let stopped = join_all(actors.iter().map(|actor| actor.wait(Some(STOP_TIME)))).await;
        let late = stopped.iter().filter(|stopped| stopped.is_err()).count();
        if late > 0 {
            tracing::warn!(late, "accounts given up with commits under way");
        }
        ground.cluster.leave_cluster().await;
        // Until the last node has forgotten that accounts were here, its requests are accepted and forwarded. A
        // request that met a closing connection may have been carried out for all that node knows.
        surroundings::sleep(account_entry::REMEMBERED + MARGIN).await;
        true
    }

    /// Returns when this node is gone: its lease is over, and another node may serve what it owned.
    pub async fn until_gone(&self, peer: &NodePeer) {
        self.peer_gone(peer).cancelled().await;
    }

    /// Returns a token that is cancelled when this node is gone.
    #[must_use]
    pub fn peer_gone(&self, peer: &NodePeer) -> CancellationToken {
        self.context().cluster.peer_gone(peer)
    }

    /// Renews this server's lease, until it need not go on.
    pub(super) async fn keep_place(&self) {
        let ground = self.context();
        loop {
            tokio::select! {
                () = surroundings::sleep(ground.cluster.look_every()) => {}
                () = ground.cluster.renewal_ended() => return,
            }
            if ground.cluster.renew_lease().await == LeaseState::Lost {
                self.let_go();
                if !ground.cluster.serve_again(&ground.clock).await {
                    continue;
                }
            }
            if let Some(skew_s) = ground.cluster.clock_skew_s(ground.clock.read_now()) {
                ground.metrics.database_clock_skew.set(skew_s);
            }
            ground.metrics.nodes.set(i64::from(ground.cluster.count_nodes()));
            ground.memory.set_nodes(ground.cluster.count_nodes());
        }
    }

    /// Takes over the accounts, deliveries and effects that a dead node has left, without a request for them. A
    /// task apart from the renewal of the lease, because loading all those accounts may take longer than the
    /// lease.
    pub(super) async fn keep_taking_over(&self) {
        let ground = self.context();
        loop {
            tokio::select! {
                () = surroundings::sleep(ground.cluster.look_every()) => {}
                () = ground.stopping.cancelled() => return,
            }
            if ground.cluster.is_serving() {
                // The error is logged; the next round tries again.
                let _unavailable = self.resume_sending().await;
                let _unavailable = self.resume_deliveries().await;
                let _unavailable = self.resume_effects().await;
            }
        }
    }

    /// Starts delivery workers for what was left since before the last stop, and for what a dead node left.
    pub(super) async fn resume_deliveries(&self) -> Result<(), AccountError> {
        self.take_over(DeliveryWork::Unserved).await
    }

    pub(super) async fn take_over(&self, work: DeliveryWork) -> Result<(), AccountError> {
        let found = self.context().dispatcher.work(work).await;
        for (subscriber, account) in
            found.map_err(|error| AccountError::from_store(&error, "delivery workers not started"))?
        {
            let Some(slot) = self.context().directory.account_of_row(account) else { continue };
            if self.is_clustered() {
                match self.load_account(&slot).await {
                    Ok(_resident) => {}
                    // Its delivery workers run on the node that serves it.
                    Err(AccountError::Elsewhere) => continue,
                    Err(error) => return Err(error),
                }
            }
            self.context().dispatcher.take_up(subscriber, &slot);
        }
        Ok(())
    }

    fn let_go(&self) {
        self.context().dispatcher.let_go();
        for slot in self.context().directory.all_accounts() {
            if let Some(resident) = slot.find_loaded() {
                Self::release_account(&slot, &resident);
            }
        }
    }
}
