//! Ticks that cut guests' computing into slices. A thread advances the engine's epoch while a guest computes,
//! and sleeps while none does, whatever runs are under way: each tick wakes a processor up.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::Engine;

/// Time between two ticks, and so the longest wait of a thread that wakes up for a guest's slice to end. Four
/// thousand ticks a second take a twentieth of a processor (46 ms, beside a hook in a busy loop).
const BEAT: Duration = Duration::from_micros(250);

#[derive(Default)]
struct TickerState {
    computing: usize,
    stopped: bool,
}

#[derive(Default)]
struct TickerShared {
    state: Mutex<TickerState>,
    changed: Condvar,
}

/// Ticker of one engine; the default one has no engine. Ends when dropped.
#[derive(Default)]
pub(crate) struct EpochTicker(Arc<TickerShared>);

impl TickerShared {
    fn lock_state(&self) -> MutexGuard<'_, TickerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until a guest computes; `false` when the ticker has ended.
    fn wait_for_work(&self) -> bool {
        let mut state = self.lock_state();
        while state.computing == 0 && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.stopped
    }
}

impl EpochTicker {
    /// Starts the ticker of an engine.
    ///
    /// # Errors
    /// When the thread cannot be started.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let ticker = Self::default();
        let shared = ticker.0.clone();
        std::thread::Builder::new().name("hook-ticker".to_owned()).spawn(move || {
            while shared.wait_for_work() {
                std::thread::sleep(BEAT);
                engine.increment_epoch();
            }
        })?;
        Ok(ticker)
    }

    /// Runs `computing` while the epoch advances.
    pub(crate) fn tick_during<T>(&self, computing: impl FnOnce() -> T) -> T {
        self.count_during(1, computing)
    }

    /// Runs `resting`, within [`EpochTicker::tick_during`], without the caller's need for ticks.
    pub(crate) fn pause_during<T>(&self, resting: impl FnOnce() -> T) -> T {
        self.count_during(-1, resting)
    }

    fn count_during<T>(&self, by: isize, work: impl FnOnce() -> T) -> T {
        self.change_count(by);
        let _ends = ComputingGuard(self, -by);
        work()
    }

    fn change_count(&self, by: isize) {
        let mut state = self.0.lock_state();
        state.computing = state.computing.saturating_add_signed(by);
        if by > 0 && state.computing == 1 {
            self.0.changed.notify_one();
        }
    }
}

/// Undoes a change of the count on drop, also after a panic.
struct ComputingGuard<'a>(&'a EpochTicker, isize);

impl Drop for ComputingGuard<'_> {
    fn drop(&mut self) {
        let Self(ticker, by) = self;
        ticker.change_count(*by);
    }
}

impl Drop for EpochTicker {
    fn drop(&mut self) {
        self.0.lock_state().stopped = true;
        self.0.changed.notify_one();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_beats_while_somebody_computes() {
        let ticker = EpochTicker::default();
        let computing = || ticker.0.lock_state().computing;
        let inner = ticker.tick_during(|| {
            let rests = ticker.pause_during(computing);
            (computing(), rests, ticker.tick_during(computing))
        });
        assert_eq!((inner, computing()), ((1, 0, 2), 0));
    }
}
