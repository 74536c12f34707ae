//! One attempt at one delivery, and the record of its outcome.
//!
//! Invariant: whatever a sink does, panics included, its attempt ends and its outcome is recorded. The attempt
//! decides nothing about order: the delivery worker does.

use std::collections::HashSet;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::FutureExt as _;
use kabar_core::cause::cause;
use kabar_core::clock::ClockReading;
use kabar_core::domain::delivery::{AttemptOutcome, Delivery, DeliveryAttempt, DeliveryStatus};
use kabar_core::domain::event::Event;
use kabar_core::domain::key_values::{KeyValues, KvReads};
use kabar_core::domain::run::HookReport;
use kabar_core::domain::subscriber::Subscriber;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{DeliveryId, ulid};
use kabar_core::ports::{AttemptResult, DeliveryRequest, RequestForm};
use kabar_core::store::RunRecord;
use kabar_core::surroundings::{self, AwaitKind, wait_for};
use rand::RngExt as _;
use tokio_util::task::task_tracker::TaskTrackerToken;
use tracing::Instrument as _;

use super::context::DeliveryContext;
use super::lanes::QueuedDelivery;
use crate::account::AccountEntry;
use crate::retry::pause_for_retry;
use crate::subscribers::SubscriberState;

/// Time that attempts under way have to end once the server stops.
const LAST_ANSWERS: Duration = Duration::from_secs(5);

/// An attempt that has ended.
pub(super) struct FinishedAttempt {
    pub(super) delivery: Delivery,
    pub(super) event: Option<Arc<Event>>,
    at: Timestamp,
    took: Duration,
    /// `None` when the server stops, or the tenant of a hook was suspended: it is tried again afterwards.
    receipt: Option<AttemptResult>,
    /// Set when the subscriber was called at all.
    asked: bool,
    /// Shutdown waits until the outcome is recorded.
    unrecorded: TaskTrackerToken,
}

/// Makes an attempt in this form, and returns it ended, whatever the sink does. `key_values` are those that a hook
/// may read. A run of a hook is broken off when its tenant is suspended; a request to a webhook ends by itself.
pub(super) async fn run_attempt(
    context: Arc<DeliveryContext>,
    subscriber: Subscriber,
    account_entry: Arc<AccountEntry>,
    queued: QueuedDelivery,
    form: RequestForm,
    key_values: KeyValues,
) -> FinishedAttempt {
    let QueuedDelivery { delivery, event, .. } = queued;
    let (account, is_run) = (account_entry.current_account(), matches!(subscriber, Subscriber::Hook(_)));
    let (at, began, asked) = (context.clock.read_now(), Instant::now(), event.is_some());
    let receipt = if let Some(event) = event.clone() {
        let attempt = delivery.attempt_count.saturating_add(1);
        let span = tracing::debug_span!(
            "delivery.attempt",
            account = %account.id,
            subscriber = %delivery.subscriber,
            delivery = %delivery.id,
            attempt,
        );
        let delivery_id = delivery.id;
        let request =
            DeliveryRequest { subscriber, account, event, form, delivery_id, attempt, kv: key_values };
        let call = async { context.sink.deliver(request).await }.instrument(span);
        let call = wait_for(AwaitKind::Delivery, call);
        let hurried = async {
            context.stopping.cancelled().await;
            surroundings::sleep(LAST_ANSWERS).await;
        };
        tokio::select! {
            ended = AssertUnwindSafe(call).catch_unwind() => Some(ended.unwrap_or_else(|_panic| broken_result())),
            () = hurried => None,
            () = account_entry.until_suspended(), if is_run => None,
        }
    } else {
        Some(stored_unparsed())
    };
    let unrecorded = context.tasks.token();
    FinishedAttempt { delivery, event, at, took: began.elapsed(), receipt, asked, unrecorded }
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
    context: &DeliveryContext,
    subscriber_state: &SubscriberState,
    ended: FinishedAttempt,
) -> Option<SettledAttempt> {
    let FinishedAttempt { mut delivery, event: _, at, took, receipt, asked, unrecorded } = ended;
    let ClockReading { wall: now, monotonic } = context.clock.take_reading();
    let Some(receipt) = receipt else {
        subscriber_state.lock_health().give_back(monotonic);
        return None;
    };
    if asked {
        let failed = matches!(receipt.outcome, AttemptOutcome::Retry { .. });
        let mut breaker = subscriber_state.lock_health();
        let turn = if failed { breaker.note_failure(monotonic) } else { breaker.note_well(monotonic) };
        drop(breaker);
        context.subscribers.note_turn(subscriber_state.subscriber_id(), turn, now);
    } else {
        subscriber_state.lock_health().give_back(monotonic);
    }
    let attempt = DeliveryAttempt {
        at,
        status_code: receipt.status_code,
        duration_ms: u32::try_from(took.as_millis()).unwrap_or(u32::MAX),
        error: receipt.error,
    };
    let chance = rand::rng().random_range(0.0..=1.0);
    delivery.settle_attempt(attempt, receipt.outcome, subscriber_state.get().retry_schedule(), chance, now);
    let metrics = &context.metrics;
    match delivery.status {
        DeliveryStatus::Delivered => metrics.deliveries_taken.inc(),
        DeliveryStatus::Dead => metrics.deliveries_dead.inc(),
        DeliveryStatus::Pending | DeliveryStatus::Failed => metrics.deliveries_retried.inc(),
    };
    if receipt.outcome == AttemptOutcome::Gone {
        subscriber_state.note_gone();
    }
    // Writes and reads of a run that failed are dropped, because they take no effect.
    let mut report = receipt.report;
    if let Some(report) = report.as_deref_mut().filter(|_| delivery.status != DeliveryStatus::Delivered) {
        report.writes.clear();
        report.reads = KvReads::default();
    }
    Some(SettledAttempt { delivery, report, _unrecorded: unrecorded })
}

/// Records outcomes until they are durable. Returns the ids of those that were recorded here; `None` when the
/// server stops before.
pub(super) async fn record_attempts(
    context: &DeliveryContext,
    subscriber_state: &SubscriberState,
    ended: &[Delivery],
) -> Option<HashSet<DeliveryId>> {
    let recorded = loop {
        match context.store.record_deliveries(ended).await {
            Ok(recorded) => break recorded,
            Err(error) => {
                tracing::error!(error = cause(&error), "outcomes of deliveries not recorded");
                if !pause_for_retry(&context.clock, &context.stopping).await {
                    return None;
                }
            }
        }
    };
    context.subscribers.note_outcomes(subscriber_state, ended).await;
    Some(recorded.into_iter().collect())
}
