//! What clients share, and one client with a connection to each node.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};
use serde_json::Value;

use crate::cluster::Cluster;
use crate::history::{Entry, Write};
use crate::http_client::{Answer, Ask, HttpClient};
use crate::json_rows::single_row;
use crate::recorder::Recorder;

/// Patience of clients: longer than any bound of the server, so that a hang is seen as one.
const PATIENCE: Duration = Duration::from_secs(40);

/// What clients share. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Session {
    /// The recorder.
    pub recorder: Recorder,
    addresses: Arc<Vec<SocketAddr>>,
    writing: Arc<AtomicBool>,
    reading: Arc<AtomicBool>,
    values: Arc<AtomicU64>,
    /// The node that is stopped, counted from 1; 0: none.
    avoided: Arc<AtomicUsize>,
}

impl Session {
    /// A session with the nodes of a cluster.
    pub fn new(cluster: &Cluster) -> Self {
        Self {
            recorder: cluster.recorder.clone(),
            addresses: Arc::new(cluster.client_addresses.clone()),
            writing: Arc::new(AtomicBool::new(true)),
            reading: Arc::new(AtomicBool::new(true)),
            values: Arc::new(AtomicU64::new(1)),
            avoided: Arc::default(),
        }
    }

    /// The client of this number.
    pub fn client(&self, seed: u64, number: usize) -> Client {
        let connections = self.addresses.iter().map(|address| HttpClient::new(*address, PATIENCE)).collect();
        let rng = StdRng::seed_from_u64(seed.wrapping_mul(1_000_003).wrapping_add(number as u64));
        Client { session: self.clone(), number, rng, connections }
    }

    /// A value that no other write of the run has.
    pub fn unique(&self) -> u64 {
        self.values.fetch_add(1, Ordering::Relaxed)
    }

    /// Has clients ask this node seldom, because it is stopped.
    pub fn avoid(&self, node: Option<usize>) {
        self.avoided.store(node.map_or(0, |node| node + 1), Ordering::Relaxed);
    }

    /// Ends writing.
    pub fn stop_writing(&self) {
        self.writing.store(false, Ordering::Relaxed);
    }

    /// Ends reading.
    pub fn stop_reading(&self) {
        self.reading.store(false, Ordering::Relaxed);
    }

    /// Whether clients write.
    pub fn is_writing(&self) -> bool {
        self.writing.load(Ordering::Relaxed)
    }

    /// Whether clients read.
    pub fn is_reading(&self) -> bool {
        self.reading.load(Ordering::Relaxed)
    }
}

/// A client.
#[derive(Debug)]
pub struct Client {
    /// What it shares with the others.
    pub session: Session,
    /// Its number.
    pub number: usize,
    /// Its chance.
    pub rng: StdRng,
    connections: Vec<HttpClient>,
}

impl Client {
    /// A node by chance.
    pub fn any_node(&mut self) -> usize {
        let node = self.rng.random_range(0..self.connections.len());
        let is_avoided = self.session.avoided.load(Ordering::Relaxed) == node + 1;
        if is_avoided && self.chance(0.9) { (node + 1) % self.connections.len() } else { node }
    }

    /// How many nodes there are.
    pub fn node_count(&self) -> usize {
        self.connections.len()
    }

    /// An index by chance.
    pub fn any(&mut self, below: usize) -> usize {
        self.rng.random_range(0..below.max(1))
    }

    /// Whether something with this chance happens.
    pub fn chance(&mut self, share: f64) -> bool {
        self.rng.random_bool(share)
    }

    /// Asks a node.
    pub async fn ask(&mut self, node: usize, ask: &Ask<'_>) -> Option<Answer> {
        self.connections[node].send(ask).await
    }

    /// The connection to a node.
    pub fn connection(&mut self, node: usize) -> &mut HttpClient {
        &mut self.connections[node]
    }

    /// Writes something and records it: `write` says what, the rest is filled in.
    pub async fn write(
        &mut self,
        node: usize,
        method: &str,
        path: &str,
        token: &str,
        body: &Value,
        write: Write,
    ) -> (Write, Option<Answer>) {
        let key = [("Idempotency-Key", write.key.as_str())];
        let ask = Ask {
            method,
            path,
            token,
            headers: if write.key.is_empty() { &[] } else { &key },
            body: (!body.is_null()).then(|| Bytes::from(body.to_string())),
        };
        let s = self.session.recorder.now();
        let answer = self.ask(node, &ask).await;
        let e = self.session.recorder.now();
        let mut write = Write { n: node, s, e, ..write };
        if let Some(answer) = &answer {
            (write.st, write.code) = (answer.status, answer.code());
            // Only rows of an account have versions.
            if write.is_acknowledged() && !write.a.is_empty() && write.op != "replay" {
                let row = single_row(&self.session.recorder, &write.a, &answer.body);
                if let Some((digest, id)) = row {
                    (write.r, write.id) = (Some(digest), id);
                }
            }
        }
        self.session.recorder.record(Entry::Write(write.clone()));
        (write, answer)
    }
}
