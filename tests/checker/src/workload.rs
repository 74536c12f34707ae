//! The clients: who asks what, how often, at which node.
//!
//! Invariants: every request is recorded with its beginning and end before the client's next one; what is asked
//! follows from the seed of the run and the client's number. Clients stop between requests, never within one.

pub mod keys;
pub mod log_readers;
pub mod pollers;
pub mod replicas;
pub mod session;
pub mod setup;
pub mod sweepers;
pub mod writers;

use std::sync::Arc;

use tokio::task::JoinSet;

use crate::history::{Entry, Replica};
use session::Session;
use setup::World;

/// How many clients of each kind.
#[derive(Debug, Clone)]
pub struct WorkloadOptions {
    /// The seed of the run.
    pub seed: u64,
    /// Accounts that everything happens in.
    pub accounts: usize,
    /// Accounts that are asked for now and then, so that they are loaded and unloaded all the time.
    pub cold_accounts: usize,
    /// Clients that poll.
    pub pollers: usize,
    /// Clients that write.
    pub writers: usize,
    /// Writes of each per second.
    pub writes_per_second: f64,
    /// Polls of each poller per second at most; 0: as many as it can.
    pub polls_per_second: u64,
}

/// Clients that run until they are told to stop.
#[derive(Debug)]
pub struct Workload {
    writers: JoinSet<()>,
    readers: JoinSet<()>,
    replicas: JoinSet<Replica>,
    session: Session,
}

impl Workload {
    /// Starts them all.
    pub fn start(world: &Arc<World>, session: &Session, options: &WorkloadOptions) -> Self {
        let (mut writers, mut readers, mut replicas) = (JoinSet::new(), JoinSet::new(), JoinSet::new());
        let mut number = 0;
        let mut next = || {
            number += 1;
            session.client(options.seed, number)
        };
        for _ in 0..options.writers {
            writers.spawn(writers::write(next(), world.clone(), options.writes_per_second));
        }
        writers.spawn(keys::cycle_keys(next(), world.clone()));
        for _ in 0..2 {
            writers.spawn(sweepers::sweep(next(), world.clone()));
        }
        for _ in 0..options.pollers {
            readers.spawn(pollers::poll(next(), world.clone(), options.polls_per_second));
        }
        for _ in 0..2 {
            readers.spawn(pollers::long_poll(next(), world.clone()));
        }
        for account in 0..world.accounts.len() {
            readers.spawn(log_readers::read(next(), world.clone(), account));
            readers.spawn(log_readers::stream(next(), world.clone(), account));
            replicas.spawn(replicas::follow(next(), world.clone(), account));
        }
        Self { writers, readers, replicas, session: session.clone() }
    }

    /// Stops those who write, and waits for their last requests.
    pub async fn stop_writers(&mut self) {
        self.session.stop_writing();
        while self.writers.join_next().await.is_some() {}
    }

    /// Stops the others; replicas are brought up to date and recorded.
    pub async fn stop_readers(&mut self) {
        self.session.stop_reading();
        while self.readers.join_next().await.is_some() {}
        while let Some(replica) = self.replicas.join_next().await {
            if let Ok(replica) = replica {
                self.session.recorder.record(Entry::Replica(replica));
            }
        }
    }
}
