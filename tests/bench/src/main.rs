//! `kabar-bench`: every promised figure, in one run on one machine, without other programs.
//!
//! It starts a bare hyper server and the server that ships as child processes, loads them with its
//! own generator, and reports requests per second (also as a ratio to the bare server of the same
//! run), latencies, CPU time, and memory. It does not judge a build: a missed goal is printed, and the
//! exit code stays 0, because a busy machine is no fault of the code.

mod baseline;
mod bench_run;
mod child;
mod hook_guests;
mod hook_neighbours;
mod hook_runs;
mod hooks;
mod ingress;
mod latency_histogram;
mod load;
mod merges;
mod millis;
mod neighbours;
mod paced;
mod polls;
mod receiver;
mod report;
mod seed;
mod sends;
mod size;
mod stage;
mod stand_in;
mod strangers;
mod waits;
mod webhooks;
mod wire;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Args, Parser, Subcommand, ValueEnum};

use baseline::{BaselineArgs, run_baseline};
use bench_run::BenchRun;
use report::{Machine, Report};
use stage::Services;

/// The server's allocator, so that hooks that run in this process cost what they cost there.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures a build of kabar on this machine, side by side with a bare HTTP server.
#[derive(Debug, Parser)]
#[command(name = "kabar-bench", version, max_term_width = 100, args_conflicts_with_subcommands = true)]
struct BenchCli {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    #[command(flatten)]
    bench: BenchArgs,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// The bare HTTP server that the measured server is compared with.
    #[command(hide = true)]
    Baseline(BaselineArgs),
}

/// A part of the bench.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Scene {
    /// Lists and messages: 304, hit, miss; with the baseline.
    Polls,
    /// Webhooks with statuses.
    Ingress,
    /// Contacts that turn out to be one person.
    Merges,
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
    /// A quiet tenant beside strangers, and beside a tenant that takes what it can get.
    Neighbours,
    /// Memory of many small accounts.
    Resident,
    /// First page of a huge account.
    Activation,
}

/// Arguments of a run.
#[derive(Debug, Clone, Args)]
struct BenchArgs {
    /// The server's binary; by default the one beside this program.
    #[arg(long, value_name = "FILE")]
    kabar: Option<PathBuf>,
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

fn main() -> ExitCode {
    let cli = BenchCli::parse();
    let ran = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(run_command(cli)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed standard error has no reader.
            let _unheard = writeln!(std::io::stderr(), "kabar-bench: {error:#}");
            ExitCode::FAILURE
        }
    }
}

async fn run_command(cli: BenchCli) -> anyhow::Result<()> {
    match cli.command {
        Some(BenchCommand::Baseline(args)) => run_baseline(args).await,
        None => run_scenes(cli.bench).await,
    }
}

/// The binary that is measured.
fn server_binary(named: Option<PathBuf>) -> anyhow::Result<PathBuf> {
    let binary = match named {
        Some(path) => path,
        None => std::env::current_exe()?.with_file_name("kabar"),
    };
    // Servers run in folders of their own, so the path must not depend on this one.
    binary.canonicalize().with_context(|| format!("no server at {}; --kabar names one", binary.display()))
}

/// Plays the scenes and prints what was measured.
///
/// # Errors
/// When a server does not start, or gives a wrong answer.
async fn run_scenes(args: BenchArgs) -> anyhow::Result<()> {
    let mut bench = BenchRun {
        folder: args.folder.clone().unwrap_or_else(std::env::temp_dir),
        services: Services {
            kabar: server_binary(args.kabar.clone())?,
            postgres: args.postgres.clone(),
            redis: args.redis.clone(),
        },
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
    if wanted(Scene::Merges) {
        merges::play(&mut bench).await?;
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
    if wanted(Scene::Neighbours) {
        neighbours::play(&mut bench).await?;
    }
    if wanted(Scene::Resident) {
        size::resident(&mut bench).await?;
    }
    if wanted(Scene::Activation) {
        size::activation(&mut bench).await?;
    }
    show_report(&args, bench)
}

/// Prints the report, and writes the files that were asked for.
fn show_report(args: &BenchArgs, bench: BenchRun) -> anyhow::Result<()> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory as _;

    #[test]
    fn the_command_line_is_sound() {
        BenchCli::command().debug_assert();
        let cli = BenchCli::try_parse_from(["kabar-bench", "--only", "hot", "--hot-seconds", "600"]).unwrap();
        assert!(cli.command.is_none() && cli.bench.only == Some(Scene::Hot));
        let baseline = BenchCli::try_parse_from(["kabar-bench", "baseline", "--listen", "127.0.0.1:0"]);
        assert!(baseline.unwrap().command.is_some());
    }

    #[test]
    fn a_server_that_is_not_there_is_named() {
        let error = server_binary(Some("no/such/kabar".into())).unwrap_err();
        assert!(error.to_string().contains("no server at no/such/kabar"), "{error}");
    }
}
