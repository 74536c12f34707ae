//! The threads that run hooks: the foreground pool for runs that have just begun, and the background pool for
//! runs that compute for long.
//!
//! Invariant: a thread of the background pool computes only while no other thread wants the processor, be it
//! for a short hook, the API or another program. The operating system's scheduler ensures that (`SCHED_IDLE`).
//! Between threads of one policy, a thread that wakes up waits for the other's slice to end, whatever their
//! priorities.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;

use thread_priority::{
    NormalThreadSchedulePolicy, ThreadPriority, ThreadSchedulePolicy, set_thread_priority_and_policy,
    thread_native_id,
};
use tokio::runtime::{Builder, Runtime};
use tokio::task::JoinError;
use tokio_util::task::AbortOnDropHandle;

use crate::component::compile::NICENESS;
use crate::scheduler::cpu_meter::{CpuMeter, RunPool};

/// The two pools of threads that run hooks.
pub(crate) struct ThreadPools {
    front: Option<Runtime>,
    background: Option<Runtime>,
}

/// Result of polling a run in one pool.
enum PoolStep<F: Future> {
    Ended(F::Output),
    Moves(Pin<Box<F>>),
}

impl ThreadPools {
    /// Starts this many foreground threads, and one fewer in the background pool.
    pub(crate) fn start(threads: usize) -> std::io::Result<Self> {
        let runtime = |threads: usize, name: &str| {
            let mut builder = Builder::new_multi_thread();
            // New tasks are looked for after each slice, not after the usual 61 polls.
            builder.worker_threads(threads.max(1)).thread_name(name).global_queue_interval(1);
            builder.event_interval(8).enable_all();
            builder
        };
        // Linux keeps a priority for each thread; without it hooks run all the same.
        let front = runtime(threads, "hook").on_thread_start(give_way).build()?;
        let background =
            runtime(threads.saturating_sub(1), "hook-bench").on_thread_start(give_way_to_all).build()?;
        Ok(Self { front: Some(front), background: Some(background) })
    }

    /// Runs to the end, each part in its pool. Dropping the future stops the run.
    pub(crate) async fn run<F>(&self, run: F, meter: &Arc<CpuMeter>) -> Result<F::Output, JoinError>
    where
        F: Future + Send + 'static,
        F::Output: Send,
    {
        let mut run = Box::pin(run);
        loop {
            let place = meter.current_pool();
            meter.move_to(place);
            let leg = poll_in_pool(run, meter.clone(), place);
            let runtime = match place {
                RunPool::Foreground => &self.front,
                RunPool::Background => &self.background,
            };
            let Some(runtime) = runtime else { return std::future::pending().await };
            match AbortOnDropHandle::new(runtime.spawn(leg)).await? {
                PoolStep::Ended(output) => return Ok(output),
                PoolStep::Moves(rest) => run = rest,
            }
        }
    }
}

/// Polls a run until it ends or belongs to the other pool.
async fn poll_in_pool<F: Future>(run: Pin<Box<F>>, meter: Arc<CpuMeter>, place: RunPool) -> PoolStep<F> {
    let mut run = Some(run);
    poll_fn(|context| match run.as_mut().map(|run| run.as_mut().poll(context)) {
        Some(Poll::Ready(output)) => Poll::Ready(PoolStep::Ended(output)),
        Some(Poll::Pending) if meter.current_pool() != place => run.take().map_or(Poll::Pending, |run| {
            // The other pool polls it at once, so that no wake-up is lost.
            Poll::Ready(PoolStep::Moves(run))
        }),
        Some(Poll::Pending) | None => Poll::Pending,
    })
    .await
}

fn give_way() {
    let _unchanged = rustix::process::nice(NICENESS);
}

fn give_way_to_all() {
    let idle = ThreadSchedulePolicy::Normal(NormalThreadSchedulePolicy::Idle);
    if let Err(error) = set_thread_priority_and_policy(thread_native_id(), ThreadPriority::Min, idle) {
        tracing::debug!(%error, "hooks that compute for long do not give way to everybody");
        give_way();
    }
}

impl Drop for ThreadPools {
    fn drop(&mut self) {
        // They may be dropped within a runtime, which must not block.
        for runtime in [self.front.take(), self.background.take()].into_iter().flatten() {
            runtime.shutdown_background();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::scheduler::cpu_meter::MeteredRun;

    #[tokio::test]
    async fn a_run_that_computes_for_long_goes_on_on_the_bench() {
        let threads = ThreadPools::start(2).unwrap();
        let meter = CpuMeter::for_single_run();
        let (own, name) = (meter.clone(), || std::thread::current().name().unwrap_or_default().to_owned());
        let run = MeteredRun::new(
            async move {
                let first = name();
                while own.cpu_used() < Duration::from_millis(3) {
                    std::hint::black_box(0);
                }
                own.next_turn().unwrap().await;
                [first, name()]
            },
            meter.clone(),
        );
        assert_eq!(threads.run(run, &meter).await.unwrap(), ["hook", "hook-bench"]);
    }
}
