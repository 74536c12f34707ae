//! One attempt at one delivery, and the record of its outcome.
//!
//! Invariant: whatever a sink does, panics included, its attempt ends and its outcome is recorded. The attempt
//! decides nothing about order: the delivery worker does.

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use kabar_core::cause::cause;
use kabar_core::clock::ClockReading;
use kabar_core::domain::delivery::{AttemptOutcome, Delivery, DeliveryAttempt, DeliveryStatus};
use kabar_core::domain::event::Event;
use kabar_core::domain::key_values::KvReads;
use kabar_core::domain::run::HookReport;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::ulid;
use kabar_core::ports::{AttemptResult, DeliveryRequest};
use kabar_core::store::RunRecord;
use kabar_core::surroundings::{self, AwaitKind, wait_for};
use ractor::ActorRef;
use rand::RngExt as _;
use tokio_util::task::task_tracker::TaskTrackerToken;

use super::DeliveryDispatcher;
use super::lanes::QueuedDelivery;
use super::subscriber_state::SubscriberState;
use super::worker::DeliveryWorkerMessage;
use crate::account_entry::AccountEntry;

/// Time that attempts under way have to end once the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);
/// Pause before the store is asked again.
const STORE_RETRY: Duration = Duration::from_secs(1);

/// An attempt that has ended.
pub(super) struct FinishedAttempt {
    pub(super) delivery: Delivery,
    pub(super) event: Option<Arc<Event>>,
    at: Timestamp,
    took: Duration,
    /// `None` when the server stops: the restarted one tries again.
    receipt: Option<AttemptResult>,
    /// Set when the subscriber was called at all.
    asked: bool,
    /// Shutdown waits until the outcome is recorded.
    unrecorded: TaskTrackerToken,
}

/// Makes the attempt beside the delivery worker, and sends it the outcome.
pub(super) fn begin_attempt(
    dispatcher: &DeliveryDispatcher,
    recipient: &SubscriberState,
    slot: &Arc<AccountEntry>,
    load: QueuedDelivery,
    worker: ActorRef<DeliveryWorkerMessage>,
) {
    let shared = dispatcher.0.clone();
    let (account, subscriber) = (slot.current_account(), recipient.get());
    let kv = recipient.run_recorder().and_then(|recorder| recorder.known_values()).unwrap_or_default();
    let QueuedDelivery { delivery, event, .. } = load;
    dispatcher.0.tasks.spawn(async move {
        let (at, began, asked) = (shared.clock.read_now(), Instant::now(), event.is_some());
        let receipt = if let Some(event) = event.clone() {
            let attempt = delivery.attempt_count.saturating_add(1);
            let request = DeliveryRequest { subscriber, account, event, delivery_id: delivery.id, attempt, kv };
            let attempt = wait_for(AwaitKind::Delivery, async { shared.sink.deliver(request).await });
            let hurried = async {
                shared.stopping.cancelled().await;
                surroundings::sleep(LAST_ANSWERS).await;
            };
            tokio::select! {
                ended = AssertUnwindSafe(attempt).catch_unwind() => Some(ended.unwrap_or_else(|_panic| broken_result())),
                () = hurried => None,
            }
        } else {
            Some(stored_unparsed())
        };
        let token = shared.tasks.token();
        let ended = FinishedAttempt { delivery, event, at, took: began.elapsed(), receipt, asked, unrecorded: token };
        // A delivery worker that is gone leaves the row open, and its successor tries again.
        let _gone = worker.cast(DeliveryWorkerMessage::Ended(Box::new(ended)));
    });
}

fn broken_result() -> AttemptResult {
    let error = Some("the attempt broke down inside this server".into());
    AttemptResult { outcome: AttemptOutcome::Retry { after: None }, status_code: None, error, report: None }
}

fn stored_unparsed() -> AttemptResult {
    let error = Some("the event is not kept any longer".into());
    AttemptResult { outcome: AttemptOutcome::Rejected, status_code: None, error, report: None }
}

/// An attempt that counts.
pub(super) struct SettledAttempt {
    /// The delivery as the attempt leaves it.
    pub(super) delivery: Delivery,
    /// Report of a hook's run.
    pub(super) report: Option<Box<HookReport>>,
    /// Shutdown waits until the outcome is recorded.
    _unrecorded: TaskTrackerToken,
}

impl SettledAttempt {
    /// Builds the row that records a run.
    pub(super) fn run_record(&self, now: Timestamp) -> RunRecord {
        let report = self.report.as_deref();
        let done = report.filter(|_| self.delivery.status == DeliveryStatus::Delivered);
        RunRecord {
            delivery: self.delivery.clone(),
            version_id: report.map(|report| report.version_id),
            usage: report.map(|report| report.usage).unwrap_or_default(),
            logs: report.map(|report| report.logs.clone()).unwrap_or_default(),
            effects: done.map(|report| report.effects.clone()).unwrap_or_default(),
            log_bits: ulid(now.millis(), rand::random()),
        }
    }
}

/// Applies an attempt to its delivery; `None` when the attempt does not count.
pub(super) fn settle_delivery(
    dispatcher: &DeliveryDispatcher,
    recipient: &Arc<SubscriberState>,
    ended: FinishedAttempt,
) -> Option<SettledAttempt> {
    let FinishedAttempt { mut delivery, event: _, at, took, receipt, asked, unrecorded } = ended;
    let ClockReading { wall: now, monotonic } = dispatcher.0.clock.take_reading();
    let Some(receipt) = receipt else {
        recipient.lock_health().give_back(monotonic);
        return None;
    };
    if asked {
        let failed = matches!(receipt.outcome, AttemptOutcome::Retry { .. });
        let mut breaker = recipient.lock_health();
        let turn = if failed { breaker.note_failure(monotonic) } else { breaker.note_well(monotonic) };
        drop(breaker);
        dispatcher.note_turn(recipient.subscriber_id(), turn, now);
    } else {
        recipient.lock_health().give_back(monotonic);
    }
    let attempt = DeliveryAttempt {
        at,
        status_code: receipt.status_code,
        duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
        error: receipt.error,
    };
    let chance = rand::rng().random_range(0.0..=1.0);
    delivery.settle_attempt(attempt, receipt.outcome, recipient.get().retry_schedule(), chance, now);
    let metrics = &dispatcher.0.metrics;
    match delivery.status {
        DeliveryStatus::Delivered => metrics.deliveries_taken.inc(),
        DeliveryStatus::Dead => metrics.deliveries_dead.inc(),
        DeliveryStatus::Pending | DeliveryStatus::Failed => metrics.deliveries_retried.inc(),
    };
    if receipt.outcome == AttemptOutcome::Gone {
        recipient.note_gone();
    }
    // Writes and reads of a run that failed are dropped, because they take no effect.
    let mut report = receipt.report;
    if let Some(report) = report.as_deref_mut().filter(|_| delivery.status != DeliveryStatus::Delivered) {
        report.writes.clear();
        report.reads = KvReads::default();
    }
    Some(SettledAttempt { delivery, report, _unrecorded: unrecorded })
}

/// Records outcomes until they are durable or the server stops, and notifies the delivery worker.
pub(super) fn record_attempts(
    dispatcher: &DeliveryDispatcher,
    recipient: Arc<SubscriberState>,
    ended: Vec<Delivery>,
    worker: ActorRef<DeliveryWorkerMessage>,
) {
    let dispatcher = dispatcher.clone();
    dispatcher.0.tasks.clone().spawn(async move {
        let recorded = loop {
            match dispatcher.0.store.record_deliveries(&ended).await {
                Ok(recorded) => break recorded,
                Err(error) => {
                    tracing::error!(error = cause(&error), "outcomes of deliveries not recorded");
                    tokio::select! {
                        () = dispatcher.0.clock.sleep_for(STORE_RETRY) => {}
                        () = dispatcher.0.stopping.cancelled() => return,
                    }
                }
            }
        };
        dispatcher.note_health(&recipient, &ended).await;
        let _gone = worker.cast(DeliveryWorkerMessage::Recorded(ended, recorded.into_iter().collect()));
    });
}
