//! The beat that cuts guests' computing into slices: a thread that moves the engine's epoch on
//! while something runs, and sleeps while nothing does.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::Engine;

/// Time between two beats: how long at most a thread that wakes up may have to wait for a guest's slice to
/// end. Four thousand of them take about a hundredth of a processor, while something runs.
const BEAT: Duration = Duration::from_micros(250);

#[derive(Default)]
struct State {
    running: usize,
    stopped: bool,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    changed: Condvar,
}

/// The beat of one engine. Ends when dropped.
pub(crate) struct Pulse {
    shared: Arc<Shared>,
}

/// While one of these is there, the epoch moves.
pub(crate) struct Beating(Arc<Shared>);

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for something to run; `false` when it is over.
    fn wait(&self) -> bool {
        let mut state = self.state();
        while state.running == 0 && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.stopped
    }
}

impl Pulse {
    /// Starts the beat of an engine.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let beating = shared.clone();
        std::thread::Builder::new().name("hook-pulse".to_owned()).spawn(move || {
            while beating.wait() {
                std::thread::sleep(BEAT);
                engine.increment_epoch();
            }
        })?;
        Ok(Self { shared })
    }

    /// Keeps it beating.
    pub(crate) fn beat(&self) -> Beating {
        let mut state = self.shared.state();
        state.running += 1;
        if state.running == 1 {
            self.shared.changed.notify_one();
        }
        Beating(self.shared.clone())
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.running = state.running.saturating_sub(1);
    }
}

impl Drop for Pulse {
    fn drop(&mut self) {
        self.shared.state().stopped = true;
        self.shared.changed.notify_one();
    }
}
