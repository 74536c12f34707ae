//! The audit log of a tenant.

pub(crate) mod body;

use std::sync::Arc;

use kabar_actors::AccountError;
use kabar_core::cause::cause;
use kabar_core::domain::audit::{AuditAction, AuditEntry, AuditFilter, AuditQuery};
use kabar_core::domain::page::{PageLimit, PagePosition};
use kabar_core::domain::time::TimeBound;
use kabar_core::ids::AuditEntryId;
use poem_openapi::OpenApi;

use self::body::AuditEntryBody;
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::PageResponse;
use crate::rest::error::{ApiError, OperationError, code_list};
use crate::rest::params::{AnyId, CursorText, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of listing entries.
    AuditListFails = [InvalidFieldValue, InvalidLimit, InvalidCursor, StorageUnavailable];
}

/// Operation that lists a tenant's entries.
#[derive(Debug, Clone)]
pub(crate) struct AuditApi(pub(crate) Arc<AppState>);

/// Reads a page of the audit log.
pub(crate) async fn page_audit(
    app: &AppState,
    filter: AuditFilter,
    limit: Option<PageLimit>,
    cursor: Option<CursorText>,
    show: impl Fn(&AuditEntry) -> AuditEntryBody,
) -> Result<PageResponse<AuditEntryBody>, ApiError> {
    let mut query = AuditQuery { filter, limit: limit.unwrap_or_default(), after: None };
    let scope = query.scope();
    let place = cursor.map(|text| app.open_cursor(&scope, &text)).transpose()?;
    query.after = place.map(|place| AuditEntryId::from_bits(place.id));
    let page = app.store.page_audit(&query).await.map_err(|error| {
        tracing::error!(error = cause(&error), "audit log not read");
        ApiError::from(AccountError::Storage)
    })?;
    let last = page.rows.last().filter(|_| page.has_more);
    let sign =
        |row: &AuditEntry| app.cursor_key.sign_cursor(&scope, PagePosition { key: 0, id: row.id.bits() });
    Ok(PageResponse { next_cursor: last.map(sign), rows: page.rows.iter().map(show).collect() })
}

#[OpenApi(tag = "ApiTag::Accounts")]
impl AuditApi {
    /// List the audit log
    ///
    /// Changes of your organization by your keys and by operators, newest first: keys, users, numbers, webhooks, plugins,
    /// their secrets, replays, and deletions and exports of contacts. Messages and conversations have their own log,
    /// the events.
    #[oai(path = "/v1/audit", method = "get", operation_id = "listAuditEntries")]
    #[expect(clippy::too_many_arguments, reason = "one per documented parameter")]
    async fn list_entries(
        &self,
        tenant: TenantCaller,
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
            organisation_id: Some(tenant.key.organisation_id),
            actor_id: actor_id.0.map(|id| id.0),
            action: action.0,
            target_id: target_id.0.map(|id| id.0),
            created_after: created_after.0.map(TimeBound::strictly_after),
            created_before: created_before.0.map(TimeBound::strictly_before),
            hides_operators: true,
        };
        Ok(page_audit(&self.0, filter, limit.0, cursor.0, AuditEntryBody::for_tenant).await?)
    }
}
