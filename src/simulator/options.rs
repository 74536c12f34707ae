//! Options of the simulator: those set at its start, and those that may change while it runs.
//!
//! Invariant: the defaults are a silent, well-behaved WhatsApp. Values are not checked here; the caller
//! chooses sensible ones.

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

/// Delay of each status, counted from the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StatusDelays {
    /// From the send to `sent`.
    pub sent: Duration,
    /// From `sent` to `delivered`.
    pub delivered: Duration,
    /// From `delivered` to `read`.
    pub read: Duration,
}

impl StatusDelays {
    /// No delay; the order is kept.
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

/// Handling of calls before they are evaluated.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum CallGate {
    /// They are handled at once.
    #[default]
    Open,
    /// They wait until the gate opens, or is cut.
    Held,
    /// Their connection is cut; nothing is accepted.
    Cut,
}

/// Rates of network faults, in percent, 0 to 100.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NetworkFaults {
    /// Webhook items that come twice.
    pub duplicate_percent: u8,
    /// Webhook items that are delayed by up to three seconds, so that later ones overtake them.
    pub reorder_percent: u8,
    /// Accepted sends with a response that breaks off.
    pub drop_answer_percent: u8,
    /// Accepted sends with a `sent` status that is posted before the response.
    pub early_status_percent: u8,
    /// Accepted sends with a late response.
    pub late_answer_percent: u8,
    /// Delay of a late response, counted from the acceptance. The statuses do not wait for it.
    pub answer_delay: Duration,
    /// Items of one webhook at most; a body stays within 3 MB whatever this value.
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

/// Retries of a webhook that was not answered with 200.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookRetry {
    /// Delay before the second attempt; doubled for each further one.
    pub first: Duration,
    /// Longest delay.
    pub longest: Duration,
    /// Total attempts; then the webhook is given up.
    pub attempts: u32,
}

impl Default for WebhookRetry {
    /// About ten minutes: enough for a server to restart. (Meta tries for seven days.)
    fn default() -> Self {
        Self { first: Duration::from_millis(100), longest: Duration::from_secs(5), attempts: 125 }
    }
}

/// Behaviour of the simulated WhatsApp.
#[derive(Debug, Clone)]
pub struct SimulatorOptions {
    /// URL that webhooks are posted to.
    pub webhook_url: String,
    /// Signature key of the webhooks.
    pub app_secret: Secret,
    /// Seed of everything random.
    pub seed: u64,
    /// Messages that customers write per minute; with 0 they do not reply either.
    pub traffic_per_minute: u32,
    /// Share of messages that a customer replies to, in percent.
    pub reply_percent: u8,
    /// The business numbers known from the start.
    pub numbers: Vec<SimulatedNumber>,
    /// Delays of statuses.
    pub status_delay: StatusDelays,
    /// Rules by which sends fail, evaluated first.
    pub rules: Vec<FailureRule>,
    /// Recipients with failing sends.
    pub failures: HashMap<Phone, RecipientFailure>,
    /// Set when recipients that end in an error number of Meta's fail with it.
    pub reserved_recipients: bool,
    /// Network faults.
    pub faults: NetworkFaults,
    /// Retries towards the receiver of webhooks.
    pub webhook_retry: WebhookRetry,
    /// Script of timed changes; its first steps come before the first call.
    pub script: Option<SimulatorScript>,
    /// Clock of delays, traffic and timestamps. Its waits move a manual clock over gaps of a few
    /// milliseconds, so dense traffic wants the system's clock.
    pub clock: Arc<Clock>,
}

impl SimulatorOptions {
    /// Builds the options of a silent, well-behaved WhatsApp without numbers.
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

    /// Adds this script; its seed, if it has one, replaces the current one.
    #[must_use]
    pub fn with_script(self, script: SimulatorScript) -> Self {
        Self { seed: script.seed.unwrap_or(self.seed), script: Some(script), ..self }
    }
}
