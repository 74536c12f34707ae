//! Hooks: runs a second with their commits, how soon an event is with its hook, and what a tenant that
//! burns all the processor time it may have costs another one.
//!
//! Invariant: a run counts when it is recorded, with what it wrote to its keys and values. The time until
//! a hook is entered begins when the event is made, before its commit, and so says too much rather than
//! too little. Both ends are told in whole milliseconds; quantiles are interpolated between them.
//!
//! Burning is compared with a neighbour that has as many events and a hook that does nothing, so that it
//! is the burning that is measured, and not that there is a neighbour.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use kabar_core::clock::Clock;
use kabar_core::domain::time::{Bound, Timestamp};
use kabar_core::ids::{EventId, MessageId};
use serde_json::Value;

use super::Bench;
use super::child::Child;
use super::histogram::Histogram;
use super::ingress::{BATCH, messages, webhooks};
use super::millis::Millis;
use super::paced::Paced;
use super::report::{Figure, Goal, millis};
use super::seed::Seat;
use super::stage::{Stage, Tenant};
use super::wire::{self, Connection};

/// Events that are made per second of load: more runs than any machine has made.
const BACKLOG: usize = 6_000;
/// Statuses a second at a quiet hook; its latencies are those of the way, not of a queue.
const QUIET_PER_SECOND: u32 = 100;
/// Events a second of the tenant that burns: each burns about 30 ms, so that it never rests.
const BURNING_PER_SECOND: u32 = 100;
const PATIENCE: Duration = Duration::from_mins(2);
const STEP: Duration = Duration::from_millis(10);

/// A hook that counts its events under a key.
const COUNTS: &str = r#"
    (import "kabar:hooks/kv@1.0.0" "add" (func $add (param i32 i32 i64 i32)))
    (data (i32.const 1024) "events")
    (func $work (call $add (i32.const 1024) (i32.const 6) (i64.const 1) (i32.const 2048)))"#;

/// A hook that does nothing.
const RESTS: &str = "(func $work)";

/// A hook that computes about as long as it may, and succeeds.
const BURNS: &str = "
    (func $work (local $left i64)
        (local.set $left (i64.const 25000000))
        (loop $on
            (local.set $left (i64.sub (local.get $left) (i64.const 1)))
            (br_if $on (i64.ne (local.get $left) (i64.const 0)))))";

fn component(parts: &str) -> anyhow::Result<Vec<u8>> {
    let module = format!(
        r#"(module {parts}
            (memory (export "memory") 4)
            (global $free (mut i32) (i32.const 65536))
            (func (export "cabi_realloc") (param i32 i32 i32 i32) (result i32)
                (local $at i32)
                (local.set $at (i32.and (i32.add (global.get $free) (i32.const 7)) (i32.const -8)))
                (global.set $free (i32.add (local.get $at) (local.get 3)))
                (local.get $at))
            (func (export "kabar:hooks/handler@1.0.0#handle") (param i32) (result i32)
                (call $work) (i32.const 64)))"#
    );
    Ok(kabar_plugins::wrap::wrap(&wat::parse_str(module)?)?)
}

pub(super) async fn play(bench: &mut Bench) -> anyhow::Result<()> {
    backlog(bench).await?;
    beside(bench).await
}

/// A hook was off while events came in; now it is let go.
async fn backlog(bench: &mut Bench) -> anyhow::Result<()> {
    let stage = Stage::set(&bench.folder, &bench.services).await?;
    let events = usize::try_from(bench.duration.as_secs())? * BACKLOG;
    let seeder = stage.seeder().await?;
    let (seat, taken) = messages(&seeder, 1, events.div_ceil(2)).await?;
    seeder.close().await;
    let server = stage.server().await?;
    let tenant = &stage.tenant;
    let plugin = deploy(tenant, &server, COUNTS).await?;
    set_enabled(tenant, &server, &plugin, false).await?;
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
    set_enabled(tenant, &server, &plugin, true).await?;
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

/// A quiet tenant, first alone, then beside one that burns.
async fn beside(bench: &mut Bench) -> anyhow::Result<()> {
    let stage = Stage::set(&bench.folder, &bench.services).await?;
    let server = stage.server().await?;
    let burner = stage.another(&server).await?;
    server.end().await?;
    let seconds = usize::try_from(bench.duration.as_secs())?;
    let per_second = usize::try_from(QUIET_PER_SECOND.max(BURNING_PER_SECOND))?;
    let seeder = stage.seeder().await?;
    let quiet = messages(&seeder, 1, 3 * seconds * per_second).await?;
    seeder.close().await;
    let seeder = stage.seeder_of(&burner).await?;
    let neighbours = messages(&seeder, 2, 2 * seconds * per_second).await?;
    seeder.close().await;

    let server = stage.server().await?;
    let plugin = deploy(&stage.tenant, &server, COUNTS).await?;
    let mut quiet_parts = quiet.1.chunks(seconds * per_second);
    let mut neighbour_parts = neighbours.1.chunks(seconds * per_second);
    let mut part = || quiet_parts.next().unwrap_or_default();
    let scene = Scene { stage: &stage, server: &server, plugin: &plugin, duration: bench.duration };
    let alone = scene.measure(&quiet.0, part()).await?;
    for (what, times, bound) in
        [("entered after", &alone.entered, Goal::AtMost(5.0)), ("done after", &alone.done, Goal::None)]
    {
        let mut show = |quantile: &str, per_mille, goal| {
            let value = times.quantile(per_mille);
            bench.figures.push(Figure::new(&format!("hooks: {what}, {quantile}"), value, "ms", goal));
        };
        show("p50", 500, bound);
        show("p99", 990, Goal::None);
    }

    let mut scenes = vec![alone];
    for hook in [RESTS, BURNS] {
        deploy(&burner, &server, hook).await?;
        let load = paced(&server, BURNING_PER_SECOND, bench.duration);
        let requests = webhooks(&neighbours.0, neighbour_parts.next().unwrap_or_default(), 1);
        let (seen, _) = tokio::try_join!(scene.measure(&quiet.0, part()), load.run(nth(requests)))?;
        scenes.push(seen);
    }
    let hooks = scenes.iter().map(|seen| seen.done.quantile(990)).collect();
    moved(bench, "another tenant's hook", hooks);
    let polls = scenes.iter().map(|seen| millis(seen.polls.quantile(990))).collect();
    moved(bench, "another tenant's polls", polls);
    server.end().await
}

/// 99 of 100 alone, beside a neighbour that rests, and beside one that burns.
fn moved(bench: &mut Bench, what: &str, p99: Vec<f64>) {
    let [alone, rests, burns] = p99.try_into().unwrap_or([f64::NAN; 3]);
    let by = (burns / rests.max(0.001) - 1.0) * 100.0;
    let figures = [
        ("p99 alone", alone, "ms", Goal::None),
        ("p99 beside one that rests", rests, "ms", Goal::None),
        ("p99 beside one that burns", burns, "ms", Goal::None),
        ("p99 moved by the burning", by, "%", Goal::AtMost(10.0)),
    ];
    bench.figures.extend(
        figures.map(|(which, value, unit, goal)| Figure::new(&format!("{what}: {which}"), value, unit, goal)),
    );
}

struct Scene<'a> {
    stage: &'a Stage,
    server: &'a Child,
    plugin: &'a str,
    duration: Duration,
}

/// What a tenant meets with.
struct Seen {
    /// From the event to its hook's beginning.
    entered: Millis,
    /// To its end.
    done: Millis,
    polls: Histogram,
}

impl Scene<'_> {
    async fn measure(&self, seat: &Seat, taken: &[(MessageId, String)]) -> anyhow::Result<Seen> {
        let since = Clock::system().now();
        let list = self.stage.get(&seat.path("conversations"), &[]);
        let polls = paced(self.server, QUIET_PER_SECOND, self.duration).run(Arc::new(move |_| list.clone()));
        let statuses = paced(self.server, QUIET_PER_SECOND, self.duration).run(nth(webhooks(seat, taken, 1)));
        let (polls, _) = tokio::try_join!(polls, statuses)?;
        // The last ones are recorded.
        tokio::time::sleep(Duration::from_secs(2)).await;
        let mut seen = Seen { entered: Millis::default(), done: Millis::default(), polls };
        let mut cursor = None::<String>;
        loop {
            let next = cursor.as_ref().map(|cursor| format!("&cursor={cursor}")).unwrap_or_default();
            let path = format!("/v1/plugins/{}/runs?limit=100{next}", self.plugin);
            let page = self.stage.tenant.read(self.server, &path).await?;
            for run in page.get("data").and_then(Value::as_array).into_iter().flatten() {
                seen.note(run, since)?;
            }
            match page.get("next_cursor").and_then(Value::as_str) {
                Some(next) => cursor = Some(next.to_owned()),
                None => return Ok(seen),
            }
        }
    }
}

impl Seen {
    fn note(&mut self, run: &Value, since: Timestamp) -> anyhow::Result<()> {
        let made = run.get("event_id").and_then(Value::as_str).context("a run without event")?;
        let made = EventId::parse(made)?.made_at_ms();
        let attempt = run.pointer("/attempts/0");
        let at = attempt.and_then(|attempt| attempt.get("at")).and_then(Value::as_str);
        let took = run.get("duration_ms").and_then(Value::as_u64).unwrap_or(0);
        let at = at.and_then(Bound::parse).map(Bound::strictly_after);
        let at = at.with_context(|| format!("a run that did not begin: {run}"))?;
        if made >= since.millis() {
            let entered = u64::try_from(at.millis() - made).unwrap_or(0);
            self.entered.record(entered);
            self.done.record(entered + took);
        }
        Ok(())
    }
}

/// Makes a plugin of one component that gets its events from now on.
async fn deploy(tenant: &Tenant, server: &Child, parts: &str) -> anyhow::Result<String> {
    let body = r#"{"name":"bench","events":["message.status"]}"#;
    let plugin = id(&tenant.ask(server, &tenant.post("/v1/plugins", body)).await?)?;
    let upload = tenant.upload(&format!("/v1/plugins/{plugin}/versions"), &component(parts)?);
    let version = id(&tenant.ask(server, &upload).await?)?;
    let body = format!(r#"{{"version_id":"{version}"}}"#);
    tenant.ask(server, &tenant.post(&format!("/v1/plugins/{plugin}/activate"), &body)).await?;
    Ok(plugin)
}

async fn set_enabled(tenant: &Tenant, server: &Child, plugin: &str, enabled: bool) -> anyhow::Result<()> {
    let request = tenant.patch(&format!("/v1/plugins/{plugin}"), &format!(r#"{{"enabled":{enabled}}}"#));
    tenant.ask(server, &request).await.map(drop)
}

fn id(answer: &Value) -> anyhow::Result<String> {
    let id = answer.pointer("/data/id").and_then(Value::as_str);
    Ok(id.with_context(|| format!("no id in {answer}"))?.to_owned())
}

/// Waits until so many runs are recorded.
async fn await_runs(server: &Child, count: usize) -> anyhow::Result<()> {
    let begun = Instant::now();
    let request = wire::request("GET", "/metrics", &[], b"");
    while begun.elapsed() < PATIENCE {
        let (_, _, body) = wire::once(server.address, &request).await?;
        let text = String::from_utf8_lossy(&body);
        let taken = text.lines().find_map(|line| line.strip_prefix("kabar_deliveries_taken_total "));
        if taken.and_then(|taken| taken.trim().parse().ok()).is_some_and(|taken: usize| taken >= count) {
            return Ok(());
        }
        tokio::time::sleep(STEP).await;
    }
    bail!("the hooks did not get through {count} events")
}

fn paced(server: &Child, per_second: u32, duration: Duration) -> Paced {
    let answered = Arc::new(AtomicU64::new(0));
    Paced { address: server.address, connections: 8, per_second, duration, answered }
}

fn nth(requests: Vec<Bytes>) -> Arc<dyn Fn(u64) -> Bytes + Send + Sync> {
    Arc::new(move |nth| {
        usize::try_from(nth).ok().and_then(|nth| requests.get(nth)).cloned().unwrap_or_default()
    })
}

fn float(count: usize) -> f64 {
    u32::try_from(count).map_or(f64::MAX, f64::from)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guests_are_components() {
        for parts in [COUNTS, RESTS, BURNS] {
            assert!(component(parts).is_ok_and(|component| component.starts_with(b"\0asm")));
        }
    }
}
