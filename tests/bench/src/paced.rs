//! A load at a rate: requests leave when they are due, however long the answers take.
//!
//! Invariant: latency is from the instant at which a request was due, so that a server that stalls
//! is charged with everything that waited meanwhile. One wrong answer ends the run.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::latency_histogram::LatencyHistogram;
use super::wire::Connection;

/// How hard to ask.
#[derive(Debug, Clone)]
pub(super) struct Paced {
    pub(super) address: SocketAddr,
    pub(super) connections: usize,
    pub(super) per_second: u32,
    pub(super) duration: Duration,
    /// Answers so far, for those who watch.
    pub(super) answered: Arc<AtomicU64>,
}

/// Makes the nth request.
pub(super) type Make = dyn Fn(u64) -> Bytes + Send + Sync;

/// These requests, in order; not to be asked for more.
pub(super) fn nth(requests: Vec<Bytes>) -> Arc<Make> {
    Arc::new(move |nth| {
        usize::try_from(nth).ok().and_then(|nth| requests.get(nth)).cloned().unwrap_or_default()
    })
}

impl Paced {
    /// Makes the requests on a thread of its own; every answer must have status 200.
    pub(super) async fn run(self, make: Arc<Make>) -> anyhow::Result<LatencyHistogram> {
        let on_its_thread = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
            runtime.block_on(self.ask_all(make))
        };
        tokio::task::spawn_blocking(on_its_thread).await?
    }

    async fn ask_all(self, make: Arc<Make>) -> anyhow::Result<LatencyHistogram> {
        let (begun, next) = (Instant::now(), Arc::new(AtomicU64::new(0)));
        let mut connections = JoinSet::new();
        for _ in 0..self.connections {
            connections.spawn(self.clone().ask(begun, next.clone(), make.clone()));
        }
        let mut all = LatencyHistogram::new();
        while let Some(one) = connections.join_next().await {
            all.merge(&one??);
        }
        Ok(all)
    }

    async fn ask(
        self,
        begun: Instant,
        next: Arc<AtomicU64>,
        make: Arc<Make>,
    ) -> anyhow::Result<LatencyHistogram> {
        let mut connection = Connection::open(self.address).await?;
        let mut latencies = LatencyHistogram::new();
        loop {
            let nth = next.fetch_add(1, Ordering::Relaxed);
            let due_after =
                Duration::from_nanos(nth.saturating_mul(1_000_000_000) / u64::from(self.per_second));
            if due_after >= self.duration {
                return Ok(latencies);
            }
            let due = begun + due_after;
            tokio::time::sleep_until(due.into()).await;
            let answer = connection.ask(&make(nth)).await?;
            if answer.status != 200 {
                bail!("expected 200, got {}", answer.excerpt());
            }
            latencies.record(due.elapsed());
            self.answered.fetch_add(1, Ordering::Relaxed);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{baseline, wire};

    #[tokio::test]
    async fn every_request_leaves_and_is_counted() {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let mut tasks = JoinSet::new();
        tasks.spawn(baseline::answer(listener));
        let answered = Arc::default();
        let duration = Duration::from_millis(100);
        let paced =
            Paced { address, connections: 3, per_second: 1000, duration, answered: Arc::clone(&answered) };
        let latencies = paced.run(Arc::new(|_| wire::request("GET", "/", &[], b""))).await.unwrap();
        assert_eq!((latencies.total(), answered.load(Ordering::Relaxed)), (100, 100));
    }
}
