//! The operator's operations on plugins, across tenants.

use std::sync::Arc;

use kabar_core::domain::page::PageLimit;
use kabar_core::domain::plugin::Plugin;
use kabar_core::ids::{OrganisationId, PluginId};
use poem_openapi::types::Example;
use poem_openapi::{Object, OpenApi};

use crate::app::AppState;
use crate::http::access::OperatorCaller;
use crate::rest::body_fields::BodyFields;
use crate::rest::envelope::{DataResponse, PageResponse};
use crate::rest::error::{OperationError, code_list};
use crate::rest::json_body::JsonBody;
use crate::rest::list::PageRequest;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::tags::ApiTag;
use crate::rest::text::TextValue;
use crate::v1::plugins::body::PluginBody;
use crate::v1::plugins::plugin_error;

code_list! {
    /// Error codes of listing plugins.
    AdminPluginListFails = [InvalidLimit, InvalidCursor];
    /// Error codes of disabling a plugin.
    AdminPluginDisableFails = [
        InvalidRequest, InvalidFieldValue, ResourceNotFound, PayloadTooLarge, UnsupportedMediaType,
        StorageUnavailable,
    ];
}

/// A plugin with its tenant. The tenant's `config` is not shown.
#[derive(Debug, Clone, Object)]
#[oai(rename = "OperatorPlugin", example)]
pub(crate) struct AdminPluginBody {
    /// The tenant.
    pub(crate) organization_id: TextValue<OrganisationId>,
    /// The plugin as its tenant sees it, without `config`.
    pub(crate) plugin: PluginBody,
}

impl AdminPluginBody {
    fn from_plugin(row: &Plugin) -> Self {
        let bare = Plugin { config: Arc::default(), ..row.clone() };
        Self { organization_id: TextValue(row.organisation_id), plugin: PluginBody::from_plugin(&bare) }
    }
}

impl Example for AdminPluginBody {
    fn example() -> Self {
        Self::from_plugin(&crate::spec::example_rows::example_plugin())
    }
}

/// Reason for disabling a plugin.
#[derive(Debug, Clone, Object)]
#[oai(example)]
pub(crate) struct DisablePlugin {
    /// Reason shown to the tenant.
    #[oai(validator(min_length = 1, max_length = 500))]
    pub(crate) reason: Option<String>,
}

impl Example for DisablePlugin {
    fn example() -> Self {
        Self { reason: Some("It calls a host that asked us to stop.".to_owned()) }
    }
}

/// Operations on plugins.
#[derive(Debug, Clone)]
pub(crate) struct PluginsAdmin(pub(crate) Arc<AppState>);

#[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
#[OpenApi(tag = "ApiTag::Operator")]
impl PluginsAdmin {
    /// List every tenant's plugins
    ///
    /// The most recently created first.
    #[oai(path = "/admin/v1/plugins", method = "get", operation_id = "listAllPlugins")]
    async fn list_plugins(
        &self,
        _operator: OperatorCaller,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<AdminPluginBody>, OperationError<AdminPluginListFails>> {
        let place =
            PageRequest::parse_request(&self.0.cursor_key, "all_plugins", limit.0, cursor.0.as_ref())?;
        let rows = self.0.accounts.subscribers().all_plugins();
        Ok(place.page_response(rows, |row| row.id.bits(), |row| AdminPluginBody::from_plugin(row)))
    }

    /// Disable a plugin
    ///
    /// The plugin stops running, and its tenant cannot start it again; its events wait in the log. Runs under
    /// way finish.
    #[oai(path = "/admin/v1/plugins/:plugin_id/disable", method = "post", operation_id = "disablePlugin")]
    async fn disable_plugin(
        &self,
        operator: OperatorCaller,
        /// The plugin (`plg_…`).
        plugin_id: Path<PluginId>,
        body: JsonBody<DisablePlugin>,
    ) -> Result<DataResponse<AdminPluginBody>, OperationError<AdminPluginDisableFails>> {
        let fields = BodyFields::of_body(&body.value)?;
        let reason = fields.optional_text("reason", &(1..=500))?.map(Arc::from);
        let origin = operator.origin();
        let disabled = self.0.accounts.subscribers().disable_plugin(plugin_id.0, reason, &origin).await;
        let disabled = disabled.map_err(plugin_error)?;
        tracing::info!(plugin_id = %plugin_id.0, "operator disabled a plugin");
        Ok(DataResponse(AdminPluginBody::from_plugin(&disabled)))
    }
}
