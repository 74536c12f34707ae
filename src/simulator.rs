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
//! A [`SimulatorScript`] says what changes when. Rules make sends fail by recipient, by count, by chance or beyond a rate ([`FailureRule`]).
//!
//! Invariants: what one customer gets and writes arrives in order unless network faults were asked for;
//! every queue, list and retry is bounded; the same seed brings the same customers writing the same
//! things (ids differ, so that a second start is not taken for a redelivery). All customers have
//! numbers that are reserved for fiction. It never logs a number, a body or a secret.

mod args;
mod call;
mod failure_rule;
mod generated_message;
mod meta_errors;
mod meta_json;
mod options;
mod script;
mod script_player;
mod seeded_random;
mod send_log;
mod server;
mod simulated_customers;
mod state;
mod traffic;
mod webhook_lane;

use std::sync::Arc;

use kabar_core::domain::phone::Phone;
use poem::listener::TcpAcceptor;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use args::{FaultArgs, SimulateArgs, run_simulator};
pub use failure_rule::{FailureRule, RateScope, RuleTrigger, RuleVerdict};
pub use meta_errors::RecipientFailure;
pub use options::{CallGate, NetworkFaults, SimulatedNumber, SimulatorOptions, StatusDelays, WebhookRetry};
pub use script::{ScriptError, SimulatorScript};
pub use send_log::{RecordedSend, SimulatorCounts};
use state::SimulatorState;

/// A running stand-in. It runs until the token given to [`WhatsAppSimulator::start`] is cancelled.
#[derive(Clone)]
pub struct WhatsAppSimulator {
    base_url: String,
    world: Arc<SimulatorState>,
}

impl WhatsAppSimulator {
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
        let lanes = webhook_lane::open_lanes(&options, tasks, &stop)?;
        let world = Arc::new(SimulatorState::new(options, lanes));
        world.take_steps();
        tasks.spawn(script_player::run_script(world.clone(), stop.clone()));
        tasks.spawn(server::serve(acceptor, world.clone(), tasks.clone(), stop.clone()));
        tasks.spawn(traffic::run_traffic(world.clone(), stop));
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
    pub fn set_faults(&self, faults: NetworkFaults) {
        self.world.set_faults(faults);
    }

    /// Lets calls through, holds them back before they are judged, or cuts them off. What was held
    /// follows the change, too. [`SimulatorCounts::received`] tells when a call has arrived.
    pub fn set_gate(&self, gate: CallGate) {
        self.world.gate.send_replace(gate);
    }

    /// Replaces all rules by which sends fail. They come before what [`Self::set_failure`] and reserved
    /// recipients say.
    pub fn set_rules(&self, rules: Vec<FailureRule>) {
        self.world.set_rules(rules);
    }

    /// Lets sends to this recipient fail, or, with `None`, succeed again.
    pub fn set_failure(&self, recipient: Phone, failure: Option<RecipientFailure>) {
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

    /// Returns once the script has reached a step that ends it; without one, never.
    pub async fn ended(&self) {
        self.world.ended.cancelled().await;
    }

    /// What has happened so far, to read or to wait on.
    #[must_use]
    pub fn counts(&self) -> watch::Receiver<SimulatorCounts> {
        self.world.counts.subscribe()
    }
}
