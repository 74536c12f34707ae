//! Where an account is served: here, or on another node; and what becomes of the accounts here when
//! this server loses its place.
//!
//! Invariant: after a loss nothing is served from what was in memory before it.

use std::sync::Arc;

use kabar_core::store::{CourierWork, NodePeer};
use tokio_util::sync::CancellationToken;

use super::{Accounts, Unavailable};
use crate::cluster::Standing;
use crate::slot::AccountSlot;

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// This server.
    Here,
    /// This node.
    There(NodePeer),
}

impl Accounts {
    /// Where this account is served. Takes it if nobody else has it.
    ///
    /// # Errors
    /// [`Unavailable`] when it cannot be found out, or the account cannot be loaded.
    pub async fn place(&self, slot: &Arc<AccountSlot>) -> Result<Place, Unavailable> {
        if let Some(peer) = slot.elsewhere(self.ground().clock.monotonic_now()) {
            return Ok(Place::There(peer));
        }
        match self.reside(slot).await {
            Ok(_resident) => Ok(Place::Here),
            Err(Unavailable::Elsewhere) => {
                let peer = slot.elsewhere(self.ground().clock.monotonic_now());
                // A server that was alone takes no requests of others.
                let peer = peer.filter(|peer| !peer.address.is_empty());
                peer.map(Place::There).ok_or(Unavailable::Elsewhere)
            }
            Err(other) => Err(other),
        }
    }

    /// Returns when this node is gone: its lease is over, and another one may answer for what it owned.
    pub async fn until_gone(&self, peer: &NodePeer) {
        self.peer_gone(peer).cancelled().await;
    }

    /// A token that is cancelled when this node is gone.
    #[must_use]
    pub fn peer_gone(&self, peer: &NodePeer) -> CancellationToken {
        self.ground().cluster.peer_gone(peer)
    }

    /// Looks after this server's place, until shutdown.
    pub(super) async fn keep_place(&self) {
        let ground = self.ground();
        loop {
            tokio::select! {
                () = tokio::time::sleep(ground.cluster.look_every()) => {}
                () = ground.stopping.cancelled() => return,
            }
            if ground.cluster.look().await == Standing::Lost {
                self.let_go();
                if !ground.cluster.serve_again(&ground.clock).await {
                    continue;
                }
            }
            ground.metrics.nodes.set(i64::from(ground.cluster.nodes()));
            ground.memory.set_nodes(ground.cluster.nodes());
            // Of a node that has died, the messages that wait are taken up without being asked for.
            if ground.cluster.is_shared() && ground.cluster.serves() {
                // Said in the log; the next round tries again.
                let _unavailable = self.resume_sending().await;
                let _unavailable = self.resume_couriers().await;
                let _unavailable = self.resume_effects().await;
            }
        }
    }

    /// Has couriers bring what was left since before the last stop, and what a node that has died left.
    pub(super) async fn resume_couriers(&self) -> Result<(), Unavailable> {
        self.bring(CourierWork::Unserved).await
    }

    pub(super) async fn bring(&self, work: CourierWork) -> Result<(), Unavailable> {
        let found = self.ground().couriers.work(work).await;
        for (subscriber, account) in
            found.map_err(|error| Unavailable::of(&error, "couriers not taken up"))?
        {
            let Some(slot) = self.ground().directory.account_of_row(account) else { continue };
            if self.is_clustered() {
                match self.reside(&slot).await {
                    Ok(_resident) => {}
                    // Its couriers are where it is.
                    Err(Unavailable::Elsewhere) => continue,
                    Err(error) => return Err(error),
                }
            }
            self.ground().couriers.take_up(subscriber, &slot);
        }
        Ok(())
    }

    fn let_go(&self) {
        self.ground().couriers.let_go();
        for slot in self.ground().directory.slots() {
            if let Some(resident) = slot.loaded() {
                Self::release(&slot, &resident);
            }
        }
    }
}
