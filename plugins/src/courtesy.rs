//! How long the bench rests, so that others find a processor free.
//!
//! A thread that gives way to everybody is still in the way: on Linux 6.18 a thread that wakes up may wait
//! behind others of its own kind, or a scheduler's tick, while a processor is busy with such a thread
//! alone. So the bench computes in short slices and rests between them, the longer the more of the machine
//! the rest of this process is using. While nobody else computes it does not rest.
//!
//! Measured by `kabar bench --only hook-neighbours`: without rests, in slices of a millisecond, a hook that
//! burns moved another tenant's 99th percentile by a fifth to a quarter.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::ClockId;

use crate::meter::cpu_time;

/// How often the others' use is looked at: long enough to tell a busy process from one that wakes up.
const WINDOW: Duration = Duration::from_millis(20);

/// Rest for each part of computing, where others use the whole machine. The bench gets three quarters of
/// its time beside a server that uses a tenth of the machine, and one quarter beside one that uses all.
const REST_PER_USE: f64 = 3.0;

/// What the bench owes the others; of one host.
pub(crate) struct Courtesy {
    processors: f64,
    window: Mutex<Window>,
}

struct Window {
    since: Instant,
    /// Computing time of the process at its beginning.
    process: Duration,
    /// Computing time of the bench since then.
    bench: Duration,
    /// What others used of the machine in the window before, from 0 to 1.
    others: f64,
}

impl Courtesy {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let process = cpu_time(ClockId::ProcessCPUTime);
        Self {
            processors: u32::try_from(processors).map_or(1.0, f64::from),
            window: Mutex::new(Window { since: Instant::now(), process, bench: Duration::ZERO, others: 0.0 }),
        }
    }

    fn window(&self) -> MutexGuard<'_, Window> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The rest that is due after the bench has computed for so long.
    pub(crate) fn rest(&self, computed: Duration) -> Duration {
        let mut window = self.window();
        window.bench += computed;
        let wall = window.since.elapsed();
        if wall >= WINDOW {
            window.turn(Instant::now(), cpu_time(ClockId::ProcessCPUTime), self.processors);
        }
        window.due(computed)
    }

    /// From now on, others use so much of the machine.
    #[cfg(test)]
    pub(crate) fn pretend(&self, others: f64) {
        let mut window = self.window();
        window.since = Instant::now() + Duration::from_hours(1);
        window.others = others;
    }
}

impl Window {
    fn due(&self, computed: Duration) -> Duration {
        computed.mul_f64(self.others * REST_PER_USE)
    }

    /// Ends it, and begins the next one.
    fn turn(&mut self, now: Instant, process: Duration, processors: f64) {
        let others = process.saturating_sub(self.process).saturating_sub(self.bench);
        let machine = now.saturating_duration_since(self.since).as_secs_f64() * processors;
        let others = if machine > 0.0 { (others.as_secs_f64() / machine).min(1.0) } else { self.others };
        *self = Self { since: now, process, bench: Duration::ZERO, others };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_use_is_what_the_bench_does_not() {
        let since = Instant::now();
        let at = Duration::from_millis;
        let mut window = Window { since, process: at(1000), bench: at(15), others: 0.0 };
        // In 20 ms of two processors, 23 ms of the process of which the bench had 15.
        window.turn(since + at(20), at(1023), 2.0);
        assert!((window.others - 0.2).abs() < 1e-9, "{}", window.others);
        // Next, the bench alone.
        window.bench = at(20);
        window.turn(since + at(40), at(1043), 2.0);
        assert!(window.others.abs() < 1e-9, "{}", window.others);
        // Clocks of threads and of the process differ a little; more than everything is everything.
        window.bench = at(21);
        window.turn(since + at(60), at(1063), 2.0);
        assert!(window.others.abs() < 1e-9, "{}", window.others);
        window.turn(since + at(80), at(2063), 2.0);
        assert!((window.others - 1.0).abs() < 1e-9, "{}", window.others);
    }

    #[test]
    fn rest_is_in_proportion_to_both() {
        let courtesy = Courtesy::new();
        let computed = Duration::from_micros(200);
        courtesy.pretend(0.5);
        assert_eq!(courtesy.rest(computed), computed.mul_f64(1.5));
        courtesy.pretend(0.0);
        assert_eq!(courtesy.rest(computed), Duration::ZERO);
    }
}
