//! `kabar bench`: every promised figure, in one run on one machine, without other programs.
//!
//! It starts a bare hyper server and the server that ships as child processes, loads them with its
//! own generator, and reports requests per second (also as a ratio to the bare server of the same
//! run), latencies, CPU time, and memory. It does not judge a build: a missed goal is printed, and the
//! exit code stays 0, because a busy machine is no fault of the code.

mod baseline;
mod child;
mod histogram;
mod hook_guests;
mod hook_neighbours;
mod hook_runs;
mod hooks;
mod ingress;
mod load;
mod millis;
mod paced;
mod polls;
mod receiver;
mod report;
mod seed;
mod sends;
mod size;
mod stage;
mod stand_in;
mod waits;
mod webhooks;
mod wire;

use std::io::Write as _;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, ValueEnum};

pub use baseline::{BaselineArgs, run_baseline};
use child::{Child, own_cpu};
use load::{Load, Script};
use report::{Figure, Machine, Report, Row, millis};
use stage::Services;

/// Before each row, so that what is lazily made is made.
const WARM_UP: Duration = Duration::from_millis(500);

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scene {
    /// Lists and messages: 304, hit, miss; with the baseline.
    Polls,
    /// Webhooks with statuses.
    Ingress,
    /// Messages accepted and handed to WhatsApp.
    Sends,
    /// One number at WhatsApp's top rate.
    Hot,
    /// Events brought to webhooks: soon, many, and none.
    Webhooks,
    /// Polls that wait, and streams of events.
    Waits,
    /// Hooks: one run, many runs, many hooks.
    Hooks,
    /// Events to hooks: runs with their commits, and how soon they begin.
    HookRuns,
    /// A hook beside another tenant's that computes all the time.
    HookNeighbours,
    /// Memory of many small accounts.
    Resident,
    /// First page of a huge account.
    Activation,
}

/// Arguments of `kabar bench`.
#[derive(Debug, Clone, Args)]
pub struct BenchArgs {
    /// How long each row is measured.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u64).range(1..=60))]
    seconds: u64,
    /// Connections of the load generator.
    #[arg(long, default_value_t = 32, value_parser = clap::value_parser!(u16).range(1..=1024))]
    connections: u16,
    /// Threads of the load generator.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u8).range(1..=64))]
    threads: u8,
    /// Play only this scene.
    #[arg(long, value_name = "SCENE")]
    only: Option<Scene>,
    /// How long the scene `hot` lasts, in seconds; the goal is for 600.
    #[arg(long, default_value_t = 20, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    hot_seconds: u64,
    /// Accounts of the scene `resident`.
    #[arg(long, default_value_t = 10_000)]
    accounts: u32,
    /// Conversations of the scene `activation`.
    #[arg(long, default_value_t = 1_000_000)]
    conversations: u32,
    /// Folder for the databases, which go at the end; by default the machine's folder for such.
    #[arg(long, value_name = "DIR")]
    folder: Option<PathBuf>,
    /// Measure on this PostgreSQL instead of SQLite; needs psql.
    #[arg(long, value_name = "URL")]
    postgres: Option<String>,
    /// Measure with this Redis.
    #[arg(long, value_name = "URL")]
    redis: Option<String>,
    /// Also write the figures as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write the tables as Markdown, for docs/benchmarks.md.
    #[arg(long, value_name = "FILE")]
    markdown: Option<PathBuf>,
}

/// One run and what it has found so far.
struct Bench {
    folder: PathBuf,
    services: Services,
    duration: Duration,
    hot: Duration,
    connections: usize,
    threads: usize,
    accounts: u32,
    conversations: u32,
    rows: Vec<Row>,
    figures: Vec<Figure>,
}

/// Plays the scenes and prints what was measured.
///
/// # Errors
/// When a server does not start, or gives a wrong answer.
pub async fn run(args: BenchArgs) -> anyhow::Result<()> {
    let mut bench = Bench {
        folder: args.folder.clone().unwrap_or_else(std::env::temp_dir),
        services: Services { postgres: args.postgres.clone(), redis: args.redis.clone() },
        duration: Duration::from_secs(args.seconds),
        hot: Duration::from_secs(args.hot_seconds),
        connections: usize::from(args.connections),
        threads: usize::from(args.threads),
        accounts: args.accounts,
        conversations: args.conversations,
        rows: Vec::new(),
        figures: Vec::new(),
    };
    let wanted = |scene: Scene| args.only.is_none_or(|only| only == scene);
    if wanted(Scene::Polls) {
        polls::play(&mut bench).await?;
    }
    if wanted(Scene::Ingress) {
        ingress::play(&mut bench).await?;
    }
    if wanted(Scene::Sends) {
        sends::play(&mut bench).await?;
    }
    if wanted(Scene::Hot) {
        sends::hot(&mut bench).await?;
    }
    if wanted(Scene::Webhooks) {
        webhooks::play(&mut bench).await?;
    }
    if wanted(Scene::Waits) {
        waits::play(&mut bench).await?;
    }
    if wanted(Scene::Hooks) {
        hooks::play(&mut bench).await?;
    }
    if wanted(Scene::HookRuns) {
        hook_runs::play(&mut bench).await?;
    }
    if wanted(Scene::HookNeighbours) {
        hook_neighbours::play(&mut bench).await?;
    }
    if wanted(Scene::Resident) {
        size::resident(&mut bench).await?;
    }
    if wanted(Scene::Activation) {
        size::activation(&mut bench).await?;
    }
    let report = Report {
        machine: Machine::of(&bench.folder),
        services: bench.services.name(),
        connections: bench.connections,
        seconds: args.seconds,
        rows: bench.rows,
        figures: bench.figures,
    };
    std::io::stdout().write_all(report.table().as_bytes())?;
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_vec_pretty(&report)?)?;
    }
    if let Some(path) = &args.markdown {
        std::fs::write(path, report.markdown())?;
    }
    Ok(())
}

impl Bench {
    fn load(&self, server: &Child) -> Load {
        Load {
            address: server.address,
            connections: self.connections,
            threads: self.threads,
            duration: self.duration,
        }
    }

    /// Warms up, then measures one load as one row.
    async fn measure<S: Script + Clone + 'static>(
        &mut self,
        name: &str,
        server: &Child,
        load: Load,
        script: &S,
    ) -> anyhow::Result<Row> {
        Load { duration: WARM_UP, ..load }.run(script).await?;
        self.measure_cold(name, server, load, script).await
    }

    /// Measures one load as one row.
    async fn measure_cold<S: Script + Clone + 'static>(
        &mut self,
        name: &str,
        server: &Child,
        load: Load,
        script: &S,
    ) -> anyhow::Result<Row> {
        writeln!(std::io::stderr(), "measuring: {name}")?;
        let (server_before, own_before) = (server.cpu()?, own_cpu()?);
        let tally = load.run(script).await?;
        let answers = f64::from(tally.answers.max(1));
        let per_answer = |spent: Duration| spent.as_secs_f64() * 1e6 / answers;
        let row = Row {
            name: name.to_owned(),
            per_second: tally.per_second(),
            ratio: None,
            cpu_micros: per_answer(server.cpu()?.saturating_sub(server_before)),
            generator_cpu_micros: per_answer(own_cpu()?.saturating_sub(own_before)),
            p50_ms: millis(tally.latencies.quantile(500)),
            p99_ms: millis(tally.latencies.quantile(990)),
            longest_ms: millis(tally.latencies.longest()),
        };
        self.rows.push(row.clone());
        Ok(row)
    }
}
