//! The audit log of the whole server.

use std::sync::Arc;

use kabar_core::domain::audit::{AuditAction, AuditFilter};
use kabar_core::domain::page::PageLimit;
use kabar_core::domain::time::TimeBound;
use kabar_core::ids::OrganisationId;
use poem_openapi::OpenApi;

use crate::app::AppState;
use crate::http::access::OperatorCaller;
use crate::rest::envelope::PageResponse;
use crate::rest::error::OperationError;
use crate::rest::params::{AnyId, CursorText, QueryParam};
use crate::rest::tags::ApiTag;
use crate::v1::audit::body::AuditEntryBody;
use crate::v1::audit::{AuditListFails, page_audit};

/// Operation that lists all entries.
#[derive(Debug, Clone)]
pub(crate) struct AuditAdmin(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Operator")]
impl AuditAdmin {
    /// List the whole audit log
    ///
    /// Changes by operators and by all tenants, newest first, and refused operator tokens, of which one a minute is
    /// entered. Entries are written in the transaction of their change and never changed.
    #[oai(path = "/admin/v1/audit", method = "get", operation_id = "listAllAuditEntries")]
    #[expect(clippy::too_many_arguments, reason = "one per documented parameter")]
    async fn list_entries(
        &self,
        _operator: OperatorCaller,
        /// Only changes that concern this organization.
        organization_id: QueryParam<OrganisationId>,
        /// Only changes by the actor with this id.
        actor_id: QueryParam<AnyId>,
        /// Only changes of this kind.
        action: QueryParam<AuditAction>,
        /// Only changes of the resource with this id.
        target_id: QueryParam<AnyId>,
        /// Only entries made after this instant.
        created_after: QueryParam<TimeBound>,
        /// Only entries made before this instant.
        created_before: QueryParam<TimeBound>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before; bound to the same filters.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<AuditEntryBody>, OperationError<AuditListFails>> {
        let filter = AuditFilter {
            organisation_id: organization_id.0,
            actor_id: actor_id.0.map(|id| id.0),
            action: action.0,
            target_id: target_id.0.map(|id| id.0),
            created_after: created_after.0.map(TimeBound::strictly_after),
            created_before: created_before.0.map(TimeBound::strictly_before),
            hides_operators: false,
        };
        Ok(page_audit(&self.0, filter, limit.0, cursor.0, AuditEntryBody::from_entry).await?)
    }
}
