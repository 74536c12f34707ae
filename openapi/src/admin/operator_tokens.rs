//! The operator's operations on the operator's own named tokens.

pub(crate) mod body;

use std::sync::Arc;

use kabar_core::domain::operator_token::OperatorToken;
use kabar_core::domain::page::PageLimit;
use kabar_core::ids::OperatorTokenId;
use poem_openapi::OpenApi;

use self::body::{CreateOperatorToken, CreatedOperatorTokenBody, OperatorTokenBody};
use crate::app::AppState;
use crate::http::access::OperatorCaller;
use crate::rest::envelope::{CreatedResponse, NoContentResponse, PageResponse};
use crate::rest::error::{ApiError, ErrorCode, OperationError, code_list};
use crate::rest::json_body::JsonBody;
use crate::rest::list::PageRequest;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of creating a token.
    OperatorTokenCreateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, PlanLimitReached, PayloadTooLarge,
        UnsupportedMediaType, StorageUnavailable,
    ];
    /// Error codes of listing tokens.
    OperatorTokenListFails = [InvalidLimit, InvalidCursor, StorageUnavailable];
    /// Error codes of revoking a token.
    OperatorTokenRevokeFails = [InvalidFieldValue, ResourceNotFound, StorageUnavailable];
}

/// Most tokens that were not revoked: people and programs that run a server are few, and each token is looked up in
/// memory.
const TOKENS_MAX: usize = 1000;

/// Operations on tokens.
#[derive(Debug, Clone)]
pub(crate) struct OperatorTokensAdmin(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Operator")]
impl OperatorTokensAdmin {
    /// Create an operator token
    ///
    /// A token of the operator with a name, beside the one of the settings: one for each person or program. `scopes` bound
    /// it: `read` admits to every GET below `/admin/v1`, `manage` to changes, `secrets` to changes that show or set a
    /// secret, which need `manage` as well. A token makes none with more scopes than it has. The response holds
    /// the secret, which is shown there and never again. An `Idempotency-Key` is ignored here.
    #[oai(path = "/admin/v1/operator_tokens", method = "post", operation_id = "createOperatorToken")]
    async fn create_operator_token(
        &self,
        operator: OperatorCaller,
        body: JsonBody<CreateOperatorToken>,
    ) -> Result<CreatedResponse<CreatedOperatorTokenBody>, OperationError<OperatorTokenCreateFails>> {
        let new = body::read_new(&body.value, self.0.clock.read_now())?;
        operator.require_scopes(new.scopes)?;
        if self.0.directory.operator_tokens().len() >= TOKENS_MAX {
            let message = "there are as many operator tokens as there may be; revoke one first";
            return Err(ApiError::new(ErrorCode::PlanLimitReached, message).into());
        }
        let (token, secret) = self.0.directory.create_operator_token(new, &operator.origin()).await?;
        tracing::info!(operator_token_id = %token.id, "operator made an operator token");
        Ok(CreatedResponse(CreatedOperatorTokenBody::from_token(&token, secret)))
    }

    /// List operator tokens
    ///
    /// The most recently created first; revoked tokens and the one of the settings are not shown. `last_used_at` is exact
    /// to two minutes.
    #[oai(path = "/admin/v1/operator_tokens", method = "get", operation_id = "listOperatorTokens")]
    async fn list_operator_tokens(
        &self,
        _operator: OperatorCaller,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<OperatorTokenBody>, OperationError<OperatorTokenListFails>> {
        let place =
            PageRequest::parse_request(&self.0.cursor_key, "operator_tokens", limit.0, cursor.0.as_ref())?;
        let rows = self.0.directory.operator_tokens();
        let uses = self.0.directory.last_uses(rows.iter().map(|row| row.id.to_string()).collect()).await?;
        let show =
            |row: &OperatorToken| OperatorTokenBody::from_token(row, uses.get(&row.id.to_string()).copied());
        Ok(place.page_response(rows, |row| row.id.bits(), show))
    }

    /// Revoke an operator token
    ///
    /// Its very next request fails. A token may revoke itself. The token of the settings is changed there.
    #[oai(
        path = "/admin/v1/operator_tokens/:token_id",
        method = "delete",
        operation_id = "revokeOperatorToken"
    )]
    async fn revoke_operator_token(
        &self,
        operator: OperatorCaller,
        /// The token (`opt_…`), not its secret.
        token_id: Path<OperatorTokenId>,
    ) -> Result<NoContentResponse, OperationError<OperatorTokenRevokeFails>> {
        if !self.0.directory.revoke_operator_token(token_id.0, &operator.origin()).await? {
            return Err(ApiError::not_found("operator token", "token_id").into());
        }
        tracing::info!(operator_token_id = %token_id.0, "operator revoked an operator token");
        Ok(NoContentResponse)
    }
}
