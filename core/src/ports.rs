//! Ports: traits through which other crates plug into this one.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::BoxFuture;

use crate::domain::account::Account;
use crate::domain::delivery::AttemptOutcome;
use crate::domain::event::Event;
use crate::domain::key_values::KeyValues;
use crate::domain::plugin::Plugin;
use crate::domain::run::HookReport;
use crate::domain::subscriber::Subscriber;
use crate::ids::{DeliveryId, PluginVersionId};

/// Form of a delivery's request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RequestForm {
    /// The event as the log shows it.
    Event,
    /// The event with the members that Kirimdev's events have.
    Kirimdev,
    /// Meta's own form.
    Meta {
        /// Id by which receivers tell events apart.
        event_id: Arc<str>,
        /// The same bytes for every attempt.
        body: Bytes,
    },
    /// The subscriber's form has no place for the event: no request is made.
    Hidden,
}

/// One event to be delivered to one subscriber.
#[derive(Debug, Clone)]
pub struct DeliveryRequest {
    /// Subscriber, with its current settings.
    pub subscriber: Subscriber,
    /// Account of the event log that holds the event.
    pub account: Arc<Account>,
    /// The event; its id and its sequence are the same on every attempt.
    pub event: Arc<Event>,
    /// Form of a webhook's request.
    pub form: RequestForm,
    /// The same on every attempt.
    pub delivery_id: DeliveryId,
    /// Number of the attempt, from 1.
    pub attempt: u32,
    /// Current keys and values of a plugin; empty for other subscribers.
    pub kv: KeyValues,
}

/// Result of a delivery request.
#[derive(Debug, Clone)]
pub struct AttemptResult {
    /// Outcome, which decides about further attempts.
    pub outcome: AttemptOutcome,
    /// HTTP status of the subscriber's response, for display only.
    pub status_code: Option<u16>,
    /// Reason for the failure, in readable form; without secrets and bodies.
    pub error: Option<Arc<str>>,
    /// Report of a hook; `None` for other subscribers, and when no hook ran.
    pub report: Option<Box<HookReport>>,
}

/// Delivers an event to a subscriber, once. The delivery worker owns order, retries and records.
pub trait EventSink: Send + Sync {
    /// Makes one attempt, and ends it in bounded time. May be called again with the same delivery request,
    /// because the record of the first call may have been lost.
    fn deliver(&self, delivery_request: DeliveryRequest) -> BoxFuture<'_, AttemptResult>;
}

/// Serialised form of an event: the same bytes for every attempt and every reader.
pub trait EventForm: Send + Sync {
    /// Returns the event's JSON, on one line.
    fn bytes(&self, account: &Account, event: &Event) -> Bytes;

    /// Returns the same with the members that Kirimdev's events have.
    fn kirimdev_bytes(&self, account: &Account, event: &Event) -> Bytes;
}

/// Result of the inspection of a component.
#[derive(Debug, Clone)]
pub struct InspectedComponent {
    /// SHA-256 of its bytes.
    pub sha256: [u8; 32],
    /// Size in bytes.
    pub size: u64,
    /// Interfaces that it imports.
    pub imports: Vec<Arc<str>>,
    /// Interfaces that it exports.
    pub exports: Vec<Arc<str>>,
    /// Compile time in milliseconds.
    pub compile_ms: u64,
    /// Compiled component, in a format that only the plugin host reads.
    pub artefact: Bytes,
}

/// Reason for which a component was not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotInspected {
    /// The component is invalid; another upload of it gives the same result. The text tells its author what
    /// is wrong.
    #[error("{0}")]
    Invalid(Arc<str>),
    /// The server failed; another try may help.
    #[error("{0}")]
    Failed(Arc<str>),
}

/// A member of a sample event that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotASample {
    /// Dotted path.
    pub path: String,
    /// Continues "must be …".
    pub wanted: &'static str,
}

/// Compiles hooks and runs them on sample events.
pub trait PluginToolchain: Send + Sync {
    /// Compiles a component for a plugin, and runs it on a sample event. Bounded in time and memory, and kept
    /// off the threads that serve requests.
    fn inspect(
        &self,
        plugin: Arc<Plugin>,
        wasm: Bytes,
    ) -> BoxFuture<'_, Result<InspectedComponent, NotInspected>>;

    /// Keeps the compiled form of a version. Without it the version is compiled again when it is needed.
    fn keep(&self, version: PluginVersionId, artefact: Bytes) -> BoxFuture<'_, ()>;

    /// Asks that compiled forms of versions which are gone be removed, soon.
    fn sweep(&self);

    /// Runs a version on a delivery request. Its effects are not carried out; its calls are recorded and not
    /// made.
    fn dry_run(
        &self,
        version: PluginVersionId,
        delivery_request: DeliveryRequest,
    ) -> BoxFuture<'_, AttemptResult>;

    /// Reads an event in the API's form.
    ///
    /// # Errors
    /// The first member that cannot be read.
    fn sample(&self, json: &serde_json::Value) -> Result<(Arc<Account>, Arc<Event>), NotASample>;
}

/// A sink of a server that delivers nothing: every delivery waits for its next attempt.
#[derive(Debug, Clone, Copy, Default)]
pub struct ClosedSink;

impl EventSink for ClosedSink {
    fn deliver(&self, _request: DeliveryRequest) -> BoxFuture<'_, AttemptResult> {
        let receipt = AttemptResult {
            outcome: AttemptOutcome::Retry { after: None },
            status_code: None,
            error: Some("this server delivers nothing".into()),
            report: None,
        };
        Box::pin(std::future::ready(receipt))
    }
}

/// A toolchain that refuses every component.
impl PluginToolchain for ClosedSink {
    fn inspect(
        &self,
        _plugin: Arc<Plugin>,
        _wasm: Bytes,
    ) -> BoxFuture<'_, Result<InspectedComponent, NotInspected>> {
        Box::pin(std::future::ready(Err(NotInspected::Failed("this server runs no plugins".into()))))
    }

    fn keep(&self, _version: PluginVersionId, _artefact: Bytes) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }

    fn sweep(&self) {}

    fn dry_run(
        &self,
        _version: PluginVersionId,
        delivery_request: DeliveryRequest,
    ) -> BoxFuture<'_, AttemptResult> {
        self.deliver(delivery_request)
    }

    fn sample(&self, _json: &serde_json::Value) -> Result<(Arc<Account>, Arc<Event>), NotASample> {
        Err(NotASample { path: String::new(), wanted: "absent: this server runs no plugins" })
    }
}
