//! The operator's list of loaded accounts.
//!
//! A snapshot of this process; accounts that no request needs are not in memory, and not in the list.

pub(crate) mod body;

use std::cmp::Reverse;
use std::sync::Arc;

use kabar_core::domain::page::PageLimit;
use poem_openapi::OpenApi;

use self::body::ActorBody;
use crate::app::AppState;
use crate::http::access::OperatorCaller;
use crate::rest::envelope::PageResponse;
use crate::rest::error::{OperationError, code_list};
use crate::rest::list::PageRequest;
use crate::rest::params::{CursorText, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of listing loaded accounts.
    ActorListFails = [InvalidLimit, InvalidCursor];
}

/// Operation that lists loaded accounts.
#[derive(Debug, Clone)]
pub(crate) struct ActorsAdmin(pub(crate) Arc<AppState>);

#[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
#[OpenApi(tag = "ApiTag::Operator")]
impl ActorsAdmin {
    /// List resident accounts
    ///
    /// The accounts that this process holds in memory, the most recently connected first.
    #[oai(path = "/admin/v1/actors", method = "get", operation_id = "listActors")]
    async fn list_actors(
        &self,
        _operator: OperatorCaller,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<ActorBody>, OperationError<ActorListFails>> {
        let place = PageRequest::parse_request(&self.0.cursor_key, "actors", limit.0, cursor.0.as_ref())?;
        let mut residents = self.0.accounts.loaded_accounts();
        residents.sort_by_key(|resident| Reverse(resident.account_id));
        Ok(place.page_response(residents, |resident| resident.account_id.bits(), ActorBody::from_report))
    }
}
