//! The command line of the checker: `run`, `suite` and `check`.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use kabar_checker::check::check_history;
use kabar_checker::history::{Entry, RunInfo, read_history};
use kabar_checker::report::text_of;
use kabar_checker::run::{RunMode, RunOptions, run};

/// Runs kabar as a black box, injects faults, and checks every answer against a model.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: CheckerCommand,
}

#[derive(Debug, Subcommand)]
enum CheckerCommand {
    /// One run, or several with consecutive seeds.
    Run {
        #[command(flatten)]
        options: Box<RunOptions>,
        /// Runs, each with the seed after the one before.
        #[arg(long, default_value_t = 1)]
        runs: u64,
    },
    /// The short runs of `./test`, with fixed seeds.
    Suite {
        #[command(flatten)]
        options: Box<RunOptions>,
    },
    /// Checks a history again.
    Check {
        /// The file.
        file: PathBuf,
        /// Has bounds of time fail it too.
        #[arg(long)]
        timed: bool,
    },
}

fn main() -> anyhow::Result<ExitCode> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    let passed = match Cli::parse().command {
        CheckerCommand::Run { options, runs } => {
            let last = options.seed.saturating_add(runs);
            let all = (options.seed..last).map(|seed| RunOptions { seed, ..(*options).clone() });
            runtime.block_on(run_all(all.collect()))
        }
        CheckerCommand::Suite { options } => runtime.block_on(run_all(suite(&options))),
        CheckerCommand::Check { file, timed } => check(&file, timed)?,
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// One run of each mode.
fn suite(options: &RunOptions) -> Vec<RunOptions> {
    let of = |mode, seed, seconds| RunOptions { mode, seed, seconds, ..options.clone() };
    vec![of(RunMode::Sqlite, 11, 12), of(RunMode::Postgres, 12, 16), of(RunMode::Cluster, 13, 45)]
}

async fn run_all(all: Vec<RunOptions>) -> bool {
    let (mut passed, mut failed) = (0, 0);
    for options in all {
        match run(&options).await {
            Ok(outcome) => {
                if outcome.verdict.violations.iter().any(|violation| options.fails_by(violation)) {
                    failed += 1;
                } else {
                    passed += 1;
                }
                print!("{}", text_of(&outcome.info, &outcome.verdict, outcome.history.as_deref()));
            }
            Err(error) => {
                failed += 1;
                println!("seed {}: {error:#}\n  repeat: {}", options.seed, options.command());
            }
        }
    }
    println!("checker: {passed} passed, {failed} failed");
    failed == 0
}

fn check(file: &std::path::Path, timed: bool) -> anyhow::Result<bool> {
    let entries = read_history(file)?;
    let info = entries.iter().find_map(|entry| match entry {
        Entry::Run(info) => Some(info.clone()),
        _ => None,
    });
    let verdict = check_history(&entries);
    print!("{}", text_of(&info.unwrap_or_else(RunInfo::default), &verdict, None));
    Ok(verdict.violations.iter().all(|violation| violation.is_timed() && !timed))
}
