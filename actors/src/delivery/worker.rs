//! A delivery worker: delivers one account's events to one subscriber, in order per contact.
//!
//! Invariants: an event becomes a delivery in the transaction that moves the cursor past it, so nothing is lost
//! or skipped. A delivery is tried again only after its last outcome is durable, and a lane moves on as soon as
//! its oldest delivery is accepted. Memory is bounded and can be read again at any time; beyond it, the log is
//! the backlog. Nothing is polled: notifications and timers wake the worker.

mod intake;
mod outcomes;

use std::collections::HashSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use kabar_core::cause::cause;
use kabar_core::domain::delivery::Delivery;
use kabar_core::domain::event::Event;
use kabar_core::domain::monotonic::MonotonicInstant;
use kabar_core::domain::subscriber::Subscriber;
use kabar_core::ids::{DeliveryId, MonotonicIds};
use kabar_core::ports::RequestForm;
use kabar_core::store::{DeliveryCursor, StoreError};
use kabar_core::surroundings;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::AbortHandle;

use super::attempt;
use super::context::DeliveryContext;
use super::entries::{WorkerEntry, WorkerKey};
use super::lanes::{DeliveryLanes, QueuedDelivery};
use super::run_recorder::RunRecorder;
use super::webhook_forms;
use super::worker_message::DeliveryWorkerMessage;
use crate::account::AccountEntry;
use crate::retry::STORE_RETRY;
use crate::subscribers::SubscriberState;

#[cfg(test)]
pub(super) use intake::WINDOW;
pub(super) use intake::build_delivery;

/// Most attempts under way at a time.
const ATTEMPTS_MAX: usize = 64;
/// Time after which a delivery worker with nothing to do ends.
pub(super) const LINGER: Duration = Duration::from_secs(30);

/// Actor that owns a [`DeliveryWorker`].
pub(super) struct DeliveryWorkerActor;

/// Dependencies of a delivery worker.
pub(super) struct DeliveryWorkerParts {
    pub(super) context: Arc<DeliveryContext>,
    pub(super) subscriber_state: Arc<SubscriberState>,
    pub(super) account_entry: Arc<AccountEntry>,
    /// Recorder of a hook's runs.
    pub(super) recorder: Option<Arc<RunRecorder>>,
    pub(super) entry: Arc<WorkerEntry>,
}

impl DeliveryWorkerParts {
    pub(super) fn worker_key(&self) -> WorkerKey {
        (self.subscriber_state.subscriber_id(), self.account_entry.current_account().number)
    }
}

/// State of a delivery worker.
pub(super) struct DeliveryWorker {
    parts: DeliveryWorkerParts,
    lanes: DeliveryLanes,
    ids: MonotonicIds<StdRng>,
    /// `None` until it is read.
    place: Option<DeliveryCursor>,
    /// Open rows up to this number of the log are in the lanes.
    loaded_to: i64,
    /// Set while the window is being filled; a full one is left alone until a page fits.
    filling: bool,
    /// Ended for good and not recorded yet: their rows still look open.
    unrecorded: HashSet<DeliveryId>,
    /// Read as open while an outcome was not recorded yet, or not known here to be. They are read again after
    /// that, because a replay may have reopened them since.
    doubtful: HashSet<DeliveryId>,
    ended: Vec<Delivery>,
    recording: bool,
    alarm: Option<(MonotonicInstant, AbortHandle)>,
    not_before: MonotonicInstant,
    idle_since: Option<MonotonicInstant>,
}

impl Actor for DeliveryWorkerActor {
    type Msg = DeliveryWorkerMessage;
    type State = DeliveryWorker;
    type Arguments = DeliveryWorker;

    async fn pre_start(
        &self,
        _myself: ActorRef<DeliveryWorkerMessage>,
        worker: DeliveryWorker,
    ) -> Result<DeliveryWorker, ActorProcessingErr> {
        Ok(worker)
    }

    async fn handle(
        &self,
        myself: ActorRef<DeliveryWorkerMessage>,
        message: DeliveryWorkerMessage,
        worker: &mut DeliveryWorker,
    ) -> Result<(), ActorProcessingErr> {
        surroundings::receive_message().await;
        match message {
            DeliveryWorkerMessage::Look => worker.note_wake(),
            DeliveryWorkerMessage::Alarm(at) => drop(worker.alarm.take_if(|(set, _)| *set == at)),
            DeliveryWorkerMessage::Ended(ended) => worker.take_back(*ended, &myself),
            DeliveryWorkerMessage::Record => worker.record_ended(&myself),
            DeliveryWorkerMessage::Recorded(ended, rows) => worker.settle_attempt(ended, &rows, &myself),
            DeliveryWorkerMessage::Written(written) => worker.resume_runs(*written),
        }
        worker.start_due(&myself).await;
        Ok(())
    }
}

impl Drop for DeliveryWorker {
    fn drop(&mut self) {
        if let Some((_, alarm)) = self.alarm.take() {
            alarm.abort();
        }
    }
}

impl DeliveryWorker {
    pub(super) fn new(parts: DeliveryWorkerParts) -> Self {
        Self {
            parts,
            lanes: DeliveryLanes::default(),
            ids: MonotonicIds::new(StdRng::from_rng(&mut rand::rng())),
            place: None,
            loaded_to: 0,
            filling: true,
            unrecorded: HashSet::new(),
            doubtful: HashSet::new(),
            ended: Vec::new(),
            recording: false,
            alarm: None,
            not_before: MonotonicInstant::START,
            idle_since: None,
        }
    }

    fn context(&self) -> &DeliveryContext {
        &self.parts.context
    }

    fn now(&self) -> MonotonicInstant {
        self.context().clock.monotonic_now()
    }

    /// Reads and clears the notification flags, before it acts on them.
    fn note_wake(&mut self) {
        self.parts.entry.rung.store(false, Ordering::Release);
        if self.parts.entry.erased.swap(false, Ordering::AcqRel) {
            self.lanes.forget_events();
        }
        if self.parts.entry.reread.swap(false, Ordering::AcqRel) {
            self.reload_lanes();
        }
    }

    const fn reload_lanes(&mut self) {
        self.place = None;
        self.loaded_to = 0;
    }

    /// Starts the attempts that are due, as far as limits and health allow, and sets the timer for the rest.
    async fn start_due(&mut self, myself: &ActorRef<DeliveryWorkerMessage>) {
        let subscriber = self.parts.subscriber_state.get();
        let stopping = self.context().stopping.is_cancelled();
        let stands_still = !subscriber.is_active() || self.parts.account_entry.is_suspended();
        if stands_still || stopping || !self.context().cluster.is_serving() {
            // Waiting deliveries are in the store; the next worker reads them there.
            self.lanes.clear_waiting();
            self.reload_lanes();
            if self.lanes.count_away() == 0 && self.unrecorded.is_empty() && !self.recording {
                self.try_exit(myself);
            }
            return;
        }
        let now = self.now();
        if now < self.not_before {
            return self.look_again_at(self.not_before, myself);
        }
        if let Err(error) = self.start_attempt(&subscriber, myself).await {
            let account = self.parts.account_entry.current_account().id;
            tracing::error!(%account, subscriber = %subscriber.subscriber_id(), error = cause(&error), "delivery held up");
            self.not_before = self.now().saturating_plus(STORE_RETRY);
            self.look_again_at(self.not_before, myself);
        }
        self.schedule_rest(now, myself);
    }

    async fn start_attempt(
        &mut self,
        subscriber: &Subscriber,
        myself: &ActorRef<DeliveryWorkerMessage>,
    ) -> Result<(), StoreError> {
        self.fill_lanes(subscriber).await?;
        if let Some(recorder) = &self.parts.recorder
            && self.lanes.count_open() > 0
        {
            recorder.load_values().await?;
        }
        let recorder = self.parts.recorder.as_ref();
        let attempts_max = recorder.map_or(ATTEMPTS_MAX, |recorder| recorder.runs_max());
        let now = self.now();
        let mut departing = Vec::new();
        while self.lanes.count_away() < attempts_max
            && self.lanes.next_at().is_some_and(|at| at <= now)
            && self.parts.subscriber_state.lock_health().take_outcome(now)
        {
            departing.extend(self.lanes.next_due(now));
        }
        if let Err(error) = self.load_departing(subscriber, &mut departing).await {
            self.return_departing(departing, now);
            return Err(error);
        }
        // The subscriber may have been paused or deleted while rows were read, or its tenant suspended: then nothing
        // is sent any more.
        if !self.parts.subscriber_state.get().is_active() || self.parts.account_entry.is_suspended() {
            self.return_departing(departing, now);
            return Ok(());
        }
        for load in departing {
            self.begin_attempt(subscriber, load, myself);
        }
        if self.lanes.count_away() < attempts_max {
            let breaker = self.parts.subscriber_state.lock_health().retry_at();
            let due = self.lanes.next_at().map(|at| breaker.map_or(at, |until| at.max(until)));
            if let Some(at) = due {
                self.look_again_at(at, myself);
            }
        }
        Ok(())
    }

    /// Reads what is not in memory of deliveries that are about to leave: their events, and their bodies.
    async fn load_departing(
        &self,
        subscriber: &Subscriber,
        departing: &mut [QueuedDelivery],
    ) -> Result<(), StoreError> {
        let account = self.parts.account_entry.current_account();
        let missing: Vec<i64> = departing.iter().filter_map(unread).collect();
        if !missing.is_empty() {
            let events = self.context().store.events_at(account.number, &missing).await?;
            // Of an event that was erased no hook is told; its run is gone.
            let told = |event: &Event| webhook_forms::is_told(subscriber, &event.kind);
            let events: Vec<Arc<Event>> = events.into_iter().filter(told).map(Arc::new).collect();
            for load in departing.iter_mut().filter(|load| load.event.is_none()) {
                let sequence = load.delivery.sequence;
                load.event = events.iter().find(|event| event.sequence == sequence).cloned();
            }
        }
        webhook_forms::load_bodies(self.context(), &account, subscriber, departing).await
    }

    /// Returns deliveries to their lanes, because no attempt at them was made.
    fn return_departing(&mut self, departing: Vec<QueuedDelivery>, now: MonotonicInstant) {
        if departing.is_empty() {
            return;
        }
        for load in departing {
            self.lanes.return_retried(load.delivery, load.not_before);
        }
        self.parts.subscriber_state.lock_health().give_back(now);
    }

    /// Makes the attempt beside the worker, which is sent the outcome.
    fn begin_attempt(
        &self,
        seen: &Subscriber,
        queued: QueuedDelivery,
        myself: &ActorRef<DeliveryWorkerMessage>,
    ) {
        let DeliveryWorkerParts { context, subscriber_state, account_entry, recorder, .. } = &self.parts;
        let subscriber = subscriber_state.get();
        let key_values = recorder.as_ref().and_then(|recorder| recorder.known_values()).unwrap_or_default();
        // In the form for which the body was read, although the subscriber may have changed since.
        let kind = queued.event.as_ref().map(|event| &event.kind);
        let form = kind
            .map_or(RequestForm::Event, |kind| webhook_forms::request_form(seen, kind, queued.body.as_ref()));
        let attempt = attempt::run_attempt(
            context.clone(),
            subscriber,
            account_entry.clone(),
            queued,
            form,
            key_values,
        );
        let myself = myself.clone();
        context.tasks.spawn(async move {
            let ended = Box::new(attempt.await);
            // A delivery worker that is gone leaves the row open, and its successor tries again.
            let _gone = myself.cast(DeliveryWorkerMessage::Ended(ended));
        });
    }

    /// Publishes the backlog, and ends the worker after it had nothing to do for [`LINGER`].
    fn schedule_rest(&mut self, now: MonotonicInstant, myself: &ActorRef<DeliveryWorkerMessage>) {
        let head = self.parts.entry.head.load(Ordering::Acquire);
        let unread = self.place.map_or(0, |place| head.max(place.head) - place.cursor);
        let open = i64::try_from(self.lanes.count_open()).unwrap_or(i64::MAX);
        self.parts.entry.waiting.store(unread.saturating_add(open), Ordering::Relaxed);
        let known = self.place.is_some_and(|place| self.loaded_to >= place.cursor);
        if !known || unread > 0 || open > 0 || !self.unrecorded.is_empty() || self.recording {
            self.idle_since = None;
            return;
        }
        let leave_at = self.idle_since.get_or_insert(now).saturating_plus(LINGER);
        if now >= leave_at {
            self.try_exit(myself);
        } else {
            self.look_again_at(leave_at, myself);
        }
    }

    /// Ends, unless the worker has been notified since it last looked.
    fn try_exit(&mut self, myself: &ActorRef<DeliveryWorkerMessage>) {
        if self.context().entries.close_entry(&self.parts.worker_key(), &self.parts.entry) {
            myself.stop(None);
        }
    }

    fn look_again_at(&mut self, at: MonotonicInstant, myself: &ActorRef<DeliveryWorkerMessage>) {
        if self.alarm.as_ref().is_some_and(|(set, _)| *set <= at) {
            return;
        }
        let (clock, stopping) = (self.context().clock.clone(), self.context().stopping.clone());
        let myself = myself.clone();
        let alarm = self.context().tasks.spawn(async move {
            tokio::select! {
                () = clock.wait_until(at) => {
                    let _gone = myself.cast(DeliveryWorkerMessage::Alarm(at));
                }
                () = stopping.cancelled() => {}
            }
        });
        if let Some((_, later)) = self.alarm.replace((at, alarm.abort_handle())) {
            later.abort();
        }
    }
}

fn unread(load: &QueuedDelivery) -> Option<i64> {
    load.event.is_none().then_some(load.delivery.sequence)
}
