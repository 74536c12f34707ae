//! State that the operations share: the facades of the lower crates, and the settings of the HTTP surface.
//!
//! Holds no state of its own; the composition root makes it once.

use std::sync::{Arc, OnceLock};

use arc_swap::ArcSwap;
use kabar_actors::{
    AccountEntry, AccountError, AccountRegistry, Caller, IdempotencyKeys, TenantDirectory, audit_entry,
};
use kabar_core::cause::cause;
use kabar_core::clock::Clock;
use kabar_core::cursor::CursorKey;
use kabar_core::domain::account::{PhoneNumberId, Secret};
use kabar_core::domain::audit::{AuditAction, AuditOrigin, AuditTarget};
use kabar_core::domain::page::PagePosition;
use kabar_core::forward::NodeForwarder;
use kabar_core::ids::OrganisationId;
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
    /// Facade of the accounts: commands and reads.
    pub accounts: AccountRegistry,
    /// Client for requests to other nodes.
    pub forwarder: NodeForwarder,
    /// Checks the addresses that tenants name.
    pub outbound: OutboundClient,
    /// Tenants, keys, users, accounts.
    pub directory: TenantDirectory,
    /// Compiles plugins, and runs dry runs.
    pub toolchain: Arc<dyn PluginToolchain>,
    /// Recorded responses by `Idempotency-Key`.
    pub idempotency: IdempotencyKeys,
    /// Server clock.
    pub clock: Arc<Clock>,
    /// Key that signs cursors.
    pub cursor_key: CursorKey,
    /// Database; used here for its health check, its statement count and raw items of WhatsApp's only.
    pub store: Store,
    /// Redis; used here for its state only.
    pub memory: RedisCache,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Settings that may change while the server runs.
    pub settings: SharedSurfaceSettings,
    /// Limits of request bodies.
    pub limits: BodyLimits,
    /// Keys of the sandbox; only in `kabar dev`.
    pub sandbox_keys: Option<PendingSandboxKeys>,
    /// Cancelled when the server is about to stop; it is not ready from then on.
    pub stopping: CancellationToken,
}

/// Settings of the HTTP surface that may change while the server runs.
#[derive(Debug, Clone)]
pub struct SurfaceSettings {
    /// Token that gives access to `/admin/v1`.
    pub operator_token: Secret,
    /// Secrets shared with WhatsApp.
    pub whatsapp: WhatsAppKeys,
    /// Origins with access to the API from browser pages.
    pub allowed_origins: Vec<String>,
}

/// The surface's settings in force; each request reads them anew.
pub type SharedSurfaceSettings = Arc<ArcSwap<SurfaceSettings>>;

/// Keys of `kabar dev`'s sandbox, once they are made; the docs page fills them in.
pub type PendingSandboxKeys = Arc<OnceLock<SandboxKeys>>;

/// Keys of the sandbox, made to be shown.
#[derive(Debug)]
pub struct SandboxKeys {
    /// API key of the sandbox's organization.
    pub api_key: Secret,
    /// The operator's token.
    pub operator_token: Secret,
}

/// Secrets that authenticate WhatsApp's webhooks.
#[derive(Debug, Clone, Default)]
pub struct WhatsAppKeys {
    /// Token of WhatsApp's handshake; without it no handshake succeeds.
    pub verify_token: Option<Secret>,
    /// Keys that sign webhooks of every account; accounts may have their own as well.
    pub app_secrets: Vec<Secret>,
}

/// Limits of request bodies, in bytes.
#[derive(Debug, Clone, Copy)]
pub struct BodyLimits {
    /// Limit of the API.
    pub json_bytes: usize,
    /// Limit of WhatsApp's webhooks.
    pub ingress_bytes: usize,
    /// Limit of uploaded components.
    pub component_bytes: usize,
    /// Limit of all bodies together whose requests are not authenticated yet. At least one webhook fits into it.
    pub unauthenticated_bytes: usize,
}

impl Default for BodyLimits {
    /// Limits of the contract (sections 13 and 28).
    fn default() -> Self {
        Self {
            json_bytes: 256 * 1024,
            ingress_bytes: 3 * 1024 * 1024,
            component_bytes: 32 * 1024 * 1024,
            unauthenticated_bytes: 16 * 1024 * 1024,
        }
    }
}

impl AppState {
    /// Finds an account of the caller.
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

    /// Appends an entry to the audit log about what is no write of a row.
    ///
    /// # Errors
    /// `storage_unavailable`.
    pub(crate) async fn enter_audit(
        &self,
        origin: &AuditOrigin,
        organisation: Option<OrganisationId>,
        action: AuditAction,
        target: AuditTarget,
    ) -> Result<(), ApiError> {
        let entry = audit_entry(&self.clock, origin, organisation, action, target);
        self.store.insert_audit_entry(&entry).await.map_err(|error| {
            tracing::error!(error = cause(&error), "entry of the audit log not written");
            ApiError::from(AccountError::Storage)
        })
    }

    /// Verifies a cursor of the list `scope` and returns its position.
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
