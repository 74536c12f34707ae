//! Operations on contacts. The account applies a rename to the contact's conversation too.

pub(crate) mod body;
mod export;
pub(crate) mod write;

use std::sync::Arc;

use kabar_actors::{ReadQuery, audit_entry};
use kabar_core::domain::account::{Account, PhoneNumberId};
use kabar_core::domain::audit::{AuditAction, AuditTarget, AuditTargetKind};
use kabar_core::domain::command::{AccountCommand, CommandRefusal, CommandReply};
use kabar_core::domain::identity::UserId;
use kabar_core::domain::page::{ContactQuery, PageLimit};
use kabar_core::domain::phone::Phone;
use kabar_core::ids::ContactId;
use poem::http::StatusCode;
use poem_openapi::OpenApi;

use self::body::ContactBody;
use self::export::{ContactExport, ContactExportResponse};
use self::write::{CreateContact, UpdateContact};
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::{DataResponse, NoContentResponse, OpenEnvelope};
use crate::rest::error::{ApiError, OperationError, code_list};
use crate::rest::idempotency::{IdempotentCall, IdempotentResponse, ReplyFormat, carry_out_once};
use crate::rest::json_body::JsonBody;
use crate::rest::params::{CursorText, Path, QueryParam, SearchText};
use crate::rest::poll::{PollConditions, PolledOne, PolledPage, poll};
use crate::rest::tags::ApiTag;
use crate::v1::conversations::GetFails;

code_list! {
    /// Error codes of listing contacts.
    ContactListFails = [
        InvalidFieldValue, InvalidLimit, InvalidCursor, InvalidPhoneNumber, ResourceNotFound,
        StorageUnavailable, Overloaded,
    ];
    /// Error codes of creating a contact.
    CreateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, InvalidPhoneNumber, ResourceNotFound,
        IdempotencyInProgress, ContactAlreadyExists, PayloadTooLarge, UnsupportedMediaType,
        IdempotencyKeyReuse, StorageUnavailable, Overloaded,
    ];
    /// Error codes of deleting a contact.
    DeleteFails = [InvalidFieldValue, ResourceNotFound, StorageUnavailable, Overloaded];
    /// Error codes of changing a contact.
    UpdateFails = [
        InvalidRequest, InvalidFieldValue, ResourceNotFound, PayloadTooLarge, UnsupportedMediaType,
        StorageUnavailable, Overloaded,
    ];
}

const CREATED: ReplyFormat = ReplyFormat { status: StatusCode::CREATED, show, refuse: ApiError::from };
const CREATED_BY_USER_ID: ReplyFormat = ReplyFormat { refuse: refuse_user_id, ..CREATED };

fn refuse_user_id(refusal: CommandRefusal) -> ApiError {
    let error = ApiError::from(refusal);
    if matches!(refusal, CommandRefusal::ContactExists(_)) { error.with_param("user_id") } else { error }
}

fn show(account: &Account, reply: &CommandReply) -> Result<OpenEnvelope, ApiError> {
    shown(account, reply).and_then(|body| OpenEnvelope::from_value(&body))
}

fn shown(account: &Account, reply: &CommandReply) -> Result<ContactBody, ApiError> {
    match reply {
        CommandReply::Contact(row) => Ok(ContactBody::from_contact(account, row)),
        CommandReply::Ingested
        | CommandReply::Sends(_)
        | CommandReply::Recorded
        | CommandReply::Conversation(_)
        | CommandReply::Message(_)
        | CommandReply::Template(_)
        | CommandReply::Templates(_)
        | CommandReply::Account(_) => Err(ApiError::internal_error()),
    }
}

/// Operations on contacts.
#[derive(Debug, Clone)]
pub(crate) struct ContactsApi(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Contacts")]
impl ContactsApi {
    /// List contacts
    ///
    /// Newest first. Follows the same rules of `ETag`, 304 and waiting as the list of conversations.
    #[oai(path = "/v1/:phone_number_id/contacts", method = "get", operation_id = "listContacts")]
    #[expect(clippy::too_many_arguments, reason = "one per documented parameter")]
    async fn list_contacts(
        &self,
        tenant: TenantCaller,
        conditions: PollConditions,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// Only the contact with this number (E.164), now or before, or in WhatsApp's own form.
        phone: QueryParam<Phone>,
        /// Only the contact with this user id of WhatsApp's, now or before.
        user_id: QueryParam<UserId>,
        /// Only contacts with this text in their name, number or email address, in any case.
        search: QueryParam<SearchText>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before; bound to the same filters.
        cursor: QueryParam<CursorText>,
    ) -> Result<PolledPage<ContactBody>, OperationError<ContactListFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let mut query = ContactQuery {
            phone: phone.0,
            user_id: user_id.0,
            search: search.0.map(|search| search.0),
            limit: limit.0.unwrap_or_default(),
            after: None,
        };
        let place = cursor
            .0
            .map(|text| self.0.open_cursor(&query.scope(slot.current_account().id), &text))
            .transpose()?;
        query.after = place.map(|place| ContactId::from_bits(place.id));
        Ok(poll(&self.0, &slot, &ReadQuery::Contacts(query), &conditions, false).await?.into())
    }

    /// Create a contact
    ///
    /// Give its `phone_number` or its `user_id`. A contact is also created automatically by an inbound message
    /// from a new number or user.
    #[oai(path = "/v1/:phone_number_id/contacts", method = "post", operation_id = "createContact")]
    async fn create_contact(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        body: JsonBody<CreateContact>,
    ) -> Result<IdempotentResponse<ContactBody, 201>, OperationError<CreateFails>> {
        let read = || {
            let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
            Ok((slot, AccountCommand::CreateContact(write::read_new(&body.value)?)))
        };
        let by_user_id = body.value.get("user_id").is_some_and(|id| !id.is_null());
        let form = if by_user_id { CREATED_BY_USER_ID } else { CREATED };
        Ok(carry_out_once(&self.0, &tenant, &call, &body.value, read(), form).await?.into())
    }

    /// Get a contact
    ///
    /// Follows the same rules of `ETag`, 304 and waiting as the list of conversations.
    #[oai(path = "/v1/:phone_number_id/contacts/:contact_id", method = "get", operation_id = "getContact")]
    async fn get_contact(
        &self,
        tenant: TenantCaller,
        conditions: PollConditions,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// The contact.
        contact_id: Path<ContactId>,
    ) -> Result<PolledOne<ContactBody>, OperationError<GetFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let question = ReadQuery::Contact(contact_id.0);
        Ok(poll(&self.0, &slot, &question, &conditions, false).await?.into())
    }

    /// Export a contact
    ///
    /// All that is kept of the contact: itself and those that were merged into it, its conversation, its messages,
    /// newest first, with what WhatsApp sent about each and the events that show it, and the events that show the
    /// contact or the conversation. The response is streamed, and costs one read token; one that breaks off is not
    /// valid JSON. What plugins keep, and what receivers of webhooks got, is not in it.
    #[oai(
        path = "/v1/:phone_number_id/contacts/:contact_id/export",
        method = "get",
        operation_id = "exportContact"
    )]
    async fn export_contact(
        &self,
        tenant: TenantCaller,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// The contact.
        contact_id: Path<ContactId>,
    ) -> Result<ContactExportResponse, OperationError<GetFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let found = ContactExport::begin(self.0.store.clone(), slot.current_account(), contact_id.0).await?;
        let export = found.ok_or_else(|| ApiError::not_found("contact", "contact_id"))?;
        let (organisation, action) = (Some(tenant.key.organisation_id), AuditAction::ContactExported);
        let target = AuditTarget::one(AuditTargetKind::Contact, &contact_id.0);
        self.0.enter_audit(&tenant.origin(), organisation, action, target).await?;
        Ok(ContactExportResponse::from_export(export))
    }

    /// Delete a contact
    ///
    /// Erases the contact with its conversation, its messages, what WhatsApp sent about them, and everything that
    /// shows them: data of events, bodies of deliveries, runs of plugins, recorded answers. They vanish from every
    /// answer at once, and from the database within seconds. Events keep `id`, `sequence` and `type`, with `data: {}`;
    /// `contact.deleted` and `conversation.deleted` tell of it. A contact that was merged stands for the one that is
    /// left. Messages that wait to be sent are not sent. If the person writes again, that is a new contact.
    #[oai(
        path = "/v1/:phone_number_id/contacts/:contact_id",
        method = "delete",
        operation_id = "deleteContact"
    )]
    async fn delete_contact(
        &self,
        tenant: TenantCaller,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// The contact.
        contact_id: Path<ContactId>,
    ) -> Result<NoContentResponse, OperationError<DeleteFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let target = AuditTarget::one(AuditTargetKind::Contact, &contact_id.0);
        let (organisation, action) = (Some(tenant.key.organisation_id), AuditAction::ContactDeleted);
        let entry = audit_entry(&self.0.clock, &tenant.origin(), organisation, action, target);
        self.0.accounts.execute_audited(&slot, AccountCommand::DeleteContact(contact_id.0), entry).await??;
        Ok(NoContentResponse)
    }

    /// Update a contact
    ///
    /// Absent fields stay unchanged; `null` clears; `metadata` is replaced as a whole. A body that changes
    /// nothing is not an error.
    #[oai(
        path = "/v1/:phone_number_id/contacts/:contact_id",
        method = "patch",
        operation_id = "updateContact"
    )]
    async fn update_contact(
        &self,
        tenant: TenantCaller,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// The contact.
        contact_id: Path<ContactId>,
        body: JsonBody<UpdateContact>,
    ) -> Result<DataResponse<ContactBody>, OperationError<UpdateFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let patch = write::read_patch(&body.value)?;
        let command = AccountCommand::PatchContact { id: contact_id.0, patch };
        let reply = self.0.accounts.execute_command(&slot, command, None).await??;
        Ok(DataResponse(shown(&slot.current_account(), &reply)?))
    }
}
