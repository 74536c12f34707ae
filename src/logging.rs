//! Logs: on standard error, as text for people or as JSON for programs.

use anyhow::Context as _;
use kabar_core::config::{LogFormat, LogSettings};
use tracing_subscriber::EnvFilter;

/// Starts logging. Call it once.
///
/// # Errors
/// If the level's directives cannot be read, or logging was started before.
pub fn start_logging(log: &LogSettings) -> anyhow::Result<()> {
    // The HTTP library announces each listener; the welcome text and `kabar serves` report it already.
    let filter = EnvFilter::try_new(format!("poem::server=warn,{}", log.level))
        .with_context(|| format!("log.level {:?}", log.level))?;
    // A line that cannot be written (full disk, closed pipe) is lost. By default its loss is reported on
    // standard error too, which panics in the task that logged: the store's writer died this way.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let started = match log.format {
        LogFormat::Text => lines.try_init(),
        LogFormat::Json => lines.json().try_init(),
    };
    started.map_err(|error| anyhow::anyhow!(error)).context("cannot start logging")
}
