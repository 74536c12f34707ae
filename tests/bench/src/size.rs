//! Sizes: what ten thousand accounts weigh in memory, and how soon a huge account shows its page.

use std::sync::Arc;
use std::time::Instant;

use anyhow::bail;
use bytes::Bytes;
use tokio::task::JoinSet;

use super::bench_run::BenchRun;
use super::load::{Drain, LONGEST, Load};
use super::report::{Figure, Goal, millis};
use super::stage::Stage;
use super::wire;

const CONVERSATIONS_EACH: u32 = 20;
/// Accounts seeded at once, so that their commits share an fsync.
const TOGETHER: u32 = 64;
const COMMIT_ROWS: u32 = 5_000;
const MEGABYTE: f64 = 1e6;

/// Many small accounts, each asked for once and then resident.
pub(super) async fn resident(bench: &mut BenchRun) -> anyhow::Result<()> {
    let stage = Stage::set(&bench.folder, &bench.services).await?;
    let requests = small_accounts(&stage, bench.accounts).await?;
    let server = stage.server().await?;
    let empty = server.resident_bytes()?;
    let load = Load { duration: LONGEST, ..bench.load(&server) };
    bench.measure_cold("first page of a small account", &server, load, &Drain::new(requests, 200)).await?;
    let full = server.resident_bytes()?;
    let name = format!("{} resident accounts x {CONVERSATIONS_EACH} conversations", bench.accounts);
    let (empty, full) = (float(empty)? / MEGABYTE, float(full)? / MEGABYTE);
    bench.figures.push(Figure::new(&format!("{name}: RSS"), full, "MB", Goal::AtMost(600.0)));
    bench.figures.push(Figure::new("RSS of a server that has done nothing", empty, "MB", Goal::None));
    server.end().await
}

async fn small_accounts(stage: &Stage, accounts: u32) -> anyhow::Result<Vec<Bytes>> {
    let seeder = Arc::new(stage.seeder().await?);
    let mut requests = Vec::new();
    let mut open = JoinSet::new();
    for n in 1..=accounts {
        let seeder = seeder.clone();
        open.spawn(async move {
            let mut seat = seeder.seat(n).await?;
            seeder.conversations(&mut seat, 0, CONVERSATIONS_EACH, false).await?;
            Ok::<String, anyhow::Error>(seat.path("conversations"))
        });
        if n % TOGETHER == 0 || n == accounts {
            while let Some(path) = open.join_next().await {
                requests.push(stage.get(&path??, &[]));
            }
        }
    }
    if let Some(seeder) = Arc::into_inner(seeder) {
        seeder.close().await;
    }
    Ok(requests)
}

/// One huge account: from a cold server to its first page.
pub(super) async fn activation(bench: &mut BenchRun) -> anyhow::Result<()> {
    let stage = Stage::set(&bench.folder, &bench.services).await?;
    let seeder = stage.seeder().await?;
    let mut seat = seeder.seat(1).await?;
    let mut first = 0;
    while first < bench.conversations {
        let rows = COMMIT_ROWS.min(bench.conversations - first);
        seeder.conversations(&mut seat, first, rows, false).await?;
        first += rows;
    }
    seeder.close().await;

    let server = stage.server().await?;
    let name = format!("account of {} conversations", bench.conversations);
    let request = stage.get(&seat.path("conversations"), &[]);
    let begun = Instant::now();
    let (status, _, body) = wire::once(server.address, &request).await?;
    let took = millis(begun.elapsed());
    if status != 200 {
        bail!("the first page answered {status}: {}", String::from_utf8_lossy(&body));
    }
    bench.figures.push(Figure::new(&format!("{name}: first page"), took, "ms", Goal::AtMost(300.0)));
    let full = float(server.resident_bytes()?)? / MEGABYTE;
    bench.figures.push(Figure::new(&format!("{name}: RSS"), full, "MB", Goal::None));
    server.end().await
}

fn float(bytes: u64) -> anyhow::Result<f64> {
    // In kibibytes it fits 32 bits up to 4 TiB.
    Ok(f64::from(u32::try_from(bytes / 1024)?) * 1024.0)
}
