//! What the house needs from rooms that it must not know.

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

/// One event on its way to one subscriber.
#[derive(Debug, Clone)]
pub struct DeliveryRequest {
    /// To whom, as it stands now.
    pub subscriber: Subscriber,
    /// Whose log the event is from.
    pub account: Arc<Account>,
    /// The event; its id and its sequence are equal on every attempt.
    pub event: Arc<Event>,
    /// Equal on every attempt.
    pub delivery_id: DeliveryId,
    /// From 1.
    pub attempt: u32,
    /// What a plugin keeps, as it stands now; empty for others.
    pub kv: KeyValues,
}

/// What became of a delivery request.
#[derive(Debug, Clone)]
pub struct AttemptResult {
    /// What the delivery worker goes by.
    pub outcome: AttemptOutcome,
    /// What the subscriber answered, for show.
    pub status_code: Option<u16>,
    /// Why it failed, for a human; no secret, no body.
    pub error: Option<Arc<str>>,
    /// What a hook did besides; `None` for others, and when nothing ran.
    pub report: Option<Box<HookReport>>,
}

/// Brings an event to a subscriber, once. Order, retries and records are the delivery worker's.
pub trait EventSink: Send + Sync {
    /// Makes one attempt, and ends it in bounded time. May be called again with the same delivery request: a
    /// record of the first call may have been lost.
    fn deliver(&self, delivery_request: DeliveryRequest) -> BoxFuture<'_, AttemptResult>;
}

/// How an event looks outside: the same bytes at every attempt, and to whomever it is shown.
pub trait EventForm: Send + Sync {
    /// The event's JSON, on one line.
    fn bytes(&self, account: &Account, event: &Event) -> Bytes;
}

/// What was found out about a component.
#[derive(Debug, Clone)]
pub struct InspectedComponent {
    /// Of its bytes.
    pub sha256: [u8; 32],
    /// Bytes.
    pub size: u64,
    /// What it imports.
    pub imports: Vec<Arc<str>>,
    /// What it exports.
    pub exports: Vec<Arc<str>>,
    /// How long it took to compile.
    pub compile_ms: u64,
    /// What it was compiled to; only the host knows what to do with it.
    pub artefact: Bytes,
}

/// Why a component was not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotInspected {
    /// Uploading the same again finds the same; says what is wrong, to whoever built it.
    #[error("{0}")]
    Invalid(Arc<str>),
    /// The server's own trouble; trying again may help.
    #[error("{0}")]
    Failed(Arc<str>),
}

/// A member of a sample that cannot be read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotASample {
    /// Dotted path.
    pub path: String,
    /// Continues "must be …".
    pub wanted: &'static str,
}

/// Compiles hooks, and tries them out.
pub trait PluginToolchain: Send + Sync {
    /// Compiles a component for a plugin, and tries it on a sample event. Bounded in time and memory, away
    /// from whoever serves.
    fn inspect(
        &self,
        plugin: Arc<Plugin>,
        wasm: Bytes,
    ) -> BoxFuture<'_, Result<InspectedComponent, NotInspected>>;

    /// Keeps what a version was compiled to. Without it the version is compiled anew when it is needed.
    fn keep(&self, version: PluginVersionId, artefact: Bytes) -> BoxFuture<'_, ()>;

    /// Runs a version on a delivery request; nothing is performed, and calls are noted and not made.
    fn dry_run(
        &self,
        version: PluginVersionId,
        delivery_request: DeliveryRequest,
    ) -> BoxFuture<'_, AttemptResult>;

    /// Reads an event in the form in which the API tells it.
    ///
    /// # Errors
    /// The first member that cannot be read.
    fn sample(&self, json: &serde_json::Value) -> Result<(Arc<Account>, Arc<Event>), NotASample>;
}

/// The sink of a server that brings nothing: every delivery waits for its next attempt.
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

/// A toolchain that takes nothing.
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
