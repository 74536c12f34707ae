//! What the operations stand on: the facades of the floors below, and the surface's own settings.
//!
//! Holds no state of its own; the composition root makes it once.

use std::sync::{Arc, OnceLock};

use kabar_actors::{AccountEntry, AccountRegistry, Caller, IdempotencyKeys, TenantDirectory};
use kabar_core::clock::Clock;
use kabar_core::cursor::CursorKey;
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::page::PagePosition;
use kabar_core::forward::NodeForwarder;
use kabar_core::metrics::Metrics;
use kabar_core::outbound::OutboundClient;
use kabar_core::ports::PluginToolchain;
use kabar_core::redis::RedisCache;
use kabar_core::store::Store;
use tokio_util::sync::CancellationToken;

use crate::rest::error::ApiError;
use crate::rest::params::CursorText;

/// Everything that the HTTP surface needs.
#[derive(Clone)]
pub struct AppState {
    /// Commands and questions.
    pub accounts: AccountRegistry,
    /// The way to other nodes.
    pub forwarder: NodeForwarder,
    /// Judges addresses that tenants name.
    pub outbound: OutboundClient,
    /// Tenants, keys, users, accounts.
    pub directory: TenantDirectory,
    /// Compiles plugins, and tries them out.
    pub toolchain: Arc<dyn PluginToolchain>,
    /// Remembered answers.
    pub idempotency: IdempotencyKeys,
    /// Time.
    pub clock: Arc<Clock>,
    /// Seals cursors.
    pub cursor_key: CursorKey,
    /// The durable side; only asked whether it is well.
    pub store: Store,
    /// What nodes share; only asked how it goes.
    pub memory: RedisCache,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Opens `/admin/v1`.
    pub operator_token: Secret,
    /// WhatsApp's side.
    pub whatsapp: WhatsAppKeys,
    /// Largest bodies.
    pub limits: BodyLimits,
    /// Only in `kabar dev`.
    pub sandbox_keys: Option<PendingSandboxKeys>,
    /// Origins whose pages may call the API from a browser.
    pub allowed_origins: Vec<String>,
    /// Cancelled when the server is about to stop: it is then not ready.
    pub stopping: CancellationToken,
}

/// What the docs page fills in: the keys of `kabar dev`'s sandbox, once they are made.
pub type PendingSandboxKeys = Arc<OnceLock<SandboxKeys>>;

/// Keys that were made to be shown.
#[derive(Debug)]
pub struct SandboxKeys {
    /// Of the sandbox's organization.
    pub api_key: Secret,
    /// The operator's.
    pub operator_token: Secret,
}

/// What proves that a webhook is WhatsApp's.
#[derive(Debug, Clone, Default)]
pub struct WhatsAppKeys {
    /// Answers WhatsApp's handshake; without it no handshake succeeds.
    pub verify_token: Option<Secret>,
    /// Signs webhooks of every account; accounts may have their own besides.
    pub app_secret: Option<Secret>,
}

/// Largest bodies, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Of the API.
    pub json_bytes: usize,
    /// Of WhatsApp's webhooks.
    pub ingress_bytes: usize,
    /// Of uploaded components.
    pub component_bytes: usize,
}

impl Default for BodyLimits {
    /// The contract's figures (section 13).
    fn default() -> Self {
        Self { json_bytes: 256 * 1024, ingress_bytes: 3 * 1024 * 1024, component_bytes: 32 * 1024 * 1024 }
    }
}

impl AppState {
    /// An account of the caller's.
    ///
    /// # Errors
    /// `resource_not_found`, for another tenant's account too.
    pub(crate) fn find_account(
        &self,
        caller: &Caller,
        id: &PhoneNumberId,
    ) -> Result<Arc<AccountEntry>, ApiError> {
        let found = self.directory.find_account(caller.key.organisation_id, id.as_str());
        found.ok_or_else(|| ApiError::not_found("account", "phone_number_id"))
    }

    /// The place that a cursor names in the list `scope`.
    ///
    /// # Errors
    /// `invalid_cursor`.
    pub(crate) fn open_cursor(&self, scope: &str, cursor: &CursorText) -> Result<PagePosition, ApiError> {
        self.cursor_key.verify_cursor(scope, &cursor.0).ok_or_else(ApiError::invalid_cursor)
    }
}

impl std::fmt::Debug for AppState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AppState").field("limits", &self.limits).finish_non_exhaustive()
    }
}
