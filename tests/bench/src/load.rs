//! The load generator: many kept-alive connections, each waiting for its answer before it asks again.
//!
//! Invariants: every answer is checked, and one wrong answer ends the run with an error; latency is
//! from the first byte written to the last byte read. A thread of the generator is one
//! single-threaded runtime, so that its own cost is small and steady beside the server's.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, anyhow, bail};
use bytes::Bytes;
use tokio::task::JoinSet;

use super::latency_histogram::LatencyHistogram;
use super::wire::{Answer, Connection};

/// What a load may take beyond its time before it counts as stuck.
const GRACE: Duration = Duration::from_secs(30);

/// For loads that end with their requests.
pub(super) const LONGEST: Duration = Duration::from_mins(5);

/// What one connection asks, and what it expects.
pub(super) trait Script: Send {
    /// The next request; `None` ends the connection.
    fn next(&mut self) -> Option<Bytes>;

    /// Whether the answer is the right one.
    fn check(&mut self, answer: &Answer<'_>) -> anyhow::Result<()>;

    /// Whether the answer that was just checked counts in the latencies.
    fn counts(&self) -> bool {
        true
    }
}

/// The same request over and over.
#[derive(Clone)]
pub(super) struct Repeat {
    pub(super) request: Bytes,
    pub(super) status: u16,
    pub(super) body_bytes: usize,
}

impl Script for Repeat {
    fn next(&mut self) -> Option<Bytes> {
        Some(self.request.clone())
    }

    fn check(&mut self, answer: &Answer<'_>) -> anyhow::Result<()> {
        if answer.status == self.status && answer.body.len() == self.body_bytes {
            return Ok(());
        }
        bail!("expected {} with {} bytes, got {}", self.status, self.body_bytes, answer.excerpt())
    }
}

/// Requests that are each made once, by whichever connection comes first.
#[derive(Clone)]
pub(super) struct Drain {
    requests: Arc<Vec<Bytes>>,
    taken: Arc<AtomicUsize>,
    status: u16,
}

impl Drain {
    pub(super) fn new(requests: Vec<Bytes>, status: u16) -> Self {
        Self { requests: Arc::new(requests), taken: Arc::default(), status }
    }
}

impl Script for Drain {
    fn next(&mut self) -> Option<Bytes> {
        self.requests.get(self.taken.fetch_add(1, Ordering::Relaxed)).cloned()
    }

    fn check(&mut self, answer: &Answer<'_>) -> anyhow::Result<()> {
        if answer.status == self.status {
            Ok(())
        } else {
            bail!("expected {}, got {}", self.status, answer.excerpt())
        }
    }
}

/// How hard to ask.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    pub(super) address: SocketAddr,
    pub(super) connections: usize,
    pub(super) threads: usize,
    pub(super) duration: Duration,
}

/// What came of it.
pub(super) struct Tally {
    pub(super) latencies: LatencyHistogram,
    /// Answers, with those that do not count in the latencies.
    pub(super) answers: u32,
    /// From the first request to the last answer.
    pub(super) elapsed: Duration,
}

impl Load {
    /// Runs a copy of the script on every connection until time is up or the scripts end.
    pub(super) async fn run<S: Script + Clone + 'static>(self, script: &S) -> anyhow::Result<Tally> {
        let begun = Instant::now();
        let until = begun + self.duration;
        let mut threads = Vec::new();
        for index in 0..self.threads {
            let share = (index..self.connections).step_by(self.threads).count();
            let scripts: Vec<S> = (0..share).map(|_| script.clone()).collect();
            let thread = thread::Builder::new().name("load".to_owned());
            threads.push(thread.spawn(move || shoot(self.address, scripts, until))?);
        }
        let gathered = tokio::task::spawn_blocking(move || {
            let mut total = Tally { latencies: LatencyHistogram::new(), answers: 0, elapsed: Duration::ZERO };
            for thread in threads {
                let tally = thread.join().map_err(|_panic| anyhow!("the load generator panicked"))??;
                total.add(&tally);
            }
            Ok::<Tally, anyhow::Error>(total)
        });
        let mut total = gathered.await??;
        total.elapsed = begun.elapsed();
        Ok(total)
    }
}

impl Tally {
    fn add(&mut self, other: &Self) {
        self.latencies.merge(&other.latencies);
        self.answers += other.answers;
    }

    /// Answers that count, per second.
    pub(super) fn per_second(&self) -> f64 {
        f64::from(self.latencies.total()) / self.elapsed.as_secs_f64()
    }
}

/// One thread's connections.
fn shoot<S: Script + 'static>(address: SocketAddr, scripts: Vec<S>, until: Instant) -> anyhow::Result<Tally> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let mut connections = JoinSet::new();
        for script in scripts {
            connections.spawn(converse(address, script, until));
        }
        let mut total = Tally { latencies: LatencyHistogram::new(), answers: 0, elapsed: Duration::ZERO };
        let all = async {
            while let Some(tally) = connections.join_next().await {
                total.add(&tally??);
            }
            Ok::<(), anyhow::Error>(())
        };
        let left = until.saturating_duration_since(Instant::now());
        tokio::time::timeout(left + GRACE, all).await.context("a connection is stuck")??;
        Ok(total)
    })
}

async fn converse<S: Script>(address: SocketAddr, mut script: S, until: Instant) -> anyhow::Result<Tally> {
    let mut connection = Connection::open(address).await?;
    let mut tally = Tally { latencies: LatencyHistogram::new(), answers: 0, elapsed: Duration::ZERO };
    loop {
        let begun = Instant::now();
        if begun >= until {
            return Ok(tally);
        }
        let Some(request) = script.next() else { return Ok(tally) };
        let answer = connection.ask(&request).await?;
        let latency = begun.elapsed();
        script.check(&answer)?;
        tally.answers += 1;
        if script.counts() {
            tally.latencies.record(latency);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{baseline, wire};

    async fn yardstick(tasks: &mut JoinSet<anyhow::Result<()>>) -> SocketAddr {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tasks.spawn(baseline::answer(listener));
        address
    }

    fn load(address: SocketAddr, duration: Duration) -> Load {
        Load { address, connections: 5, threads: 2, duration }
    }

    #[tokio::test]
    async fn every_answer_is_counted_once_and_checked() {
        let mut tasks = JoinSet::new();
        let address = yardstick(&mut tasks).await;
        let request = wire::request("GET", "/", &[], b"");
        let script = Drain::new(vec![request.clone(); 1000], 200);
        let tally = load(address, LONGEST).run(&script).await.unwrap();
        assert_eq!((tally.answers, tally.latencies.total()), (1000, 1000));
        assert!(tally.per_second() > 0.0);

        for (status, body_bytes) in [(204, 13), (200, 14)] {
            let wrong = Repeat { request: request.clone(), status, body_bytes };
            assert!(load(address, LONGEST).run(&wrong).await.is_err(), "{status} {body_bytes}");
        }
    }

    #[tokio::test]
    async fn a_load_ends_in_time() {
        let mut tasks = JoinSet::new();
        let address = yardstick(&mut tasks).await;
        let request = wire::request("GET", "/", &[], b"");
        let script = Repeat { request, status: 200, body_bytes: baseline::BODY.len() };
        let tally = load(address, Duration::from_millis(50)).run(&script).await.unwrap();
        assert!(tally.answers > 0 && tally.elapsed >= Duration::from_millis(50), "{:?}", tally.elapsed);
    }
}
