//! One run: starts everything, lets clients and faults go on for a time, waits until all is quiet, and checks.
//!
//! Invariant: the history is complete and closed before it is checked, and it is checked as it was written.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use tokio::time::{Instant, sleep};

use crate::check::{Verdict, Violation, check_history};
use crate::cluster::{Cluster, ClusterOptions};
use crate::faults::injection::Injector;
use crate::faults::{FaultKind, Plan, Targets};
use crate::history::{Entry, Fault, Final, RunInfo, read_history};
use crate::http_client::Ask;
use crate::json_rows::record_page;
use crate::recorder::Recorder;
use crate::workload::log_readers::read_part;
use crate::workload::session::{Client, Session};
use crate::workload::setup::World;
use crate::workload::{Workload, WorkloadOptions};

/// What kabar stores in, and how many processes there are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
pub enum RunMode {
    /// One node on SQLite.
    Sqlite,
    /// One node on PostgreSQL and Redis, without a cluster.
    Postgres,
    /// Several nodes on PostgreSQL and Redis.
    Cluster,
    /// Two lone servers on PostgreSQL that take each other's place.
    Spare,
}

/// What is run.
#[derive(Debug, Clone, clap::Args)]
pub struct RunOptions {
    /// The binary under test.
    #[arg(long, default_value = "target/release/kabar")]
    pub kabar: PathBuf,
    /// Store and number of processes.
    #[arg(long, value_enum, default_value = "cluster")]
    pub mode: RunMode,
    /// Processes of a cluster.
    #[arg(long, default_value_t = 3)]
    pub nodes: usize,
    /// The seed of clients and faults.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
    /// How long faults happen, in seconds.
    #[arg(long, default_value_t = 60)]
    pub seconds: u64,
    /// Kinds of faults; without it all that mean something in the mode.
    #[arg(long, value_enum, value_delimiter = ',')]
    pub faults: Vec<FaultKind>,
    /// Factor of the duration of each fault.
    #[arg(long, default_value_t = 1)]
    pub stretch: u64,
    /// No faults at all.
    #[arg(long)]
    pub calm: bool,
    /// Gives PostgreSQL a synchronous standby, for failovers.
    #[arg(long)]
    pub standby: bool,
    /// Gives each node a clock of its own (needs libfaketime), for faults of clocks.
    #[arg(long)]
    pub clocks: bool,
    /// Delays what each node awaits by up to so many milliseconds, by the run's seed; debug builds only.
    #[arg(long, default_value_t = 0)]
    pub delays: u64,
    /// The cluster's lease, in seconds.
    #[arg(long, default_value_t = 3)]
    pub lease: u64,
    /// The lease of servers without a cluster, in seconds; 0 leaves it at kabar's default.
    #[arg(long, default_value_t = 5)]
    pub alone_lease: u64,
    /// `whatsapp.settle_seconds`.
    #[arg(long, default_value_t = 8)]
    pub settle: u64,
    /// Clients that poll.
    #[arg(long, default_value_t = 6)]
    pub pollers: usize,
    /// Polls of each of them per second at most; 0: as many as it can.
    #[arg(long, default_value_t = 0)]
    pub polls_per_second: u64,
    /// Clients that write.
    #[arg(long, default_value_t = 6)]
    pub writers: usize,
    /// Writes of each of them per second.
    #[arg(long, default_value_t = 6.0)]
    pub writes_per_second: f64,
    /// Accounts that everything happens in.
    #[arg(long, default_value_t = 3)]
    pub accounts: usize,
    /// Accounts that are loaded and unloaded all the time.
    #[arg(long, default_value_t = 200)]
    pub cold_accounts: usize,
    /// A WebAssembly component to deploy as a hook: `plugins/examples/built/rust-fallback.wasm`.
    #[arg(long)]
    pub hook: Option<PathBuf>,
    /// Has bounds of time fail the run too (hangs, refusals without a cause, late sends); for a machine that does
    /// nothing else.
    #[arg(long)]
    pub timed: bool,
    /// Kinds of violations that are reported and do not fail the run: known faults that are being mended.
    #[arg(long, value_delimiter = ',')]
    pub known: Vec<String>,
    /// Where history and logs are kept; without it they go when nothing was found.
    #[arg(long)]
    pub keep: Option<PathBuf>,
}

/// What came of a run.
#[derive(Debug)]
pub struct RunOutcome {
    /// What the checks say.
    pub verdict: Verdict,
    /// The run.
    pub info: RunInfo,
    /// The history's file, if it was kept.
    pub history: Option<PathBuf>,
}

/// How long sends, deliveries and hooks may take when all is well again. A delivery that failed is tried again
/// after 10 and after 30 seconds.
const QUIET: Duration = Duration::from_secs(75);
/// How long nothing may happen outside until all is taken to be quiet.
const STILL: Duration = Duration::from_secs(3);

impl RunOptions {
    /// Whether a violation fails the run.
    pub fn fails_by(&self, violation: &Violation) -> bool {
        (self.timed || !violation.is_timed()) && !self.known.iter().any(|known| known == violation.kind)
    }

    /// The command that repeats it.
    pub fn command(&self) -> String {
        use clap::ValueEnum as _;
        let name = |value: Option<clap::builder::PossibleValue>| {
            value.map(|value| value.get_name().to_owned()).unwrap_or_default()
        };
        let mut command = format!(
            "just check-history run --mode {} --nodes {} --seed {} --seconds {} --lease {} --settle {} --pollers {} \
             --polls-per-second {} --writers {} --writes-per-second {} --accounts {} --cold-accounts {}",
            name(self.mode.to_possible_value()),
            self.nodes,
            self.seed,
            self.seconds,
            self.lease,
            self.settle,
            self.pollers,
            self.polls_per_second,
            self.writers,
            self.writes_per_second,
            self.accounts,
            self.cold_accounts,
        );
        let faults: Vec<String> = self.faults.iter().map(|kind| name(kind.to_possible_value())).collect();
        if !faults.is_empty() {
            command.extend([" --faults ".to_owned(), faults.join(",")]);
        }
        if self.stretch > 1 {
            command.extend([" --stretch ".to_owned(), self.stretch.to_string()]);
        }
        if self.delays > 0 {
            command.extend([" --delays ".to_owned(), self.delays.to_string()]);
        }
        let hook = self.hook.as_ref().map(|hook| format!("hook {}", hook.display()));
        let switches =
            [(self.calm, "calm"), (self.standby, "standby"), (self.clocks, "clocks"), (self.timed, "timed")];
        let switches = switches.into_iter().filter(|&(set, _name)| set).map(|(_set, name)| name.to_owned());
        command.extend(switches.chain(hook).map(|switch| format!(" --{switch}")));
        command
    }

    fn node_count(&self) -> usize {
        match self.mode {
            RunMode::Sqlite | RunMode::Postgres => 1,
            RunMode::Cluster => self.nodes,
            RunMode::Spare => 2,
        }
    }

    fn targets(&self) -> Targets {
        Targets {
            nodes: self.node_count(),
            cluster: self.mode == RunMode::Cluster,
            postgres: self.mode != RunMode::Sqlite,
            standby: self.standby,
            clocks: self.clocks,
            spare: self.mode == RunMode::Spare,
            lease_ms: self.lease * 1000,
            settle_ms: self.settle * 1000,
            stretch: self.stretch,
        }
    }

    fn workload(&self) -> WorkloadOptions {
        WorkloadOptions {
            seed: self.seed,
            accounts: self.accounts,
            cold_accounts: self.cold_accounts,
            pollers: self.pollers,
            writers: self.writers,
            writes_per_second: self.writes_per_second,
            polls_per_second: self.polls_per_second,
        }
    }

    fn info(&self) -> RunInfo {
        let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
        RunInfo {
            seed: self.seed,
            nodes: self.node_count(),
            store: if self.mode == RunMode::Sqlite { "sqlite" } else { "postgres" }.to_owned(),
            lease: self.lease * 1_000_000,
            settle: self.settle * 1_000_000,
            wall_ms: since.map(|since| since.as_millis() as i64).unwrap_or_default(),
            command: self.command(),
        }
    }
}

/// Runs and checks.
pub async fn run(options: &RunOptions) -> anyhow::Result<RunOutcome> {
    anyhow::ensure!(!options.clocks || crate::kabar_server::has_faketime(), "--clocks needs libfaketime");
    let temporary = tempfile::Builder::new().prefix("kabar-checker.").tempdir()?;
    let folder = options.keep.clone().unwrap_or_else(|| temporary.path().to_owned());
    std::fs::create_dir_all(&folder)?;
    let folder = folder.canonicalize()?;
    let history = folder.join("history.jsonl");
    let recorder = Recorder::create(&history)?;
    let info = options.info();
    recorder.record(Entry::Run(info.clone()));
    let ran = act(options, &recorder, &folder).await;
    recorder.close()?;
    if let Err(error) = ran {
        let _kept = temporary.keep();
        return Err(error.context(format!("the history so far is in {}", folder.display())));
    }
    let entries = read_history(&history)?;
    let verdict = check_history(&entries);
    let fails = verdict.violations.iter().any(|violation| options.fails_by(violation));
    let is_kept = options.keep.is_some() || fails;
    if is_kept && options.keep.is_none() {
        let _kept = temporary.keep();
    }
    Ok(RunOutcome { verdict, info, history: is_kept.then_some(history) })
}

async fn act(options: &RunOptions, recorder: &Recorder, folder: &Path) -> anyhow::Result<()> {
    let cluster_options = ClusterOptions {
        kabar: options.kabar.canonicalize().with_context(|| options.kabar.display().to_string())?,
        nodes: options.node_count(),
        sqlite: options.mode == RunMode::Sqlite,
        lone: options.mode != RunMode::Cluster,
        standby: options.standby,
        clocks: options.clocks,
        lease_seconds: options.lease,
        alone_lease_seconds: options.alone_lease,
        settle_seconds: options.settle,
        delays: (options.delays > 0).then(|| format!("{}:{}", options.seed, options.delays)),
        folder: folder.to_owned(),
    };
    let cluster = Arc::new(Cluster::start(cluster_options, recorder.clone()).await?);
    let session = Session::new(&cluster);
    let workload = options.workload();
    let world =
        World::set_up(&cluster, &session, &workload, options.hook.as_deref()).await.context("set up")?;
    let world = Arc::new(world);
    let mut clients = Workload::start(&world, &session, &workload);
    let mut injector = Injector::new(cluster.clone(), session.clone(), world.clone());
    let kinds: Vec<FaultKind> = match (options.calm, options.faults.is_empty()) {
        (true, _) => Vec::new(),
        (false, true) => <FaultKind as clap::ValueEnum>::value_variants().to_vec(),
        (false, false) => options.faults.clone(),
    };
    let plan = Plan::new(options.seed, &kinds, options.targets());
    injector.run(plan, Duration::from_secs(options.seconds)).await?;
    injector.heal().await?;
    if options.mode == RunMode::Spare {
        // The server that does not run answers nothing, which is no fault of it.
        let e = recorder.now();
        recorder.record(Entry::Fault(Fault { kind: "spare".to_owned(), n: None, s: 0, e }));
    }
    clients.stop_writers().await;
    let mut client = session.client(options.seed, usize::MAX >> 16);
    wait_until_quiet(&cluster, &world, &mut client, injector.running()[0]).await;
    recorder.record(Entry::Quiet { at: recorder.now() });
    clients.stop_readers().await;
    for node in injector.running() {
        record_last_state(&mut client, &world, node)
            .await
            .with_context(|| format!("the last lists of node {node}"))?;
    }
    cluster.whatsapp.end();
    Ok(())
}

/// Waits until all that was promised has come, and nothing more comes. What has not come in time stays away, and
/// the checks say so.
async fn wait_until_quiet(cluster: &Cluster, world: &World, client: &mut Client, node: usize) {
    let until = Instant::now() + QUIET;
    let outside = || (cluster.graph.requests(), cluster.receiver.requests(), cluster.whatsapp.open());
    let mut ends: Vec<i64> = vec![0; world.accounts.len()];
    let (mut before, mut since) = (outside(), Instant::now());
    while Instant::now() < until {
        sleep(Duration::from_millis(200)).await;
        let now = outside();
        let mut settled = now == before && cluster.whatsapp.open() == 0;
        for (end, account) in ends.iter_mut().zip(&world.accounts) {
            while let Some(part) = read_part(client, &account.id, &world.key, node, *end, 0).await {
                *end = part.seen.max(*end);
                if !part.more {
                    break;
                }
            }
            settled &= cluster.receiver.has_all(&account.id, *end);
            settled &= has_nothing_pending(client, world, &account.id, node).await;
        }
        if !settled {
            (before, since) = (now, Instant::now());
        } else if since.elapsed() > STILL {
            return;
        }
    }
}

async fn has_nothing_pending(client: &mut Client, world: &World, account: &str, node: usize) -> bool {
    let path = format!("/v1/{account}/messages?status=pending&limit=1");
    let answer = client.ask(node, &Ask { path: &path, token: &world.key, ..Ask::default() }).await;
    answer.is_some_and(|answer| answer.status == 200 && answer.data().as_array().is_some_and(Vec::is_empty))
}

async fn record_last_state(client: &mut Client, world: &World, node: usize) -> anyhow::Result<()> {
    let recorder = client.session.recorder.clone();
    for account in &world.accounts {
        let mut after = 0;
        loop {
            let part = read_part(client, &account.id, &world.key, node, after, 0).await.context("no log")?;
            after = part.seen.max(after);
            if !part.more {
                break;
            }
        }
        for list in ["conversations", "contacts", "messages"] {
            let (mut rows, mut cursor) = (Vec::new(), String::new());
            loop {
                let query = format!("{list}?limit=100{cursor}");
                let path = format!("/v1/{}/{query}", account.id);
                let answer =
                    client.ask(node, &Ask { path: &path, token: &world.key, ..Ask::default() }).await;
                let answer = answer.filter(|answer| answer.status == 200).context("no list")?;
                let page = record_page(&recorder, &account.id, &query, &answer.body).context("no page")?;
                rows.extend(page.rows);
                let Some(next) = page.cursor else { break };
                cursor = format!("&cursor={next}");
            }
            recorder.record(Entry::Final(Final {
                n: node,
                a: account.id.clone(),
                list: list.to_owned(),
                rows,
            }));
        }
    }
    Ok(())
}
