//! The operator's operations on accounts.

pub(crate) mod body;

use std::sync::Arc;

use kabar_actors::{AccountConnection, audit_entry};
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::audit::{AuditAction, AuditTarget, AuditTargetKind};
use kabar_core::domain::command::{AccountCommand, CommandReply};
use kabar_core::domain::scopes::{OperatorScope, OperatorScopes};
use kabar_core::ids::OrganisationId;
use poem_openapi::OpenApi;

use self::body::{ConnectAccount, UpdateAccount};
use super::no_organisation;
use crate::app::AppState;
use crate::http::access::OperatorCaller;
use crate::rest::envelope::{CreatedResponse, DataResponse};
use crate::rest::error::{ApiError, ErrorCode, OperationError, code_list};
use crate::rest::json_body::JsonBody;
use crate::rest::params::Path;
use crate::rest::tags::ApiTag;
use crate::v1::accounts::body::AccountBody;

code_list! {
    /// Error codes of connecting a number.
    AccountConnectFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, InvalidPhoneNumber, ResourceNotFound,
        AccountAlreadyConnected, PayloadTooLarge, UnsupportedMediaType, StorageUnavailable,
    ];
    /// Error codes of changing an account.
    AccountUpdateFails = [
        InvalidRequest, InvalidFieldValue, ResourceNotFound, PayloadTooLarge, UnsupportedMediaType,
        StorageUnavailable, Overloaded,
    ];
}

/// Operations on accounts.
#[derive(Debug, Clone)]
pub(crate) struct AccountsAdmin(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Operator")]
impl AccountsAdmin {
    /// Connect a number
    ///
    /// The account is `connected` at once; an invalid token shows only when it is used. Its properties (quality, limit,
    /// verified name) and templates follow as soon as WhatsApp has told them. An `Idempotency-Key`
    /// is ignored here; the second call finds the number connected.
    #[oai(
        path = "/admin/v1/organizations/:org_id/accounts",
        method = "post",
        operation_id = "connectAccount"
    )]
    async fn connect_account(
        &self,
        operator: OperatorCaller,
        /// The organization.
        org_id: Path<OrganisationId>,
        body: JsonBody<ConnectAccount>,
    ) -> Result<CreatedResponse<AccountBody>, OperationError<AccountConnectFails>> {
        let new = body::read_new(&body.value)?;
        match self.0.directory.connect_account(org_id.0, new, &operator.origin()).await? {
            AccountConnection::Connected(slot) => {
                self.0.accounts.look_at_profile(&slot);
                self.0.accounts.look_at_templates(&slot);
                let account = slot.current_account();
                tracing::info!(organisation_id = %org_id.0, account_id = %account.id, "operator connected a number");
                Ok(CreatedResponse(AccountBody::from_account(&account)))
            }
            AccountConnection::AlreadyConnected => Err(already_connected().into()),
            AccountConnection::NoOrganisation => Err(no_organisation().into()),
        }
    }

    /// Update an account
    ///
    /// Absent and null fields stay unchanged. A new token makes a `degraded` account `connected`, unless
    /// `status` says otherwise. To set `access_token` or `app_secret` an operator token needs the scope `secrets` too.
    #[oai(path = "/admin/v1/accounts/:phone_number_id", method = "patch", operation_id = "updateAccount")]
    async fn update_account(
        &self,
        operator: OperatorCaller,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        body: JsonBody<UpdateAccount>,
    ) -> Result<DataResponse<AccountBody>, OperationError<AccountUpdateFails>> {
        let is_given = |key: &str| body.value.get(key).is_some_and(|value| !value.is_null());
        let sets_secret = is_given("access_token") || is_given("app_secret");
        if sets_secret {
            operator.require_scopes(OperatorScopes::NONE.with(OperatorScope::Secrets))?;
        }
        let found = self.0.directory.account_of_number(phone_number_id.0.as_str());
        let slot = found.ok_or_else(|| ApiError::not_found("account", "phone_number_id"))?;
        let account = slot.current_account();
        let patch = body::read_patch(&body.value, &account)?;
        let action = if sets_secret { AuditAction::AccountSecretsSet } else { AuditAction::AccountUpdated };
        let target = AuditTarget::one(AuditTargetKind::Account, &account.id);
        let organisation = Some(account.organisation_id);
        let entry = audit_entry(&self.0.clock, &operator.origin(), organisation, action, target);
        let command = AccountCommand::Configure(patch);
        let reply = self.0.accounts.execute_audited(&slot, command, entry).await??;
        let CommandReply::Account(account) = reply else { return Err(ApiError::internal_error().into()) };
        if is_given("access_token") {
            self.0.accounts.look_at_profile(&slot);
            self.0.accounts.look_at_templates(&slot);
        }
        let status = account.status.as_str();
        tracing::info!(account_id = %account.id, status, "operator changed an account");
        Ok(DataResponse(AccountBody::from_account(&account)))
    }
}

fn already_connected() -> ApiError {
    let message = "this number is connected already, to this organization or another";
    ApiError::new(ErrorCode::AccountAlreadyConnected, message).with_param("phone_number_id")
}
