//! A stage with one account, and a sink that answers as it is told.

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use futures_util::future::BoxFuture;
use kabar_core::domain::allowed_hosts::AllowedHosts;
use kabar_core::domain::audit::AuditOrigin;
use kabar_core::domain::delivery::{AttemptOutcome, Delivery, DeliveryStatus};
use kabar_core::domain::event::EventType;
use kabar_core::domain::page::{DeliveryFilter, DeliveryQuery, PageLimit, RunQuery};
use kabar_core::domain::plugin::{Plugin, PluginEntries, PluginVersion};
use kabar_core::domain::principal::Principal;
use kabar_core::domain::run::Run;
use kabar_core::domain::subscriber::SubscriberId;
use kabar_core::domain::subscription::{Subscription, SubscriptionStatus, WebhookFormat};
use kabar_core::ids::{ContactId, DeliveryId, EventId, PluginId, SubscriptionId};
use kabar_core::ports::{AttemptResult, DeliveryRequest, EventSink};
use kabar_core::store::DeliveryCursor;
use tokio::sync::watch;

use crate::accounts::tests::fixture::AccountFixture;
use crate::context::AccountRegistryOptions;
use crate::delivery::DeliveryDispatcher;
use crate::delivery::entries::WorkerEntries;
use crate::delivery::worker::LINGER;
use crate::subscribers::{NewPlugin, NewSubscription, SubscriberDirectory, SubscriptionPatch};

/// What the sink does with a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum PlayedAnswer {
    Answer(AttemptOutcome),
    /// Does not answer until it is let go, and then as the script says by then.
    Hang,
    Panic,
}

/// A call, as the sink saw it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call {
    pub(super) subscriber: SubscriberId,
    pub(super) delivery: DeliveryId,
    pub(super) event: EventId,
    pub(super) sequence: i64,
    pub(super) contact: ContactId,
    pub(super) attempt: u32,
    /// The second event that the first contact of all has brought; 0 until it is there.
    pub(super) of_second: i64,
}

type Play = Arc<dyn Fn(&Call) -> PlayedAnswer + Send + Sync>;

pub(super) struct Script {
    play: Mutex<Play>,
    calls: Mutex<Vec<Call>>,
    taken: AtomicUsize,
    hanging: AtomicUsize,
    /// The most attempts that hung together.
    pub(super) peak: AtomicUsize,
    released: watch::Sender<u64>,
}

impl Script {
    fn new() -> Self {
        Self {
            play: Mutex::new(Arc::new(|_: &Call| PlayedAnswer::Answer(AttemptOutcome::Delivered))),
            calls: Mutex::default(),
            taken: AtomicUsize::new(0),
            hanging: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            released: watch::Sender::new(0),
        }
    }

    pub(super) fn plays(&self, play: impl Fn(&Call) -> PlayedAnswer + Send + Sync + 'static) {
        *self.play.lock().unwrap() = Arc::new(play);
    }

    pub(super) fn calls(&self) -> Vec<Call> {
        self.calls.lock().unwrap().clone()
    }

    pub(super) fn contacts(&self) -> Vec<ContactId> {
        let mut contacts: Vec<_> = self.calls().iter().map(|call| call.contact).collect();
        contacts.sort_unstable();
        contacts.dedup();
        contacts
    }

    pub(super) fn taken(&self) -> usize {
        self.taken.load(Ordering::Acquire)
    }

    pub(super) async fn until_hanging(&self, attempts: usize) {
        patiently(async || self.hanging.load(Ordering::Acquire) >= attempts).await;
    }

    pub(super) fn let_go(&self) {
        self.released.send_modify(|times| *times += 1);
    }

    /// Lets go of what hangs: the first attempt of all ends so, and every other one well.
    pub(super) fn ends_first_attempt(&self, outcome: AttemptOutcome) {
        let first = self.calls().first().map(|call| (call.sequence, call.attempt));
        self.plays(move |call| {
            let is_first = Some((call.sequence, call.attempt)) == first;
            PlayedAnswer::Answer(if is_first { outcome } else { AttemptOutcome::Delivered })
        });
        self.let_go();
    }

    fn turn(&self, call: &Call) -> PlayedAnswer {
        let play = self.play.lock().unwrap().clone();
        play(call)
    }

    fn note(&self, delivery_request: &DeliveryRequest) -> Call {
        let mut calls = self.calls.lock().unwrap();
        let mut call = Call {
            subscriber: delivery_request.subscriber.subscriber_id(),
            delivery: delivery_request.delivery_id,
            event: delivery_request.event.id,
            sequence: delivery_request.event.sequence,
            contact: delivery_request.event.kind.contact_id(),
            attempt: delivery_request.attempt,
            of_second: 0,
        };
        let first = calls.first().copied().unwrap_or(call);
        let later = calls
            .iter()
            .chain([&call])
            .find(|one| one.contact == first.contact && one.sequence > first.sequence);
        call.of_second = later.map_or(0, |one| one.sequence);
        calls.push(call);
        call
    }
}

impl EventSink for Script {
    fn deliver(&self, delivery_request: DeliveryRequest) -> BoxFuture<'_, AttemptResult> {
        Box::pin(async move {
            let mut released = self.released.subscribe();
            let call = self.note(&delivery_request);
            let mut turn = self.turn(&call);
            if matches!(turn, PlayedAnswer::Hang) {
                let now = self.hanging.fetch_add(1, Ordering::AcqRel) + 1;
                self.peak.fetch_max(now, Ordering::AcqRel);
                released.changed().await.unwrap();
                self.hanging.fetch_sub(1, Ordering::AcqRel);
                turn = self.turn(&call);
            }
            let PlayedAnswer::Answer(outcome) = turn else { panic!("as the script says") };
            self.taken.fetch_add(usize::from(outcome == AttemptOutcome::Delivered), Ordering::AcqRel);
            AttemptResult { outcome, status_code: None, error: None, report: None }
        })
    }
}

/// Returns when this holds; fails when it does not come about.
pub(super) async fn patiently<F: Future<Output = bool>>(mut holds: impl FnMut() -> F) {
    let waiting = async {
        while !holds().await {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), waiting).await.expect("it did not come about");
}

pub(super) struct Stage {
    pub(super) fixture: AccountFixture,
    pub(super) sink: Arc<Script>,
}

impl Stage {
    pub(super) async fn open() -> Self {
        let sink = Arc::new(Script::new());
        Self {
            fixture: AccountFixture::open_with(AccountRegistryOptions::default(), sink.clone()).await,
            sink,
        }
    }

    pub(super) fn dispatcher(&self) -> &DeliveryDispatcher {
        self.fixture.accounts.dispatcher()
    }

    pub(super) fn subscribers(&self) -> &SubscriberDirectory {
        self.fixture.accounts.subscribers()
    }

    fn entries(&self) -> &WorkerEntries {
        &self.dispatcher().0.context.entries
    }

    /// Delivery workers that run.
    pub(super) fn workers(&self) -> usize {
        self.entries().count_backlog().0
    }

    pub(super) fn account(&self) -> i64 {
        self.fixture.entry.current_account().number
    }

    /// A subscription to inbound messages.
    pub(super) async fn subscribe(&self) -> Arc<Subscription> {
        let new = NewSubscription {
            url: "https://example.com/".into(),
            events: [EventType::MessageReceived].into_iter().collect(),
            format: WebhookFormat::Kabar,
            description: None,
            created_by: Principal::SYSTEM,
        };
        self.subscribers()
            .create_subscription(self.fixture.organisation, new, &AuditOrigin::SYSTEM, None)
            .await
            .unwrap()
    }

    /// A plugin that wants inbound messages, and a version of it that runs.
    pub(super) async fn install_plugin(&self) -> Arc<Plugin> {
        let new = NewPlugin {
            name: "p".into(),
            description: None,
            events: [EventType::MessageReceived].into_iter().collect(),
            accounts: None,
            config: PluginEntries::default(),
            secrets: PluginEntries::default(),
            allowed_hosts: AllowedHosts::default(),
            capabilities: None,
            enabled: true,
            created_by: Principal::SYSTEM,
        };
        let (subscribers, organisation) = (self.subscribers(), self.fixture.organisation);
        let plugin = subscribers.create_plugin(organisation, new, &AuditOrigin::SYSTEM).await.unwrap();
        let version = PluginVersion {
            id: subscribers.next_version_id().await,
            plugin_id: plugin.id,
            sha256: [0; 32],
            size: 1,
            imports: Vec::new(),
            exports: Vec::new(),
            compile_ms: 1,
            created_at: self.fixture.clock.read_now(),
            created_by: Principal::SYSTEM,
        };
        let wasm = bytes::Bytes::from_static(b"w");
        subscribers.add_plugin_version(organisation, &version, &wasm, &AuditOrigin::SYSTEM).await.unwrap();
        subscribers.activate_plugin(organisation, plugin.id, version.id, &AuditOrigin::SYSTEM).await.unwrap()
    }

    /// A plugin's runs, newest first.
    pub(super) async fn runs(&self, plugin_id: PluginId) -> Vec<Run> {
        let query = RunQuery {
            plugin_id,
            status: None,
            created_after: None,
            created_before: None,
            limit: PageLimit::new(100).unwrap(),
            after: None,
        };
        self.subscribers().page_runs(&query).await.unwrap().0.rows
    }

    pub(super) fn subscription(&self, id: SubscriptionId) -> Arc<Subscription> {
        self.subscribers().find_subscription(self.fixture.organisation, id).unwrap()
    }

    pub(super) async fn set(&self, id: SubscriptionId, status: SubscriptionStatus) {
        let patch = SubscriptionPatch { status: Some(status), ..SubscriptionPatch::default() };
        let patched = self
            .subscribers()
            .patch_subscription(self.fixture.organisation, id, patch, &AuditOrigin::SYSTEM)
            .await;
        assert_eq!(patched.unwrap().status, status);
    }

    pub(super) async fn until_taken(&self, deliveries: usize) {
        patiently(async || self.sink.taken() >= deliveries).await;
    }

    pub(super) async fn until_metric(&self, line: &str) {
        patiently(async || {
            self.fixture.accounts.refresh_gauges();
            self.fixture.says(line)
        })
        .await;
    }

    pub(super) async fn list(&self, id: SubscriptionId) -> Vec<Delivery> {
        let mut filter = DeliveryFilter::for_subscriber(self.fixture.organisation);
        filter.subscription_id = Some(id);
        let query = DeliveryQuery { filter, limit: PageLimit::new(100).unwrap(), after: None };
        self.dispatcher().page_deliveries(&query).await.unwrap().rows
    }

    /// So many of the newest hundred.
    pub(super) async fn count(&self, id: SubscriptionId, status: DeliveryStatus) -> usize {
        self.list(id).await.iter().filter(|row| row.status == status).count()
    }

    pub(super) async fn until_recorded(&self, id: SubscriptionId, status: DeliveryStatus, rows: usize) {
        patiently(async || self.count(id, status).await == rows).await;
    }

    /// Waits until so many tries of a delivery have failed, and lets time pass until the next.
    pub(super) async fn until_next_attempt(&self, id: SubscriptionId, tries: u32) {
        let failed = |row: &Delivery| row.status == DeliveryStatus::Failed && row.tries == tries;
        patiently(async || self.list(id).await.iter().any(failed)).await;
        let rows = self.list(id).await;
        let next = rows.iter().find(|row| failed(row)).and_then(|row| row.next_attempt_at).unwrap();
        self.fixture.clock.advance_manual(next.time_left(self.fixture.clock.read_now(), Duration::MAX));
    }

    /// Lets time pass until every delivery worker has left, and less than the purge takes to look again.
    pub(super) async fn until_nobody_works(&self) {
        for _ in 0..15 {
            self.fixture.clock.advance_manual(LINGER);
            let left = async {
                while self.workers() > 0 {
                    tokio::task::yield_now().await;
                }
            };
            if tokio::time::timeout(Duration::from_secs(2), left).await.is_ok() {
                return;
            }
        }
        panic!("a delivery worker stays");
    }

    /// Waits until every delivery worker has listened to its bell.
    pub(super) async fn until_heard(&self) {
        patiently(async || !self.entries().is_any_rung()).await;
    }

    pub(super) async fn open_rows(&self, id: SubscriptionId) -> usize {
        self.fixture
            .store
            .open_deliveries(SubscriberId::Webhook(id), self.account(), 0, 10_000)
            .await
            .unwrap()
            .len()
    }

    pub(super) async fn place(&self, id: SubscriptionId) -> DeliveryCursor {
        self.fixture.store.delivery_cursor(SubscriberId::Webhook(id), self.account()).await.unwrap().unwrap()
    }
}
