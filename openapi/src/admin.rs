//! `/admin/v1`: operations of a server's operator, across tenants.
//!
//! Invariants: the gateway admits only the operator, and every operation requires an `OperatorCaller`; every
//! write leaves one line in the log, with ids and never with a secret. Operator calls draw on no budget.
//! `Idempotency-Key` is ignored here: keys belong to a tenant. A repeated call is harmless (PATCH, DELETE),
//! refused (a number connected twice), or makes a second resource that its list shows.

pub(crate) mod accounts;
pub(crate) mod actors;
pub(crate) mod api_keys;
pub(crate) mod ingest;
pub(crate) mod organisations;
pub(crate) mod plugins;
pub(crate) mod secrets;
pub(crate) mod users;

use std::sync::Arc;

use kabar_core::domain::organisation::Organisation;
use kabar_core::ids::OrganisationId;

use crate::app::AppState;
use crate::rest::error::ApiError;

pub(crate) use accounts::AccountsAdmin;
pub(crate) use actors::ActorsAdmin;
pub(crate) use api_keys::ApiKeysAdmin;
pub(crate) use ingest::IngestAdmin;
pub(crate) use organisations::OrganisationsAdmin;
pub(crate) use plugins::PluginsAdmin;
pub(crate) use secrets::SecretsAdmin;
pub(crate) use users::UsersAdmin;

/// All of the operator's operations.
pub(crate) type AdminApi = (
    OrganisationsAdmin,
    ApiKeysAdmin,
    UsersAdmin,
    AccountsAdmin,
    ActorsAdmin,
    PluginsAdmin,
    IngestAdmin,
    SecretsAdmin,
);

/// Returns the operator's operations over these facades.
#[must_use]
pub(crate) fn admin_api(app: &Arc<AppState>) -> AdminApi {
    (
        OrganisationsAdmin(app.clone()),
        ApiKeysAdmin(app.clone()),
        UsersAdmin(app.clone()),
        AccountsAdmin(app.clone()),
        ActorsAdmin(app.clone()),
        PluginsAdmin(app.clone()),
        IngestAdmin(app.clone()),
        SecretsAdmin(app.clone()),
    )
}

/// Finds the tenant that a path names.
fn find_organisation(app: &AppState, id: OrganisationId) -> Result<Arc<Organisation>, ApiError> {
    app.directory.find_organisation(id).ok_or_else(no_organisation)
}

fn no_organisation() -> ApiError {
    ApiError::not_found("organization", "org_id")
}

#[cfg(test)]
mod tests {
    use poem_openapi::OpenApi;

    use super::AdminApi;
    use crate::http::access::AccessClass;
    use crate::http::route::Resource;

    #[test]
    fn every_operation_lies_behind_the_operators_door() {
        let paths: Vec<_> = AdminApi::meta().into_iter().flat_map(|api| api.paths).collect();
        let operations: usize = paths.iter().map(|path| path.operations.len()).sum();
        assert_eq!((paths.len(), operations), (13, 17));
        for path in &paths {
            assert_eq!(
                Resource::from_path(&path.path).unwrap().access(),
                AccessClass::Operator,
                "{}",
                path.path
            );
        }
    }
}
