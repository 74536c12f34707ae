//! The command line of the fuzzer: longer runs of the targets, and single inputs again.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::Context as _;
use clap::{Parser, Subcommand};
use kabar_fuzz::campaign::{CampaignBound, FailingInput, run_campaign, try_input};
use kabar_fuzz::targets::find_target;
use kabar_fuzz::{FuzzTarget, TARGETS};

/// Runs fuzz targets: their corpus, and mutations of it by seed.
#[derive(Debug, Parser)]
struct Cli {
    #[command(subcommand)]
    command: FuzzCommand,
}

#[derive(Debug, Subcommand)]
enum FuzzCommand {
    /// Runs targets, one after the other, each for as long.
    Run {
        /// Targets. Without one: all.
        targets: Vec<String>,
        /// Time of each target.
        #[arg(long, default_value_t = 60)]
        seconds: u64,
        /// Seed of the mutations. Without one: another each time.
        #[arg(long)]
        seed: Option<u64>,
        /// Folder for inputs that fail.
        #[arg(long, default_value = "target/fuzz")]
        out: PathBuf,
    },
    /// Runs one input.
    Input {
        /// The target.
        target: String,
        /// The file with the input.
        file: PathBuf,
    },
    /// Lists the targets.
    List,
}

fn main() -> anyhow::Result<ExitCode> {
    let passed = match Cli::parse().command {
        FuzzCommand::Run { targets, seconds, seed, out } => {
            let seed = seed.unwrap_or_else(rand::random);
            let mut passed = true;
            for target in &chosen(&targets)? {
                passed &= run_target(target, seed, Duration::from_secs(seconds), &out)?;
            }
            passed
        }
        FuzzCommand::Input { target, file } => {
            let input = fs::read(&file).with_context(|| format!("cannot read {}", file.display()))?;
            report(&try_input(known(&target)?, &file.to_string_lossy(), &input))
        }
        FuzzCommand::List => {
            for target in &TARGETS {
                println!("{}", target.name);
            }
            true
        }
    };
    Ok(if passed { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn known(name: &str) -> anyhow::Result<&'static FuzzTarget> {
    find_target(name).with_context(|| format!("{name} is no target; `list` lists them"))
}

fn chosen(names: &[String]) -> anyhow::Result<Vec<&'static FuzzTarget>> {
    if names.is_empty() {
        return Ok(TARGETS.iter().collect());
    }
    names.iter().map(|name| known(name)).collect()
}

fn run_target(target: &FuzzTarget, seed: u64, time: Duration, out: &Path) -> anyhow::Result<bool> {
    println!("{}: seed {seed}, {} s", target.name, time.as_secs());
    let ended = run_campaign(target, seed, CampaignBound::Time(time));
    if let Err(failing) = &ended {
        fs::create_dir_all(out)?;
        let file = out.join(format!("{}-{seed}", target.name));
        fs::write(&file, &failing.input)?;
        println!("{}: kept as {}", target.name, file.display());
    }
    if let Ok(mutations) = ended {
        println!("{}: {mutations} mutations passed", target.name);
    }
    Ok(report(&ended))
}

fn report<T>(ended: &Result<T, Box<FailingInput>>) -> bool {
    if let Err(failing) = ended {
        println!("{failing}");
    }
    ended.is_ok()
}
