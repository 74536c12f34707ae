//! The `kabar` binary: parses arguments, starts the parts, and turns failures into exit codes.
//!
//! Exit codes: 0 done or stopped in order, 1 failed, 2 the command line or the settings are wrong.

use std::io::Write as _;
use std::process::ExitCode;

use anyhow::Context as _;
use clap::Parser as _;
use kabar::cli::{self, CliArgs, CliCommand, OpenApiVersion};
use kabar::signals::{HangupAction, watch_signals};
use kabar::{dev, logging, serve, simulator};
use kabar_core::config::{ServerMode, SettingSources, Settings};
use kabar_core::store::{Store, StoreError, StoreOptions};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = CliArgs::parse();
    // The compiler of components has no thread besides its own.
    let ran = if cli.is_compiler() { cli::run_compiler() } else { run_in_runtime(cli) };
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // Neither becomes right by another start.
            let wrong_settings = error.downcast_ref::<kabar_core::config::SettingProblems>().is_some()
                || matches!(error.downcast_ref::<StoreError>(), Some(StoreError::Keys(_)));
            // When standard error is closed, the message is lost.
            let _unheard = writeln!(std::io::stderr(), "kabar: {error:#}");
            if wrong_settings { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn run_in_runtime(cli: CliArgs) -> anyhow::Result<()> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(run_command(cli))
}

async fn run_command(cli: CliArgs) -> anyhow::Result<()> {
    let flags = cli.settings.into_iter().collect();
    let sources = SettingSources { file: cli.config, environment: None, flags };
    let load = |mode| Settings::load(mode, &sources);
    match cli.command.unwrap_or(CliCommand::Dev) {
        CliCommand::Dev => {
            let settings = load(ServerMode::Dev)?;
            logging::start_logging(&settings.log)?;
            logging::report_passed_over(&settings);
            dev::run_dev(&settings, watch_signals(HangupAction::Stop)?.stop).await
        }
        CliCommand::Serve => serve::run_serve(sources).await,
        // Needs only the database and its keys.
        CliCommand::Migrate => migrate_database(&load(ServerMode::Dev)?).await,
        CliCommand::Openapi { spec, yaml } => {
            let document = match spec {
                OpenApiVersion::V30 => kabar_openapi::document().clone(),
                OpenApiVersion::V31 => kabar_openapi::document().to_version_3_1(),
            };
            print_text(&if yaml { document.yaml() } else { document.json().to_owned() })
        }
        // Needs only the address.
        CliCommand::Health => {
            let settings = load(ServerMode::Dev)?;
            cli::run_health(settings.health_listen.unwrap_or(settings.listen)).await
        }
        CliCommand::CheckConfig => print_text(&load(ServerMode::Serve)?.masked()),
        CliCommand::Simulate(args) => {
            logging::start_logging(&load(ServerMode::Dev)?.log)?;
            simulator::run_simulator(args, watch_signals(HangupAction::Stop)?.stop).await
        }
        CliCommand::Org(args) => cli::run_org(args).await,
        CliCommand::Key(args) => cli::run_key(args).await,
        CliCommand::OperatorToken(args) => cli::run_operator_token(args).await,
        CliCommand::Account(args) => cli::run_account(args).await,
        CliCommand::Replay(args) => cli::run_replay(args).await,
        CliCommand::Secrets(args) => cli::run_secrets(args).await,
        CliCommand::Plugin(args) => cli::run_plugin(args).await,
    }
}

async fn migrate_database(settings: &Settings) -> anyhow::Result<()> {
    let url = &settings.database_url;
    let keys = settings.keys.clone().context("secrets.key_file must be set for PostgreSQL")?;
    let opened = Store::open(&url.reveal_url(), StoreOptions::with_keys(keys)).await;
    let store = opened.with_context(|| format!("cannot open {url}"))?;
    store.close().await;
    print_text(&format!("{url} is up to date\n"))
}

fn print_text(text: &str) -> anyhow::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")
}
