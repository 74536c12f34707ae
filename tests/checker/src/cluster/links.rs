//! The links between any two peers, made when they are first asked for.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use crate::tcp_proxy::{LinkMode, NetworkLink};

/// A party of the cluster.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Peer {
    /// All clients of the API.
    Client,
    /// WhatsApp as a caller.
    WhatsApp,
    /// A node.
    Node(usize),
    /// PostgreSQL.
    Postgres,
    /// Redis.
    Redis,
    /// The Graph API.
    Graph,
    /// The receiver of webhook subscriptions.
    Receiver,
}

/// Links by (caller, called). Cheap to clone.
#[derive(Debug, Clone, Default)]
pub struct Links {
    links: Arc<Mutex<HashMap<(Peer, Peer), NetworkLink>>>,
}

impl Links {
    /// The link from one to another.
    pub fn between(&self, from: Peer, to: Peer) -> NetworkLink {
        self.links.lock().unwrap().entry((from, to)).or_default().clone()
    }

    /// Changes how the link from one to another behaves.
    pub fn set(&self, from: Peer, to: Peer, mode: LinkMode) {
        self.between(from, to).set(mode);
    }

    /// Opens every link.
    pub fn heal(&self) {
        for link in self.links.lock().unwrap().values() {
            link.set(LinkMode::Open);
        }
    }
}
