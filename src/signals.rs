//! Signals of the process: those that stop it in order, and SIGHUP.
//!
//! Invariant: from the first moment on no signal but SIGKILL and a second request to stop ends the process
//! without an orderly stop.

use std::sync::Arc;

use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Linux's number of the signal that a write beyond the process's file size limit raises.
const SIGXFSZ: i32 = 25;

/// Effect of SIGHUP.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HangupAction {
    /// As SIGTERM: the terminal that the command runs in was closed.
    Stop,
    /// The settings are to be read anew.
    Reload,
}

/// Requests that reach the process as signals.
#[derive(Debug, Clone, Default)]
pub struct ProcessSignals {
    /// Cancelled by the first SIGTERM or SIGINT; the second one exits at once.
    pub stop: CancellationToken,
    /// Notified by SIGHUP with [`HangupAction::Reload`].
    pub reload: Arc<Notify>,
}

/// Watches the signals from now on.
///
/// # Errors
/// When the system lets no handler be installed.
pub fn watch_signals(hangup: HangupAction) -> std::io::Result<ProcessSignals> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let mut hung_up = signal(SignalKind::hangup())?;
    // A file size limit has the same effect on the store as a full disk; an ignored signal ends the process.
    let mut file_too_large = signal(SignalKind::from_raw(SIGXFSZ))?;
    let signals = ProcessSignals::default();
    let ProcessSignals { stop, reload } = signals.clone();
    let tasks = TaskTracker::new();
    tasks.spawn(async move { while file_too_large.recv().await.is_some() {} });
    tasks.spawn(async move {
        loop {
            tokio::select! {
                _term = terminate.recv() => {}
                _int = interrupt.recv() => {}
                _hup = hung_up.recv() => match hangup {
                    HangupAction::Reload => {
                        reload.notify_one();
                        continue;
                    }
                    // The shell may send it to a command that is being stopped already.
                    HangupAction::Stop if stop.is_cancelled() => continue,
                    HangupAction::Stop => {}
                },
            }
            if stop.is_cancelled() {
                std::process::exit(130);
            }
            stop.cancel();
        }
    });
    Ok(signals)
}
