//! The beat that cuts guests' computing into slices: a thread that moves the engine's epoch on while a guest
//! computes, and sleeps while none does, whatever runs are under way: each beat wakes a processor up.

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use wasmtime::Engine;

/// Time between two beats: how long at most a thread that wakes up may have to wait for a guest's slice to
/// end. Four thousand of them a second take a twentieth of a processor (46 ms, beside a hook that burns).
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

/// The beat of one engine; the default one is of none. Ends when dropped.
#[derive(Default)]
pub(crate) struct EpochTicker(Arc<TickerShared>);

impl TickerShared {
    fn lock_state(&self) -> MutexGuard<'_, TickerState> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits for somebody to compute; `false` when it is over.
    fn wait_for_work(&self) -> bool {
        let mut state = self.lock_state();
        while state.computing == 0 && !state.stopped {
            state = self.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
        }
        !state.stopped
    }
}

impl EpochTicker {
    /// Starts the beat of an engine.
    ///
    /// # Errors
    /// When there is no thread to be had.
    pub(crate) fn start(engine: Engine) -> std::io::Result<Self> {
        let pulse = Self::default();
        let shared = pulse.0.clone();
        std::thread::Builder::new().name("hook-pulse".to_owned()).spawn(move || {
            while shared.wait_for_work() {
                std::thread::sleep(BEAT);
                engine.increment_epoch();
            }
        })?;
        Ok(pulse)
    }

    /// Runs this while the epoch moves.
    pub(crate) fn tick_during<T>(&self, computing: impl FnOnce() -> T) -> T {
        self.count_during(1, computing)
    }

    /// Runs this, within [`EpochTicker::tick_during`], while the epoch need not move on the caller's account.
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

/// Undoes a change, panic or not.
struct ComputingGuard<'a>(&'a EpochTicker, isize);

impl Drop for ComputingGuard<'_> {
    fn drop(&mut self) {
        let Self(pulse, by) = self;
        pulse.change_count(*by);
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
        let pulse = EpochTicker::default();
        let computing = || pulse.0.lock_state().computing;
        let inner = pulse.tick_during(|| {
            let rests = pulse.pause_during(computing);
            (computing(), rests, pulse.tick_during(computing))
        });
        assert_eq!((inner, computing()), ((1, 0, 2), 0));
    }
}
