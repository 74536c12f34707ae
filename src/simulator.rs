//! A simulator of WhatsApp: the part of Meta's Cloud API that kabar calls, with simulated customers.
//!
//! It takes sends at `POST /{version}/{phone_number_id}/messages`, answers as Meta does, posts the signed
//! webhooks that follow (sent, delivered, read, or failed), and lets simulated customers write at a rate.
//! Reserved values provoke errors:
//!
//! - a recipient that ends in a known six-digit error number of Meta fails with that number (`+12025131026`
//!   with 131026): in the response or by a `failed` status, as Meta does;
//! - an access token that begins with `expired` is refused with 190.
//!
//! It has templates: the list of a business account, submissions, and their review. A name that begins with `rejected` is
//! rejected, one that begins with `refused` is not taken.
//!
//! A share of the traffic are occasions: edits, reactions, calls, echoes, notices, news ([`SimulatorOptions`]).
//!
//! A [`SimulatorScript`] changes the behaviour at given times. Rules make sends fail by recipient, by count,
//! at random or beyond a rate ([`FailureRule`]).
//!
//! Invariants: the messages to and from one customer arrive in order unless network faults were set; every
//! queue, list and retry is bounded; the same seed gives the same customers and the same messages (ids
//! differ, so that a second start is not taken for a redelivery). All customers have numbers that are
//! reserved for fiction, or belong to no area. It never logs a number, a body or a secret.

mod args;
mod call;
mod failure_rule;
mod generated_message;
mod meta_errors;
mod meta_json;
mod network;
mod number_profile;
mod occasion;
mod options;
mod recent_messages;
mod script;
mod script_player;
mod script_writer;
mod seeded_random;
mod send_log;
mod send_statuses;
mod server;
mod simulated_customers;
mod simulated_number;
mod state;
mod template_book;
mod template_call;
mod traffic;
mod webhook_lane;
mod whatsapp_ids;

use std::sync::Arc;

use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::address::Address;
use kabar_core::domain::phone::Phone;
use poem::listener::TcpAcceptor;
use serde_json::Value;
use tokio::net::TcpListener;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

pub use args::{FaultArgs, SimulateArgs, run_simulator};
pub use failure_rule::{FailureRule, RateScope, RuleTrigger, RuleVerdict};
pub use meta_errors::RecipientFailure;
pub use network::{CallGate, NetworkFaults, StatusDelays, WebhookRetry};
pub use options::SimulatorOptions;
pub use script::{ScriptError, SimulatorScript};
pub use send_log::{RecordedSend, SimulatorCounts};
pub use simulated_number::SimulatedNumber;
use state::SimulatorState;

/// A running simulator. It runs until the token given to [`WhatsAppSimulator::start`] is cancelled.
#[derive(Clone)]
pub struct WhatsAppSimulator {
    base_url: String,
    world: Arc<SimulatorState>,
}

impl WhatsAppSimulator {
    /// Starts serving on this listener; its tasks belong to `tasks` and end with `stop`.
    ///
    /// # Errors
    /// If the listener or the HTTP client cannot be used.
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
        tasks.spawn(state::run_script(world.clone(), stop.clone()));
        tasks.spawn(server::serve(acceptor, world.clone(), tasks.clone(), stop.clone()));
        tasks.spawn(traffic::run_traffic(world.clone(), stop));
        Ok(Self { base_url, world })
    }

    /// Returns the URL to configure as the Graph API's base URL; no slash at the end.
    #[must_use]
    pub fn base_url(&self) -> String {
        self.base_url.clone()
    }

    /// Sets the number of messages that customers write per minute; 0 for none.
    pub fn set_traffic(&self, per_minute: u32) {
        self.world.set_traffic(per_minute);
    }

    /// Adds a business number; one with the same id is replaced.
    pub fn add_number(&self, number: SimulatedNumber) {
        self.world.add_number(number);
    }

    /// Sets the network faults.
    pub fn set_faults(&self, faults: NetworkFaults) {
        self.world.set_faults(faults);
    }

    /// Lets calls through, holds them before they are handled, or cuts their connections. The change applies
    /// to held calls, too. [`SimulatorCounts::received`] counts the calls that have arrived.
    pub fn set_gate(&self, gate: CallGate) {
        self.world.gate.send_replace(gate);
    }

    /// Replaces all rules by which sends fail. They take precedence over [`Self::set_failure`] and reserved
    /// recipients.
    pub fn set_rules(&self, rules: Vec<FailureRule>) {
        self.world.set_rules(rules);
    }

    /// Makes sends to this recipient fail, or, with `None`, succeed again.
    pub fn set_failure(&self, recipient: Phone, failure: Option<RecipientFailure>) {
        self.world.set_failure(recipient, failure);
    }

    /// Returns the accepted sends, oldest first; the last 10 000 of them.
    #[must_use]
    pub fn sends(&self) -> Vec<RecordedSend> {
        self.world.sends()
    }

    /// Returns the number of sends to this recipient ever accepted (counted for the first 100 000 recipients).
    #[must_use]
    pub fn sends_to(&self, recipient: &Phone) -> u64 {
        self.world.sends_to(&Address::Phone(recipient.clone()))
    }

    /// Returns WhatsApp's ids of the messages that were reported as read, oldest first; the last 10 000.
    #[must_use]
    pub fn receipts(&self) -> Vec<String> {
        self.world.receipts()
    }

    /// Returns once the script has reached a step that ends it; never without a script.
    pub async fn ended(&self) {
        self.world.ended.cancelled().await;
    }

    /// Tells a value of a field about a number's business account, by a webhook. What it says of a template is what the list
    /// shows and what sends are judged by from then on.
    pub fn tell_field(&self, phone_number_id: &PhoneNumberId, field: &str, value: Value) {
        if let Some(number) = self.world.find_number(phone_number_id.as_str()) {
            self.world.tell_field(&number, field, value);
        }
    }

    /// Returns the counts so far, to read or to wait on.
    #[must_use]
    pub fn counts(&self) -> watch::Receiver<SimulatorCounts> {
        self.world.counts.subscribe()
    }
}
