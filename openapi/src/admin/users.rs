//! The operator's operations on users. Users never change once made.

pub mod body;

use std::sync::Arc;

use kabar_core::ids::OrganisationId;
use poem_openapi::OpenApi;

use self::body::CreateUser;
use super::no_organisation;
use crate::access::Operator;
use crate::app::App;
use crate::body::JsonBody;
use crate::envelope::Created;
use crate::error::{Fails, code_list};
use crate::params::Path;
use crate::tags::Tag;
use crate::users::body::UserBody;

code_list! {
    /// What a new user can be refused with.
    UserCreateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, ResourceNotFound, PayloadTooLarge,
        UnsupportedMediaType, StorageUnavailable,
    ];
}

/// The operation.
#[derive(Debug, Clone)]
pub struct UsersAdmin(pub Arc<App>);

#[OpenApi(tag = "Tag::Operator")]
impl UsersAdmin {
    /// Create a user
    ///
    /// A person to whom the organization's conversations can be assigned. An `Idempotency-Key` is not
    /// looked at here.
    #[oai(path = "/admin/v1/organizations/:org_id/users", method = "post", operation_id = "createUser")]
    async fn create(
        &self,
        _operator: Operator,
        /// The organization.
        org_id: Path<OrganisationId>,
        body: JsonBody<CreateUser>,
    ) -> Result<Created<UserBody>, Fails<UserCreateFails>> {
        let new = body::read_new(&body.value)?;
        let made = self.0.directory.create_user(org_id.0, new.name, new.email).await?;
        let user = made.ok_or_else(no_organisation)?;
        tracing::info!(organisation_id = %org_id.0, user_id = %user.id, "operator made a user");
        Ok(Created(UserBody::of(&user)))
    }
}
