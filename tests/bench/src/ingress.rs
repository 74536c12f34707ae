//! Webhooks: statuses that are durable before they are answered, one by one and in batches.

use anyhow::{Context as _, bail};
use bytes::Bytes;
use kabar_core::clock::Clock;

use super::bench_run::BenchRun;
use super::child::Child;
use super::load::{Drain, Load};
use super::report::{Figure, Goal};
use super::seed::{Seat, Seeder, SentMessage};
use super::stage::Stage;
use super::wire;

const CONVERSATIONS: u32 = 500;
pub(super) const BATCH: usize = 50;
/// WhatsApp batches on few connections. With 32 of them 1600 statuses would wait at any time, and
/// at the promised 10 000 a second the acknowledgement would take 160 ms by arithmetic alone.
const BATCH_CONNECTIONS: usize = 4;
/// Single statuses a second that each engine promises; PostgreSQL is a second process on the same cores.
const SINGLE_GOAL: [f64; 2] = [5_000.0, 3_000.0];
/// Messages made per second of load: twice as many statuses, more than any run has taken.
const SINGLE_MESSAGES: usize = 8_000;
const BATCH_MESSAGES: usize = 25_000;
const COMMIT_ROWS: usize = 5_000;

pub(super) async fn play(bench: &mut BenchRun) -> anyhow::Result<()> {
    let stage = Stage::set(&bench.folder, &bench.services).await?;
    let seconds = usize::try_from(bench.duration.as_secs())?;
    let seeder = stage.seeder().await?;
    let (single, taken_singly) = messages(&seeder, 1, seconds * SINGLE_MESSAGES).await?;
    let (batched, taken_batched) = messages(&seeder, 2, seconds * BATCH_MESSAGES).await?;
    seeder.close().await;

    let server = stage.server().await?;
    let load = bench.load(&server);
    let one = webhooks(&single, &taken_singly, 1);
    let row = bench.measure("webhook, one status", &server, load, &Drain::new(one, 200)).await?;
    let (rate, ack) = (row.per_second, row.p99_ms);
    let [embedded, served] = SINGLE_GOAL;
    let goal = Goal::AtLeast(if bench.services.postgres.is_some() { served } else { embedded });
    bench.figures.push(Figure::new("ingress, single statuses", rate, "statuses/s", goal));
    bench.figures.push(Figure::new("ingress, single statuses: ack p99", ack, "ms", Goal::AtMost(50.0)));
    durable(&stage, &server, &single, &taken_singly).await?;

    let many = webhooks(&batched, &taken_batched, BATCH);
    let load = Load { connections: load.connections.min(BATCH_CONNECTIONS), ..bench.load(&server) };
    let row =
        bench.measure("webhook, 50 statuses, 4 connections", &server, load, &Drain::new(many, 200)).await?;
    let (rate, ack) = (row.per_second * 50.0, row.p99_ms);
    bench.figures.push(Figure::new("ingress, batches of 50", rate, "statuses/s", Goal::AtLeast(10_000.0)));
    bench.figures.push(Figure::new("ingress, batches of 50: ack p99", ack, "ms", Goal::AtMost(50.0)));
    durable(&stage, &server, &batched, &taken_batched).await?;
    server.end().await
}

/// An account with as many messages that WhatsApp has taken.
pub(super) async fn messages(
    seeder: &Seeder,
    n: u32,
    count: usize,
) -> anyhow::Result<(Seat, Vec<SentMessage>)> {
    let mut seat = seeder.seat(n).await?;
    let conversations = seeder.conversations(&mut seat, 0, CONVERSATIONS, true).await?;
    let mut taken = Vec::with_capacity(count);
    while taken.len() < count {
        let rows = COMMIT_ROWS.min(count - taken.len());
        taken.extend(seeder.sent_messages(&mut seat, &conversations, rows).await?);
    }
    Ok((seat, taken))
}

/// Every message is first delivered, then read: each status is new, and so must be written.
pub(super) fn webhooks(seat: &Seat, taken: &[SentMessage], batch: usize) -> Vec<Bytes> {
    let now = Clock::system_clock().read_now().millis() / 1000;
    let of =
        |status: &'static str| taken.chunks(batch).map(move |messages| webhook(seat, messages, status, now));
    of("delivered").chain(of("read")).collect()
}

pub(super) fn webhook(seat: &Seat, messages: &[SentMessage], status: &str, seconds: i64) -> Bytes {
    let statuses: Vec<String> = messages
        .iter()
        .map(|SentMessage { id, wamid, to }| {
            format!(
                r#"{{"id":"{wamid}","status":"{status}","timestamp":"{seconds}","recipient_id":"{to}","biz_opaque_callback_data":"{id}"}}"#
            )
        })
        .collect();
    let account = &seat.account;
    Stage::webhook(&format!(
        r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"{}","phone_number_id":"{}"}},"statuses":[{}]}}}}]}}]}}"#,
        account.phone.as_digits(),
        account.phone_number_id,
        statuses.join(",")
    ))
}

/// A figure for statuses that went nowhere would be worthless: the first message must have moved.
async fn durable(stage: &Stage, server: &Child, seat: &Seat, taken: &[SentMessage]) -> anyhow::Result<()> {
    let first = taken.first().context("no message was made")?;
    let request = stage.get(&seat.path(&format!("messages/{}", first.id)), &[]);
    let (status, _, body) = wire::once(server.address, &request).await?;
    let body = String::from_utf8_lossy(&body);
    let moved = body.contains(r#""status":"delivered""#) || body.contains(r#""status":"read""#);
    if status == 200 && moved { Ok(()) } else { bail!("the statuses were lost: {status} {body}") }
}
