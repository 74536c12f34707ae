//! Hooks: runs a second with their commits, and how soon an event is with its hook.
//!
//! Invariant: a run counts when it is recorded, with what it wrote to its keys and values. The time until
//! a hook is entered begins when the event is made, before its commit, and so says too much rather than
//! too little. Both ends are told in whole milliseconds; quantiles are interpolated between them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use kabar_core::clock::Clock;
use kabar_core::domain::time::{TimeBound, Timestamp};
use kabar_core::ids::EventId;
use serde_json::Value;

use super::bench_run::BenchRun;
use super::child::Child;
use super::hook_guests::{COUNTS, Hook};
use super::ingress::{BATCH, messages, webhooks};
use super::millis::Millis;
use super::paced::Paced;
use super::report::{Figure, Goal};
use super::stage::Stage;
use super::wire::{self, Connection};

/// Events that are made per second of load: more runs than any machine has made.
const BACKLOG: usize = 6_000;
/// Statuses a second at a quiet hook; its latencies are those of the way, not of a queue.
const QUIET_PER_SECOND: u32 = 100;
const WAIT_TIMEOUT: Duration = Duration::from_mins(2);
const STEP: Duration = Duration::from_millis(10);

pub(super) async fn play(bench: &mut BenchRun) -> anyhow::Result<()> {
    backlog(bench).await?;
    soon(bench).await
}

/// A hook was off while events came in; now it is let go.
async fn backlog(bench: &mut BenchRun) -> anyhow::Result<()> {
    let stage = Stage::set(&bench.folder, &bench.services).await?;
    let events = usize::try_from(bench.duration.as_secs())? * BACKLOG;
    let seeder = stage.seeder().await?;
    let (seat, taken) = messages(&seeder, 1, events.div_ceil(2)).await?;
    seeder.close().await;
    let server = stage.server().await?;
    let hook = Hook::make(&stage.tenant, &server, &[]).await?;
    hook.activate(&hook.upload(COUNTS).await?).await?;
    hook.set_enabled(false).await?;
    let mut connection = Connection::open(server.address).await?;
    let mut made = 0;
    for request in webhooks(&seat, &taken, BATCH) {
        let answer = connection.ask(&request).await?;
        if answer.status != 200 {
            bail!("a webhook was refused: {}", answer.excerpt());
        }
        made += BATCH;
    }
    let made = made.min(2 * taken.len());
    let (begun, cpu) = (Instant::now(), server.cpu()?);
    hook.set_enabled(true).await?;
    await_runs(&server, made).await?;
    let took = begun.elapsed();
    let spent = server.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / float(made);
    let rate = float(made) / took.as_secs_f64();
    let figures = [
        Figure::new("hooks: runs with their commits", rate, "runs/s", Goal::AtLeast(3_000.0)),
        Figure::new("hooks: processor time of a run", spent, "µs", Goal::None),
    ];
    bench.figures.extend(figures);
    server.end().await
}

/// A quiet tenant's events.
async fn soon(bench: &mut BenchRun) -> anyhow::Result<()> {
    let stage = Stage::set(&bench.folder, &bench.services).await?;
    let events = usize::try_from(bench.duration.as_secs())? * usize::try_from(QUIET_PER_SECOND)?;
    let seeder = stage.seeder().await?;
    let (seat, taken) = messages(&seeder, 1, events).await?;
    seeder.close().await;
    let server = stage.server().await?;
    let hook = Hook::make(&stage.tenant, &server, &[]).await?;
    hook.activate(&hook.upload(COUNTS).await?).await?;
    let since = Clock::system_clock().read_now();
    let requests = webhooks(&seat, &taken, 1);
    let load = Paced {
        address: server.address,
        connections: 8,
        per_second: QUIET_PER_SECOND,
        duration: bench.duration,
        answered: Arc::default(),
    };
    load.run(super::paced::nth(requests)).await?;
    await_runs(&server, events).await?;
    let seen = Seen::read(&stage, &server, &hook.id, since).await?;
    for (what, times, bound) in
        [("entered after", &seen.entered, Goal::AtMost(5.0)), ("done after", &seen.done, Goal::None)]
    {
        let mut show = |quantile: &str, per_mille, goal| {
            let value = times.quantile(per_mille);
            bench.figures.push(Figure::new(&format!("hooks: {what}, {quantile}"), value, "ms", goal));
        };
        show("p50", 500, bound);
        show("p99", 990, Goal::None);
    }
    server.end().await
}

/// What a tenant meets with.
#[derive(Default)]
struct Seen {
    /// From the event to its hook's beginning.
    entered: Millis,
    /// To its end.
    done: Millis,
}

impl Seen {
    /// Of the runs of all events that were made since then.
    async fn read(stage: &Stage, server: &Child, plugin: &str, since: Timestamp) -> anyhow::Result<Self> {
        let mut seen = Self::default();
        let mut cursor = None::<String>;
        loop {
            let next = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let path = format!("/v1/plugins/{plugin}/runs?limit=100{next}");
            let page = stage.tenant.read(server, &path).await?;
            for run in page.get("data").and_then(Value::as_array).into_iter().flatten() {
                seen.note(run, since)?;
            }
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(seen),
            }
        }
    }

    fn note(&mut self, run: &Value, since: Timestamp) -> anyhow::Result<()> {
        let made = run.get("event_id").and_then(Value::as_str).context("a run without event")?;
        let made = EventId::parse(made)?.made_at_ms();
        let attempt = run.pointer("/attempts/0");
        let at = attempt.and_then(|attempt| attempt.get("at")).and_then(Value::as_str);
        let took = run.get("duration_ms").and_then(Value::as_u64).unwrap_or(0);
        let at = at.and_then(TimeBound::parse).map(TimeBound::strictly_after);
        let at = at.with_context(|| format!("a run that did not begin: {run}"))?;
        if made >= since.millis() {
            let entered = u64::try_from(at.millis() - made).unwrap_or(0);
            self.entered.record(entered);
            self.done.record(entered + took);
        }
        Ok(())
    }
}

/// Waits until so many runs are recorded.
async fn await_runs(server: &Child, count: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    while begun.elapsed() < WAIT_TIMEOUT {
        if runs(server).await? >= count {
            return Ok(());
        }
        tokio::time::sleep(STEP).await;
    }
    bail!("the hooks did not get through {count} events")
}

/// How many runs are recorded so far.
pub(super) async fn runs(server: &Child) -> anyhow::Result<usize> {
    let request = wire::request("GET", "/metrics", &[], b"");
    let (_, _, body) = wire::once(server.address, &request).await?;
    let text = String::from_utf8_lossy(&body);
    let taken = text.lines().find_map(|line| line.strip_prefix("kabar_deliveries_taken_total "));
    Ok(taken.context("runs are not counted")?.trim().parse()?)
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}
