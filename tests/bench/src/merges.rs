//! Contacts that turn out to be one person: what their merge takes, and what it costs the neighbours.

use std::io::Write as _;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use bytes::Bytes;
use kabar_core::clock::Clock;

use super::bench_run::BenchRun;
use super::child::Child;
use super::ingress::webhook;
use super::latency_histogram::LatencyHistogram;
use super::report::{Figure, Goal, millis};
use super::seed::{Seat, SentMessage};
use super::sends::inbound;
use super::stage::Stage;
use super::wire::{self, Connection};

/// Merges; each of two contacts.
const MERGES: u32 = 8;
/// Messages of each contact.
const MESSAGES: usize = 10_000;
const COMMIT_ROWS: usize = 5_000;
/// Webhooks of the neighbour before the first merge, to compare with.
const ALONE: u64 = 2_000;

pub(super) async fn play(bench: &mut BenchRun) -> anyhow::Result<()> {
    let stage = Stage::set(&bench.folder, &bench.services).await?;
    let seeder = stage.seeder().await?;
    let mut seat = seeder.seat(1).await?;
    let mut pairs = Vec::new();
    for nth in 0..MERGES {
        let conversations = seeder.conversations(&mut seat, nth * 2, 2, false).await?;
        let mut lasts = Vec::new();
        for conversation in &conversations {
            let conversation = std::slice::from_ref(conversation);
            for _ in 0..MESSAGES / COMMIT_ROWS {
                lasts.extend(seeder.sent_messages(&mut seat, conversation, COMMIT_ROWS).await?.pop());
            }
        }
        pairs.push((lasts.first().cloned(), lasts.pop()));
    }
    let neighbour = seeder.seat(2).await?;
    seeder.close().await;
    let server = stage.server().await?;
    writeln!(std::io::stderr(), "measuring: {MERGES} merges")?;

    let make = inbound(&neighbour);
    let alone = post_each(&server, (0..ALONE).map(|nth| make(nth))).await?;
    let ended = Arc::new(AtomicBool::new(false));
    let until = ended.clone();
    let beside = (ALONE..).take_while(move |_| !until.load(Ordering::Relaxed)).map(move |nth| make(nth));
    let merging = async {
        let merged = merge_each(&stage, &server, &seat, pairs).await;
        ended.store(true, Ordering::Relaxed);
        merged
    };
    let (merged, beside) = tokio::join!(merging, post_each(&server, beside));
    let (merged, beside) = (merged?, beside?);
    let name = format!("merge of two contacts with {MESSAGES} messages each");
    let mut show = |name: &str, value: Duration, goal| {
        bench.figures.push(Figure::new(name, millis(value), "ms", goal));
    };
    show(&format!("{name}: ack, p50"), merged.quantile(500), Goal::None);
    show(&format!("{name}: ack, longest"), merged.longest(), Goal::AtMost(500.0));
    show("webhook of a neighbour, alone: ack, p99", alone.quantile(990), Goal::None);
    show("webhook of a neighbour, beside merges: ack, p99", beside.quantile(990), Goal::None);
    show("webhook of a neighbour, beside merges: ack, longest", beside.longest(), Goal::None);
    server.end().await
}

/// Posts one webhook after the other.
async fn post_each(
    server: &Child,
    webhooks: impl Iterator<Item = Bytes>,
) -> anyhow::Result<LatencyHistogram> {
    let mut connection = Connection::open(server.address).await?;
    let mut latencies = LatencyHistogram::new();
    for webhook in webhooks {
        let begun = Instant::now();
        let answer = connection.ask(&webhook).await?;
        if answer.status != 200 {
            bail!("expected 200, got {}", answer.excerpt());
        }
        latencies.record(begun.elapsed());
    }
    Ok(latencies)
}

/// Has WhatsApp state of each pair that it is one person: a message to the one was read by the other.
async fn merge_each(
    stage: &Stage,
    server: &Child,
    seat: &Seat,
    pairs: Vec<(Option<SentMessage>, Option<SentMessage>)>,
) -> anyhow::Result<LatencyHistogram> {
    let seconds = Clock::system_clock().read_now().millis() / 1000;
    let mut latencies = LatencyHistogram::new();
    for (first, second) in pairs {
        let (first, second) = (first.context("no message")?, second.context("no message")?);
        let read = SentMessage { to: second.to, ..first };
        let merge = webhook(seat, std::slice::from_ref(&read), "read", seconds);
        latencies.merge(&post_each(server, std::iter::once(merge)).await?);
        let path = seat.path(&format!("messages/{}", second.id));
        let moved = ask_for_row(stage, server, &path).await?;
        let kept = ask_for_row(stage, server, &seat.path(&format!("messages/{}", read.id))).await?;
        if moved.get("contact_id") != kept.get("contact_id") {
            bail!("the contacts were not merged: {moved} {kept}");
        }
    }
    Ok(latencies)
}

async fn ask_for_row(stage: &Stage, server: &Child, path: &str) -> anyhow::Result<serde_json::Value> {
    let (status, _, body) = wire::once(server.address, &stage.get(path, &[])).await?;
    if status != 200 {
        bail!("{path} was answered {status}");
    }
    let mut answer: serde_json::Value = serde_json::from_slice(&body)?;
    Ok(answer.get_mut("data").map(serde_json::Value::take).unwrap_or_default())
}
