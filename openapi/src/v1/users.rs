//! Read operations on users: people to assign conversations to.
//!
//! Creating users is the operator's task (`admin`).

pub(crate) mod body;

use std::sync::Arc;

use kabar_core::domain::page::PageLimit;
use poem_openapi::OpenApi;

use self::body::UserBody;
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::PageResponse;
use crate::rest::error::{OperationError, code_list};
use crate::rest::list::PageRequest;
use crate::rest::params::{CursorText, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of listing users.
    UserListFails = [InvalidLimit, InvalidCursor];
}

/// Operation that lists users.
#[derive(Debug, Clone)]
pub(crate) struct UsersApi(pub(crate) Arc<AppState>);

#[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
#[OpenApi(tag = "ApiTag::Accounts")]
impl UsersApi {
    /// List users
    ///
    /// People to assign your conversations to, the most recently created first.
    #[oai(path = "/v1/users", method = "get", operation_id = "listUsers")]
    async fn list_users(
        &self,
        tenant: TenantCaller,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<UserBody>, OperationError<UserListFails>> {
        let id = tenant.key.organisation_id;
        let scope = format!("users/{id}");
        let place = PageRequest::parse_request(&self.0.cursor_key, &scope, limit.0, cursor.0.as_ref())?;
        Ok(place.page_response(
            self.0.directory.users_of(id),
            |user| user.id.bits(),
            |user| UserBody::from_user(user),
        ))
    }
}
