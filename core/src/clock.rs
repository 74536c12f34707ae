//! Where the time comes from. The only room that may read the machine's clock.
//!
//! Invariant: one process never sees time go backwards; a step of the machine's clock is not seen
//! until the process restarts.

use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::domain::time::Timestamp;

/// The longest wait that a manual clock steps over by itself.
const MANUAL_STEP: Duration = Duration::from_millis(5);

/// A source of time; handed to everything that asks for it, so that tests own the time.
#[derive(Debug)]
pub enum Clock {
    /// The machine's time at start, moved on by its monotonic clock.
    System {
        /// Wall-clock time at start.
        started_at: Timestamp,
        /// Monotonic time at start.
        origin: Instant,
    },
    /// Time that moves only when told to.
    Manual(watch::Sender<Timestamp>),
}

impl Clock {
    /// The machine's clock.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "the one place that reads the wall clock")]
    pub fn system() -> Self {
        Self::System {
            started_at: Timestamp::from_millis(chrono::Utc::now().timestamp_millis()),
            origin: Instant::now(),
        }
    }

    /// A clock that stands at `start` until it is advanced.
    #[must_use]
    pub fn manual(start: Timestamp) -> Self {
        Self::Manual(watch::Sender::new(start))
    }

    /// The current instant.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        match self {
            Self::System { started_at, origin } => started_at.plus(origin.elapsed()),
            Self::Manual(now) => *now.borrow(),
        }
    }

    /// Moves a manual clock on; the system's clock does not listen.
    pub fn advance(&self, by: Duration) {
        if let Self::Manual(now) = self {
            now.send_modify(|at| *at = at.plus(by));
        }
    }

    /// Returns when `now()` has reached `at`. A manual clock steps over waits of a few milliseconds by
    /// itself, because a commit that waits for the next millisecond must not wait for a test.
    pub async fn wait_until(&self, at: Timestamp) {
        match self {
            Self::System { .. } => {
                while let Some(left) = at.since(self.now()) {
                    tokio::time::sleep(left).await;
                }
            }
            Self::Manual(now) => {
                now.send_if_modified(|now| {
                    let step = at.since(*now).is_some_and(|left| left <= MANUAL_STEP);
                    if step {
                        *now = at;
                    }
                    step
                });
                let mut moved = now.subscribe();
                // The sender lives in `self`, so the wait cannot fail.
                let _reached = moved.wait_for(|now| *now >= at).await;
            }
        }
    }
}
