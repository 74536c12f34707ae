//! The other nodes, as the last renewal of this node's lease has shown them.
//!
//! Invariant: a node is gone once its lease is over by the last renewal that showed it. Tasks that wait for its
//! answer are notified then, and cost nothing until then. A node without a row has most likely left. It gets no
//! new requests, and still answers the earlier ones.

use std::collections::HashMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kabar_core::ids::NodeId;
use kabar_core::store::NodePeer;
use tokio_util::sync::CancellationToken;

use super::lease::now_ms;

struct LivePeer {
    peer: NodePeer,
    /// End of its lease if it is not renewed; milliseconds of the leases' clock.
    until_ms: u64,
    /// Time at which it was first seen; milliseconds of the leases' clock.
    known_since_ms: u64,
    /// Set when its row was missing at the last renewal.
    has_left: bool,
    gone: CancellationToken,
}

/// The live nodes by their ids.
#[derive(Default)]
pub(super) struct PeerTable(Mutex<HashMap<NodeId, LivePeer>>);

impl PeerTable {
    fn lock_peers(&self) -> MutexGuard<'_, HashMap<NodeId, LivePeer>> {
        // Nothing panics half-way through a change of it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces the peers by those that a renewal has shown, which was asked for at `asked_at_ms`. A node that
    /// was first seen since then stays.
    pub(super) fn replace_peers(&self, shown: Vec<(NodePeer, Duration)>, asked_at_ms: u64) {
        let mut peers = self.lock_peers();
        let mut next = HashMap::with_capacity(shown.len());
        for (peer, left) in shown {
            let left = u64::try_from(left.as_millis()).unwrap_or(u64::MAX);
            let now = now_ms();
            let known = peers.remove(&peer.id).map(|known| (known.known_since_ms, known.gone));
            let (known_since_ms, gone) = known.unwrap_or_else(|| (now, CancellationToken::new()));
            let until_ms = now.saturating_add(left);
            next.insert(peer.id, LivePeer { peer, until_ms, known_since_ms, has_left: false, gone });
        }
        for (id, other) in peers.drain() {
            let has_left = other.has_left || other.known_since_ms <= asked_at_ms;
            next.insert(id, LivePeer { has_left, ..other });
        }
        *peers = next;
    }

    /// Removes the nodes with expired leases, and cancels their tokens.
    pub(super) fn expire_peers(&self) {
        let now = now_ms();
        self.lock_peers().retain(|_, known| {
            let lives = known.until_ms > now;
            if !lives {
                known.gone.cancel();
            }
            lives
        });
    }

    /// Returns the time until the first of their leases may be over.
    pub(super) fn next_end(&self) -> Option<Duration> {
        let first = self.lock_peers().values().map(|known| known.until_ms).min()?;
        Some(Duration::from_millis(first.saturating_sub(now_ms())))
    }

    /// Returns one of them that takes requests.
    pub(super) fn any_peer(&self) -> Option<NodePeer> {
        let peers = self.lock_peers();
        let known = peers.values().find(|known| !known.has_left && !known.peer.address.is_empty());
        known.map(|known| known.peer.clone())
    }

    /// Returns a token that is cancelled when this node is gone. For a node that was not seen yet, an entry is
    /// made here, and its lease is counted as `lease` from now on.
    pub(super) fn peer_gone(&self, peer: &NodePeer, lease: Duration) -> CancellationToken {
        let mut peers = self.lock_peers();
        let lease = u64::try_from(lease.as_millis()).unwrap_or(u64::MAX);
        let fresh = || LivePeer {
            peer: peer.clone(),
            until_ms: now_ms().saturating_add(lease),
            known_since_ms: now_ms(),
            has_left: false,
            gone: CancellationToken::new(),
        };
        peers.entry(peer.id).or_insert_with(fresh).gone.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(id: u128) -> NodePeer {
        NodePeer { id: NodeId::from_bits(id), address: "http://a".into() }
    }

    #[test]
    fn a_peer_is_gone_when_its_lease_is_over_and_asked_nothing_once_its_row_is_missing() {
        let (table, lease) = (PeerTable::default(), Duration::from_mins(1));
        table.replace_peers(vec![(peer(1), lease), (peer(2), lease)], now_ms());
        let tokens = [1, 2, 3].map(|id| table.peer_gone(&peer(id), Duration::ZERO));
        table.expire_peers();
        assert_eq!(tokens.each_ref().map(CancellationToken::is_cancelled), [false, false, true]);
        table.replace_peers(vec![], 0);
        assert!(table.any_peer().is_some(), "heard of since it was asked");
        table.replace_peers(vec![(peer(2), lease)], now_ms());
        table.expire_peers();
        assert!(!tokens[0].is_cancelled(), "it left, and still answers");
        assert_eq!(table.any_peer().map(|peer| peer.id), Some(NodeId::from_bits(2)));
        assert!(table.next_end().is_some_and(|left| left > Duration::ZERO));
        table.replace_peers(vec![], now_ms());
        assert!(table.any_peer().is_none() && !tokens[1].is_cancelled());
        let (table, short) = (PeerTable::default(), Duration::ZERO);
        table.replace_peers(vec![(peer(4), short)], now_ms());
        let token = table.peer_gone(&peer(4), lease);
        table.replace_peers(vec![], now_ms());
        table.expire_peers();
        assert!(token.is_cancelled() && table.next_end().is_none());
    }
}
