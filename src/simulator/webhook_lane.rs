//! Posting webhooks: a few lanes, each strictly in order.
//!
//! Invariants: one customer's items travel in one lane, by due time and then in the order in which
//! they were made; an item leaves its lane only when it was answered with 200, or given up after a
//! bounded number of attempts; a lane holds a bounded number of items and takes no more.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use kabar_core::clock::Clock;
use kabar_core::domain::account::Secret;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::meta::signature;
use reqwest::StatusCode;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::meta_json;
use super::meta_json::WebhookItem;
use super::send_log::SimulatorCounts;
use super::{NetworkFaults, SimulatorOptions, WebhookRetry};

const LANES: usize = 8;
/// Items on their way into a lane.
const INBOX: usize = 4096;
/// Items that wait in a lane for their time.
const HELD_MAX: usize = 50_000;
const POST_TIMEOUT: Duration = Duration::from_secs(30);

/// An item that waits in a lane.
pub(super) struct QueuedItem {
    pub(super) due: MonotonicInstant,
    /// Later items have greater numbers.
    pub(super) number: u64,
    pub(super) piece: WebhookItem,
    /// Signalled when the item was delivered or given up.
    pub(super) done: Option<oneshot::Sender<()>>,
}

impl PartialEq for QueuedItem {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for QueuedItem {}

impl PartialOrd for QueuedItem {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for QueuedItem {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.due, self.number).cmp(&(other.due, other.number))
    }
}

/// Senders of the lanes, with the counts and faults they share.
pub(super) struct WebhookLanes {
    pub(super) inboxes: Vec<mpsc::Sender<QueuedItem>>,
    /// Webhooks to be posted as they are, in their order.
    pub(super) raw: mpsc::Sender<Bytes>,
    pub(super) counts: watch::Sender<SimulatorCounts>,
    pub(super) faults: watch::Sender<NetworkFaults>,
}

struct WebhookLane {
    inbox: mpsc::Receiver<QueuedItem>,
    held: BinaryHeap<Reverse<QueuedItem>>,
    post: WebhookPost,
    clock: Arc<Clock>,
    counts: watch::Sender<SimulatorCounts>,
    faults: watch::Receiver<NetworkFaults>,
    stop: CancellationToken,
}

/// Client, URL, key and retries of every post.
#[derive(Clone)]
struct WebhookPost {
    http: reqwest::Client,
    url: String,
    secret: Secret,
    retry: WebhookRetry,
}

/// Starts the lanes.
pub(super) fn open_lanes(
    options: &SimulatorOptions,
    tasks: &TaskTracker,
    stop: &CancellationToken,
) -> anyhow::Result<WebhookLanes> {
    let counts = watch::Sender::new(SimulatorCounts::default());
    let faults = watch::Sender::new(options.faults);
    let http = reqwest::Client::builder()
        .timeout(POST_TIMEOUT)
        .redirect(reqwest::redirect::Policy::none())
        .user_agent("kabar-simulator")
        .build()?;
    let post = WebhookPost {
        http,
        url: options.webhook_url.clone(),
        secret: options.app_secret.clone(),
        retry: options.webhook_retry,
    };
    let mut inboxes = Vec::with_capacity(LANES);
    for _ in 0..LANES {
        let (sender, inbox) = mpsc::channel(INBOX);
        inboxes.push(sender);
        let lane = WebhookLane {
            inbox,
            held: BinaryHeap::new(),
            post: post.clone(),
            clock: options.clock.clone(),
            counts: counts.clone(),
            faults: faults.subscribe(),
            stop: stop.clone(),
        };
        tasks.spawn(lane.run_lane());
    }
    let (raw, bodies) = mpsc::channel(INBOX);
    let (posting, stop) = (post_raw(bodies, post, counts.clone()), stop.clone());
    tasks.spawn(async move { stop.run_until_cancelled(posting).await });
    Ok(WebhookLanes { inboxes, raw, counts, faults })
}

/// Posts webhooks as they are, one after the other.
async fn post_raw(
    mut bodies: mpsc::Receiver<Bytes>,
    post: WebhookPost,
    counts: watch::Sender<SimulatorCounts>,
) {
    while let Some(body) = bodies.recv().await {
        let taken = post.until_taken(body, &counts).await;
        counts.send_modify(|counts| {
            if taken {
                counts.delivered += 1;
            } else {
                counts.given_up += 1;
            }
        });
    }
}

impl WebhookLane {
    async fn run_lane(mut self) {
        loop {
            while self.held.len() < HELD_MAX
                && let Ok(item) = self.inbox.try_recv()
            {
                self.held.push(Reverse(item));
            }
            let due = self.held.peek().map(|Reverse(item)| item.due);
            if due.is_some_and(|due| due <= self.clock.monotonic_now()) {
                let stop = self.stop.clone();
                let stopped = stop.run_until_cancelled(self.post_due()).await.is_none();
                if stopped {
                    return;
                }
                continue;
            }
            let full = self.held.len() >= HELD_MAX;
            tokio::select! {
                () = self.stop.cancelled() => return,
                item = self.inbox.recv(), if !full => match item {
                    Some(item) => self.held.push(Reverse(item)),
                    None => return,
                },
                () = self.clock.wait_until(due.unwrap_or(MonotonicInstant::START)), if due.is_some() => {}
            }
        }
    }

    /// Posts the items that are due, as one webhook.
    async fn post_due(&mut self) {
        let now = self.clock.monotonic_now();
        let items_max = self.faults.borrow().batch_items_max.max(1);
        let mut items = Vec::new();
        while items.len() < items_max
            && self.held.peek().is_some_and(|Reverse(item)| item.due <= now)
            && let Some(Reverse(item)) = self.held.pop()
        {
            items.push(item);
        }
        let mut rest = items.split_off(meta_json::count_fitting(items.iter().map(|item| &item.piece)));
        self.held.extend(rest.drain(..).map(Reverse));

        let body = meta_json::webhook_body(items.iter().map(|item| &item.piece));
        let taken = self.post.until_taken(body.into(), &self.counts).await;
        let count = u64::try_from(items.len()).unwrap_or(u64::MAX);
        self.counts.send_modify(|counts| {
            if taken {
                counts.delivered += count;
            } else {
                counts.given_up += count;
            }
        });
        for done in items.into_iter().filter_map(|item| item.done) {
            // The receiver may have stopped waiting.
            let _told = done.send(());
        }
    }
}

impl WebhookPost {
    /// Posts until the response is 200; `false` when the retries are used up.
    async fn until_taken(&self, body: Bytes, counts: &watch::Sender<SimulatorCounts>) -> bool {
        let signed = signature::sign_body(&self.secret, &body);
        let mut wait = self.retry.first;
        for attempt in 1..=self.retry.attempts {
            let request = self
                .http
                .post(&self.url)
                .header(signature::HEADER, &signed)
                .header("content-type", "application/json")
                .body(body.clone());
            let status = request.send().await.map(|answer| answer.status());
            if status.as_ref().is_ok_and(|status| *status == StatusCode::OK) {
                return true;
            }
            counts.send_modify(|counts| counts.failed_posts += 1);
            match status {
                Ok(status) => tracing::debug!(attempt, %status, "webhook was not taken"),
                Err(error) => {
                    tracing::debug!(attempt, error = %error.without_url(), "webhook was not answered");
                }
            }
            if attempt < self.retry.attempts {
                tokio::time::sleep(wait).await;
                wait = (wait * 2).min(self.retry.longest);
            }
        }
        tracing::warn!(attempts = self.retry.attempts, "webhook given up");
        false
    }
}
