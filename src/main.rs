//! The `kabar` binary: parses arguments, starts the parts, and turns failures into exit codes.
//!
//! Exit codes: 0 done or stopped in order, 1 failed, 2 the command line or the settings are wrong.

use std::io::{ErrorKind, Write as _};
use std::net::SocketAddr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use clap::Parser as _;
use kabar::cli::{self, CliArgs, CliCommand};
use kabar::server::{RunningServer, ServingSecrets};
use kabar::{dev, logging, simulator};
use kabar_core::clock::Clock;
use kabar_core::config::{ServerMode, SettingSources, Settings};
use kabar_core::store::{Store, StoreOptions};
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio_util::sync::CancellationToken;

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    let cli = CliArgs::parse();
    let ran = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")
        .and_then(|runtime| runtime.block_on(run_command(cli)));
    match ran {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            let wrong_settings = error.downcast_ref::<kabar_core::config::SettingProblems>().is_some();
            // When standard error is closed, the message is lost.
            let _unheard = writeln!(std::io::stderr(), "kabar: {error:#}");
            if wrong_settings { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

async fn run_command(cli: CliArgs) -> anyhow::Result<()> {
    let flags = cli.settings.into_iter().collect();
    let sources = SettingSources { file: cli.config, environment: None, flags };
    let load = |mode| Settings::load(mode, &sources);
    match cli.command.unwrap_or(CliCommand::Dev) {
        CliCommand::Dev => {
            let settings = load(ServerMode::Dev)?;
            logging::start_logging(&settings.log)?;
            dev::run_dev(&settings, stop_signal()?).await
        }
        CliCommand::Serve => run_server(&load(ServerMode::Serve)?).await,
        // Needs only the database.
        CliCommand::Migrate => migrate_database(&load(ServerMode::Dev)?).await,
        CliCommand::Openapi { yaml } => {
            print_text(&if yaml { kabar_openapi::yaml() } else { kabar_openapi::json() })
        }
        // Needs only the address.
        CliCommand::Health => {
            let settings = load(ServerMode::Dev)?;
            cli::run_health(settings.health_listen.unwrap_or(settings.listen)).await
        }
        CliCommand::CheckConfig => print_text(&load(ServerMode::Serve)?.masked()),
        CliCommand::Simulate(args) => {
            logging::start_logging(&load(ServerMode::Dev)?.log)?;
            simulator::run_simulator(args, stop_signal()?).await
        }
        CliCommand::Org(args) => cli::run_org(args).await,
        CliCommand::Key(args) => cli::run_key(args).await,
        CliCommand::Account(args) => cli::run_account(args).await,
        CliCommand::Replay(args) => cli::run_replay(args).await,
        CliCommand::Plugin(args) => cli::run_plugin(args).await,
    }
}

async fn run_server(settings: &Settings) -> anyhow::Result<()> {
    logging::start_logging(&settings.log)?;
    let stop = stop_signal()?;
    let secrets = ServingSecrets {
        operator_token: settings.operator_token.clone().context("operator_token")?,
        app_secret: settings.whatsapp.app_secret.clone().context("whatsapp.app_secret")?,
        verify_token: settings.whatsapp.verify_token.clone().context("whatsapp.verify_token")?,
        sandbox_keys: None,
    };
    let graph = settings.whatsapp.base_url.clone().context("whatsapp.base_url")?;
    let listener = bind_listener(settings.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", settings.listen))?;
    let server =
        RunningServer::start(settings, secrets, &graph, listener, Arc::new(Clock::system_clock())).await?;
    tracing::info!(listen = %settings.listen, database = %settings.database_url, "kabar serves");
    stop.cancelled().await;
    tracing::info!("stopping");
    server.stop().await
}

/// Binds the listener. A killed server may leave a child behind that was just being started, and holds the
/// address until it has begun; so a taken address is retried for two seconds.
async fn bind_listener(address: SocketAddr) -> std::io::Result<TcpListener> {
    for _ in 0..20 {
        match TcpListener::bind(address).await {
            Err(error) if error.kind() == ErrorKind::AddrInUse => tokio::time::sleep(LISTEN_RETRY).await,
            bound => return bound,
        }
    }
    TcpListener::bind(address).await
}

async fn migrate_database(settings: &Settings) -> anyhow::Result<()> {
    let url = &settings.database_url;
    let opened = Store::open(&url.reveal_url(), StoreOptions::default()).await;
    let store = opened.with_context(|| format!("cannot open {url}"))?;
    store.close().await;
    print_text(&format!("{url} is up to date\n"))
}

fn print_text(text: &str) -> anyhow::Result<()> {
    std::io::stdout().lock().write_all(text.as_bytes()).context("cannot write to standard output")
}

/// Pause before a taken address is tried again.
const LISTEN_RETRY: Duration = Duration::from_millis(100);

/// Linux's number of the signal that a write beyond the process's file size limit raises.
const SIGXFSZ: i32 = 25;

/// Returns a token that the first SIGTERM or SIGINT cancels; the second one exits at once.
fn stop_signal() -> anyhow::Result<CancellationToken> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    // A file size limit has the same effect on the store as a full disk; an ignored signal ends the process.
    let mut file_too_large = signal(SignalKind::from_raw(SIGXFSZ))?;
    let stop = CancellationToken::new();
    let stopping = stop.clone();
    let tasks = tokio_util::task::TaskTracker::new();
    tasks.spawn(async move { while file_too_large.recv().await.is_some() {} });
    tasks.spawn(async move {
        for _ in 0..2 {
            tokio::select! { _term = terminate.recv() => {}, _int = interrupt.recv() => {} }
            if stopping.is_cancelled() {
                std::process::exit(130);
            }
            stopping.cancel();
        }
    });
    Ok(stop)
}
