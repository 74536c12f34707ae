//! Logs: on standard error, as text for people or as JSON for programs.

use anyhow::Context as _;
use kabar_core::config::{LogFormat, LogSettings, Settings};
use tracing_subscriber::EnvFilter;

/// Control of the log of this process.
pub struct LogControl {
    replace_filter: Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>,
}

impl LogControl {
    /// Puts another level in force.
    ///
    /// # Errors
    /// If its directives cannot be read.
    pub fn set_level(&self, level: &str) -> anyhow::Result<()> {
        (self.replace_filter)(build_filter(level)?)
    }
}

impl std::fmt::Debug for LogControl {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LogControl").finish_non_exhaustive()
    }
}

fn build_filter(level: &str) -> anyhow::Result<EnvFilter> {
    // The HTTP library announces each listener; the welcome text and `kabar serves` report it already.
    EnvFilter::try_new(format!("poem::server=warn,{level}")).with_context(|| format!("log.level {level:?}"))
}

/// Starts logging. Call it once.
///
/// # Errors
/// If the level's directives cannot be read, or logging was started before.
pub fn start_logging(log: &LogSettings) -> anyhow::Result<LogControl> {
    // A line that cannot be written (full disk, closed pipe) is lost. By default its loss is reported on
    // standard error too, which panics in the task that logged: the store's writer died this way.
    let lines = tracing_subscriber::fmt()
        .with_env_filter(build_filter(&log.level)?)
        .with_writer(std::io::stderr)
        .log_internal_errors(false);
    let (started, replace_filter): (_, Box<dyn Fn(EnvFilter) -> anyhow::Result<()> + Send + Sync>) =
        match log.format {
            LogFormat::Text => {
                let lines = lines.with_filter_reloading();
                let filter = lines.reload_handle();
                (lines.try_init(), Box::new(move |new| filter.reload(new).context("log.level")))
            }
            LogFormat::Json => {
                let lines = lines.json().with_filter_reloading();
                let filter = lines.reload_handle();
                (lines.try_init(), Box::new(move |new| filter.reload(new).context("log.level")))
            }
        };
    started.map_err(|error| anyhow::anyhow!(error)).context("cannot start logging")?;
    Ok(LogControl { replace_filter })
}

/// Tells of variables that look like settings and are none, in one line.
pub fn report_passed_over(settings: &Settings) {
    if !settings.passed_over.is_empty() {
        let variables = settings.passed_over.join(", ");
        tracing::info!(variables, "variables that Kubernetes makes for a Service are no settings");
    }
}
