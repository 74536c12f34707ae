//! Sends: accepted durably and handed to WhatsApp, over one account and many; and one hot number at
//! WhatsApp's top rate with its statuses, its inbound messages and its pollers.
//!
//! Statuses are those of the very messages that are sent: sent, delivered and read of each.

use std::fmt::Write as _;
use std::io::Write as _;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use kabar_core::clock::Clock;
use tokio::sync::mpsc;

use super::bench_run::BenchRun;
use super::latency_histogram::LatencyHistogram;
use super::paced::Paced;
use super::report::{Figure, Goal, millis};
use super::seed::Seat;
use super::stage::Stage;
use super::stand_in::{StandIn, Taken};
use super::wire::Connection;

const PER_SECOND: u32 = 1_000;
const INBOUND_PER_SECOND: u32 = 300;
const POLLS_PER_SECOND: u32 = 100;
/// Above the load, so that it is the server that is measured and not the pace.
const PACE: u32 = 2_000;
const CONVERSATIONS: u32 = 1_000;
const ACCOUNTS: u32 = 20;
/// How often a webhook with what has been taken meanwhile is posted.
const STATUSES_EVERY: Duration = Duration::from_millis(20);
/// After the load: what is on its way arrives, or the lag is told.
const LAST_ONES: Duration = Duration::from_secs(1);

/// Accepted and handed over: over one account, then over many.
pub(super) async fn play(bench: &mut BenchRun) -> anyhow::Result<()> {
    for accounts in [1, ACCOUNTS] {
        let (stage, seats, stand_in) = set(bench, accounts).await?;
        let server = stage.server().await?;
        let (answered, handed) = (Arc::new(AtomicU64::new(0)), stand_in.handed());
        let name = format!("{PER_SECOND} sends/s, accounts: {accounts}");
        writeln!(std::io::stderr(), "measuring: {name}")?;
        let begun = Instant::now();
        let load = paced(server.address, PER_SECOND, bench.duration, &answered);
        let latencies = load.run(sends(&stage, &seats)).await?;
        let rate = float(handed.load(Ordering::Relaxed)) / begun.elapsed().as_secs_f64();
        tokio::time::sleep(LAST_ONES).await;
        let lag = lag(&answered, &handed);
        show_latencies(bench, &format!("{name}: accepted"), &latencies, 50.0);
        let goal = Goal::AtLeast(0.98 * f64::from(PER_SECOND));
        bench.figures.push(Figure::new(&format!("{name}: handed over"), rate, "/s", goal));
        bench.figures.push(Figure::new(&format!("{name}: lag a second later"), lag, "", Goal::AtMost(0.0)));
        server.end().await?;
    }
    Ok(())
}

/// One number at WhatsApp's top rate, for as long as is wanted.
pub(super) async fn hot(bench: &mut BenchRun) -> anyhow::Result<()> {
    let (stage, seats, stand_in) = set(bench, 1).await?;
    let Some(seat) = seats.first() else { bail!("no account was made") };
    let server = stage.server().await?;
    let (answered, handed) = (Arc::new(AtomicU64::new(0)), stand_in.handed());
    let (told, others) = (Arc::new(AtomicU64::new(0)), Arc::new(AtomicU64::new(0)));
    let (address, duration) = (server.address, bench.hot);
    writeln!(std::io::stderr(), "measuring: hot number, {} s", duration.as_secs())?;
    let statuses =
        post_statuses(address, Origin::of(seat), stand_in.taken, duration + LAST_ONES, told.clone());
    let lags = async {
        let mut seen = Vec::new();
        for _ in 0..3 {
            tokio::time::sleep(duration / 3).await;
            seen.push((lag(&answered, &handed), lag(&handed, &told)));
        }
        Ok::<_, anyhow::Error>(seen)
    };
    let list = stage.get(&seat.path("conversations"), &[]);
    let (accepted, inbound, polls, posted, lags) = tokio::try_join!(
        paced(address, PER_SECOND, duration, &answered).run(sends(&stage, &seats)),
        paced(address, INBOUND_PER_SECOND, duration, &others).run(inbound(seat)),
        paced(address, POLLS_PER_SECOND, duration, &others).run(Arc::new(move |_| list.clone())),
        statuses,
        lags,
    )?;
    show_latencies(bench, "hot number: sends accepted", &accepted, 50.0);
    show_latencies(bench, "hot number: inbound", &inbound, 50.0);
    show_latencies(bench, "hot number: statuses", &posted, 50.0);
    show_latencies(bench, "hot number: polls", &polls, 5.0);
    for (when, (unsent, untold)) in ["after a third", "after two thirds", "at the end"].iter().zip(lags) {
        let goal = Goal::AtMost(f64::from(PER_SECOND));
        let mut show = |what: &str, lag| {
            bench.figures.push(Figure::new(&format!("hot number: {what} {when}"), lag, "messages", goal));
        };
        show("not handed over", unsent);
        show("statuses not taken in", untold);
    }
    server.end().await
}

async fn set(bench: &BenchRun, accounts: u32) -> anyhow::Result<(Stage, Vec<Seat>, StandIn)> {
    let stand_in = StandIn::start().await?;
    let mut stage = Stage::set(&bench.folder, &bench.services).await?;
    stage.graph = stand_in.base_url.clone();
    let seeder = stage.seeder().await?;
    let mut seats = Vec::new();
    for n in 1..=accounts {
        let mut seat = seeder.seat_at(n, PACE).await?;
        seeder.conversations(&mut seat, 0, CONVERSATIONS, false).await?;
        seats.push(seat);
    }
    seeder.close().await;
    Ok((stage, seats, stand_in))
}

fn paced(address: SocketAddr, per_second: u32, duration: Duration, answered: &Arc<AtomicU64>) -> Paced {
    let answered = answered.clone();
    Paced { address, connections: 32, per_second, duration, answered }
}

/// Texts to one conversation after another, of one account after another.
fn sends(stage: &Stage, seats: &[Seat]) -> Arc<dyn Fn(u64) -> Bytes + Send + Sync> {
    let requests: Vec<Bytes> = (0..CONVERSATIONS)
        .flat_map(|index| seats.iter().map(move |seat| (index, seat)))
        .map(|(index, seat)| {
            let to = Seat::contact_number(index);
            let body = format!(
                r#"{{"messaging_product":"whatsapp","to":"{to}","type":"text","text":{{"body":"Your order is on its way."}}}}"#
            );
            stage.post(&seat.path("messages"), &body)
        })
        .collect();
    Arc::new(move |nth| {
        let requests_total = u64::try_from(requests.len()).unwrap_or(1).max(1);
        let place = usize::try_from(nth % requests_total).unwrap_or(0);
        requests.get(place).cloned().unwrap_or_default()
    })
}

/// What webhooks say of the number.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    phone: String,
    id: String,
}

impl Origin {
    pub(super) fn of(seat: &Seat) -> Self {
        Self {
            phone: seat.account.phone.as_digits().to_owned(),
            id: seat.account.phone_number_id.to_string(),
        }
    }

    pub(super) fn webhook(&self, matter: &str) -> Bytes {
        let Self { phone, id } = self;
        Stage::webhook(&format!(
            r#"{{"object":"whatsapp_business_account","entry":[{{"id":"1","changes":[{{"field":"messages","value":{{"messaging_product":"whatsapp","metadata":{{"display_phone_number":"{phone}","phone_number_id":"{id}"}},{matter}}}}}]}}]}}"#
        ))
    }
}

pub(super) fn inbound(seat: &Seat) -> Arc<dyn Fn(u64) -> Bytes + Send + Sync> {
    let (origin, clock) = (Origin::of(seat), Clock::system_clock());
    Arc::new(move |nth| {
        let index = u32::try_from(nth % u64::from(CONVERSATIONS)).unwrap_or(0);
        let from = Seat::contact_number(index);
        let from = from.trim_start_matches('+');
        let seconds = clock.read_now().millis() / 1000;
        origin.webhook(&format!(
            r#""messages":[{{"from":"{from}","id":"wamid.IN{nth:012}","timestamp":"{seconds}","type":"text","text":{{"body":"Where is it?"}}}}]"#
        ))
    })
}

/// Posts the three statuses of whatever has been taken meanwhile, until time is up.
async fn post_statuses(
    address: SocketAddr,
    origin: Origin,
    mut taken: mpsc::Receiver<Taken>,
    duration: Duration,
    told: Arc<AtomicU64>,
) -> anyhow::Result<LatencyHistogram> {
    let (begun, clock) = (Instant::now(), Clock::system_clock());
    let mut connection = Connection::open(address).await?;
    let mut latencies = LatencyHistogram::new();
    while begun.elapsed() < duration {
        tokio::time::sleep(STATUSES_EVERY).await;
        let (mut statuses, mut count) = (String::new(), 0);
        let seconds = clock.read_now().millis() / 1000;
        while let Ok(Taken { wamid, echo, to }) = taken.try_recv() {
            count += 1;
            for status in ["sent", "delivered", "read"] {
                let comma = if statuses.is_empty() { "" } else { "," };
                write!(
                    statuses,
                    r#"{comma}{{"id":"{wamid}","status":"{status}","timestamp":"{seconds}","recipient_id":"{to}","biz_opaque_callback_data":"{echo}"}}"#
                )?;
            }
        }
        if count == 0 {
            continue;
        }
        let asked = Instant::now();
        let answer = connection.ask(&origin.webhook(&format!(r#""statuses":[{statuses}]"#))).await?;
        if answer.status != 200 {
            bail!("expected 200, got {}", answer.excerpt());
        }
        latencies.record(asked.elapsed());
        told.fetch_add(count, Ordering::Relaxed);
    }
    Ok(latencies)
}

fn show_latencies(bench: &mut BenchRun, name: &str, latencies: &LatencyHistogram, p99_goal_ms: f64) {
    let (p50, p99) = (millis(latencies.quantile(500)), millis(latencies.quantile(990)));
    bench.figures.push(Figure::new(&format!("{name}: p50"), p50, "ms", Goal::None));
    bench.figures.push(Figure::new(&format!("{name}: p99"), p99, "ms", Goal::AtMost(p99_goal_ms)));
}

/// How many the second is behind the first.
fn lag(first: &AtomicU64, second: &AtomicU64) -> f64 {
    float(first.load(Ordering::Relaxed).saturating_sub(second.load(Ordering::Relaxed)))
}

fn float(count: u64) -> f64 {
    f64::from(u32::try_from(count).unwrap_or(u32::MAX))
}
