//! The faults of a run: what may happen, and the plan that a seed makes of it.
//!
//! Invariant: the same seed, mode and kinds make the same plan; only how far the clients are when a fault begins
//! depends on the machine.

pub mod injection;

use rand::rngs::StdRng;
use rand::{RngExt as _, SeedableRng as _};

use crate::cluster::links::Peer;
use crate::tcp_proxy::LinkMode;

/// Something that goes wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, clap::ValueEnum)]
pub enum FaultKind {
    /// A node is stopped (`SIGSTOP`) for less than its lease.
    Pause,
    /// A node is stopped for longer than its lease.
    PauseLong,
    /// A node is stopped for longer than its lease while it loads accounts.
    PauseLoading,
    /// A node is stopped while it connects to the Graph API, until another one has sent its messages.
    PauseAtGraphConnect,
    /// A node is killed and started again.
    Kill,
    /// A node is told to end and started again.
    Stop,
    /// The same while the Graph API is silent.
    StopSilent,
    /// PostgreSQL stands still.
    PostgresPause,
    /// PostgreSQL's disk is slow: its processes stand still again and again, for up to 300 ms.
    PostgresSlow,
    /// PostgreSQL ends at once and starts again.
    PostgresCrash,
    /// PostgreSQL's primary ends at once and the standby takes its place.
    PostgresFailover,
    /// Redis ends, loses everything and starts again.
    RedisKill,
    /// Redis stands still.
    RedisFreeze,
    /// A link between two processes is cut, held, held in one direction, or slow.
    Link,
    /// The Graph API takes messages and does not answer.
    GraphSilent,
    /// The Graph API takes messages and ends connections.
    GraphLossy,
    /// A node's clock is off.
    Clock,
    /// A second process claims a node's address.
    Twin,
    /// No file of a node can grow.
    DiskFull,
    /// A lone server is cut off and another one takes its place.
    Takeover,
}

impl FaultKind {
    /// The name in histories. Checks tell kinds apart by it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Pause => "pause",
            Self::PauseLong => "pause-long",
            Self::PauseLoading => "pause-loading",
            Self::PauseAtGraphConnect => "pause-at-graph-connect",
            Self::Kill => "kill",
            Self::Stop => "stop",
            Self::StopSilent => "stop-silent",
            Self::PostgresPause => "postgres-pause",
            Self::PostgresSlow => "postgres-slow",
            Self::PostgresCrash => "postgres-crash",
            Self::PostgresFailover => "postgres-failover",
            Self::RedisKill => "redis-kill",
            Self::RedisFreeze => "redis-freeze",
            Self::Link => "link",
            Self::GraphSilent => "graph-silent",
            Self::GraphLossy => "graph-lossy",
            Self::Clock => "clock",
            Self::Twin => "twin",
            Self::DiskFull => "disk-full",
            Self::Takeover => "takeover",
        }
    }
}

/// What there is to hit.
#[derive(Debug, Clone, Copy, Default)]
pub struct Targets {
    /// Processes of kabar.
    pub nodes: usize,
    /// Whether they form a cluster.
    pub cluster: bool,
    /// Whether there are a PostgreSQL and a Redis.
    pub postgres: bool,
    /// Whether there is a standby.
    pub standby: bool,
    /// Whether nodes have clocks of their own.
    pub clocks: bool,
    /// Whether the servers are lone ones that take each other's place.
    pub spare: bool,
    /// The lease in milliseconds.
    pub lease_ms: u64,
    /// The time to settle in milliseconds.
    pub settle_ms: u64,
    /// Factor of the duration of each fault.
    pub stretch: u64,
}

impl Targets {
    /// Whether a fault of this kind means anything here.
    pub const fn admit(&self, kind: FaultKind) -> bool {
        use FaultKind as K;
        if self.spare {
            return matches!(kind, K::Takeover);
        }
        match kind {
            K::Pause | K::Kill | K::Stop | K::StopSilent | K::Link | K::GraphSilent | K::GraphLossy => true,
            K::PauseLong | K::PauseLoading | K::Twin => self.cluster,
            K::PauseAtGraphConnect => self.cluster && self.nodes > 1,
            K::PostgresPause | K::PostgresSlow | K::PostgresCrash | K::RedisKill | K::RedisFreeze => {
                self.postgres
            }
            K::PostgresFailover => self.standby,
            K::Clock => self.clocks,
            K::DiskFull => !self.postgres,
            K::Takeover => false,
        }
    }
}

/// A fault of the plan.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Planned {
    /// Its kind.
    pub kind: FaultKind,
    /// The node that it hits.
    pub node: usize,
    /// The link that it hits, and how.
    pub link: (Peer, Peer, LinkMode),
    /// How long it lasts.
    pub millis: u64,
    /// Chance for the injection: how far in, how much, which sign.
    pub chance: u64,
    /// What passes before it begins.
    pub gap_millis: u64,
}

/// The plan of a run, without an end.
#[derive(Debug)]
pub struct Plan {
    rng: StdRng,
    kinds: Vec<FaultKind>,
    targets: Targets,
    /// Kinds that are still to come in this round: in each round each kind comes once.
    round: Vec<FaultKind>,
}

impl Plan {
    /// The plan of this seed.
    pub fn new(seed: u64, kinds: &[FaultKind], targets: Targets) -> Self {
        let kinds = kinds.iter().copied().filter(|kind| targets.admit(*kind)).collect();
        Self { rng: StdRng::seed_from_u64(seed ^ 0xfa17), kinds, targets, round: Vec::new() }
    }

    fn between(&mut self, from: u64, to: u64) -> u64 {
        self.rng.random_range(from..to.max(from + 1))
    }

    fn link(&mut self, node: usize) -> (Peer, Peer, LinkMode) {
        let this = Peer::Node(node);
        let mut pairs = vec![(Peer::Client, this), (Peer::WhatsApp, this), (this, Peer::Graph)];
        pairs.push((this, Peer::Receiver));
        if self.targets.postgres {
            pairs.extend([(this, Peer::Postgres), (this, Peer::Postgres), (this, Peer::Redis)]);
        }
        if self.targets.cluster && self.targets.nodes > 1 {
            let other = (node + 1 + self.rng.random_range(0..self.targets.nodes - 1)) % self.targets.nodes;
            pairs.extend([(this, Peer::Node(other)); 4]);
        }
        let (from, to) = pairs[self.rng.random_range(0..pairs.len())];
        let slow = LinkMode::Slow(std::time::Duration::from_millis(self.between(20, 300)));
        let modes = [LinkMode::Cut, LinkMode::Held, LinkMode::HeldForward, LinkMode::HeldBackward, slow];
        (from, to, modes[self.rng.random_range(0..modes.len())])
    }
}

impl Iterator for Plan {
    type Item = Planned;

    fn next(&mut self) -> Option<Planned> {
        use FaultKind as K;
        if self.round.is_empty() {
            self.round.clone_from(&self.kinds);
        }
        if self.round.is_empty() {
            return None;
        }
        let nth = self.rng.random_range(0..self.round.len());
        let kind = self.round.swap_remove(nth);
        let node = self.rng.random_range(0..self.targets.nodes);
        let (lease, settle) = (self.targets.lease_ms, self.targets.settle_ms);
        let (from, to) = match kind {
            K::Pause => (100, lease * 3 / 4),
            K::PauseLong => (lease * 5 / 4, lease * 5 / 2),
            K::PauseLoading => (lease * 3 / 2, lease * 5 / 2),
            // The lease ends, accounts are loaded elsewhere, and their attempts settle.
            K::PauseAtGraphConnect => (lease * 2 + settle + 500, lease * 2 + settle + 3_000),
            K::Kill | K::Stop | K::StopSilent => (0, lease * 2),
            K::PostgresPause | K::PostgresFailover => (200, 6_000),
            K::PostgresSlow => (2_000, 6_000),
            K::PostgresCrash => (0, 2_500),
            K::RedisKill | K::RedisFreeze => (200, 4_000),
            K::Link => (300, 7_000),
            K::GraphSilent | K::GraphLossy => (1_000, 5_000),
            K::Clock => (4_000, 14_000),
            K::Twin => (lease / 2, lease * 2),
            K::DiskFull => (500, 3_000),
            K::Takeover => (3_000, 6_000),
        };
        let millis = self.between(from, to) * self.targets.stretch;
        let (link, chance, gap_millis) = (self.link(node), self.rng.random(), self.between(300, 2_500));
        Some(Planned { kind, node, link, millis, chance, gap_millis })
    }
}

#[cfg(test)]
mod tests {
    use clap::ValueEnum as _;

    use super::*;

    fn targets() -> Targets {
        Targets {
            nodes: 3,
            cluster: true,
            postgres: true,
            lease_ms: 3_000,
            settle_ms: 8_000,
            stretch: 1,
            ..Targets::default()
        }
    }

    #[test]
    fn a_pause_at_connect_needs_another_node_and_outlasts_lease_and_settling() {
        let kinds = [FaultKind::PauseAtGraphConnect];
        let mut pauses = Plan::new(1, &kinds, targets()).take(50);
        assert!(pauses.all(|pause| (14_500..17_000).contains(&pause.millis)));
        let alone = [Targets { nodes: 1, ..targets() }, Targets { cluster: false, ..targets() }];
        assert!(alone.into_iter().all(|targets| Plan::new(1, &kinds, targets).next().is_none()));
    }

    #[test]
    fn a_seed_makes_one_plan() {
        let plan =
            |seed| Plan::new(seed, FaultKind::value_variants(), targets()).take(200).collect::<Vec<_>>();
        assert_eq!(plan(7), plan(7));
        assert_ne!(plan(7), plan(8));
    }

    #[test]
    fn a_plan_has_what_can_be_hit_and_nothing_else() {
        let mut kinds: Vec<FaultKind> = Plan::new(1, FaultKind::value_variants(), targets())
            .take(200)
            .map(|planned| planned.kind)
            .collect();
        kinds.sort_unstable();
        kinds.dedup();
        let admitted: Vec<FaultKind> =
            FaultKind::value_variants().iter().copied().filter(|kind| targets().admit(*kind)).collect();
        assert_eq!(kinds, admitted);
        assert!(!kinds.contains(&FaultKind::DiskFull) && !kinds.contains(&FaultKind::Clock));
    }
}
