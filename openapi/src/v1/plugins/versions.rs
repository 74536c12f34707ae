//! Operations on the versions of a plugin: uploading, listing, activating.

use std::sync::Arc;

use kabar_core::domain::page::PageLimit;
use kabar_core::domain::plugin::PluginVersion;
use kabar_core::ids::{PluginId, PluginVersionId};
use kabar_core::ports::NotInspected;
use poem::http::StatusCode;
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};
use serde_json::Value;

use super::body::{PluginBody, PluginVersionBody};
use super::upload::UploadedComponent;
use super::{find_plugin, plugin_error};
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::body_fields::BodyFields;
use crate::rest::envelope::PageResponse;
use crate::rest::error::{ApiError, ErrorCode, OperationError, code_list};
use crate::rest::idempotency::{IdempotentCall, IdempotentResponse, once_beside};
use crate::rest::json_body::JsonBody;
use crate::rest::list::PageRequest;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of an upload.
    UploadFails = [
        InvalidRequest, InvalidFieldValue, ResourceNotFound, IdempotencyInProgress, PayloadTooLarge,
        UnsupportedMediaType, IdempotencyKeyReuse, InvalidPlugin, PlanLimitReached, StorageUnavailable,
        Overloaded,
    ];
    /// Error codes of listing versions.
    VersionListFails = [InvalidFieldValue, InvalidLimit, InvalidCursor, ResourceNotFound, StorageUnavailable];
    /// Error codes of an activation.
    ActivateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, ResourceNotFound, IdempotencyInProgress,
        PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReuse, StorageUnavailable,
    ];
}

/// Version to activate.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct ActivateVersion {
    /// The version (`plv_…`).
    #[oai(validator(pattern = "^plv_[0-9A-HJKMNP-TV-Z]{26}$"))]
    pub(crate) version_id: String,
}

impl Example for ActivateVersion {
    fn example() -> Self {
        Self { version_id: crate::spec::example_rows::plugin_version().id.to_string() }
    }
}

/// Operations on versions.
#[derive(Debug, Clone)]
pub(crate) struct VersionsApi(pub(crate) Arc<AppState>);

impl VersionsApi {
    async fn compile_upload(
        &self,
        tenant: &TenantCaller,
        id: PluginId,
        wasm: bytes::Bytes,
    ) -> Result<PluginVersionBody, ApiError> {
        let plugin = find_plugin(&self.0, tenant, id)?;
        let inspected = self.0.toolchain.inspect(plugin.clone(), wasm.clone()).await;
        let inspected = inspected.map_err(|error| match error {
            NotInspected::Invalid(why) => ApiError::new(ErrorCode::InvalidPlugin, why.to_string()),
            NotInspected::Failed(why) => {
                tracing::error!(plugin_id = %id, error = %why, "component not compiled");
                ApiError::new(
                    ErrorCode::Overloaded,
                    "the component could not be compiled now; try again shortly",
                )
            }
        })?;
        // Compiling takes a while.
        self.0.directory.check_access(tenant)?;
        let subscribers = self.0.accounts.subscribers();
        let version = PluginVersion {
            id: subscribers.next_version_id().await,
            plugin_id: plugin.id,
            sha256: inspected.sha256,
            size: inspected.size,
            imports: inspected.imports,
            exports: inspected.exports,
            compile_ms: inspected.compile_ms,
            created_at: self.0.clock.read_now(),
            created_by: tenant.principal(),
        };
        let (organisation, origin) = (tenant.key.organisation_id, tenant.origin());
        let added = subscribers.add_plugin_version(organisation, &version, &wasm, &origin).await;
        added.map_err(plugin_error)?;
        // Kept only of a version that there is, so that a sweep takes it for no remnant.
        self.0.toolchain.keep(version.id, inspected.artefact).await;
        self.0.toolchain.sweep();
        Ok(PluginVersionBody::from_version(&version))
    }
}

#[OpenApi(tag = "ApiTag::Plugins")]
impl VersionsApi {
    /// Upload a version
    ///
    /// The component is validated and compiled. Its imports are checked against the plugin's capabilities,
    /// and it is run on a sample event with no effect performed. The message of 422 `invalid_plugin` names
    /// the defect. A version does not run before it is activated; the last ten are kept.
    #[oai(path = "/v1/plugins/:plugin_id/versions", method = "post", operation_id = "uploadPluginVersion")]
    async fn upload_version(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        body: UploadedComponent,
    ) -> Result<IdempotentResponse<PluginVersionBody, 201>, OperationError<UploadFails>> {
        let make = self.compile_upload(&tenant, plugin_id.0, body.0.clone());
        let print = Value::String(crate::rest::idempotency::digest_of(&body.0));
        Ok(once_beside(&self.0, &tenant, &call, &print, StatusCode::CREATED, make).await?.into())
    }

    /// List versions
    ///
    /// The most recently uploaded first.
    #[oai(path = "/v1/plugins/:plugin_id/versions", method = "get", operation_id = "listPluginVersions")]
    async fn list_versions(
        &self,
        tenant: TenantCaller,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<PluginVersionBody>, OperationError<VersionListFails>> {
        let plugin = find_plugin(&self.0, &tenant, plugin_id.0)?;
        let scope = format!("plugin_versions/{}", plugin.id);
        let place = PageRequest::parse_request(&self.0.cursor_key, &scope, limit.0, cursor.0.as_ref())?;
        let rows = self.0.accounts.subscribers().plugin_versions(plugin.id).await?;
        Ok(place.page_response(rows, |row| row.id.bits(), PluginVersionBody::from_version))
    }

    /// Activate a version
    ///
    /// New runs use this version; runs under way finish on the version that they began with. The version that
    /// ran before is `previous_version_id`: activate it to roll back. A plugin that was paused or disabled
    /// for its failures resumes. The first activation begins with the events after it.
    #[oai(path = "/v1/plugins/:plugin_id/activate", method = "post", operation_id = "activatePluginVersion")]
    async fn activate_version(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        body: JsonBody<ActivateVersion>,
    ) -> Result<IdempotentResponse<PluginBody, 200>, OperationError<ActivateFails>> {
        let organisation = tenant.key.organisation_id;
        let make = async {
            find_plugin(&self.0, &tenant, plugin_id.0)?;
            let fields = BodyFields::of_body(&body.value)?;
            let version = fields.word("version_id", "the id of a version (plv_…)", |text| {
                PluginVersionId::parse(text).ok()
            })?;
            let subscribers = self.0.accounts.subscribers();
            let origin = tenant.origin();
            let activated = subscribers.activate_plugin(organisation, plugin_id.0, version, &origin).await;
            let activated = activated.map_err(plugin_error)?;
            Ok(PluginBody::from_plugin(&activated))
        };
        let done = once_beside(&self.0, &tenant, &call, &body.value, StatusCode::OK, make);
        Ok(Box::pin(done).await?.into())
    }
}
