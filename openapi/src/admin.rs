//! `/admin/v1`: operations of a server's operator, across tenants.
//!
//! Invariants: the gateway admits only the operator, and every operation requires an `OperatorCaller`; every
//! write leaves one line in the log, with ids and never with a secret, and an entry in the audit log. Operator calls draw on no budget.
//! `Idempotency-Key` is ignored here: keys belong to a tenant. A repeated call is harmless (PATCH, DELETE),
//! refused (a number connected twice), or makes a second resource that its list shows.

pub(crate) mod accounts;
pub(crate) mod actors;
pub(crate) mod api_keys;
pub(crate) mod audit;
pub(crate) mod ingest;
pub(crate) mod operator_tokens;
pub(crate) mod organisations;
pub(crate) mod plugins;
pub(crate) mod secrets;
pub(crate) mod users;

use std::collections::HashSet;
use std::sync::Arc;

use kabar_core::domain::organisation::Organisation;
use kabar_core::domain::time::{TimeBound, Timestamp};
use kabar_core::ids::OrganisationId;
use serde_json::Value;

use crate::app::AppState;
use crate::rest::body_fields::{BodyFields, FieldError};
use crate::rest::error::ApiError;

pub(crate) use accounts::AccountsAdmin;
pub(crate) use actors::ActorsAdmin;
pub(crate) use api_keys::ApiKeysAdmin;
pub(crate) use audit::AuditAdmin;
pub(crate) use ingest::IngestAdmin;
pub(crate) use operator_tokens::OperatorTokensAdmin;
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
    OperatorTokensAdmin,
    AuditAdmin,
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
        OperatorTokensAdmin(app.clone()),
        AuditAdmin(app.clone()),
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

/// Reads the member `scopes`: a list of at least one word, each once; `None` when it is absent.
fn read_scopes<S, T: FromIterator<S>>(
    fields: &BodyFields<'_>,
    expected: &str,
    parse: impl Fn(&str) -> Option<S>,
) -> Result<Option<T>, FieldError> {
    let Some(value) = fields.get("scopes") else { return Ok(None) };
    let mut seen = HashSet::new();
    let read = |word: &Value| parse(word.as_str().filter(|word| seen.insert((*word).to_owned()))?);
    let words = value.as_array().filter(|words| !words.is_empty());
    let scopes = words.and_then(|words| words.iter().map(read).collect::<Option<T>>());
    scopes.map(Some).ok_or_else(|| fields.invalid("scopes", expected))
}

/// Reads the member `expires_at` of a new credential: an instant after `now`.
fn read_expiry(fields: &BodyFields<'_>, now: Timestamp) -> Result<Option<Timestamp>, FieldError> {
    let future = |text: &str| TimeBound::parse(text).map(TimeBound::strictly_after).filter(|at| *at > now);
    fields.optional_word("expires_at", "an RFC 3339 time in the future", future)
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
        assert_eq!((paths.len(), operations), (16, 21));
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
