//! A delivery worker: delivers one account's events to one subscriber, in order per contact.
//!
//! Invariants: an event becomes a delivery in the transaction that moves the cursor past it, so nothing is lost
//! or skipped. A delivery is tried again only after its last outcome is durable, and a lane moves on as soon as
//! its oldest delivery is accepted. Memory is bounded and can be read again at any time; beyond it, the log is
//! the backlog. Nothing is polled: notifications and timers wake the worker.

mod intake;

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
use kabar_core::store::{DeliveryCursor, StoreError};
use kabar_core::surroundings;
use ractor::{Actor, ActorProcessingErr, ActorRef};
use rand::SeedableRng as _;
use rand::rngs::StdRng;
use tokio::task::AbortHandle;

use super::attempt;
use super::attempt::FinishedAttempt;
use super::lanes::{DeliveryLanes, QueuedDelivery};
use super::run_recorder::{RecordedRuns, RecorderJob};
use super::subscriber_state::SubscriberState;
use super::{DeliveryDispatcher, WorkerEntry};
use crate::account_entry::AccountEntry;

#[cfg(test)]
pub(super) use intake::WINDOW;
pub(super) use intake::build_delivery;

/// Most attempts under way at a time.
const FLIGHTS_MAX: usize = 64;
/// Longest wait of an outcome for others, to be written together with them.
const RECORD_WITHIN: Duration = Duration::from_millis(10);
/// Outcomes that are written without further waiting.
const RECORDS_ENOUGH: usize = 128;
/// Pause before the store is asked again.
const STORE_RETRY: Duration = Duration::from_secs(1);
/// Time after which a delivery worker with nothing to do ends.
pub(super) const LINGER: Duration = Duration::from_secs(30);

/// Messages that a delivery worker handles.
pub(super) enum DeliveryWorkerMessage {
    /// There may be something to do.
    Look,
    /// The timer for this instant has expired.
    Alarm(MonotonicInstant),
    /// An attempt has ended.
    Ended(Box<FinishedAttempt>),
    /// Ended attempts have waited long enough to be recorded.
    Record,
    /// These outcomes are recorded; the set holds the ids that this worker has recorded itself.
    Recorded(Vec<Delivery>, HashSet<DeliveryId>),
    /// Outcome of a hook's runs.
    Written(Box<RecordedRuns>),
}

/// Actor that owns a [`DeliveryWorker`].
pub(super) struct DeliveryWorkerActor;

/// State of a delivery worker.
pub(super) struct DeliveryWorker {
    dispatcher: DeliveryDispatcher,
    recipient: Arc<SubscriberState>,
    slot: Arc<AccountEntry>,
    entry: Arc<WorkerEntry>,
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
    pub(super) fn new(
        dispatcher: DeliveryDispatcher,
        recipient: Arc<SubscriberState>,
        slot: Arc<AccountEntry>,
        entry: Arc<WorkerEntry>,
    ) -> Self {
        Self {
            dispatcher,
            recipient,
            slot,
            entry,
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

    fn now(&self) -> MonotonicInstant {
        self.dispatcher.0.clock.monotonic_now()
    }

    /// Reads and clears the notification flags, before it acts on them.
    fn note_wake(&mut self) {
        self.entry.rung.store(false, Ordering::Release);
        if self.entry.reread.swap(false, Ordering::AcqRel) {
            self.reload_lanes();
        }
    }

    const fn reload_lanes(&mut self) {
        self.place = None;
        self.loaded_to = 0;
    }

    /// Starts the attempts that are due, as far as limits and health allow, and sets the timer for the rest.
    async fn start_due(&mut self, myself: &ActorRef<DeliveryWorkerMessage>) {
        let subscriber = self.recipient.get();
        let stopping = self.dispatcher.0.stopping.is_cancelled();
        if !subscriber.is_active() || stopping || !self.dispatcher.0.cluster.is_serving() {
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
            let account = self.slot.current_account().id;
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
        if let Some(recorder) = self.recipient.run_recorder()
            && self.lanes.count_open() > 0
        {
            recorder.load_values(&self.dispatcher).await?;
        }
        let flights_max = self.recipient.run_recorder().map_or(FLIGHTS_MAX, |recorder| recorder.runs_max());
        let now = self.now();
        let mut departing = Vec::new();
        while self.lanes.count_away() < flights_max
            && self.lanes.next_at().is_some_and(|at| at <= now)
            && self.recipient.lock_health().take_outcome(now)
        {
            departing.extend(self.lanes.next_due(now));
        }
        let missing: Vec<i64> = departing.iter().filter_map(unread).collect();
        let read = if missing.is_empty() {
            Ok(Vec::new())
        } else {
            self.dispatcher.0.store.events_at(self.slot.current_account().number, &missing).await
        };
        let events: Vec<Arc<Event>> = match read {
            Ok(events) => events.into_iter().map(Arc::new).collect(),
            Err(error) => {
                for load in departing {
                    self.lanes.return_retried(load.delivery, load.not_before);
                }
                self.recipient.lock_health().give_back(now);
                return Err(error);
            }
        };
        for mut load in departing {
            let sequence = load.delivery.sequence;
            let same = |event: &&Arc<Event>| event.sequence == sequence;
            load.event = load.event.or_else(|| events.iter().find(same).cloned());
            attempt::begin_attempt(&self.dispatcher, &self.recipient, &self.slot, load, myself.clone());
        }
        if self.lanes.count_away() < flights_max {
            let breaker = self.recipient.lock_health().retry_at();
            let due = self.lanes.next_at().map(|at| breaker.map_or(at, |until| at.max(until)));
            if let Some(at) = due {
                self.look_again_at(at, myself);
            }
        }
        Ok(())
    }

    fn take_back(&mut self, ended: FinishedAttempt, myself: &ActorRef<DeliveryWorkerMessage>) {
        if let Some(recorder) = self.recipient.run_recorder() {
            // The lane waits: the next run must see the values that this one leaves.
            let job = RecorderJob { ended, slot: self.slot.clone(), worker: myself.clone() };
            return recorder.submit_run(&self.dispatcher, &self.recipient, job);
        }
        let contact = ended.delivery.contact_id;
        let settled = attempt::settle_delivery(&self.dispatcher, &self.recipient, ended);
        let Some(delivery) = settled.map(|settled| settled.delivery) else {
            // Not tried to the end, because the server stops.
            return self.lanes.end_delivery(contact);
        };
        if !delivery.is_open() {
            self.lanes.end_delivery(contact);
            self.unrecorded.insert(delivery.id);
        }
        self.ended.push(delivery);
        let alone = self.lanes.count_away() == 0 || self.dispatcher.0.stopping.is_cancelled();
        if alone || self.ended.len() >= RECORDS_ENOUGH {
            self.record_ended(myself);
        } else if self.ended.len() == 1 {
            let (stopping, myself) = (self.dispatcher.0.stopping.clone(), myself.clone());
            self.dispatcher.0.tasks.spawn(async move {
                // Not by the injected clock: the pause spares the store and keeps no promise.
                let _stopped = tokio::time::timeout(RECORD_WITHIN, stopping.cancelled()).await;
                let _gone = myself.cast(DeliveryWorkerMessage::Record);
            });
        }
    }

    /// Records all ended attempts together, unless that is under way.
    fn record_ended(&mut self, myself: &ActorRef<DeliveryWorkerMessage>) {
        if self.recording || self.ended.is_empty() {
            return;
        }
        self.recording = true;
        let ended = std::mem::take(&mut self.ended);
        attempt::record_attempts(&self.dispatcher, self.recipient.clone(), ended, myself.clone());
    }

    fn settle_attempt(
        &mut self,
        ended: Vec<Delivery>,
        recorded: &HashSet<DeliveryId>,
        myself: &ActorRef<DeliveryWorkerMessage>,
    ) {
        for delivery in ended {
            self.unrecorded.remove(&delivery.id);
            let ours = recorded.contains(&delivery.id);
            if self.doubtful.remove(&delivery.id) || !ours {
                self.reload_lanes();
            }
            if delivery.is_open() && ours {
                self.put_back(delivery);
            } else if delivery.is_open() {
                self.lanes.end_delivery(delivery.contact_id);
            }
        }
        self.recording = false;
        self.record_ended(myself);
    }

    /// Puts a delivery back to wait for its next attempt.
    fn put_back(&mut self, delivery: Delivery) {
        let QueuedDelivery { delivery, not_before, .. } =
            QueuedDelivery::new(delivery, None, &self.dispatcher.0.clock.take_reading());
        self.lanes.return_retried(delivery, not_before);
    }

    /// Continues the lanes of runs that have ended.
    fn resume_runs(&mut self, written: RecordedRuns) {
        let RecordedRuns { recorded, lost, again } = written;
        for delivery in recorded {
            if self.doubtful.remove(&delivery.id) {
                self.reload_lanes();
            }
            if delivery.is_open() {
                self.put_back(delivery);
            } else {
                self.lanes.end_delivery(delivery.contact_id);
            }
        }
        for delivery in lost {
            self.doubtful.remove(&delivery.id);
            self.lanes.end_delivery(delivery.contact_id);
            self.reload_lanes();
        }
        for load in again {
            self.lanes.return_untried(load);
        }
    }

    /// Publishes the backlog, and ends the worker after it had nothing to do for [`LINGER`].
    fn schedule_rest(&mut self, now: MonotonicInstant, myself: &ActorRef<DeliveryWorkerMessage>) {
        let head = self.entry.head.load(Ordering::Acquire);
        let unread = self.place.map_or(0, |place| head.max(place.head) - place.cursor);
        let open = i64::try_from(self.lanes.count_open()).unwrap_or(i64::MAX);
        self.entry.waiting.store(unread.saturating_add(open), Ordering::Relaxed);
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
        let (subscriber, account) = (self.recipient.subscriber_id(), self.slot.current_account().number);
        if self.dispatcher.close(&subscriber, account, &self.entry) {
            myself.stop(None);
        }
    }

    fn look_again_at(&mut self, at: MonotonicInstant, myself: &ActorRef<DeliveryWorkerMessage>) {
        if self.alarm.as_ref().is_some_and(|(set, _)| *set <= at) {
            return;
        }
        let (clock, stopping) = (self.dispatcher.0.clock.clone(), self.dispatcher.0.stopping.clone());
        let myself = myself.clone();
        let alarm = self.dispatcher.0.tasks.spawn(async move {
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
