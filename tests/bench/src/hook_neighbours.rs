//! What a tenant that burns all the processor time it may have costs another one.
//!
//! Invariants: burning is compared with a neighbour that has as many events and a hook that does nothing,
//! so that it is the burning that is measured, and not that there is a neighbour; the two take turns, so
//! that a machine that changes meanwhile changes both. A hook's time is that from the webhook with a
//! status to the call that the hook makes because of it, seen from outside: it contains the commit, the
//! way to the hook, its run, and a connection to the receiver.

use std::collections::HashMap;
use std::io::Write as _;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::bail;
use bytes::Bytes;
use kabar_core::ids::MessageId;

use super::bench_run::BenchRun;
use super::child::Child;
use super::hook_guests::{BURNS, Hook, RESTS, calls};
use super::hook_runs::runs;
use super::ingress::{messages, webhooks};
use super::latency_histogram::LatencyHistogram;
use super::paced::{Paced, nth};
use super::receiver::{Manner, Receiver};
use super::report::{Figure, Goal, millis};
use super::seed::{Seat, SentMessage};
use super::stage::Stage;

/// How often each neighbour has its turn.
const ROUNDS: usize = 4;
/// Statuses a second, and polls, of the tenant who is watched.
const WATCHED_PER_SECOND: u32 = 250;
/// Events a second of its neighbour: burning all of them takes more than all processors.
const NEIGHBOUR_PER_SECOND: u32 = 100;
/// The neighbour has been at it for this long before anything is measured: the first runs of a hook of
/// which nothing is known begin among the short ones.
const WARM_UP: Duration = Duration::from_secs(1);
const WAIT_TIMEOUT: Duration = Duration::from_mins(2);
/// For so long no run ends: none is under way.
const STILL: Duration = Duration::from_millis(500);

/// When the webhook about a message left, and how long it took until its hook called.
#[derive(Default)]
struct Watch(Mutex<(HashMap<Box<str>, Instant>, LatencyHistogram)>);

impl Watch {
    fn inner(&self) -> MutexGuard<'_, (HashMap<Box<str>, Instant>, LatencyHistogram)> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn leaves(&self, message: MessageId) {
        self.inner().0.insert(message.to_string().into(), Instant::now());
    }

    fn arrives(&self, body: &[u8]) {
        let now = Instant::now();
        let (left, times) = &mut *self.inner();
        if let Some(left) = std::str::from_utf8(body).ok().and_then(|message| left.remove(message)) {
            times.record(now - left);
        }
    }

    fn take(&self) -> LatencyHistogram {
        std::mem::take(&mut self.inner().1)
    }
}

/// What the watched tenant met with.
#[derive(Default)]
struct Seen {
    hooks: LatencyHistogram,
    polls: LatencyHistogram,
}

struct Scene<'a> {
    stage: &'a Stage,
    server: &'a Child,
    watch: Arc<Watch>,
    duration: Duration,
}

/// Plays the scene.
pub(super) async fn play(bench: &mut BenchRun) -> anyhow::Result<()> {
    let mut stage = Stage::set(&bench.folder, &bench.services).await?;
    stage.settings = vec![("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true")];
    let server = stage.server().await?;
    let neighbour = stage.another(&server).await?;
    server.end().await?;
    let turn = |time: Duration, per_second: u32| -> anyhow::Result<usize> {
        Ok(usize::try_from(time.as_secs())? * usize::try_from(per_second)?)
    };
    let mine = turn(bench.duration, WATCHED_PER_SECOND)?;
    let theirs = turn(WARM_UP + bench.duration, NEIGHBOUR_PER_SECOND)?;
    let seeder = stage.seeder().await?;
    let (own, own_messages) = messages(&seeder, 1, (1 + 2 * ROUNDS) * mine).await?;
    seeder.close().await;
    let seeder = stage.seeder_of(&neighbour).await?;
    let (other, other_messages) = messages(&seeder, 2, 2 * ROUNDS * theirs).await?;
    seeder.close().await;

    let server = stage.server().await?;
    let watch = Arc::<Watch>::default();
    let seen = watch.clone();
    let receiver = Receiver::start(Manner::Takes, Arc::new(move |body| seen.arrives(body))).await?;
    let watched = Hook::make(&stage.tenant, &server, &[&receiver.authority]).await?;
    watched.activate(&watched.upload(&calls(&receiver.url)).await?).await?;
    let scene = Scene { stage: &stage, server: &server, watch, duration: bench.duration };
    let mut parts = own_messages.chunks(mine);
    let alone = scene.measure(&own, parts.next().unwrap_or_default(), None).await?;

    let hook = Hook::make(&neighbour, &server, &[]).await?;
    let neighbours = [("rests", hook.upload(RESTS).await?), ("burns", hook.upload(BURNS).await?)];
    let mut beside = [Seen::default(), Seen::default()];
    let mut their_parts = other_messages.chunks(theirs);
    for round in 1..=ROUNDS {
        for ((what, version), seen) in neighbours.iter().zip(&mut beside) {
            writeln!(std::io::stderr(), "measuring: a hook beside one that {what}, {round} of {ROUNDS}")?;
            hook.activate(version).await?;
            let load = webhooks(&other, their_parts.next().unwrap_or_default(), 1);
            let now = scene.measure(&own, parts.next().unwrap_or_default(), Some(load)).await?;
            seen.hooks.merge(&now.hooks);
            seen.polls.merge(&now.polls);
            // What waits need not be burnt.
            hook.activate(&neighbours[0].1).await?;
            scene.until_still().await?;
        }
    }
    let [rests, burns] = &beside;
    let of = |which: fn(&Seen) -> &LatencyHistogram| [which(&alone), which(rests), which(burns)];
    moved(bench, "another tenant's hook", of(|seen| &seen.hooks));
    moved(bench, "another tenant's polls", of(|seen| &seen.polls));
    server.end().await
}

/// How long alone, beside a neighbour that rests, and beside one that burns.
fn moved(bench: &mut BenchRun, what: &str, [alone, rests, burns]: [&LatencyHistogram; 3]) {
    let mut show = |name: &str, value, unit, goal| {
        bench.figures.push(Figure::new(&format!("{what}: {name}"), value, unit, goal));
    };
    for (beside, times) in
        [("alone", alone), ("beside one that rests", rests), ("beside one that burns", burns)]
    {
        show(&format!("p50 {beside}"), millis(times.quantile(500)), "ms", Goal::None);
        show(&format!("p99 {beside}"), millis(times.quantile(990)), "ms", Goal::None);
    }
    let p99 = |times: &LatencyHistogram| times.quantile(990).as_secs_f64();
    let by = (p99(burns) / p99(rests).max(1e-6) - 1.0) * 100.0;
    show("p99 moved by the burning", by, "%", Goal::AtMost(10.0));
}

impl Scene<'_> {
    /// The watched tenant's time, and a neighbour's webhooks meanwhile.
    async fn measure(
        &self,
        seat: &Seat,
        taken: &[SentMessage],
        neighbour: Option<Vec<Bytes>>,
    ) -> anyhow::Result<Seen> {
        let list = self.stage.get(&seat.path("conversations"), &[]);
        let polls = self.paced(WATCHED_PER_SECOND, self.duration).run(Arc::new(move |_| list.clone()));
        // Of the two statuses of each message, the first.
        let mut requests = webhooks(seat, taken, 1);
        requests.truncate(taken.len());
        let (request, watch) = (nth(requests), self.watch.clone());
        let ids: Vec<MessageId> = taken.iter().map(|sent| sent.id).collect();
        let statuses = self.paced(WATCHED_PER_SECOND, self.duration).run(Arc::new(move |n| {
            if let Some(id) = usize::try_from(n).ok().and_then(|n| ids.get(n)) {
                watch.leaves(*id);
            }
            request(n)
        }));
        let load = self.paced(NEIGHBOUR_PER_SECOND, WARM_UP + self.duration);
        let load = async {
            match neighbour {
                Some(requests) => load.run(nth(requests)).await.map(drop),
                None => Ok(()),
            }
        };
        let own = async {
            tokio::time::sleep(WARM_UP).await;
            tokio::try_join!(polls, statuses)
        };
        let ((polls, sent), ()) = tokio::try_join!(own, load)?;
        let begun = Instant::now();
        while !self.watch.inner().0.is_empty() {
            if begun.elapsed() > WAIT_TIMEOUT {
                bail!("{} of {} hooks did not call", self.watch.inner().0.len(), sent.total());
            }
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        Ok(Seen { hooks: self.watch.take(), polls })
    }

    fn paced(&self, per_second: u32, duration: Duration) -> Paced {
        Paced { address: self.server.address, connections: 8, per_second, duration, answered: Arc::default() }
    }

    /// Waits until the neighbour has got through what it had.
    async fn until_still(&self) -> anyhow::Result<()> {
        let begun = Instant::now();
        let mut before = runs(self.server).await?;
        while begun.elapsed() < WAIT_TIMEOUT {
            tokio::time::sleep(STILL).await;
            let now = runs(self.server).await?;
            if now == before {
                return Ok(());
            }
            before = now;
        }
        bail!("the neighbour's hooks did not come to an end")
    }
}
