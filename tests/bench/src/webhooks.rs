//! Webhooks: how soon after its commit an event is at a receiver, how many a second one receiver gets, and
//! what subscriptions cost while nothing happens.
//!
//! The receiver is as cheap as it can be, and in the bench's own process. Latency is counted from the
//! event's `created_at`, which the commit takes before its fsync, in whole milliseconds between which
//! quantiles are interpolated: at most a millisecond and the commit itself are charged too much.

use std::io::Write as _;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use kabar_core::clock::Clock;
use kabar_core::domain::time::TimeBound;
use serde_json::Value;

use super::bench_run::BenchRun;
use super::child::Child;
use super::load::{Drain, LONGEST, Load};
use super::millis::Millis;
use super::paced::Paced;
use super::receiver::{Look, Manner, Receiver};
use super::report::{Figure, Goal};
use super::seed::Seat;
use super::sends::{Origin, inbound};
use super::stage::Stage;
use super::wire;

const PER_SECOND: u32 = 500;
const CONVERSATIONS: u32 = 1_000;
/// Messages of the backlog for each second of a row.
const BACKLOG: usize = 5_000;
const BATCH: usize = 50;
const IDLE_ACCOUNTS: u32 = 100;
const IDLE_SUBSCRIPTIONS: usize = 1_000;
/// How long nothing happens while statements are counted.
const QUIET: Duration = Duration::from_secs(10);
const MEGABYTE: f64 = 1e6;

/// The event's `created_at`, which is the first one in it.
fn committed_at(body: &[u8]) -> Option<i64> {
    let body = std::str::from_utf8(body).ok()?;
    let (_, rest) = body.split_once(r#""created_at":""#)?;
    let (text, _) = rest.split_once('"')?;
    Some(TimeBound::parse(text)?.strictly_before().millis())
}

/// Notes how long ago each event was committed.
fn timed() -> (Arc<Mutex<Millis>>, Arc<Look>) {
    let (times, clock) = (Arc::<Mutex<Millis>>::default(), Clock::system_clock());
    let noted = times.clone();
    let look = move |body: &[u8]| {
        if let Some(at) = committed_at(body) {
            let took = clock.read_now().millis().saturating_sub(at);
            noted.lock().unwrap_or_else(PoisonError::into_inner).record(u64::try_from(took).unwrap_or(0));
        }
    };
    (times, Arc::new(look))
}

/// All of them.
pub(super) async fn play(bench: &mut BenchRun) -> anyhow::Result<()> {
    let alone = latency(bench, &[]).await?;
    let name = format!("webhooks, {PER_SECOND} events/s");
    for (per_mille, label, goal) in [(500, "p50", 5.0), (990, "p99", 50.0)] {
        let (name, value) = (format!("{name}: committed to received, {label}"), alone.quantile(per_mille));
        bench.figures.push(Figure::new(&name, value, "ms", Goal::AtMost(goal)));
    }
    // As many subscriptions that are well, so that it is the bad ones that are measured.
    let good = latency(bench, &[Manner::Takes, Manner::Takes]).await?.quantile(990);
    let bad = latency(bench, &[Manner::Hangs, Manner::Fails]).await?.quantile(990);
    let moved = (bad / good.max(0.001) - 1.0) * 100.0;
    for (which, value, unit, goal) in [
        ("beside two more: p99", good, "ms", Goal::None),
        ("beside one that hangs and one that fails: p99", bad, "ms", Goal::None),
        ("beside these: p99 moved by", moved, "%", Goal::AtMost(10.0)),
    ] {
        bench.figures.push(Figure::new(&format!("{name}, {which}"), value, unit, goal));
    }
    throughput(bench).await?;
    idle(bench).await
}

async fn set(bench: &BenchRun) -> anyhow::Result<(Stage, Seat)> {
    let mut stage = Stage::set(&bench.folder, &bench.services).await?;
    stage.settings = vec![("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true")];
    let seeder = stage.seeder().await?;
    let mut seat = seeder.seat(1).await?;
    seeder.conversations(&mut seat, 0, CONVERSATIONS, false).await?;
    seeder.close().await;
    Ok((stage, seat))
}

/// Makes a subscription; gives its path.
async fn subscribe(stage: &Stage, server: &Child, url: &str) -> anyhow::Result<String> {
    let body = format!(r#"{{"url":"{url}","events":["message.received"]}}"#);
    let request = stage.post("/v1/webhook_subscriptions", &body);
    let (status, _, answer) = wire::once(server.address, &request).await?;
    if status != 201 {
        bail!("a subscription was answered {status}: {}", String::from_utf8_lossy(&answer));
    }
    let answer: Value = serde_json::from_slice(&answer)?;
    let id = answer.pointer("/data/id").and_then(Value::as_str).context("no id")?;
    Ok(format!("/v1/webhook_subscriptions/{id}"))
}

/// From commit to a receiver that takes everything, while others of these manners are subscribed too.
async fn latency(bench: &BenchRun, others: &[Manner]) -> anyhow::Result<Millis> {
    let (stage, seat) = set(bench).await?;
    let (times, look) = timed();
    let (server, receiver) = (stage.server().await?, Receiver::start(Manner::Takes, look).await?);
    subscribe(&stage, &server, &receiver.url).await?;
    let mut bad = Vec::new();
    for manner in others {
        let other = Receiver::start(*manner, Arc::new(|_| ())).await?;
        subscribe(&stage, &server, &other.url).await?;
        bad.push(other);
    }
    writeln!(std::io::stderr(), "measuring: webhooks, {PER_SECOND} events/s, beside {others:?}")?;
    let answered = Arc::<AtomicU64>::default();
    let paced = Paced {
        address: server.address,
        connections: 32,
        per_second: PER_SECOND,
        duration: bench.duration,
        answered: answered.clone(),
    };
    paced.run(inbound(&seat)).await?;
    receiver.until(answered.load(Ordering::Relaxed)).await?;
    server.end().await?;
    let mut times = times.lock().unwrap_or_else(PoisonError::into_inner);
    Ok(std::mem::take(&mut *times))
}

async fn throughput(bench: &mut BenchRun) -> anyhow::Result<()> {
    let (stage, seat) = set(bench).await?;
    let (server, receiver) = (stage.server().await?, Receiver::start(Manner::Takes, Arc::new(|_| ())).await?);
    let path = subscribe(&stage, &server, &receiver.url).await?;
    change(&stage, &server, &path, r#"{"status":"paused"}"#).await?;
    let events = usize::try_from(bench.duration.as_secs())? * BACKLOG;
    let load = Load { connections: 4, duration: LONGEST, ..bench.load(&server) };
    load.run(&Drain::new(backlog(&seat, events), 200)).await?;
    writeln!(std::io::stderr(), "measuring: webhooks, a backlog of {events} events")?;
    let (begun, cpu) = (Instant::now(), server.cpu()?);
    change(&stage, &server, &path, r#"{"status":"active"}"#).await?;
    let events = u64::try_from(events)?;
    receiver.until(events).await?;
    let count = f64::from(u32::try_from(events)?);
    let rate = count / begun.elapsed().as_secs_f64();
    let spent = server.cpu()?.saturating_sub(cpu).as_secs_f64() * 1e6 / count;
    let name = "webhooks to one receiver";
    bench.figures.push(Figure::new(name, rate, "deliveries/s", Goal::AtLeast(3_000.0)));
    bench.figures.push(Figure::new(&format!("{name}: CPU of the server"), spent, "µs", Goal::None));
    server.end().await
}

async fn change(stage: &Stage, server: &Child, path: &str, body: &str) -> anyhow::Result<()> {
    let (status, _, answer) = wire::once(server.address, &stage.patch(path, body)).await?;
    if status != 200 {
        bail!("{path} answered {status}: {}", String::from_utf8_lossy(&answer));
    }
    Ok(())
}

/// Webhooks of WhatsApp with so many messages of all conversations in turn.
fn backlog(seat: &Seat, events: usize) -> Vec<Bytes> {
    let (origin, seconds) = (Origin::of(seat), Clock::system_clock().read_now().millis() / 1000);
    let message = |nth: usize| {
        let index = u32::try_from(nth).unwrap_or(0) % CONVERSATIONS;
        let number = Seat::contact_number(index);
        let from = number.trim_start_matches('+');
        format!(
            r#"{{"from":"{from}","id":"wamid.B{nth:012}","timestamp":"{seconds}","type":"text","text":{{"body":"Where is it?"}}}}"#
        )
    };
    let batch = |first: usize| {
        let messages: Vec<String> = (first..events.min(first + BATCH)).map(message).collect();
        origin.webhook(&format!(r#""messages":[{}]"#, messages.join(",")))
    };
    (0..events).step_by(BATCH).map(batch).collect()
}

/// The same accounts in memory without subscriptions and with them.
async fn idle(bench: &mut BenchRun) -> anyhow::Result<()> {
    let mut stage = Stage::set(&bench.folder, &bench.services).await?;
    stage.settings = vec![("KABAR_LIMITS__WEBHOOK_SUBSCRIPTIONS_PER_ORGANIZATION", "10000")];
    let seeder = stage.seeder().await?;
    let mut pages = Vec::new();
    for n in 1..=IDLE_ACCOUNTS {
        let mut seat = seeder.seat(n).await?;
        seeder.conversations(&mut seat, 0, 20, false).await?;
        pages.push(stage.get(&seat.path("conversations"), &[]));
    }
    seeder.close().await;
    let name = format!("{IDLE_SUBSCRIPTIONS} subscriptions x {IDLE_ACCOUNTS} accounts, idle");
    writeln!(std::io::stderr(), "measuring: {name}")?;
    let (without, _) = at_rest(bench, &stage, &pages).await?;
    let server = stage.server().await?;
    let body = r#"{"url":"https://hooks.example.com/kabar","events":["message.received","message.status"]}"#;
    let requests = vec![stage.post("/v1/webhook_subscriptions", body); IDLE_SUBSCRIPTIONS];
    let load = Load { duration: LONGEST, ..bench.load(&server) };
    load.run(&Drain::new(requests, 201)).await?;
    server.end().await?;
    let (with, statements) = at_rest(bench, &stage, &pages).await?;
    let more = (with - without) / MEGABYTE;
    bench.figures.push(Figure::new(&format!("{name}: RSS more"), more, "MB", Goal::AtMost(100.0)));
    let seconds = QUIET.as_secs();
    let counted = format!("{name}: SQL statements in {seconds} s");
    bench.figures.push(Figure::new(&counted, statements, "", Goal::AtMost(0.0)));
    Ok(())
}

/// A fresh server with these accounts in memory: its bytes, and the statements it runs while nothing
/// happens.
async fn at_rest(bench: &BenchRun, stage: &Stage, pages: &[Bytes]) -> anyhow::Result<(f64, f64)> {
    let server = stage.server().await?;
    let load = Load { duration: LONGEST, ..bench.load(&server) };
    load.run(&Drain::new(pages.to_vec(), 200)).await?;
    let before = statements(&server).await?;
    tokio::time::sleep(QUIET).await;
    let after = statements(&server).await?;
    let bytes = f64::from(u32::try_from(server.resident_bytes()? / 1024)?) * 1024.0;
    server.end().await?;
    Ok((bytes, f64::from(u32::try_from(after - before)?)))
}

async fn statements(server: &Child) -> anyhow::Result<u64> {
    let (_, _, body) = wire::once(server.address, &wire::request("GET", "/metrics", &[], b"")).await?;
    let text = String::from_utf8_lossy(&body);
    let line = text.lines().find_map(|line| line.strip_prefix("kabar_database_statements_total "));
    Ok(line.context("the statements are not counted")?.trim().parse()?)
}
