//! What the stand-in is told at its start, and what may be changed while it runs.
//!
//! Invariant: the defaults are a silent, well-behaved WhatsApp. Whether figures are sensible is for
//! whoever sets them; nothing here is checked.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kabar_core::clock::Clock;
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::phone::Phone;
use serde::Deserialize;

use super::failure_rule::FailureRule;
use super::meta_errors::RecipientFailure;
use super::script::SimulatorScript;

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

/// What becomes of calls before they are judged.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallGate {
    /// They are judged at once.
    #[default]
    Open,
    /// They wait until the gate opens, or is cut.
    Held,
    /// Their connection is cut; nothing is accepted.
    Cut,
}

/// How badly the network treats us. In percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkFaults {
    /// Webhook items that come twice.
    pub duplicate_percent: u8,
    /// Webhook items that are held back for up to three seconds, so that later ones overtake them.
    pub reorder_percent: u8,
    /// Accepted sends whose answer breaks off.
    pub drop_answer_percent: u8,
    /// Accepted sends whose `sent` status is posted before they are answered.
    pub early_status_percent: u8,
    /// Accepted sends whose answer comes late.
    pub late_answer_percent: u8,
    /// How late: from the acceptance to the answer. The statuses do not wait for it.
    pub answer_delay: Duration,
    /// Items of one webhook at most; a body stays within 3 MB whatever this says.
    pub batch_items_max: usize,
}

impl Default for NetworkFaults {
    fn default() -> Self {
        Self {
            duplicate_percent: 0,
            reorder_percent: 0,
            drop_answer_percent: 0,
            early_status_percent: 0,
            late_answer_percent: 0,
            answer_delay: Duration::from_secs(2),
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
    /// Rules by which sends fail, asked first.
    pub rules: Vec<FailureRule>,
    /// Recipients that fail.
    pub failures: HashMap<Phone, RecipientFailure>,
    /// Whether recipients that end in an error number of Meta's fail with it.
    pub reserved_recipients: bool,
    /// What goes wrong on the way.
    pub faults: NetworkFaults,
    /// Retries towards the receiver of webhooks.
    pub webhook_retry: WebhookRetry,
    /// What happens when; its first steps come before the first call.
    pub script: Option<SimulatorScript>,
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
            rules: Vec::new(),
            failures: HashMap::new(),
            reserved_recipients: true,
            faults: NetworkFaults::default(),
            webhook_retry: WebhookRetry::default(),
            script: None,
            clock: Arc::new(Clock::system_clock()),
        }
    }

    /// The same, playing this script; its seed, if it has one, replaces ours.
    #[must_use]
    pub fn with_script(self, script: SimulatorScript) -> Self {
        Self { seed: script.seed.unwrap_or(self.seed), script: Some(script), ..self }
    }
}
