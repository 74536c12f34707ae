//! `kabar serve`: the server in production. SIGHUP makes it read its settings anew.
//!
//! Invariant: settings that cannot be read leave those in force that were, and the server serves on.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use kabar_core::clock::Clock;
use kabar_core::config::{ChangedSetting, ServerMode, SettingSources, Settings};
use tokio::net::TcpListener;
use tokio::sync::Notify;

use crate::logging::{self, LogControl};
use crate::server::{RunningServer, ServingSecrets};
use crate::signals::{HangupAction, watch_signals};

/// Pause before a taken address is tried again.
const LISTEN_RETRY: Duration = Duration::from_millis(100);

/// Runs until stopped.
///
/// # Errors
/// If the settings are wrong, the address is taken, or a part cannot be started.
pub async fn run_serve(sources: SettingSources) -> anyhow::Result<()> {
    let signals = watch_signals(HangupAction::Reload)?;
    let settings = Settings::load(ServerMode::Serve, &sources)?;
    let log = logging::start_logging(&settings.log)?;
    logging::report_passed_over(&settings);
    let secrets = serving_secrets(&settings)?;
    let graph = settings.whatsapp.base_url.clone().context("whatsapp.base_url")?;
    let listener = bind_listener(settings.listen).await;
    let listener = listener.with_context(|| format!("cannot listen on {}", settings.listen))?;
    let clock = Arc::new(Clock::system_clock());
    let server = RunningServer::start(&settings, secrets, &graph, listener, clock).await?;
    tracing::info!(listen = %settings.listen, database = %settings.database_url, "kabar serves");
    let reloading = Reloading { sources, started: settings.clone(), latest: settings, log, server: &server };
    tokio::select! {
        () = signals.stop.cancelled() => {}
        () = reloading.reload_on_request(&signals.reload) => {}
    }
    tracing::info!("stopping");
    server.stop().await
}

fn serving_secrets(settings: &Settings) -> anyhow::Result<ServingSecrets> {
    Ok(ServingSecrets {
        operator_token: settings.operator_token.clone().context("operator_token")?,
        app_secrets: settings.whatsapp.app_secrets.clone(),
        verify_token: settings.whatsapp.verify_token.clone().context("whatsapp.verify_token")?,
        sandbox_keys: None,
    })
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

/// Reads the settings of a running server anew.
struct Reloading<'a> {
    sources: SettingSources,
    /// Settings that the server was started with.
    started: Settings,
    /// Settings that were read last.
    latest: Settings,
    log: LogControl,
    server: &'a RunningServer,
}

impl Reloading<'_> {
    async fn reload_on_request(mut self, requested: &Notify) {
        loop {
            requested.notified().await;
            if let Err(error) = self.reload_settings().await {
                let error = format!("{error:#}");
                tracing::error!(error, "settings not reloaded; those in force stay");
            }
        }
    }

    async fn reload_settings(&mut self) -> anyhow::Result<()> {
        let sources = self.sources.clone();
        let read = tokio::task::spawn_blocking(move || Settings::load(ServerMode::Serve, &sources));
        let newer = read.await??;
        self.log.set_level(&newer.log.level)?;
        self.server.apply_settings(&newer, &serving_secrets(&newer)?);
        let in_force = name_keys(&self.latest.changed_keys(&newer), true);
        let after_restart = name_keys(&self.started.changed_keys(&newer), false);
        tracing::info!(in_force, after_restart, "settings reloaded");
        self.latest = newer;
        Ok(())
    }
}

fn name_keys(changed: &[ChangedSetting], reloads: bool) -> String {
    let named = changed.iter().filter(|one| one.reloads == reloads).map(|one| one.key);
    named.collect::<Vec<_>>().join(", ")
}
