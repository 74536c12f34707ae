//! The operator's operations on API keys.

pub(crate) mod body;

use std::sync::Arc;

use kabar_core::domain::organisation::ApiKey;
use kabar_core::domain::page::PageLimit;
use kabar_core::ids::{ApiKeyId, OrganisationId};
use poem_openapi::OpenApi;

use self::body::{ApiKeyBody, CreateApiKey, CreatedApiKeyBody};
use super::{find_organisation, no_organisation};
use crate::app::AppState;
use crate::http::access::OperatorCaller;
use crate::rest::envelope::{CreatedResponse, NoContentResponse, PageResponse};
use crate::rest::error::{ApiError, OperationError, code_list};
use crate::rest::json_body::JsonBody;
use crate::rest::list::PageRequest;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of creating a key.
    ApiKeyCreateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, ResourceNotFound, PayloadTooLarge,
        UnsupportedMediaType, StorageUnavailable,
    ];
    /// Error codes of listing keys.
    ApiKeyListFails = [InvalidFieldValue, InvalidLimit, InvalidCursor, ResourceNotFound, StorageUnavailable];
    /// Error codes of revoking a key.
    ApiKeyRevokeFails = [InvalidFieldValue, ResourceNotFound, StorageUnavailable];
}

/// Operations on API keys.
#[derive(Debug, Clone)]
pub(crate) struct ApiKeysAdmin(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Operator")]
impl ApiKeysAdmin {
    /// Create an API key
    ///
    /// The response holds the secret, which is shown there and never again. `scopes` bound the key: `read` admits to every
    /// GET, `write` to changes of conversations, messages and contacts, `plugins` and `webhooks` to reads and changes of
    /// these. An operation beyond them is refused with 403 `insufficient_scope`. An `Idempotency-Key` is ignored
    /// here; a key made twice shows in the list.
    #[oai(path = "/admin/v1/organizations/:org_id/api_keys", method = "post", operation_id = "createApiKey")]
    async fn create_api_key(
        &self,
        operator: OperatorCaller,
        /// The organization.
        org_id: Path<OrganisationId>,
        body: JsonBody<CreateApiKey>,
    ) -> Result<CreatedResponse<CreatedApiKeyBody>, OperationError<ApiKeyCreateFails>> {
        let new = body::read_new(&body.value, self.0.clock.read_now())?;
        let made = self.0.directory.create_api_key(org_id.0, new, &operator.origin()).await?;
        let (key, secret) = made.ok_or_else(no_organisation)?;
        tracing::info!(organisation_id = %org_id.0, api_key_id = %key.id, "operator made an API key");
        Ok(CreatedResponse(CreatedApiKeyBody::from_key(&key, secret)))
    }

    /// List an organization's API keys
    ///
    /// The most recently created first; revoked keys are not shown. `last_used_at` is exact to two minutes.
    #[oai(path = "/admin/v1/organizations/:org_id/api_keys", method = "get", operation_id = "listApiKeys")]
    async fn list_api_keys(
        &self,
        _operator: OperatorCaller,
        /// The organization.
        org_id: Path<OrganisationId>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<ApiKeyBody>, OperationError<ApiKeyListFails>> {
        let id = find_organisation(&self.0, org_id.0)?.id;
        let scope = format!("api_keys/{id}");
        let place = PageRequest::parse_request(&self.0.cursor_key, &scope, limit.0, cursor.0.as_ref())?;
        let keys = self.0.directory.api_keys_of(id);
        let uses = self.0.directory.last_uses(keys.iter().map(|key| key.id.to_string()).collect()).await?;
        let show = |key: &ApiKey| ApiKeyBody::from_key(key, uses.get(&key.id.to_string()).copied());
        Ok(place.page_response(keys, |key| key.id.bits(), show))
    }

    /// Revoke an API key
    ///
    /// Its very next request fails.
    #[oai(path = "/admin/v1/api_keys/:key_id", method = "delete", operation_id = "revokeApiKey")]
    async fn revoke_api_key(
        &self,
        operator: OperatorCaller,
        /// The key (`key_…`), not its secret.
        key_id: Path<ApiKeyId>,
    ) -> Result<NoContentResponse, OperationError<ApiKeyRevokeFails>> {
        if !self.0.directory.revoke_api_key(key_id.0, &operator.origin()).await? {
            return Err(ApiError::not_found("API key", "key_id").into());
        }
        tracing::info!(api_key_id = %key_id.0, "operator revoked an API key");
        Ok(NoContentResponse)
    }
}
