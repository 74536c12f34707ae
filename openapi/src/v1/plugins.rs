//! Operations on plugins: a tenant's components that get events, their versions and their runs.
//!
//! The plugin host decides what a component may do, the delivery workers when it runs. This module reads
//! bodies, and keeps each tenant to its own plugins.

pub(crate) mod body;
pub(crate) mod dry_run;
mod entries;
pub(crate) mod runs;
mod upload;
pub(crate) mod versions;
pub(crate) mod write;

use std::sync::Arc;

use kabar_actors::PluginError;
use kabar_core::domain::page::PageLimit;
use kabar_core::domain::plugin::{ENTRIES_MAX, PLUGINS_MAX, Plugin};
use kabar_core::ids::PluginId;
use poem::http::StatusCode;
use poem_openapi::OpenApi;

use self::body::PluginBody;
use self::write::{CreatePlugin, UpdatePlugin};
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::{DataResponse, NoContentResponse, PageResponse};
use crate::rest::error::{ApiError, ErrorCode, OperationError, code_list};
use crate::rest::idempotency::{IdempotentCall, IdempotentResponse, once_beside};
use crate::rest::json_body::JsonBody;
use crate::rest::list::PageRequest;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of creating a plugin.
    PluginCreateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, PlanLimitReached, IdempotencyInProgress,
        PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReuse, StorageUnavailable,
    ];
    /// Error codes of listing plugins.
    PluginListFails = [InvalidLimit, InvalidCursor];
    /// Error codes of reading a plugin.
    PluginGetFails = [InvalidFieldValue, ResourceNotFound];
    /// Error codes of changing a plugin.
    PluginUpdateFails = [
        InvalidRequest, InvalidFieldValue, ResourceNotFound, PayloadTooLarge, UnsupportedMediaType,
        StorageUnavailable,
    ];
    /// Error codes of deleting a plugin.
    PluginDeleteFails = [InvalidFieldValue, ResourceNotFound, StorageUnavailable];
}

fn no_plugin() -> ApiError {
    ApiError::not_found("plugin", "plugin_id")
}

pub(crate) fn plugin_error(error: PluginError) -> ApiError {
    match error {
        PluginError::NotFound => no_plugin(),
        PluginError::Account(error) => error.into(),
        PluginError::TooMany => ApiError::new(
            ErrorCode::PlanLimitReached,
            format!("an organization has at most {PLUGINS_MAX} plugins; delete one first"),
        ),
        PluginError::TooManyBytes { bytes_max } => ApiError::new(
            ErrorCode::PlanLimitReached,
            format!(
                "the components of an organization have at most {bytes_max} bytes; delete a plugin first"
            ),
        ),
        PluginError::TooManySecrets => ApiError::invalid_field(
            "secrets",
            &format!("at most {ENTRIES_MAX} in all; set some to null to remove them"),
        ),
        PluginError::NoVersion => ApiError::not_found("version of this plugin", "version_id"),
    }
}

/// Finds a plugin of the tenant.
pub(crate) fn find_plugin(
    app: &AppState,
    tenant: &TenantCaller,
    id: PluginId,
) -> Result<Arc<Plugin>, ApiError> {
    app.accounts.subscribers().find_plugin(tenant.key.organisation_id, id).ok_or_else(no_plugin)
}

/// Operations on plugins.
#[derive(Debug, Clone)]
pub(crate) struct PluginsApi(pub(crate) Arc<AppState>);

#[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
#[OpenApi(tag = "ApiTag::Plugins")]
impl PluginsApi {
    /// Create a plugin
    ///
    /// It waits for a version: upload a component, then activate it. It then gets the events after its
    /// first activation, one conversation's in order, each at least once.
    #[oai(path = "/v1/plugins", method = "post", operation_id = "createPlugin")]
    async fn create_plugin(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        body: JsonBody<CreatePlugin>,
    ) -> Result<IdempotentResponse<PluginBody, 201>, OperationError<PluginCreateFails>> {
        let organisation = tenant.key.organisation_id;
        let make = async {
            let new = write::read_new(&self.0, &tenant, &body.value)?;
            let made = self.0.accounts.subscribers().create_plugin(organisation, new, &tenant.origin()).await;
            made.map(|plugin| PluginBody::from_plugin(&plugin)).map_err(plugin_error)
        };
        Ok(once_beside(&self.0, &tenant, &call, &body.value, StatusCode::CREATED, make).await?.into())
    }

    /// List plugins
    ///
    /// The most recently created first.
    #[oai(path = "/v1/plugins", method = "get", operation_id = "listPlugins")]
    async fn list_plugins(
        &self,
        tenant: TenantCaller,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<PluginBody>, OperationError<PluginListFails>> {
        let organisation = tenant.key.organisation_id;
        let scope = format!("plugins/{organisation}");
        let place = PageRequest::parse_request(&self.0.cursor_key, &scope, limit.0, cursor.0.as_ref())?;
        let rows = self.0.accounts.subscribers().plugins_of(organisation);
        Ok(place.page_response(rows, |row| row.id.bits(), |row| PluginBody::from_plugin(row)))
    }

    /// Get a plugin
    ///
    /// Secrets are never shown, only their names.
    #[oai(path = "/v1/plugins/:plugin_id", method = "get", operation_id = "getPlugin")]
    async fn get_plugin(
        &self,
        tenant: TenantCaller,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
    ) -> Result<DataResponse<PluginBody>, OperationError<PluginGetFails>> {
        Ok(DataResponse(PluginBody::from_plugin(&*find_plugin(&self.0, &tenant, plugin_id.0)?)))
    }

    /// Update a plugin
    ///
    /// Absent fields stay unchanged. `config`, `allowed_hosts` and `events` are replaced as a whole; each of
    /// the given `secrets` is set, and removed by null. `enabled: false` stops the plugin, and its events
    /// wait; `enabled: true` resumes it at its position, also after it was paused or disabled for its
    /// failures. Runs under way finish with the settings that they began with.
    #[oai(path = "/v1/plugins/:plugin_id", method = "patch", operation_id = "updatePlugin")]
    async fn update_plugin(
        &self,
        tenant: TenantCaller,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        body: JsonBody<UpdatePlugin>,
    ) -> Result<DataResponse<PluginBody>, OperationError<PluginUpdateFails>> {
        let organisation = tenant.key.organisation_id;
        find_plugin(&self.0, &tenant, plugin_id.0)?;
        let patch = write::read_patch(&self.0, organisation, &body.value)?;
        let (subscribers, origin) = (self.0.accounts.subscribers(), tenant.origin());
        let patched = subscribers.patch_plugin(organisation, plugin_id.0, patch, &origin).await;
        let patched = patched.map_err(plugin_error)?;
        Ok(DataResponse(PluginBody::from_plugin(&patched)))
    }

    /// Delete a plugin
    ///
    /// Deletes its versions, its stored keys and values, and its position in the log. Pending events are dropped.
    #[oai(path = "/v1/plugins/:plugin_id", method = "delete", operation_id = "deletePlugin")]
    async fn delete_plugin(
        &self,
        tenant: TenantCaller,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
    ) -> Result<NoContentResponse, OperationError<PluginDeleteFails>> {
        let subscribers = self.0.accounts.subscribers();
        let (organisation, origin) = (tenant.key.organisation_id, tenant.origin());
        let deleted = subscribers.delete_plugin(organisation, plugin_id.0, &origin).await;
        deleted.map_err(plugin_error)?;
        self.0.toolchain.sweep();
        Ok(NoContentResponse)
    }
}
