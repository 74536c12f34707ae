//! Computing time, as the system counts it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Reads the computing time of a thread or of the process.
pub(crate) fn cpu_time(clock: ClockId) -> Duration {
    let now = clock_gettime(clock);
    let seconds = u64::try_from(now.tv_sec).unwrap_or_default();
    Duration::new(seconds, u32::try_from(now.tv_nsec).unwrap_or_default())
}
