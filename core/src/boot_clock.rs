//! The clock by which leases and waits are counted: it goes on while the process is stopped and, on Linux,
//! while the machine sleeps, and no step of the wall clock moves it.

use std::time::Duration;

use rustix::time::{ClockId, clock_gettime};

/// Time since an origin that stays the same until the machine starts again.
#[must_use]
pub fn since_boot() -> Duration {
    #[cfg(target_os = "linux")]
    let clock = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    let clock = ClockId::Monotonic;
    let at = clock_gettime(clock);
    let seconds = u64::try_from(at.tv_sec).unwrap_or(0);
    Duration::new(seconds, u32::try_from(at.tv_nsec).unwrap_or(0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_never_goes_back() {
        let first = since_boot();
        assert!(first > Duration::ZERO && since_boot() >= first);
    }
}
