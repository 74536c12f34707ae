//! Operations on message templates. WhatsApp decides about them; the account keeps what it has told.

pub(crate) mod body;
mod write;

use std::sync::Arc;

use kabar_actors::{ReadQuery, audit_entry};
use kabar_core::domain::account::{Account, PhoneNumberId};
use kabar_core::domain::audit::{AuditAction, AuditEntry, AuditTarget, AuditTargetKind};
use kabar_core::domain::command::CommandReply;
use kabar_core::domain::page::{NamedTemplateQuery, PageLimit, TemplateQuery};
use kabar_core::ids::TemplateId;
use poem::http::StatusCode;
use poem_openapi::OpenApi;
use serde_json::Value;

use self::body::{TemplateBody, TemplateSyncBody};
use self::write::CreateTemplate;
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::OpenEnvelope;
use crate::rest::error::{ApiError, OperationError, code_list};
use crate::rest::idempotency::{
    IdempotentCall, IdempotentResponse, ReplyFormat, carry_out_work, once_beside,
};
use crate::rest::json_body::JsonBody;
use crate::rest::params::{CursorText, LanguageCode, Path, QueryParam, TemplateName, TemplateStatusFilter};
use crate::rest::poll::{PollConditions, PolledOne, PolledPage, poll};
use crate::rest::tags::ApiTag;
use crate::v1::conversations::ListFails;

code_list! {
    /// Error codes of getting a template.
    TemplateGetFails = [
        MissingRequiredField, InvalidFieldValue, ResourceNotFound, StorageUnavailable, Overloaded,
    ];
    /// Error codes of creating a template.
    TemplateCreateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, ResourceNotFound, IdempotencyInProgress,
        TemplateAlreadyExists, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReuse, AccountNotConnected,
        WhatsAppError, WhatsAppUpstreamError, StorageUnavailable, Overloaded,
    ];
    /// Error codes of looking at WhatsApp's list.
    TemplateSyncFails = [
        InvalidFieldValue, ResourceNotFound, IdempotencyInProgress, IdempotencyKeyReuse, AccountNotConnected,
        WhatsAppError, WhatsAppUpstreamError, StorageUnavailable, Overloaded,
    ];
}

const CREATED: ReplyFormat = ReplyFormat { status: StatusCode::CREATED, show, refuse: ApiError::from };

fn show(_account: &Account, reply: &CommandReply) -> Result<OpenEnvelope, ApiError> {
    match reply {
        CommandReply::Template(row) => OpenEnvelope::from_value(&TemplateBody::from_template(row)),
        CommandReply::Ingested
        | CommandReply::Sends(_)
        | CommandReply::Recorded
        | CommandReply::Conversation(_)
        | CommandReply::Message(_)
        | CommandReply::Contact(_)
        | CommandReply::Templates(_)
        | CommandReply::Account(_) => Err(ApiError::internal_error()),
    }
}

/// Operations on templates.
#[derive(Debug, Clone)]
pub(crate) struct TemplatesApi(pub(crate) Arc<AppState>);

impl TemplatesApi {
    fn build_trail(&self, tenant: &TenantCaller, action: AuditAction) -> AuditEntry {
        let target = AuditTarget::several(AuditTargetKind::Template);
        let organisation = Some(tenant.key.organisation_id);
        audit_entry(&self.0.clock, &tenant.origin(), organisation, action, target)
    }
}

#[OpenApi(tag = "ApiTag::Templates")]
impl TemplatesApi {
    /// List templates
    ///
    /// Newest first. Follows the same rules of `ETag`, 304 and waiting as the list of conversations. It shows what
    /// WhatsApp has told: at the connection of the number, by its webhooks, daily, and at every sync.
    #[oai(path = "/v1/:phone_number_id/templates", method = "get", operation_id = "listTemplates")]
    #[expect(clippy::too_many_arguments, reason = "one per documented parameter")]
    async fn list_templates(
        &self,
        tenant: TenantCaller,
        conditions: PollConditions,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// Only templates in this state; `all`, which is the default, for every one.
        status: QueryParam<TemplateStatusFilter>,
        /// Only templates in this language.
        language: QueryParam<LanguageCode>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before; bound to the same filters.
        cursor: QueryParam<CursorText>,
    ) -> Result<PolledPage<TemplateBody>, OperationError<ListFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let mut query = TemplateQuery {
            status: status.0.and_then(|filter| filter.0),
            language: language.0.map(|language| language.0),
            limit: limit.0.unwrap_or_default(),
            after: None,
        };
        let place = cursor
            .0
            .map(|text| self.0.open_cursor(&query.scope(slot.current_account().id), &text))
            .transpose()?;
        query.after = place.map(|place| TemplateId::from_bits(place.id));
        Ok(poll(&self.0, &slot, &ReadQuery::Templates(query), &conditions, false).await?.into())
    }

    /// Create a template
    ///
    /// Submits it to WhatsApp, and answers once WhatsApp has taken it: then it is `pending`, as a rule, until WhatsApp
    /// has decided (`template.updated`). A template of this name in this language is 409, before WhatsApp is asked. What
    /// WhatsApp refuses is 422 `whatsapp_error` with WhatsApp's number in `provider_code`, and leaves nothing.
    #[oai(path = "/v1/:phone_number_id/templates", method = "post", operation_id = "createTemplate")]
    async fn create_template(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        body: JsonBody<CreateTemplate>,
    ) -> Result<IdempotentResponse<TemplateBody, 201>, OperationError<TemplateCreateFails>> {
        let read = || {
            let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
            Ok((slot, write::read_new(&body.value)?))
        };
        let trail = self.build_trail(&tenant, AuditAction::TemplateCreated);
        let work = read().map(|(slot, new)| {
            let (accounts, entry) = (self.0.accounts.clone(), slot.clone());
            let work = move |claim| async move {
                Ok(Ok(accounts.submit_template(&entry, &new, claim, trail).await?))
            };
            (slot, work)
        });
        Ok(carry_out_work(&self.0, &tenant, &call, &body.value, work, CREATED).await?.into())
    }

    /// Sync templates
    ///
    /// Takes over WhatsApp's list of the templates of the number's WhatsApp Business Account: new ones, changed ones, and
    /// those that are gone. A body is ignored.
    #[oai(path = "/v1/:phone_number_id/templates/sync", method = "post", operation_id = "syncTemplates")]
    async fn sync_templates(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
    ) -> Result<IdempotentResponse<TemplateSyncBody, 200>, OperationError<TemplateSyncFails>> {
        let make = async {
            let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
            let trail = self.build_trail(&tenant, AuditAction::TemplatesSynced);
            let accounts = self.0.accounts.clone();
            let work = async move { Ok(accounts.sync_templates(&slot, trail).await?) };
            let counts = self.0.accounts.run_to_end::<_, ApiError>(work).await?;
            Ok(TemplateSyncBody::from_counts(counts))
        };
        Ok(once_beside(&self.0, &tenant, &call, &Value::Null, StatusCode::OK, make).await?.into())
    }

    /// Get a template
    ///
    /// By its name. Where there are several in different languages, `language` must name one. Follows the same rules of
    /// `ETag`, 304 and waiting as the list of conversations.
    #[oai(path = "/v1/:phone_number_id/templates/:name", method = "get", operation_id = "getTemplate")]
    async fn get_template(
        &self,
        tenant: TenantCaller,
        conditions: PollConditions,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// Name of the template.
        name: Path<TemplateName>,
        /// Code of its language.
        language: QueryParam<LanguageCode>,
    ) -> Result<PolledOne<TemplateBody>, OperationError<TemplateGetFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let language = language.0.map(|language| language.0);
        let question = ReadQuery::Template(NamedTemplateQuery { name: name.0.0, language });
        Ok(poll(&self.0, &slot, &question, &conditions, false).await?.into())
    }
}
