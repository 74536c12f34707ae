//! Rests of the background pool, so that other work finds a processor free.
//!
//! A thread of the lowest priority still delays others. On Linux 6.18, a thread that wakes up may wait behind
//! others of its own kind, or a scheduler's tick, while a processor is busy with such a thread alone. So the
//! background pool computes in short slices and rests between them. The rests grow with the share of the
//! machine that other work uses: the rest of this process, or a database beside it. While no other work
//! computes, the pool does not rest.
//!
//! Measured by `just bench --only hook-neighbours`: without rests, in slices of a millisecond, a hook in a
//! busy loop increased another tenant's 99th percentile by a fifth to a quarter.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rustix::time::ClockId;

use crate::scheduler::cpu_time::cpu_time;

/// Interval at which the use by other work is measured. Linux counts that of the machine in hundredths of a
/// second.
const WINDOW: Duration = Duration::from_millis(200);

/// Rest per computing time, where others use the whole machine. So the background pool gets three quarters of
/// its time where others use a tenth of the machine, two fifths where they use half, a quarter where they use
/// all.
const REST_PER_USE: f64 = 3.0;

/// Computes the rests of one host's background pool.
pub(crate) struct BackgroundThrottle {
    processors: f64,
    window: Mutex<UsageWindow>,
}

struct UsageWindow {
    since: Instant,
    /// Computing time of the process at its beginning.
    process: Duration,
    /// Processor times of the machine at its beginning, where the system tells them.
    machine: Option<ProcessorTimes>,
    /// Computing time of the background pool since then.
    background: Duration,
    /// Share of the machine that others used in the window before, from 0 to 1.
    others: f64,
}

/// Time of all processors since the machine started, in ticks of the system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ProcessorTimes {
    busy: u64,
    total: u64,
}

impl ProcessorTimes {
    /// Reads the current times; `None` on systems other than Linux.
    fn read_now() -> Option<Self> {
        Self::parse_stat(&std::fs::read_to_string("/proc/stat").ok()?)
    }

    /// Parses the first line: user, nice, system, idle, waiting for disks, and the times of interrupts and of
    /// other machines.
    fn parse_stat(text: &str) -> Option<Self> {
        let fields = text.lines().next()?.strip_prefix("cpu ")?;
        let times: Vec<u64> = fields.split_whitespace().take(8).map_while(|time| time.parse().ok()).collect();
        let [_, _, _, idle, disks, ..] = times.as_slice() else { return None };
        let total: u64 = times.iter().sum();
        Some(Self { busy: total - idle - disks, total })
    }

    /// Returns the share of the machine that was busy since `before`, from 0 to 1.
    fn use_since(self, before: Self) -> f64 {
        let float = |time: u64| u32::try_from(time).map_or(f64::MAX, f64::from);
        let total = self.total.saturating_sub(before.total).max(1);
        float(self.busy.saturating_sub(before.busy)) / float(total)
    }
}

impl BackgroundThrottle {
    pub(crate) fn new() -> Self {
        let processors = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let process = cpu_time(ClockId::ProcessCPUTime);
        Self {
            processors: u32::try_from(processors).map_or(1.0, f64::from),
            window: Mutex::new(UsageWindow {
                since: Instant::now(),
                process,
                machine: ProcessorTimes::read_now(),
                background: Duration::ZERO,
                others: 0.0,
            }),
        }
    }

    fn lock_window(&self) -> MutexGuard<'_, UsageWindow> {
        self.window.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the rest that is due after the background pool has computed for this time.
    pub(crate) fn rest_due(&self, computed: Duration) -> Duration {
        let mut window = self.lock_window();
        window.background += computed;
        let wall = window.since.elapsed();
        if wall >= WINDOW {
            let process = cpu_time(ClockId::ProcessCPUTime);
            window.start_next(Instant::now(), process, ProcessorTimes::read_now(), self.processors);
        }
        window.rest_after(computed)
    }

    /// Sets the share of the machine that others use, and keeps it.
    #[cfg(test)]
    pub(crate) fn set_others_use(&self, others: f64) {
        let mut window = self.lock_window();
        window.since = Instant::now() + Duration::from_hours(1);
        window.others = others;
    }
}

impl UsageWindow {
    fn rest_after(&self, computed: Duration) -> Duration {
        computed.mul_f64(self.others * REST_PER_USE)
    }

    /// Ends the window, and begins the next one. Of the two measures of the others' use, the larger counts: in
    /// a container the machine may be larger than the part that this process may use.
    fn start_next(
        &mut self,
        now: Instant,
        process: Duration,
        machine: Option<ProcessorTimes>,
        processors: f64,
    ) {
        let available = now.saturating_duration_since(self.since).as_secs_f64() * processors;
        if available > 0.0 {
            let background = self.background.as_secs_f64() / available;
            let own = process.saturating_sub(self.process).as_secs_f64() / available;
            let all = machine.zip(self.machine).map_or(0.0, |(now, before)| now.use_since(before));
            self.others = (own.max(all) - background).clamp(0.0, 1.0);
        }
        *self = Self { since: now, process, machine, background: Duration::ZERO, others: self.others };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_use_is_what_the_bench_does_not() {
        let since = Instant::now();
        let at = Duration::from_millis;
        let mut window =
            UsageWindow { since, process: at(1000), machine: None, background: at(15), others: 0.0 };
        let near = |window: &UsageWindow, others: f64| (window.others - others).abs() < 1e-9;
        // In 20 ms of two processors, 23 ms of the process of which the background pool had 15.
        window.start_next(since + at(20), at(1023), None, 2.0);
        assert!(near(&window, 0.2), "{}", window.others);
        // Next, the background pool alone. The clocks of threads and of the process differ a little.
        window.background = at(21);
        window.start_next(since + at(40), at(1043), Some(ProcessorTimes { busy: 500, total: 9000 }), 2.0);
        assert!(near(&window, 0.0), "{}", window.others);
        // The background pool had a quarter of the machine, others half of it, most of that in other processes.
        window.background = at(100);
        window.start_next(since + at(240), at(1193), Some(ProcessorTimes { busy: 530, total: 9040 }), 2.0);
        assert!(near(&window, 0.5), "{}", window.others);
        // Everything is the most there is.
        window.start_next(since + at(260), at(9000), None, 2.0);
        assert!(near(&window, 1.0), "{}", window.others);
    }

    #[test]
    fn the_machines_time_is_read() {
        let text = "cpu  100 20 30 800 40 5 4 1 7 0\ncpu0 50 10 15 400 20 2 2 0 3 0\nintr 1 2\n";
        assert_eq!(ProcessorTimes::parse_stat(text), Some(ProcessorTimes { busy: 160, total: 1000 }));
        for other in ["", "cpu", "cpu 1 2 3", "cpux 1 2 3 4 5 6 7 8"] {
            assert_eq!(ProcessorTimes::parse_stat(other), None, "{other}");
        }
    }

    #[test]
    fn rest_is_in_proportion_to_both() {
        let throttle = BackgroundThrottle::new();
        let computed = Duration::from_micros(200);
        throttle.set_others_use(0.5);
        assert_eq!(throttle.rest_due(computed), computed.mul_f64(1.5));
        throttle.set_others_use(0.0);
        assert_eq!(throttle.rest_due(computed), Duration::ZERO);
    }
}
