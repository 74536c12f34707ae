//! Operations on conversations. The domain owns their rules, the account their pages.

pub(crate) mod body;
pub(crate) mod patch;

use std::sync::Arc;

use kabar_actors::ReadQuery;
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::command::{AccountCommand, CommandReply};
use kabar_core::domain::conversation::ConversationStatus;
use kabar_core::domain::page::{ConversationQuery, PageLimit};
use kabar_core::domain::time::TimeBound;
use kabar_core::ids::{ContactId, ConversationId};
use poem_openapi::OpenApi;

use self::body::ConversationBody;
use self::patch::UpdateConversation;
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::DataResponse;
use crate::rest::error::{ApiError, OperationError, code_list};
use crate::rest::json_body::JsonBody;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::poll::{PollConditions, PolledOne, PolledPage, poll};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of listing conversations.
    ListFails = [InvalidFieldValue, InvalidLimit, InvalidCursor, ResourceNotFound, StorageUnavailable, Overloaded];
    /// Error codes of reading a conversation.
    GetFails = [InvalidFieldValue, ResourceNotFound, StorageUnavailable, Overloaded];
    /// Error codes of changing a conversation.
    UpdateFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, ResourceNotFound, PayloadTooLarge,
        UnsupportedMediaType, StorageUnavailable, Overloaded,
    ];
}

/// Operations on conversations.
#[derive(Debug, Clone)]
pub(crate) struct ConversationsApi(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Conversations")]
impl ConversationsApi {
    /// List conversations
    ///
    /// Newest message first. With `updated_since`: only what changed strictly after that instant,
    /// newest change first; store the newest `updated_at` of a sync and send it next time, and
    /// nothing is missed.
    ///
    /// Send the last `ETag` as `If-None-Match`: as long as the page would be the same the answer is
    /// 304 and costs nothing. Add `Prefer: wait=30` and the request is held until the page changes.
    #[oai(path = "/v1/:phone_number_id/conversations", method = "get", operation_id = "listConversations")]
    #[expect(clippy::too_many_arguments, reason = "one per documented parameter")]
    async fn list_conversations(
        &self,
        tenant: TenantCaller,
        conditions: PollConditions,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// Only conversations with this status.
        status: QueryParam<ConversationStatus>,
        /// Only the conversation with this contact.
        contact_id: QueryParam<ContactId>,
        /// Only what changed strictly after this instant (RFC 3339, any offset).
        updated_since: QueryParam<TimeBound>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before; bound to the same filters.
        cursor: QueryParam<CursorText>,
    ) -> Result<PolledPage<ConversationBody>, OperationError<ListFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let mut query = ConversationQuery {
            status: status.0,
            contact_id: contact_id.0,
            updated_since: updated_since.0.map(TimeBound::strictly_after),
            limit: limit.0.unwrap_or_default(),
            after: None,
        };
        query.after = cursor
            .0
            .map(|text| self.0.open_cursor(&query.scope(slot.current_account().id), &text))
            .transpose()?;
        let delta = query.updated_since.is_some();
        let answer = poll(&self.0, &slot, &ReadQuery::Conversations(query), &conditions, delta).await?;
        Ok(answer.into())
    }

    /// Get a conversation
    ///
    /// Follows the same rules of `ETag`, 304 and waiting as the list.
    #[oai(
        path = "/v1/:phone_number_id/conversations/:conversation_id",
        method = "get",
        operation_id = "getConversation"
    )]
    async fn get_conversation(
        &self,
        tenant: TenantCaller,
        conditions: PollConditions,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// The conversation.
        conversation_id: Path<ConversationId>,
    ) -> Result<PolledOne<ConversationBody>, OperationError<GetFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let question = ReadQuery::Conversation(conversation_id.0);
        Ok(poll(&self.0, &slot, &question, &conditions, false).await?.into())
    }

    /// Update a conversation
    ///
    /// Changes its status, its assignee, or both; give at least one. `assigned_to: null` removes the
    /// assignee. The response is the conversation after the change; a value that stays the same changes
    /// nothing.
    #[oai(
        path = "/v1/:phone_number_id/conversations/:conversation_id",
        method = "patch",
        operation_id = "updateConversation"
    )]
    async fn update_conversation(
        &self,
        tenant: TenantCaller,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// The conversation.
        conversation_id: Path<ConversationId>,
        body: JsonBody<UpdateConversation>,
    ) -> Result<DataResponse<ConversationBody>, OperationError<UpdateFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let change = patch::read_changes(&body.value)?;
        let patch = change.resolve_user(conversation_id.0, |user| {
            self.0.directory.find_user(tenant.key.organisation_id, user)
        })?;
        let outcome =
            self.0.accounts.execute_command(&slot, AccountCommand::PatchConversation(patch), None).await?;
        match outcome? {
            CommandReply::Conversation(row) => {
                Ok(DataResponse(ConversationBody::from_conversation(&slot.current_account(), &row)))
            }
            CommandReply::Ingested
            | CommandReply::Sends(_)
            | CommandReply::Recorded
            | CommandReply::Message(_)
            | CommandReply::Contact(_)
            | CommandReply::Template(_)
            | CommandReply::Templates(_)
            | CommandReply::Account(_) => Err(ApiError::internal_error().into()),
        }
    }
}
