//! Carries out a plan of faults against a running cluster, one after the other.
//!
//! Invariants: a fault is recorded when what it hit is ready again, and the next one begins after that; when the
//! plan ends nothing is paused, cut or off. Clients avoid a node that is stopped most of the time, as a load
//! balancer would, so that the others go on meanwhile.

mod pauses;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep, timeout};

use super::{FaultKind, Plan, Planned};
use crate::cluster::Cluster;
use crate::cluster::links::Peer;
use crate::graph_stub::GraphMode;
use crate::history::{Entry, Fault};
use crate::http_client::{Ask, HttpClient};
use crate::tcp_proxy::LinkMode;
use crate::workload::session::Session;
use crate::workload::setup::World;

/// How long a node may take until it is ready after a fault.
const READY: Duration = Duration::from_mins(1);
/// Time that a slow database works between two stalls.
const SLOW_STEP: Duration = Duration::from_millis(40);
/// How long a node may take to end in order.
const STOP: Duration = Duration::from_mins(1);

/// Carries out faults.
#[derive(Debug)]
pub struct Injector {
    cluster: Arc<Cluster>,
    session: Session,
    world: Arc<World>,
    /// The lone server that runs.
    active: usize,
}

impl Injector {
    /// An injector for a running cluster.
    pub const fn new(cluster: Arc<Cluster>, session: Session, world: Arc<World>) -> Self {
        Self { cluster, session, world, active: 0 }
    }

    /// Carries out the plan until the time is over; how many faults there were.
    pub async fn run(&mut self, plan: Plan, time: Duration) -> anyhow::Result<usize> {
        let until = Instant::now() + time;
        let mut count = 0;
        for planned in plan {
            sleep(Duration::from_millis(planned.gap_millis).min(until - Instant::now())).await;
            if Instant::now() >= until {
                break;
            }
            self.inject(planned).await.with_context(|| format!("{planned:?}"))?;
            count += 1;
        }
        sleep(until.saturating_duration_since(Instant::now())).await;
        Ok(count)
    }

    async fn inject(&mut self, planned: Planned) -> anyhow::Result<()> {
        use FaultKind as K;
        let s = self.cluster.recorder.now();
        let (node, wait) = (planned.node, Duration::from_millis(planned.millis));
        let mut kind = planned.kind.name().to_owned();
        let mut hit = Some(node);
        match planned.kind {
            K::Pause | K::PauseLong => self.pause(node, wait).await,
            K::PauseLoading => self.pause_while_loading(node, wait, planned.chance).await,
            K::PauseAtGraphConnect => hit = self.pause_at_connect(node, wait).await,
            K::Kill => self.kill(node, wait).await?,
            K::Stop | K::StopSilent => self.stop(node, wait, planned.kind == K::StopSilent).await?,
            K::Link => {
                let (from, to, mode) = planned.link;
                kind = format!("{}:{}-{}", mode_name(mode), peer_name(from), peer_name(to));
                self.cluster.links.set(from, to, mode);
                sleep(wait).await;
                self.cluster.links.set(from, to, LinkMode::Open);
            }
            K::GraphSilent | K::GraphLossy => {
                let mode = if planned.kind == K::GraphLossy { GraphMode::Lossy } else { GraphMode::Silent };
                self.cluster.graph.set_mode(mode);
                sleep(wait).await;
                self.cluster.graph.set_mode(GraphMode::Prompt);
                hit = None;
            }
            K::Clock => self.set_clock_off(node, wait, planned.chance).await?,
            K::Twin => {
                let mut twin = self.cluster.spawn_twin(node).await?;
                sleep(wait).await;
                twin.kill().await;
            }
            K::DiskFull => {
                self.cluster.nodes[node].lock().await.limit_files(Some(100_000)).await;
                sleep(wait).await;
                self.cluster.nodes[node].lock().await.limit_files(None).await;
            }
            K::Takeover => self.take_over(wait).await?,
            K::PostgresPause
            | K::PostgresSlow
            | K::PostgresCrash
            | K::PostgresFailover
            | K::RedisKill
            | K::RedisFreeze => {
                self.hit_servers(planned).await?;
                hit = None;
            }
        }
        self.all_ready().await?;
        let e = self.cluster.recorder.now();
        self.cluster.recorder.record(Entry::Fault(Fault { kind, n: hit, s, e }));
        Ok(())
    }

    async fn kill(&self, node: usize, wait: Duration) -> anyhow::Result<()> {
        self.session.avoid(Some(node));
        self.cluster.nodes[node].lock().await.kill().await;
        sleep(wait).await;
        self.cluster.start_node(node).await?;
        self.session.avoid(None);
        Ok(())
    }

    async fn stop(&self, node: usize, wait: Duration, silent: bool) -> anyhow::Result<()> {
        if silent {
            self.cluster.graph.set_mode(GraphMode::Silent);
            sleep(Duration::from_millis(500)).await;
        }
        self.session.avoid(Some(node));
        let ended = self.cluster.nodes[node].lock().await.terminate(STOP).await;
        self.cluster.graph.set_mode(GraphMode::Prompt);
        anyhow::ensure!(ended, "node {node} does not end after SIGTERM");
        sleep(wait).await;
        self.cluster.start_node(node).await?;
        self.session.avoid(None);
        Ok(())
    }

    /// The clock is off for a while; every second time the node starts with it, and has to follow when it is set.
    async fn set_clock_off(&self, node: usize, wait: Duration, chance: u64) -> anyhow::Result<()> {
        let off = 5 + (chance % 50) as i64;
        let off = if chance & (1 << 40) == 0 { off } else { -off };
        self.cluster.nodes[node].lock().await.set_clock(off)?;
        if chance & (1 << 41) == 0 {
            let (kind, s) = ("kill".to_owned(), self.cluster.recorder.now());
            self.kill(node, Duration::ZERO).await?;
            let e = self.cluster.recorder.now();
            self.cluster.recorder.record(Entry::Fault(Fault { kind, n: Some(node), s, e }));
        }
        sleep(wait).await;
        self.cluster.nodes[node].lock().await.set_clock(0)
    }

    async fn hit_servers(&self, planned: Planned) -> anyhow::Result<()> {
        let wait = Duration::from_millis(planned.millis);
        let mut postgres = self.cluster.postgres.lock().await;
        let mut redis = self.cluster.redis.lock().await;
        let (Some(postgres), Some(redis)) = (postgres.as_mut(), redis.as_mut()) else { return Ok(()) };
        match planned.kind {
            FaultKind::PostgresPause => {
                postgres.freeze(true);
                sleep(wait).await;
                postgres.freeze(false);
            }
            FaultKind::PostgresSlow => {
                let stall = Duration::from_millis(30 + planned.chance % 270);
                let until = Instant::now() + wait;
                while Instant::now() < until {
                    postgres.freeze(true);
                    sleep(stall).await;
                    postgres.freeze(false);
                    sleep(SLOW_STEP).await;
                }
            }
            FaultKind::PostgresCrash => {
                postgres.crash().await;
                sleep(wait).await;
                postgres.start_again().await?;
            }
            FaultKind::PostgresFailover => {
                postgres.crash().await;
                sleep(wait.min(Duration::from_secs(2))).await;
                postgres.promote().await?;
                postgres.build_standby().await?;
            }
            FaultKind::RedisKill => {
                redis.kill().await;
                sleep(wait).await;
                redis.start_again().await?;
            }
            _ => {
                redis.freeze(true);
                sleep(wait).await;
                redis.freeze(false);
            }
        }
        Ok(())
    }

    /// The running lone server loses its database, another one takes its place, and clients still reach both.
    async fn take_over(&mut self, wait: Duration) -> anyhow::Result<()> {
        let (old, new) = (self.active, 1 - self.active);
        self.cluster.links.set(Peer::Node(old), Peer::Postgres, LinkMode::Cut);
        self.cluster.start_node(new).await?;
        self.active = new;
        sleep(wait).await;
        self.cluster.nodes[old].lock().await.kill().await;
        self.cluster.links.set(Peer::Node(old), Peer::Postgres, LinkMode::Open);
        Ok(())
    }

    /// Heals everything and waits until every node is ready.
    pub async fn heal(&self) -> anyhow::Result<()> {
        self.cluster.links.heal();
        self.cluster.graph.set_mode(GraphMode::Prompt);
        self.session.avoid(None);
        self.all_ready().await
    }

    async fn all_ready(&self) -> anyhow::Result<()> {
        for node in 0..self.cluster.nodes.len() {
            if self.cluster.options.lone && node != self.active {
                continue;
            }
            let mut server = self.cluster.nodes[node].lock().await;
            if server.has_ended() {
                let at = self.cluster.recorder.now();
                let kind = "ended-by-itself".to_owned();
                drop(server);
                self.cluster.start_node(node).await?;
                let e = self.cluster.recorder.now();
                self.cluster.recorder.record(Entry::Fault(Fault { kind, n: Some(node), s: at, e }));
                server = self.cluster.nodes[node].lock().await;
            }
            let address = server.address();
            drop(server);
            timeout(READY, is_ready(address))
                .await
                .with_context(|| format!("node {node} is not ready again"))?;
        }
        Ok(())
    }

    /// The nodes that run.
    pub fn running(&self) -> Vec<usize> {
        if self.cluster.options.lone { vec![self.active] } else { (0..self.cluster.nodes.len()).collect() }
    }
}

async fn is_ready(address: std::net::SocketAddr) {
    let mut client = HttpClient::new(address, Duration::from_secs(5));
    let ask = Ask { path: "/readyz", ..Ask::default() };
    while client.send(&ask).await.is_none_or(|answer| answer.status != 200) {
        sleep(Duration::from_millis(20)).await;
    }
}

const fn mode_name(mode: LinkMode) -> &'static str {
    match mode {
        LinkMode::Open => "open",
        LinkMode::Cut => "cut",
        LinkMode::Held => "held",
        LinkMode::HeldForward => "held-forward",
        LinkMode::HeldBackward => "held-backward",
        LinkMode::Slow(_) => "slow",
        LinkMode::ConnectHeld => "connect-held",
    }
}

const fn peer_name(peer: Peer) -> &'static str {
    match peer {
        Peer::Client => "client",
        Peer::WhatsApp => "whatsapp",
        Peer::Node(_) => "node",
        Peer::Postgres => "postgres",
        Peer::Redis => "redis",
        Peer::Graph => "graph",
        Peer::Receiver => "receiver",
    }
}
