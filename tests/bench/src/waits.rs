//! What it costs to be told: polls that are held until something changes, and streams of events.
//!
//! A held poll is charged with the memory that it takes while it waits, and with the processor time of
//! the change that answers all of them; a stream with the processor time of an event, without that of
//! taking the event in.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Barrier;
use tokio::task::JoinSet;

use super::bench_run::BenchRun;
use super::child::Child;
use super::latency_histogram::LatencyHistogram;
use super::paced::Paced;
use super::report::{Figure, Goal, millis};
use super::seed::Seat;
use super::sends::inbound;
use super::stage::Stage;
use super::wire::{self, Connection};

/// Polls that wait at once; each has a connection of its own.
const POLLS: usize = 400;
const CHANGES: usize = 50;
const STREAMS: u32 = 50;
const EVENTS_PER_SECOND: u32 = 200;
/// As many as the messages of the streams' scene come from.
const CONVERSATIONS: u32 = 1_000;
/// No change is told later, and no event read.
const WAIT_TIMEOUT: Duration = Duration::from_secs(30);

/// Both.
pub(super) async fn play(bench: &mut BenchRun) -> anyhow::Result<()> {
    let stage = Stage::set(&bench.folder, &bench.services).await?;
    let seeder = stage.seeder().await?;
    let mut seat = seeder.seat(1).await?;
    let conversations = seeder.conversations(&mut seat, 0, CONVERSATIONS, false).await?;
    seeder.close().await;
    let first = conversations.first().context("no conversation was made")?;
    let server = stage.server().await?;
    held_polls(bench, &stage, &server, &seat, &seat.path(&format!("conversations/{}", first.id))).await?;
    streams(bench, &stage, &server, &seat).await?;
    server.end().await
}

/// One poll and its tag.
struct Poll {
    connection: Connection,
    tag: String,
}

impl Poll {
    async fn ask(&mut self, stage: &Stage, path: &str, wait: Option<&str>) -> anyhow::Result<()> {
        let tag = format!("If-None-Match: {}", self.tag);
        let headers: Vec<&str> =
            wait.into_iter().chain(Some(tag.as_str()).filter(|_| wait.is_some())).collect();
        let answer = self.connection.ask(&stage.get(path, &headers)).await?;
        if answer.status != 200 {
            bail!("expected 200, got {}", answer.excerpt());
        }
        answer.header("etag").context("no ETag")?.clone_into(&mut self.tag);
        Ok(())
    }
}

async fn held_polls(
    bench: &mut BenchRun,
    stage: &Stage,
    server: &Child,
    seat: &Seat,
    conversation: &str,
) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "measuring: {POLLS} held polls of one list")?;
    let path = seat.path("conversations");
    let mut polls = Vec::new();
    for _ in 0..POLLS {
        let mut poll = Poll { connection: Connection::open(server.address).await?, tag: String::new() };
        poll.ask(stage, &path, None).await?;
        polls.push(poll);
    }
    let idle = server.resident_bytes()?;
    let (mut latencies, mut spent, mut waiting_bytes) = (LatencyHistogram::new(), Duration::ZERO, 0);
    for nth in 0..CHANGES {
        let status = ["pending", "open"].get(nth % 2).copied().unwrap_or_default();
        let change = stage.patch(conversation, &format!(r#"{{"status":"{status}"}}"#));
        let all = futures_util::future::try_join_all(
            polls.iter_mut().map(|poll| poll.ask(stage, &path, Some("Prefer: wait=30"))),
        );
        let changing = async {
            await_waiting(server, POLLS).await?;
            if nth == 0 {
                waiting_bytes = server.resident_bytes()?;
            }
            let (cpu, begun) = (server.cpu()?, Instant::now());
            let (code, _, body) = wire::once(server.address, &change).await?;
            if code != 200 {
                bail!("the change was answered {code}: {}", String::from_utf8_lossy(&body));
            }
            Ok((cpu, begun))
        };
        let (told, changed) =
            tokio::time::timeout(WAIT_TIMEOUT, async { tokio::join!(all, changing) }).await?;
        told?;
        let (cpu, begun) = changed?;
        latencies.record(begun.elapsed());
        spent += server.cpu()?.saturating_sub(cpu);
    }
    let answers = f64::from(u32::try_from(POLLS * CHANGES)?);
    let name = format!("{POLLS} held polls");
    let more = f64::from(u32::try_from(waiting_bytes.saturating_sub(idle) / 1024)?);
    let each = more / f64::from(u32::try_from(POLLS)?);
    bench.figures.push(Figure::new(&format!("{name}: memory of each"), each, "KiB", Goal::None));
    let each = spent.as_secs_f64() * 1e6 / answers;
    bench.figures.push(Figure::new(&format!("{name}: CPU of each answer"), each, "µs", Goal::None));
    let told = millis(latencies.quantile(500));
    bench.figures.push(Figure::new(
        &format!("{name}: change asked for to all told, p50"),
        told,
        "ms",
        Goal::None,
    ));
    Ok(())
}

async fn await_waiting(server: &Child, polls: usize) -> anyhow::Result<()> {
    let wanted = format!("kabar_waiting_polls {polls}");
    let request = wire::request("GET", "/metrics", &[], b"");
    loop {
        let (_, _, body) = wire::once(server.address, &request).await?;
        if String::from_utf8_lossy(&body).lines().any(|line| line == wanted) {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn streams(bench: &mut BenchRun, stage: &Stage, server: &Child, seat: &Seat) -> anyhow::Result<()> {
    writeln!(std::io::stderr(), "measuring: {STREAMS} streams, {EVENTS_PER_SECOND} messages/s")?;
    let load = |answered: &Arc<AtomicU64>| Paced {
        address: server.address,
        connections: 8,
        per_second: EVENTS_PER_SECOND,
        duration: bench.duration,
        answered: answered.clone(),
    };
    let cpu = server.cpu()?;
    load(&Arc::default()).run(inbound(seat)).await?;
    let without = server.cpu()?.saturating_sub(cpu);

    let last = stage.last_sequence(server).await?;
    let read = Arc::<AtomicU64>::default();
    let opened = Arc::new(Barrier::new(usize::try_from(STREAMS)? + 1));
    let mut readers = JoinSet::new();
    for _ in 0..STREAMS {
        let path = format!("events/stream?types=message.received&after={last}");
        let request = stage.get(&seat.path(&path), &[]);
        readers.spawn(read_stream(server.address, request, read.clone(), opened.clone()));
    }
    tokio::time::timeout(WAIT_TIMEOUT, opened.wait()).await.context("the streams did not open")?;
    let (cpu, answered) = (server.cpu()?, Arc::<AtomicU64>::default());
    let make = inbound(seat);
    let first = u64::from(EVENTS_PER_SECOND) * bench.duration.as_secs();
    load(&answered).run(Arc::new(move |nth| make(first + nth))).await?;
    let events = answered.load(Ordering::Relaxed) * u64::from(STREAMS);
    let begun = Instant::now();
    while read.load(Ordering::Relaxed) < events {
        if begun.elapsed() > WAIT_TIMEOUT {
            bail!("{} of {events} events were read", read.load(Ordering::Relaxed));
        }
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let with = server.cpu()?.saturating_sub(cpu);
    readers.abort_all();
    let each = with.saturating_sub(without).as_secs_f64() * 1e6 / f64::from(u32::try_from(events)?);
    let name = format!("{STREAMS} streams, {EVENTS_PER_SECOND} messages/s: CPU of each event at each");
    bench.figures.push(Figure::new(&name, each, "µs", Goal::None));
    Ok(())
}

/// Counts the events of a stream, from now on.
async fn read_stream(
    address: std::net::SocketAddr,
    request: Bytes,
    read: Arc<AtomicU64>,
    opened: Arc<Barrier>,
) -> anyhow::Result<()> {
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(&request).await?;
    let mut lines = BufReader::new(stream).lines();
    while let Some(line) = lines.next_line().await? {
        if line.starts_with("retry:") {
            opened.wait().await;
        }
        // A frame is sent whole, so that no line of it is cut by the framing of HTTP.
        read.fetch_add(u64::from(line.starts_with("data:")), Ordering::Relaxed);
    }
    Ok(())
}
