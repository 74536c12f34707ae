//! `kabar dev`: the whole server on one machine, with a simulated WhatsApp, created on the first start.
//!
//! Invariant: the generated secrets, key and number are kept beside the database, readable by its owner only,
//! and reused by the next start. None of it is fit for production, and `serve` reads none of it.

mod sandbox;
mod welcome;

use std::path::Path;
use std::sync::Arc;

use anyhow::Context as _;
use kabar_core::clock::Clock;
use kabar_core::config::Settings;
use kabar_core::domain::account::Secret;
use kabar_core::encryption::KeySource;
use kabar_openapi::{PendingSandboxKeys, SandboxKeys};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::server::{RunningServer, ServingSecrets};
use crate::simulator::{SimulatorOptions, WhatsAppSimulator};
use sandbox::DevSandbox;

/// Share of the traffic that is something else than a plain message.
const OCCASION_PERCENT: u8 = 25;

/// Runs until stopped.
///
/// # Errors
/// If the address is taken, or the data folder cannot be used.
pub async fn run_dev(settings: &Settings, stop: CancellationToken) -> anyhow::Result<()> {
    let listener = TcpListener::bind(settings.listen).await.with_context(|| {
        format!(
            "cannot listen on {}; choose another address with KABAR_LISTEN=127.0.0.1:9000",
            settings.listen
        )
    })?;
    let address = listener.local_addr()?;
    // Beside an embedded database, so that deleting one deletes both.
    let folder = match settings.database_url.file_path() {
        Some(file) => file.parent().unwrap_or(Path::new(".")),
        None => Path::new("data"),
    };
    let folder = folder.to_owned();
    let mut sandbox = DevSandbox::open_folder(&folder)?;
    let mut settings = settings.clone();
    settings.keys.get_or_insert_with(|| KeySource::Own(folder.join("kabar.key")));
    let settings = &settings;
    let secrets = serving_secrets(settings, &sandbox);

    let (tasks, quiet) = (TaskTracker::new(), CancellationToken::new());
    let webhook_url = format!("http://{address}/webhooks/whatsapp");
    let simulator =
        start_simulator(settings, &webhook_url, secrets.signing_secret()?, &tasks, &quiet).await?;
    let graph = settings.whatsapp.base_url.clone().unwrap_or_else(|| simulator.base_url());
    let clock = Arc::new(Clock::system_clock());
    let server = RunningServer::start(settings, secrets.clone(), &graph, listener, clock).await?;
    sandbox.create_tenant(&server.directory).await?;
    print_addresses(&secrets, &sandbox);
    simulator.add_number(DevSandbox::simulated_number()?);
    if let Some(number) = server.directory.account_of_number(sandbox::PHONE_NUMBER_ID) {
        server.accounts.look_at_profile(&number);
        server.accounts.look_at_templates(&number);
    }
    welcome::print_welcome(address, &sandbox, &secrets.operator_token, settings.dev.traffic_per_minute)?;
    welcome::bring_life(&simulator, settings.dev.traffic_per_minute, &tasks, &quiet);

    stop.cancelled().await;
    quiet.cancel();
    let stopped = server.stop().await;
    tasks.close();
    tasks.wait().await;
    stopped
}

/// Passes the sandbox's keys to the docs page, now that they exist.
fn print_addresses(secrets: &ServingSecrets, sandbox: &DevSandbox) {
    let Some(sandbox_keys) = &secrets.sandbox_keys else { return };
    // This is the only place that sets it.
    let _first = sandbox_keys.set(SandboxKeys {
        api_key: Secret::new(sandbox.api_key()),
        operator_token: secrets.operator_token.clone(),
    });
}

/// Returns the secrets to serve with; settings override generated ones. Keys are shown on a loopback address
/// only: when `dev` listens on another one they have to be typed.
fn serving_secrets(settings: &Settings, sandbox: &DevSandbox) -> ServingSecrets {
    let or = |given: &Option<Secret>, made: &str| given.clone().unwrap_or_else(|| Secret::new(made));
    ServingSecrets {
        operator_token: or(&settings.operator_token, sandbox.operator_token()),
        app_secrets: match settings.whatsapp.app_secrets.as_slice() {
            [] => vec![Secret::new(sandbox.app_secret())],
            given => given.to_vec(),
        },
        verify_token: or(&settings.whatsapp.verify_token, sandbox.verify_token()),
        sandbox_keys: settings.listen.ip().is_loopback().then(PendingSandboxKeys::default),
    }
}

async fn start_simulator(
    settings: &Settings,
    webhook_url: &str,
    app_secret: Secret,
    tasks: &TaskTracker,
    quiet: &CancellationToken,
) -> anyhow::Result<WhatsAppSimulator> {
    let listener =
        TcpListener::bind("127.0.0.1:0").await.context("cannot listen for the simulated WhatsApp")?;
    let traffic_per_minute = settings.dev.traffic_per_minute;
    let options = SimulatorOptions {
        seed: rand::random(),
        // Silent until the first number is known.
        traffic_per_minute: traffic_per_minute.min(1),
        occasion_percent: OCCASION_PERCENT,
        ..SimulatorOptions::new(webhook_url, app_secret)
    };
    WhatsAppSimulator::start(listener, options, tasks, quiet.clone())
}
