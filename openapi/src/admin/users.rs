//! The operator's operations on users. A user is immutable.

pub(crate) mod body;

use std::sync::Arc;

use kabar_core::ids::OrganisationId;
use poem_openapi::OpenApi;

use self::body::CreateUser;
use super::no_organisation;
use crate::app::AppState;
use crate::http::access::OperatorCaller;
use crate::rest::envelope::CreatedResponse;
use crate::rest::error::{OperationError, code_list};
use crate::rest::json_body::JsonBody;
use crate::rest::params::Path;
use crate::rest::tags::ApiTag;
use crate::v1::users::body::UserBody;

code_list! {
    /// Error codes of creating a user.
    UserCreateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, ResourceNotFound, PayloadTooLarge,
        UnsupportedMediaType, StorageUnavailable,
    ];
}

/// Operation that creates a user.
#[derive(Debug, Clone)]
pub(crate) struct UsersAdmin(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Operator")]
impl UsersAdmin {
    /// Create a user
    ///
    /// A person to assign the organization's conversations to. An `Idempotency-Key` is ignored here.
    #[oai(path = "/admin/v1/organizations/:org_id/users", method = "post", operation_id = "createUser")]
    async fn create_user(
        &self,
        operator: OperatorCaller,
        /// The organization.
        org_id: Path<OrganisationId>,
        body: JsonBody<CreateUser>,
    ) -> Result<CreatedResponse<UserBody>, OperationError<UserCreateFails>> {
        let new = body::read_new(&body.value)?;
        let made = self.0.directory.create_user(org_id.0, new.name, new.email, &operator.origin()).await?;
        let user = made.ok_or_else(no_organisation)?;
        tracing::info!(organisation_id = %org_id.0, user_id = %user.id, "operator made a user");
        Ok(CreatedResponse(UserBody::from_user(&user)))
    }
}
