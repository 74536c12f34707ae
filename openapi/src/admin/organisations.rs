//! The operator's operations on organisations.

pub(crate) mod body;

use std::sync::Arc;

use kabar_core::domain::organisation::Organisation;
use kabar_core::domain::page::PageLimit;
use kabar_core::ids::OrganisationId;
use poem_openapi::OpenApi;

use self::body::{CreateOrganization, OrganizationBody, UpdateOrganization};
use super::{find_organisation, no_organisation};
use crate::app::AppState;
use crate::http::access::OperatorCaller;
use crate::rest::envelope::{CreatedResponse, DataResponse, NoContentResponse, PageResponse};
use crate::rest::error::{OperationError, code_list};
use crate::rest::json_body::JsonBody;
use crate::rest::list::PageRequest;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of creating an organization.
    OrganizationCreateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, PayloadTooLarge, UnsupportedMediaType,
        StorageUnavailable,
    ];
    /// Error codes of listing organizations.
    OrganizationListFails = [InvalidLimit, InvalidCursor];
    /// Error codes of reading an organization.
    OrganizationGetFails = [InvalidFieldValue, ResourceNotFound];
    /// Error codes of deleting an organization.
    OrganizationDeleteFails = [InvalidFieldValue, ResourceNotFound, StorageUnavailable];
    /// Error codes of changing an organization.
    OrganizationUpdateFails = [
        InvalidRequest, InvalidFieldValue, ResourceNotFound, PayloadTooLarge, UnsupportedMediaType,
        StorageUnavailable,
    ];
}

/// Operations on organisations.
#[derive(Debug, Clone)]
pub(crate) struct OrganisationsAdmin(pub(crate) Arc<AppState>);

#[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
#[OpenApi(tag = "ApiTag::Operator")]
impl OrganisationsAdmin {
    /// Create an organization
    ///
    /// A tenant, without keys or numbers yet. Limits of its own may be given with tier `enterprise` only. An
    /// `Idempotency-Key` is ignored here.
    #[oai(path = "/admin/v1/organizations", method = "post", operation_id = "createOrganization")]
    async fn create_organization(
        &self,
        operator: OperatorCaller,
        body: JsonBody<CreateOrganization>,
    ) -> Result<CreatedResponse<OrganizationBody>, OperationError<OrganizationCreateFails>> {
        let new = body::read_new(&body.value)?;
        let made = self.0.directory.create_organisation(new, &operator.origin()).await?;
        tracing::info!(organisation_id = %made.id, "operator made an organisation");
        Ok(CreatedResponse(OrganizationBody::from_organisation(&made)))
    }

    /// List organizations
    ///
    /// The most recently created first.
    #[oai(path = "/admin/v1/organizations", method = "get", operation_id = "listOrganizations")]
    async fn list_organizations(
        &self,
        _operator: OperatorCaller,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<OrganizationBody>, OperationError<OrganizationListFails>> {
        let place =
            PageRequest::parse_request(&self.0.cursor_key, "organizations", limit.0, cursor.0.as_ref())?;
        let rows = self.0.directory.list_organisations();
        Ok(place.page_response(rows, |row| row.id.bits(), |row| OrganizationBody::from_organisation(row)))
    }

    /// Get an organization
    ///
    /// Tier, budgets, and the suspended flag.
    #[oai(path = "/admin/v1/organizations/:org_id", method = "get", operation_id = "getOrganization")]
    async fn get_organization(
        &self,
        _operator: OperatorCaller,
        /// The organization.
        org_id: Path<OrganisationId>,
    ) -> Result<DataResponse<OrganizationBody>, OperationError<OrganizationGetFails>> {
        let found = find_organisation(&self.0, org_id.0)?;
        Ok(DataResponse(OrganizationBody::from_organisation(&found)))
    }

    /// Delete an organization
    ///
    /// Everything that it owns goes: keys, users, numbers, contacts, conversations, messages, events, webhook
    /// subscriptions, plugins, and what was recorded of them. Its keys are refused and its numbers free at once, on
    /// every node; the rows are removed afterwards, in small steps. Deleting it again changes nothing. What WhatsApp
    /// sends to its numbers is skipped until they are connected again.
    #[oai(path = "/admin/v1/organizations/:org_id", method = "delete", operation_id = "deleteOrganization")]
    async fn delete_organization(
        &self,
        operator: OperatorCaller,
        /// The organization.
        org_id: Path<OrganisationId>,
    ) -> Result<NoContentResponse, OperationError<OrganizationDeleteFails>> {
        let (accounts, id, origin) = (self.0.accounts.clone(), org_id.0, operator.origin());
        let deleting = async move { accounts.delete_organisation(id, &origin).await };
        if !self.0.accounts.run_to_end(deleting).await? {
            return Err(no_organisation().into());
        }
        tracing::info!(organisation_id = %id, "operator deleted an organisation");
        Ok(NoContentResponse)
    }

    /// Update an organization
    ///
    /// Absent and null fields stay unchanged. A new tier brings its own limits; `enterprise` keeps the
    /// current ones unless others are given. `suspended` takes effect with the next request.
    #[oai(path = "/admin/v1/organizations/:org_id", method = "patch", operation_id = "updateOrganization")]
    async fn update_organization(
        &self,
        operator: OperatorCaller,
        /// The organization.
        org_id: Path<OrganisationId>,
        body: JsonBody<UpdateOrganization>,
    ) -> Result<DataResponse<OrganizationBody>, OperationError<OrganizationUpdateFails>> {
        let patch = |current: &Organisation| body::read_patch(&body.value, current);
        let updated = self.0.directory.patch_organisation(org_id.0, patch, &operator.origin()).await?;
        let updated = updated.ok_or_else(no_organisation)??;
        let suspended = updated.suspended;
        tracing::info!(organisation_id = %updated.id, suspended, "operator changed an organisation");
        Ok(DataResponse(OrganizationBody::from_organisation(&updated)))
    }
}
