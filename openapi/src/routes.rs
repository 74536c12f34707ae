//! All operations, combined behind the gateway.

use std::sync::{Arc, LazyLock};

use poem::endpoint::BoxEndpoint;
use poem::{EndpointExt as _, IntoEndpoint as _};
use poem_openapi::{OpenApi as _, OpenApiService};

use crate::admin::{self, AdminApi};
use crate::app::AppState;
use crate::http::gateway::Gateway;
use crate::http::surface::HttpSurface;
use crate::meta_webhook::WhatsAppApi;
use crate::spec::OpenApiDocument;
use crate::v1::{self, TenantApi};

/// Every operation that is documented and routed.
pub(crate) type ApiOperations = (TenantApi, WhatsAppApi, AdminApi);

/// Built on first use: it is the same for every server of this build.
static DOCUMENT: LazyLock<OpenApiDocument> = LazyLock::new(OpenApiDocument::of::<ApiOperations>);

/// Builds the whole HTTP surface, ready to be served.
///
/// It never returns an error: a failure becomes a response with the contract's envelope.
#[must_use]
pub fn service(app: AppState) -> HttpSurface {
    let app = Arc::new(app);
    HttpSurface::new(Gateway::new(app.clone(), build_operations(&app), documented_methods(), &DOCUMENT))
}

/// Returns every documented path with each of its methods, in capitals.
pub(crate) fn documented_methods() -> impl Iterator<Item = (String, String)> {
    ApiOperations::meta().into_iter().flat_map(|api| api.paths).flat_map(|path| {
        let methods = path.operations.into_iter().map(|operation| operation.method.to_string());
        methods.map(move |method| (path.path.clone(), method))
    })
}

fn build_operations(app: &Arc<AppState>) -> BoxEndpoint<'static> {
    let operations: ApiOperations = (v1::tenant_api(app), WhatsAppApi::new(app), admin::admin_api(app));
    OpenApiService::new(operations, "kabar", env!("CARGO_PKG_VERSION")).into_endpoint().boxed()
}

/// Returns the OpenAPI document in its committed form, 3.0.3.
#[must_use]
pub fn document() -> &'static OpenApiDocument {
    &DOCUMENT
}
