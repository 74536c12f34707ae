//! Options of the simulator: those set at its start, and those that may change while it runs.
//!
//! Invariant: the defaults are a silent, well-behaved WhatsApp. Values are not checked here; the caller
//! chooses sensible ones.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use kabar_core::clock::Clock;
use kabar_core::domain::account::Secret;
use kabar_core::domain::phone::Phone;

use super::failure_rule::FailureRule;
use super::meta_errors::RecipientFailure;
use super::network::{NetworkFaults, StatusDelays, WebhookRetry};
use super::script::SimulatorScript;
use super::simulated_number::SimulatedNumber;

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
    /// Share of the traffic, in percent, that is something else than a plain message: edits, reactions, calls,
    /// echoes, notices, news. With more than 0, some customers have usernames, or no number.
    pub occasion_percent: u8,
    /// The business numbers known from the start.
    pub numbers: Vec<SimulatedNumber>,
    /// Set when a look at a number shows its properties; otherwise it shows those that a script has set.
    pub number_profiles: bool,
    /// Set when each business account has templates from its beginning.
    pub sample_templates: bool,
    /// Time from the submission of a template to the outcome of its review; `None` when it is not reviewed.
    pub review_delay: Option<Duration>,
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
            occasion_percent: 0,
            numbers: Vec::new(),
            number_profiles: true,
            sample_templates: true,
            review_delay: Some(Duration::from_secs(3)),
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
