//! Polls: what a client asks all day, side by side with the yardstick.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use anyhow::{Context as _, bail};
use bytes::Bytes;

use super::baseline;
use super::bench_run::BenchRun;
use super::child::Child;
use super::load::{Load, Repeat, Script};
use super::report::{Figure, Goal};
use super::stage::Stage;
use super::wire::{self, Answer};

const CONVERSATIONS: u32 = 40;

pub(super) async fn play(bench: &mut BenchRun) -> anyhow::Result<()> {
    let before = yardstick(bench, "baseline: bare hyper, 13 bytes").await?;

    let stage = Stage::set(&bench.folder, &bench.services).await?;
    let seeder = stage.seeder().await?;
    let mut seat = seeder.seat(1).await?;
    let conversations = seeder.conversations(&mut seat, 0, CONVERSATIONS, true).await?;
    let taken = seeder.sent_messages(&mut seat, &conversations, 1).await?;
    seeder.close().await;
    let message = taken.first().context("no message was made")?.id;
    let first = conversations.first().context("no conversation was made")?;

    let list = seat.path("conversations");
    let poll = seat.path(&format!("messages/{message}"));
    let server = stage.server().await?;
    let unchanged = not_modified(&stage, &server, &list).await?;
    bench.measure("list, 304", &server, bench.load(&server), &unchanged).await?;
    let page = whole(&stage, &server, &list, &[]).await?;
    bench.measure("list, hit, 25 conversations", &server, bench.load(&server), &page).await?;
    let page = whole(&stage, &server, &list, &["Accept-Encoding: gzip, deflate"]).await?;
    bench.measure("list, hit, in gzip", &server, bench.load(&server), &page).await?;
    let unchanged = not_modified(&stage, &server, &poll).await?;
    bench.measure("message, 304", &server, bench.load(&server), &unchanged).await?;
    let after = yardstick(bench, "baseline again").await?;
    compare(bench, before.midpoint(after));

    let change = stage_changes(&stage, &seat.path(&format!("conversations/{}", first.id)));
    page_after_write(bench, &server, change, stage.get(&list, &[])).await?;
    server.end().await
}

async fn yardstick(bench: &mut BenchRun, name: &str) -> anyhow::Result<f64> {
    let server = Child::baseline().await?;
    let request = wire::request("GET", "/", &[], b"");
    let script = Repeat { request, status: 200, body_bytes: baseline::BODY.len() };
    let per_second = bench.measure(name, &server, bench.load(&server), &script).await?.per_second;
    server.end().await?;
    Ok(per_second)
}

/// The goals are ratios to the yardstick, whose figure is the mean of before and after.
fn compare(bench: &mut BenchRun, baseline: f64) {
    let goals = [("list, 304", 0.5), ("list, hit, 25 conversations", 0.4)];
    for row in &mut bench.rows {
        row.ratio = Some(row.per_second / baseline);
        if let Some((name, goal)) = goals.iter().find(|(name, _)| *name == row.name) {
            let ratio = Figure::new(
                &format!("{name}: ratio to baseline"),
                row.per_second / baseline,
                "",
                Goal::AtLeast(*goal),
            );
            bench.figures.push(ratio);
            bench.figures.push(Figure::new(&format!("{name}: p99"), row.p99_ms, "ms", Goal::AtMost(2.0)));
        }
    }
}

async fn whole(stage: &Stage, server: &Child, path: &str, headers: &[&str]) -> anyhow::Result<Repeat> {
    let request = stage.get(path, headers);
    let (status, _, body) = wire::once(server.address, &request).await?;
    if status != 200 {
        bail!("{path} answered {status}: {}", String::from_utf8_lossy(&body));
    }
    Ok(Repeat { request, status, body_bytes: body.len() })
}

async fn not_modified(stage: &Stage, server: &Child, path: &str) -> anyhow::Result<Repeat> {
    let (_, etag, body) = wire::once(server.address, &stage.get(path, &[])).await?;
    let etag = etag.with_context(|| format!("no ETag: {}", String::from_utf8_lossy(&body)))?;
    let request = stage.get(path, &[&format!("If-None-Match: {etag}")]);
    Ok(Repeat { request, status: 304, body_bytes: 0 })
}

fn stage_changes(stage: &Stage, path: &str) -> [Bytes; 2] {
    ["pending", "open"].map(|status| stage.patch(path, &format!(r#"{{"status":"{status}"}}"#)))
}

/// A change, and after it, if there is one, a read that must miss.
#[derive(Clone)]
struct Writes {
    changes: [Bytes; 2],
    read: Option<Bytes>,
    /// Changes made; says which one is next. Shared by warm-up and measurement, because a change to
    /// what is already so is none, and the read after it would rightly be a hit.
    made: Arc<AtomicUsize>,
    reading: bool,
}

impl Script for Writes {
    fn next(&mut self) -> Option<Bytes> {
        if let (true, Some(read)) = (self.reading, &self.read) {
            return Some(read.clone());
        }
        self.changes.get(self.made.fetch_add(1, Ordering::Relaxed) % 2).cloned()
    }

    fn check(&mut self, answer: &Answer<'_>) -> anyhow::Result<()> {
        if answer.status != 200 {
            bail!("expected 200, got {}", answer.excerpt());
        }
        let missed = answer.header("cache-status").is_some_and(|said| said.contains("fwd=miss"));
        if self.reading && !missed {
            bail!("a page after a write came from the cache: {:?}", answer.header("cache-status"));
        }
        self.reading = self.read.is_some() && !self.reading;
        Ok(())
    }

    /// After `check`, `reading` says what comes next: a read was just answered when a change does.
    fn counts(&self) -> bool {
        self.read.is_none() || !self.reading
    }
}

/// What a page costs right after a write: writes alone, then writes with a read after each; the
/// difference in CPU time is the read's.
async fn page_after_write(
    bench: &mut BenchRun,
    server: &Child,
    changes: [Bytes; 2],
    read: Bytes,
) -> anyhow::Result<()> {
    let one = Load { connections: 1, ..bench.load(server) };
    let alone = Writes { changes, read: None, made: Arc::default(), reading: false };
    let writes = bench.measure("PATCH, one connection", server, one, &alone).await?.cpu_micros;
    let paired = Writes { read: Some(read), ..alone };
    // Half of the answers of the pairs are changes, so a pair costs twice the mean.
    let pairs = bench.measure("page after each PATCH (CPU: mean of both)", server, one, &paired).await?;
    let (pair, p50, p99) = (2.0 * pairs.cpu_micros, pairs.p50_ms, pairs.p99_ms);
    let name = "page after a write (resident)";
    bench.figures.push(Figure::new(&format!("{name}: CPU"), pair - writes, "µs", Goal::AtMost(200.0)));
    bench.figures.push(Figure::new(&format!("{name}: p50"), p50, "ms", Goal::None));
    bench.figures.push(Figure::new(&format!("{name}: p99"), p99, "ms", Goal::None));
    Ok(())
}
