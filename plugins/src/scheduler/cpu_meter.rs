//! Measures the computing time of a run, and decides if and where it may go on.
//!
//! Computing time is that of the thread while the run is polled. So waits for other hosts and for permits do
//! not count, and the host's work on the guest's behalf does.
//!
//! Most runs end within their first slices. One that does not needs a *background permit* to go on, of which
//! there is one fewer than threads. So however many hooks compute for long, a thread is left for the short
//! ones. A permit is held for a few slices, then given to the next tenant in turn. It is also given back
//! whenever the run waits for something else.
//!
//! After a long run, the next run of the plugin is polled by the background pool's threads from its beginning.
//! Between its slices the background pool rests ([`BackgroundThrottle`]); rests count neither as computing nor
//! against the run's time. The background pool computes only in time that no other thread wants
//! ([`RunPool::Background`]). Where there is too little of that, the run returns to the foreground pool: it is
//! late then, but it ends.

use std::pin::Pin;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use kabar_core::fair_bound::{FairBound, FairPermit};
use kabar_core::ids::OrganisationId;
use rustix::time::ClockId;

use crate::scheduler::background_throttle::BackgroundThrottle;
use crate::scheduler::cpu_time::cpu_time;
use crate::scheduler::epoch_ticker::EpochTicker;

/// Computing time of a run without a background permit.
const SHORT: Duration = Duration::from_millis(2);
/// Computing time on a background permit for which another run waits.
const SITTING: Duration = Duration::from_millis(5);

/// Shorter rests are put off: a thread needs about as long to fall asleep and wake up.
const REST_MIN: Duration = Duration::from_micros(100);

/// Time that a run may be kept from computing on the background pool, before it returns to the foreground pool.
const STARVED: Duration = Duration::from_millis(200);

/// Pool of threads that poll a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum RunPool {
    /// The threads of short runs.
    Foreground,
    /// Threads that get the processor time that others leave.
    Background,
}

/// Reads the computing time of this thread.
fn thread_cpu() -> Duration {
    cpu_time(ClockId::ThreadCPUTime)
}

fn to_nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

/// Shared state of the long runs of one host.
pub(crate) struct BackgroundPool {
    seats: Arc<FairBound>,
    throttle: BackgroundThrottle,
    ticker: EpochTicker,
}

impl BackgroundPool {
    pub(crate) fn new(seats: usize, ticker: EpochTicker) -> Self {
        Self {
            seats: FairBound::in_turns("hook_threads", seats),
            throttle: BackgroundThrottle::new(),
            ticker,
        }
    }

    /// Returns the bound of the threads.
    pub(crate) const fn turns(&self) -> &Arc<FairBound> {
        &self.seats
    }
}

/// Measurements of one run.
pub(crate) struct CpuMeter {
    organisation: OrganisationId,
    background: Arc<BackgroundPool>,
    /// Computing time of polls that have ended, in nanoseconds.
    spent: AtomicU64,
    /// The thread's time when the poll under way began.
    poll_began: AtomicU64,
    /// Set while the run is pending to let others compute, not of its own accord.
    yields: AtomicBool,
    /// Set when it has computed for longer than short runs do, or is expected to.
    long: AtomicBool,
    /// Set while it is polled on the background pool.
    in_background: AtomicBool,
    /// Time in which it was ready to compute and got no processor, in nanoseconds.
    starved: AtomicU64,
    /// Time that it rested for other work, in nanoseconds.
    rested: AtomicU64,
    held: Mutex<MeterState>,
}

#[derive(Default)]
struct MeterState {
    seat: Option<FairPermit>,
    /// Computing time at which the permit was taken.
    since: Duration,
    /// Time spent waiting for permits that have been taken.
    waited: Duration,
    /// Computing time at which rest was last computed.
    reckoned: Duration,
    /// Rest that is due.
    due: Duration,
    waits_since: Option<Instant>,
}

impl CpuMeter {
    /// Creates the meter of a run; `long` when it is expected to compute for long.
    pub(crate) fn new(
        organisation: OrganisationId,
        background: Arc<BackgroundPool>,
        long: bool,
    ) -> Arc<Self> {
        Arc::new(Self {
            organisation,
            background,
            spent: AtomicU64::new(0),
            poll_began: AtomicU64::new(0),
            yields: AtomicBool::new(false),
            long: AtomicBool::new(long),
            in_background: AtomicBool::new(false),
            starved: AtomicU64::new(0),
            rested: AtomicU64::new(0),
            held: Mutex::default(),
        })
    }

    /// Creates the meter of a run without history, on a host of its own.
    #[cfg(test)]
    pub(crate) fn for_single_run() -> Arc<Self> {
        let background = Arc::new(BackgroundPool::new(1, EpochTicker::default()));
        Self::new(OrganisationId::from_bits(1), background, false)
    }

    fn lock_state(&self) -> MutexGuard<'_, MeterState> {
        self.held.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the computing time so far; to be called from within the run.
    pub(crate) fn cpu_used(&self) -> Duration {
        let current = to_nanos(thread_cpu()).saturating_sub(self.poll_began.load(Ordering::Relaxed));
        Duration::from_nanos(self.spent.load(Ordering::Relaxed).saturating_add(current))
    }

    /// Returns the computing time of a run that is over, or is not being polled.
    pub(crate) fn cpu_spent(&self) -> Duration {
        Duration::from_nanos(self.spent.load(Ordering::Relaxed))
    }

    /// Returns the time spent waiting for permits and for a processor, and resting; the wait under way
    /// included.
    pub(crate) fn time_waited(&self) -> Duration {
        let held = self.lock_state();
        let turn = held.waits_since.map_or(Duration::ZERO, |since| since.elapsed());
        held.waited + turn + self.time_starved() + self.time_rested()
    }

    fn time_rested(&self) -> Duration {
        Duration::from_nanos(self.rested.load(Ordering::Relaxed))
    }

    /// Rests on the background pool for the time that is due. Blocks the thread, because the thread itself
    /// delays others.
    pub(crate) fn take_rest(&self) {
        if !self.in_background.load(Ordering::Relaxed) {
            return;
        }
        let used = self.cpu_used();
        let due = {
            let mut held = self.lock_state();
            let computed = used.saturating_sub(held.reckoned);
            held.reckoned = used;
            held.due += self.background.throttle.rest_due(computed);
            if held.due < REST_MIN {
                return;
            }
            std::mem::take(&mut held.due)
        };
        let began = Instant::now();
        self.background.ticker.pause_during(|| std::thread::sleep(due));
        self.rested.fetch_add(to_nanos(began.elapsed()), Ordering::Relaxed);
    }

    fn time_starved(&self) -> Duration {
        Duration::from_nanos(self.starved.load(Ordering::Relaxed))
    }

    fn add_starved(&self, time: Duration) {
        self.starved.fetch_add(to_nanos(time), Ordering::Relaxed);
    }

    /// Returns `true` when it has computed for longer than short runs do.
    pub(crate) fn was_long(&self) -> bool {
        self.cpu_spent() >= SHORT
    }

    /// Returns the pool that should poll it.
    pub(crate) fn current_pool(&self) -> RunPool {
        let long = self.long.load(Ordering::Relaxed);
        if long && self.time_starved() < STARVED { RunPool::Background } else { RunPool::Foreground }
    }

    /// Records the pool that polls it from now on.
    pub(crate) fn move_to(&self, place: RunPool) {
        self.in_background.store(place == RunPool::Background, Ordering::Relaxed);
    }

    /// Returns `true` when another pool should poll it.
    fn is_misplaced(&self) -> bool {
        (self.current_pool() == RunPool::Background) != self.in_background.load(Ordering::Relaxed)
    }

    /// Decides at the end of a slice: `None` when the run may go on at once, else the future to wait for.
    pub(crate) fn next_turn(self: &Arc<Self>) -> Option<Pin<Box<dyn Future<Output = ()> + Send>>> {
        let used = self.cpu_used();
        if used < SHORT {
            return None;
        }
        self.long.store(true, Ordering::Relaxed);
        {
            let mut held = self.lock_state();
            let sat = used.saturating_sub(held.since);
            let stays = held.seat.is_some() && (sat < SITTING || !self.background.seats.is_wanted());
            if stays && !self.is_misplaced() {
                return None;
            }
            if !stays {
                held.seat = None;
            }
            held.waits_since = Some(Instant::now());
        }
        self.yields.store(true, Ordering::Relaxed);
        let meter = self.clone();
        Some(Box::pin(async move {
            if meter.lock_state().seat.is_none() {
                let seat = meter.background.seats.acquire(meter.organisation).await.ok();
                let used = meter.cpu_used();
                let mut held = meter.lock_state();
                held.seat = seat;
                held.since = used;
            }
            let seated = Instant::now();
            meter.yield_pool().await;
            meter.yields.store(false, Ordering::Relaxed);
            meter.add_starved(seated.elapsed());
            let mut held = meter.lock_state();
            let waited = held.waits_since.take().map_or(Duration::ZERO, |since| seated - since);
            held.waited += waited;
        }))
    }

    /// Pending once if another pool should poll the run; `ThreadPools` then moves it.
    async fn yield_pool(&self) {
        if self.is_misplaced() {
            tokio::task::yield_now().await;
        }
    }
}

/// A future that measures a run while it polls it.
pub(crate) struct MeteredRun<F> {
    run: Pin<Box<F>>,
    meter: Arc<CpuMeter>,
}

impl<F: Future> MeteredRun<F> {
    pub(crate) fn new(run: F, meter: Arc<CpuMeter>) -> Self {
        Self { run: Box::pin(run), meter }
    }
}

impl<F: Future> Future for MeteredRun<F> {
    type Output = F::Output;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<F::Output> {
        let Self { run, meter } = self.get_mut();
        let (began, clock, rested) = (to_nanos(thread_cpu()), Instant::now(), meter.time_rested());
        meter.poll_began.store(began, Ordering::Relaxed);
        let polled = meter.background.ticker.tick_during(|| run.as_mut().poll(context));
        let took = to_nanos(thread_cpu()).saturating_sub(began);
        meter.spent.fetch_add(took, Ordering::Relaxed);
        let rested = meter.time_rested().saturating_sub(rested);
        meter.add_starved(clock.elapsed().saturating_sub(Duration::from_nanos(took)).saturating_sub(rested));
        if polled.is_ready() || !meter.yields.load(Ordering::Relaxed) {
            meter.lock_state().seat = None;
        }
        polled
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn compute(until: Duration) {
        let began = thread_cpu();
        while thread_cpu().saturating_sub(began) < until {
            std::hint::black_box(0);
        }
    }

    #[tokio::test]
    async fn only_computing_counts() {
        let meter = CpuMeter::for_single_run();
        let run = async {
            compute(Duration::from_millis(3));
            tokio::time::sleep(Duration::from_millis(20)).await;
            compute(Duration::from_millis(3));
        };
        MeteredRun::new(run, meter.clone()).await;
        let spent = meter.cpu_spent();
        assert!(spent >= Duration::from_millis(6) && spent < Duration::from_millis(20), "{spent:?}");
    }

    #[tokio::test]
    async fn a_rest_on_the_bench_is_no_computing_and_no_delay() {
        let meter = CpuMeter::for_single_run();
        meter.background.throttle.set_others_use(1.0);
        let own = meter.clone();
        let run = async move {
            compute(Duration::from_millis(1));
            own.take_rest();
            assert_eq!(own.time_rested(), Duration::ZERO, "at the front nobody rests");
            own.move_to(RunPool::Background);
            own.take_rest();
        };
        MeteredRun::new(run, meter.clone()).await;
        let rested = meter.time_rested();
        assert!(rested >= Duration::from_millis(3) && meter.time_waited() >= rested, "{rested:?}");
        assert!(meter.cpu_spent() < Duration::from_millis(3), "{:?}", meter.cpu_spent());
    }

    #[tokio::test]
    async fn a_long_run_belongs_on_the_bench_until_it_starves_there() {
        let meter = CpuMeter::for_single_run();
        let run = async {
            assert_eq!(meter.current_pool(), RunPool::Foreground);
            compute(SHORT);
            meter.next_turn().unwrap().await;
            assert_eq!(meter.current_pool(), RunPool::Background);
            meter.move_to(RunPool::Background);
            assert!(meter.next_turn().is_none(), "it is where it belongs");
            meter.add_starved(STARVED);
            meter.next_turn().unwrap().await;
            assert_eq!(meter.current_pool(), RunPool::Foreground);
            meter.move_to(RunPool::Foreground);
            assert!(meter.next_turn().is_none() && meter.lock_state().seat.is_some());
        };
        MeteredRun::new(run, meter.clone()).await;
        assert!(meter.time_waited() >= STARVED, "that does not count against it");
    }

    #[tokio::test]
    async fn a_long_run_takes_a_seat_and_gives_it_back_when_it_waits() {
        let meter = CpuMeter::for_single_run();
        let run = async {
            assert!(meter.next_turn().is_none(), "nothing computed yet");
            compute(SHORT);
            meter.next_turn().unwrap().await;
            meter.move_to(meter.current_pool());
            assert!(meter.lock_state().seat.is_some() && meter.next_turn().is_none());
            tokio::task::yield_now().await;
            assert!(meter.lock_state().seat.is_none(), "a run that waits keeps no seat");
            meter.next_turn().unwrap().await;
        };
        MeteredRun::new(run, meter.clone()).await;
        assert!(meter.lock_state().seat.is_none(), "a run that ended keeps no seat");
    }
}
