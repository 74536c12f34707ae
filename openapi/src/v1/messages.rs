//! Operations on messages. `send` checks a body; the account decides if it may be sent.

pub(crate) mod body;
pub(crate) mod raw;

use std::sync::Arc;

use kabar_actors::{AccountError, ReadQuery};
use kabar_core::cause::cause;
use kabar_core::domain::account::{Account, PhoneNumberId};
use kabar_core::domain::command::{AccountCommand, CommandReply};
use kabar_core::domain::message::Direction;
use kabar_core::domain::message_details::MessageSource;
use kabar_core::domain::page::{MessageQuery, PageLimit};
use kabar_core::domain::status::MessageStatus;
use kabar_core::domain::time::TimeBound;
use kabar_core::ids::{ConversationId, MessageId};
use poem::http::StatusCode;
use poem_openapi::OpenApi;

use self::body::MessageBody;
use self::raw::RawMessageBody;
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::{OpenEnvelope, VerbatimResponse};
use crate::rest::error::{ApiError, OperationError, code_list};
use crate::rest::idempotency::{IdempotentCall, IdempotentResponse, ReplyFormat, carry_out_once};
use crate::rest::json_body::JsonBody;
use crate::rest::params::{CursorText, Path, QueryParam};
use crate::rest::poll::{PollConditions, PolledOne, PolledPage, poll};
use crate::rest::tags::ApiTag;
use crate::v1::conversations::{GetFails, ListFails};
use crate::v1::send;
use crate::v1::send::{SendBody, SendMessageBody};

code_list! {
    /// Error codes of sending a message.
    SendFails = [
        InvalidRequest, MissingRequiredField, InvalidFieldValue, InvalidPhoneNumber, ResourceNotFound,
        IdempotencyInProgress, PayloadTooLarge, UnsupportedMediaType, IdempotencyKeyReuse, Outside24hWindow,
        AccountNotConnected, TemplateNotApproved, TemplatePaused, TemplateDisabled, StorageUnavailable, Overloaded,
    ];
}

const SENT: ReplyFormat = ReplyFormat { status: StatusCode::OK, show, refuse: ApiError::from };

fn show(_account: &Account, reply: &CommandReply) -> Result<OpenEnvelope, ApiError> {
    match reply {
        CommandReply::Message(row) => OpenEnvelope::from_value(&MessageBody::from_message(row)),
        CommandReply::Ingested
        | CommandReply::Sends(_)
        | CommandReply::Recorded
        | CommandReply::Conversation(_)
        | CommandReply::Contact(_)
        | CommandReply::Template(_)
        | CommandReply::Templates(_)
        | CommandReply::Account(_) => Err(ApiError::internal_error()),
    }
}

/// Operations on messages.
#[derive(Debug, Clone)]
pub(crate) struct MessagesApi(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Messages")]
impl MessagesApi {
    /// List messages
    ///
    /// Newest first. Follows the same rules of `ETag`, 304 and waiting as the list of conversations.
    #[oai(path = "/v1/:phone_number_id/messages", method = "get", operation_id = "listMessages")]
    #[expect(clippy::too_many_arguments, reason = "one per documented parameter")]
    async fn list_messages(
        &self,
        tenant: TenantCaller,
        conditions: PollConditions,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// Only messages of this conversation.
        conversation_id: QueryParam<ConversationId>,
        /// Only messages of this direction.
        direction: QueryParam<Direction>,
        /// Only messages with this status.
        status: QueryParam<MessageStatus>,
        /// Only messages created strictly after this instant (RFC 3339, any offset).
        created_after: QueryParam<TimeBound>,
        /// Only messages created strictly before this instant (RFC 3339, any offset).
        created_before: QueryParam<TimeBound>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before; bound to the same filters.
        cursor: QueryParam<CursorText>,
    ) -> Result<PolledPage<MessageBody>, OperationError<ListFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let mut query = MessageQuery {
            conversation_id: conversation_id.0,
            direction: direction.0,
            status: status.0,
            created_after: created_after.0.map(TimeBound::strictly_after),
            created_before: created_before.0.map(TimeBound::strictly_before),
            limit: limit.0.unwrap_or_default(),
            after: None,
        };
        let place = cursor
            .0
            .map(|text| self.0.open_cursor(&query.scope(slot.current_account().id), &text))
            .transpose()?;
        query.after = place.map(|place| MessageId::from_bits(place.id));
        Ok(poll(&self.0, &slot, &ReadQuery::Messages(query), &conditions, false).await?.into())
    }

    /// Get a message
    ///
    /// The cheap way to follow one message: send the last `ETag` as `If-None-Match`, and the answer
    /// is 304 until its status changes; add `Prefer: wait=30` to be told at once.
    #[oai(path = "/v1/:phone_number_id/messages/:message_id", method = "get", operation_id = "getMessage")]
    async fn get_message(
        &self,
        tenant: TenantCaller,
        conditions: PollConditions,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// The message (`msg_…`).
        message_id: Path<MessageId>,
    ) -> Result<PolledOne<MessageBody>, OperationError<GetFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let question = ReadQuery::Message(message_id.0);
        Ok(poll(&self.0, &slot, &question, &conditions, false).await?.into())
    }

    /// Get what WhatsApp sent about a message
    ///
    /// The message, its statuses, and the items that changed it, each as WhatsApp sent it. They are kept for
    /// 30 days unless the server is configured otherwise; of a message that was taken back the content is
    /// not kept.
    #[oai(
        path = "/v1/:phone_number_id/messages/:message_id/raw",
        method = "get",
        operation_id = "getRawMessage"
    )]
    async fn get_raw_message(
        &self,
        tenant: TenantCaller,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// The message (`msg_…`).
        message_id: Path<MessageId>,
    ) -> Result<VerbatimResponse<RawMessageBody>, OperationError<GetFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let read = raw::read_items(&self.0.store, &slot.current_account(), message_id.0).await;
        let found = read.map_err(|error| {
            tracing::error!(error = cause(&error), "raw items not read");
            ApiError::from(AccountError::Storage)
        })?;
        Ok(VerbatimResponse(found.ok_or_else(|| ApiError::not_found("message", "message_id"))?))
    }

    /// Send a message, or mark one as read
    ///
    /// Sending answers at once with the message in status `pending`; by then it is durable, and it
    /// will be handed to WhatsApp however often this server or the network fails. All types but
    /// `template` and `reaction` need the contact to have written within the last 24 hours.
    ///
    /// The recipient is a number or a user id of WhatsApp's in `to`, a user id in `recipient` (`to` wins), or,
    /// with `recipient_type: "group"`, a group's id in `to`.
    ///
    /// With `status: "read"` and `message_id` (WhatsApp's) instead, that inbound message and the
    /// earlier unread ones of its conversation become `read`, and WhatsApp is told. `typing_indicator` shows the
    /// contact that an answer is being written, also when the message was read before.
    ///
    /// A template that is known here and not approved is refused, and WhatsApp is not asked; one that is not known is
    /// left to WhatsApp.
    ///
    /// Send an `Idempotency-Key`, and it is safe to repeat the request for 24 hours.
    #[oai(path = "/v1/:phone_number_id/messages", method = "post", operation_id = "sendMessage")]
    async fn send_message(
        &self,
        tenant: TenantCaller,
        call: IdempotentCall,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        body: JsonBody<SendMessageBody>,
    ) -> Result<IdempotentResponse<MessageBody, 200>, OperationError<SendFails>> {
        let read = || {
            let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
            Ok((slot, send::parse(&body.value, MessageSource::Api)?))
        };
        let command = read().map(|(slot, body)| match body {
            SendBody::Send(outgoing) => (slot, AccountCommand::Send(outgoing)),
            SendBody::MarkRead(mark) => (slot, AccountCommand::MarkRead(mark)),
        });
        Ok(carry_out_once(&self.0, &tenant, &call, &body.value, command, SENT).await?.into())
    }
}
