//! Costs of strangers, and of one tenant, to another tenant of the server: by connections without a key; by searches, held
//! polls, uploads, and webhooks to a receiver that does not answer.
//!
//! Invariants: the quiet tenant asks at a fixed rate, and does the same alone and beside each neighbour; alone and
//! beside follow each other for each neighbour, so that a machine that changes meanwhile changes both. The loud tenant
//! asks as fast as it is answered, and does not heed `Retry-After`.

use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use bytes::Bytes;
use serde_json::json;
use tokio::task::JoinSet;

use super::bench_run::BenchRun;
use super::child::Child;
use super::latency_histogram::LatencyHistogram;
use super::paced::{Make, Paced};
use super::receiver::{Manner, Receiver};
use super::report::{Figure, Goal, millis};
use super::seed::{Seat, Seeder};
use super::sends::inbound;
use super::stage::{Stage, Tenant};
use super::strangers::StrangerHabit;
use super::wire::{self, Connection};

/// Contacts of the loud tenant, which it searches.
const LOUD_CONTACTS: u32 = 100_000;
/// Contacts of the quiet tenant.
const QUIET_CONTACTS: u32 = 200;
/// Contacts of one commit.
const SEED_BATCH: u32 = 1_000;
/// Reads a second, and writes, of the quiet tenant.
const QUIET_PER_SECOND: u32 = 50;
/// Connections of the loud tenant.
const LOUD_CONNECTIONS: usize = 64;
/// Polls that the server holds: fewer than the loud tenant asks for.
const HELD_POLLS: &str = "32";
/// Bytes of an upload, which is no component.
const UPLOAD_BYTES: usize = 8 << 20;
/// Messages a second to the loud tenant, each for a receiver that does not answer.
const LOUD_EVENTS_PER_SECOND: u32 = 200;
/// Memory that strangers may cost.
const STRANGERS_MIB_MAX: f64 = 64.0;
/// Memory that one tenant may cost.
const TENANT_MIB_MAX: f64 = 256.0;
/// Time that a neighbour is at it before anything is measured.
const WARM_UP: Duration = Duration::from_secs(1);

/// The two tenants and their server.
struct Scene<'a> {
    stage: &'a Stage,
    server: &'a Child,
    loud: &'a Tenant,
    quiet_seat: Seat,
    loud_seat: Seat,
    conversation: String,
    duration: Duration,
}

/// Latencies of the quiet tenant, and the server's memory at the end.
struct Seen {
    reads: LatencyHistogram,
    writes: LatencyHistogram,
    bytes: u64,
}

/// Plays the scene.
pub(super) async fn play(bench: &mut BenchRun) -> anyhow::Result<()> {
    let mut stage = Stage::set(&bench.folder, &bench.services).await?;
    stage.settings =
        vec![("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true"), ("KABAR_LIMITS__WAITING_POLLS", HELD_POLLS)];
    let server = stage.server().await?;
    let loud = stage.another(&server).await?;
    server.end().await?;
    writeln!(std::io::stderr(), "seeding {LOUD_CONTACTS} contacts")?;
    let (quiet_seat, conversation) = seed(stage.seeder().await?, 1, QUIET_CONTACTS).await?;
    let (loud_seat, _) = seed(stage.seeder_of(&loud).await?, 2, LOUD_CONTACTS).await?;
    let server = stage.server().await?;
    let duration = bench.duration;
    let scene =
        Scene { stage: &stage, server: &server, loud: &loud, quiet_seat, loud_seat, conversation, duration };
    for habit in StrangerHabit::ALL {
        let load = habit.start_load(server.address);
        scene.compare(bench, &format!("strangers' {}", habit.name()), STRANGERS_MIB_MAX, load).await?;
    }
    scene.compare(bench, "a tenant's searches", TENANT_MIB_MAX, scene.searches()).await?;
    scene.compare(bench, "a tenant's held polls", TENANT_MIB_MAX, scene.held_polls().await?).await?;
    scene.compare(bench, "a tenant's uploads", TENANT_MIB_MAX, scene.uploads().await?).await?;
    let receiver = Receiver::start(Manner::Hangs, Arc::new(|_| ())).await?;
    let body = json!({"url": receiver.url, "events": ["message.received"]}).to_string();
    loud.ask(&server, &loud.post("/v1/webhook_subscriptions", &body)).await?;
    let events = Paced {
        address: server.address,
        connections: 8,
        per_second: LOUD_EVENTS_PER_SECOND,
        duration: WARM_UP + duration,
        answered: Arc::default(),
    };
    let make = inbound(&scene.loud_seat);
    let mut load = JoinSet::new();
    load.spawn(async move { events.run(make).await.map(drop) });
    scene.compare(bench, "a tenant's slow webhooks", TENANT_MIB_MAX, load).await?;
    server.end().await
}

/// Fills an account; answers it, and the path of a conversation.
async fn seed(seeder: Seeder, n: u32, contacts: u32) -> anyhow::Result<(Seat, String)> {
    let mut seat = seeder.seat(n).await?;
    let mut first = None;
    for from in (0..contacts).step_by(usize::try_from(SEED_BATCH)?) {
        let made = seeder.conversations(&mut seat, from, SEED_BATCH.min(contacts - from), false).await?;
        first = first.or_else(|| made.first().map(|conversation| conversation.id));
    }
    seeder.close().await;
    let first = first.context("no conversation was made")?;
    let path = seat.path(&format!("conversations/{first}"));
    Ok((seat, path))
}

/// Asks one request after another, whatever the answers are.
async fn ask_on(address: SocketAddr, make: Arc<Make>, nth: u64) -> anyhow::Result<()> {
    let mut connection = Connection::open(address).await?;
    for round in 0_u64.. {
        let request = make(nth + round * 97);
        if connection.ask(&request).await.is_err() {
            connection = Connection::open(address).await?;
        }
    }
    Ok(())
}

impl Scene<'_> {
    /// The loud tenant's requests on all of its connections.
    fn loud_load(&self, make: &Arc<Make>) -> JoinSet<anyhow::Result<()>> {
        let mut load = JoinSet::new();
        for nth in 0..LOUD_CONNECTIONS {
            let (address, make) = (self.server.address, make.clone());
            load.spawn(ask_on(address, make, u64::try_from(nth).unwrap_or(0)));
        }
        load
    }

    /// Searches of texts that no contact has, and of two characters that none has.
    fn searches(&self) -> JoinSet<anyhow::Result<()>> {
        let search =
            |text: &str| self.loud.get(&self.loud_seat.path(&format!("contacts?search={text}")), &[]);
        let requests: Vec<Bytes> = (0..1_000_u32)
            .map(|nth| {
                search(&if nth % 4 == 0 { format!("q{}", nth % 10) } else { format!("%2B62899{nth}") })
            })
            .collect();
        let make: Arc<Make> = Arc::new(move |nth| {
            let place = usize::try_from(nth).unwrap_or(0) % requests.len();
            requests.get(place).cloned().unwrap_or_default()
        });
        self.loud_load(&make)
    }

    async fn held_polls(&self) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
        let path = self.loud_seat.path("conversations");
        let (_, tag, _) = wire::once(self.server.address, &self.loud.get(&path, &[])).await?;
        let tag = tag.context("no ETag")?;
        let request = self.loud.get(&path, &["Prefer: wait=30", &format!("If-None-Match: {tag}")]);
        let make: Arc<Make> = Arc::new(move |_| request.clone());
        Ok(self.loud_load(&make))
    }

    async fn uploads(&self) -> anyhow::Result<JoinSet<anyhow::Result<()>>> {
        let body = json!({"name": "bench", "events": ["message.status"]}).to_string();
        let plugin = self.loud.ask(self.server, &self.loud.post("/v1/plugins", &body)).await?;
        let id = plugin.pointer("/data/id").and_then(serde_json::Value::as_str).context("no id")?;
        let request = self.loud.upload(&format!("/v1/plugins/{id}/versions"), &vec![0; UPLOAD_BYTES]);
        let make: Arc<Make> = Arc::new(move |_| request.clone());
        Ok(self.loud_load(&make))
    }

    /// The quiet tenant's reads and writes for a while.
    async fn measure(&self) -> anyhow::Result<Seen> {
        let load = |connections| Paced {
            address: self.server.address,
            connections,
            per_second: QUIET_PER_SECOND,
            duration: self.duration,
            answered: Arc::default(),
        };
        // Each is another page, so that none is answered from memory.
        let reads: Vec<Bytes> = (0..u64::from(QUIET_PER_SECOND) * self.duration.as_secs())
            .map(|nth| {
                let path = format!("contacts?limit={}&search=customer%20{}", 1 + nth / 200 % 100, nth % 200);
                self.stage.get(&self.quiet_seat.path(&path), &[])
            })
            .collect();
        let changes = ["pending", "open"]
            .map(|status| self.stage.patch(&self.conversation, &json!({"status": status}).to_string()));
        let change: Arc<Make> = Arc::new(move |nth| {
            let [first, second] = &changes;
            if nth % 2 == 0 { first.clone() } else { second.clone() }
        });
        let (reads, writes) = tokio::join!(load(16).run(super::paced::nth(reads)), load(16).run(change));
        Ok(Seen { reads: reads?, writes: writes?, bytes: self.server.resident_bytes()? })
    }

    /// Measures alone, then beside this load, and shows both.
    async fn compare(
        &self,
        bench: &mut BenchRun,
        what: &str,
        mib_max: f64,
        mut load: JoinSet<anyhow::Result<()>>,
    ) -> anyhow::Result<()> {
        writeln!(std::io::stderr(), "measuring: beside {what}")?;
        tokio::time::sleep(WARM_UP).await;
        let beside = self.measure().await?;
        load.shutdown().await;
        tokio::time::sleep(WARM_UP).await;
        let alone = self.measure().await?;
        for (kind, alone, beside) in
            [("reads", &alone.reads, &beside.reads), ("writes", &alone.writes, &beside.writes)]
        {
            let [alone, beside] = [alone, beside].map(|seen| millis(seen.quantile(990)));
            let name = format!("beside {what}: a quiet tenant's {kind}, p99");
            bench.figures.push(Figure::new(&format!("{name} alone"), alone, "ms", Goal::None));
            bench.figures.push(Figure::new(&name, beside, "ms", Goal::None));
            bench.figures.push(Figure::new(&format!("{name}, ratio"), beside / alone, "", Goal::AtMost(2.0)));
        }
        let more = f64::from(u32::try_from(beside.bytes.saturating_sub(alone.bytes) >> 10)?) / 1024.0;
        bench.figures.push(Figure::new(
            &format!("beside {what}: memory more"),
            more,
            "MiB",
            Goal::AtMost(mib_max),
        ));
        Ok(())
    }
}
