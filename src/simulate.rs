//! A stand-in for WhatsApp: Meta's Cloud API as far as kabar calls it, and the people behind it.
//!
//! It takes sends at `POST /{version}/{phone_number_id}/messages`, answers as Meta does, posts the
//! signed webhooks that follow (sent, delivered, read, or failed), and lets made-up customers write
//! at a rate. Reserved values make errors easy to provoke:
//!
//! - a recipient whose last six digits are a known error number of Meta's fails with that number
//!   (`+12025131026` with 131026): in the answer or by a `failed` status, whichever Meta uses;
//! - an access token that begins with `expired` is refused with 190.
//!
//! Invariants: what one customer gets and writes arrives in order unless mischief was asked for;
//! every queue, list and retry is bounded; the same seed brings the same customers writing the same
//! things (ids differ, so that a second start is not taken for a redelivery). All customers have
//! numbers that are reserved for fiction. It never logs a number, a body or a secret.

mod args;
mod call;
mod crowd;
mod failure;
mod lane;
mod ledger;
mod server;
mod traffic;
mod utterance;
mod wire;
mod world;

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kabar_core::clock::Clock;
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::phone::Phone;
use poem::listener::TcpAcceptor;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use args::{MischiefArgs, SimulateArgs, run};
pub use failure::Failure;
pub use ledger::{Counts, RecordedSend};
use world::World;

/// A business number that WhatsApp knows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SimulatedNumber {
    /// Meta's id of the number.
    pub phone_number_id: PhoneNumberId,
    /// The number itself.
    pub phone: Phone,
    /// Meta's id of the business account that has it.
    pub waba_id: String,
}

/// How long each status takes, counted from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusDelays {
    /// From the send.
    pub sent: Duration,
    /// From sent.
    pub delivered: Duration,
    /// From delivered.
    pub read: Duration,
}

impl StatusDelays {
    /// All at once, still in order.
    pub const NONE: Self = Self { sent: Duration::ZERO, delivered: Duration::ZERO, read: Duration::ZERO };
}

impl Default for StatusDelays {
    fn default() -> Self {
        Self {
            sent: Duration::from_millis(150),
            delivered: Duration::from_millis(600),
            read: Duration::from_secs(3),
        }
    }
}

/// How badly the network treats us. In percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mischief {
    /// Webhook items that come twice.
    pub duplicate_percent: u8,
    /// Webhook items that are held back for up to three seconds, so that later ones overtake them.
    pub reorder_percent: u8,
    /// Accepted sends whose answer breaks off.
    pub drop_answer_percent: u8,
    /// Accepted sends whose `sent` status is posted before they are answered.
    pub early_status_percent: u8,
    /// Items of one webhook at most; a body stays within 3 MB whatever this says.
    pub batch_items_max: usize,
}

impl Default for Mischief {
    fn default() -> Self {
        Self {
            duplicate_percent: 0,
            reorder_percent: 0,
            drop_answer_percent: 0,
            early_status_percent: 0,
            batch_items_max: 1,
        }
    }
}

/// How often a webhook that was not answered with 200 is posted again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookRetry {
    /// Before the second attempt; doubled for each further one.
    pub first: Duration,
    /// No wait is longer.
    pub longest: Duration,
    /// Attempts in all; then the webhook is given up.
    pub attempts: u32,
}

impl Default for WebhookRetry {
    /// About ten minutes: enough for a server to be restarted. (Meta tries for seven days.)
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(5), attempts: 125 }
    }
}

/// How the simulated WhatsApp behaves.
#[derive(Debug, Clone)]
pub struct SimulatorOptions {
    /// Where webhooks are posted.
    pub webhook_url: String,
    /// Key of their signatures.
    pub app_secret: Secret,
    /// What everything random follows from.
    pub seed: u64,
    /// Messages that customers write per minute; 0 is silence, then nobody answers either.
    pub traffic_per_minute: u32,
    /// Share of messages that a customer answers, in percent.
    pub reply_percent: u8,
    /// The business numbers known from the start.
    pub numbers: Vec<SimulatedNumber>,
    /// Pace of statuses.
    pub status_delay: StatusDelays,
    /// Recipients that fail.
    pub failures: HashMap<Phone, Failure>,
    /// Whether recipients that end in an error number of Meta's fail with it.
    pub reserved_recipients: bool,
    /// What goes wrong on the way.
    pub mischief: Mischief,
    /// Patience with the receiver of webhooks.
    pub webhook_retry: WebhookRetry,
    /// Drives delays, traffic and timestamps. Its waits move a manual clock over gaps of a few
    /// milliseconds, so dense traffic wants the system's clock.
    pub clock: Arc<Clock>,
}

impl SimulatorOptions {
    /// A silent, well-behaved WhatsApp without numbers.
    #[must_use]
    pub fn new(webhook_url: &str, app_secret: Secret) -> Self {
        Self {
            webhook_url: webhook_url.to_owned(),
            app_secret,
            seed: 1,
            traffic_per_minute: 0,
            reply_percent: 40,
            numbers: Vec::new(),
            status_delay: StatusDelays::default(),
            failures: HashMap::new(),
            reserved_recipients: true,
            mischief: Mischief::default(),
            webhook_retry: WebhookRetry::default(),
            clock: Arc::new(Clock::system()),
        }
    }
}

/// A running stand-in. It runs until the token given to [`Simulator::start`] is cancelled.
#[derive(Clone)]
pub struct Simulator {
    base_url: String,
    world: Arc<World>,
}

impl Simulator {
    /// Starts serving on this listener; its tasks belong to `tasks` and end with `stop`.
    ///
    /// # Errors
    /// When the listener or the HTTP client cannot be used.
    pub fn start(
        listener: TcpListener,
        options: SimulatorOptions,
        tasks: &TaskTracker,
        stop: CancellationToken,
    ) -> anyhow::Result<Self> {
        let base_url = format!("http://{}", listener.local_addr()?);
        let acceptor = TcpAcceptor::from_tokio(listener)?;
        let lanes = lane::open(&options, tasks, &stop)?;
        let world = Arc::new(World::new(options, lanes));
        tasks.spawn(server::serve(acceptor, world.clone(), stop.clone()));
        tasks.spawn(traffic::run(world.clone(), stop));
        Ok(Self { base_url, world })
    }

    /// What to configure as the Graph API's base URL; no slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.base_url.clone()
    }

    /// Changes how many messages customers write per minute; 0 is silence.
    pub fn set_traffic(&self, per_minute: u32) {
        self.world.set_traffic(per_minute);
    }

    /// Makes a business number known; one with the same id is replaced.
    pub fn add_number(&self, number: SimulatedNumber) {
        self.world.add_number(number);
    }

    /// Changes what goes wrong on the way.
    pub fn set_mischief(&self, mischief: Mischief) {
        self.world.set_mischief(mischief);
    }

    /// Lets sends to this recipient fail, or, with `None`, succeed again.
    pub fn set_failure(&self, recipient: Phone, failure: Option<Failure>) {
        self.world.set_failure(recipient, failure);
    }

    /// The sends that were accepted, oldest first; the last 10 000 of them.
    #[must_use]
    pub fn sends(&self) -> Vec<RecordedSend> {
        self.world.sends()
    }

    /// How many sends to this recipient were accepted, of those ever made (counted for the first
    /// 100 000 recipients).
    #[must_use]
    pub fn sends_to(&self, recipient: &Phone) -> u64 {
        self.world.sends_to(recipient)
    }

    /// WhatsApp's ids of the messages that were reported as read, oldest first; the last 10 000.
    #[must_use]
    pub fn receipts(&self) -> Vec<String> {
        self.world.receipts()
    }

    /// What has happened so far, to read or to wait on.
    #[must_use]
    pub fn counts(&self) -> watch::Receiver<Counts> {
        self.world.counts.subscribe()
    }
}
