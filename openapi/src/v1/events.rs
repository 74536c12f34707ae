//! Operations on an account's event log: in pages, and as a stream.
//!
//! A reader keeps its own position, the number of the last event that it has seen. Waiting, tags and 304
//! follow the rules of every list.

pub(crate) mod body;
mod event_page;
mod stream;

use std::sync::Arc;

use kabar_actors::{AccountError, ReadQuery};
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::domain::event::EventTypes;
use kabar_core::domain::log::EventQuery;
use kabar_core::domain::page::PageLimit;
use poem_openapi::OpenApi;

pub(crate) use self::event_page::LAST_SEQUENCE;
pub(crate) use self::event_page::PolledEvents;
use self::stream::LastEventId;
pub(crate) use self::stream::StreamedEvents;
pub(crate) use self::stream::{EVENT_STREAM, frames_of};
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::error::{ApiError, ErrorCode, OperationError, code_list};
use crate::rest::params::{CursorText, Path, QueryParam, SequenceNumber};
use crate::rest::poll::{PollConditions, poll};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of listing events.
    ListFails = [
        InvalidFieldValue, InvalidLimit, InvalidCursor, ResourceNotFound, PositionExpired, StorageUnavailable,
        Overloaded,
    ];
    /// Error codes of a stream.
    StreamFails = [InvalidFieldValue, ResourceNotFound, PositionExpired, StorageUnavailable, Overloaded];
}

/// Operations on the event log.
#[derive(Debug, Clone)]
pub(crate) struct EventsApi(pub(crate) Arc<AppState>);

#[OpenApi(tag = "ApiTag::Events")]
impl EventsApi {
    /// List events
    ///
    /// Oldest first. Once you have processed a response, keep its `last_sequence` and send it as `after` next
    /// time: nothing is skipped, whatever `types` leaves out and however often you restart. While `has_more`
    /// is true, send the next request at once; with `types` a page may be short, or empty, although the log
    /// goes on.
    ///
    /// At the end of the log, `Prefer: wait=30` holds an empty answer until there is an event that
    /// passes `types`, with or without `If-None-Match`. Events are kept for 30 days unless the server
    /// is configured otherwise; a position before the oldest one is refused with 410.
    #[oai(path = "/v1/:phone_number_id/events", method = "get", operation_id = "listEvents")]
    #[expect(clippy::too_many_arguments, reason = "one per documented parameter")]
    async fn list_events(
        &self,
        tenant: TenantCaller,
        conditions: PollConditions,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// Only events of a greater number. Without it, and with 0: from the oldest that is kept.
        after: QueryParam<SequenceNumber>,
        /// Only these types, separated by commas; `whatsapp.*` for all fields of WhatsApp's.
        types: QueryParam<EventTypes>,
        /// Events of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before; takes the place of `after`, and is bound to the same
        /// types.
        cursor: QueryParam<CursorText>,
    ) -> Result<PolledEvents, OperationError<ListFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let mut query = EventQuery {
            after: after.0.map_or(0, SequenceNumber::number),
            types: types.0.unwrap_or_else(EventTypes::all_types),
            limit: limit.0.unwrap_or_default(),
        };
        if let Some(text) = cursor.0 {
            query.after = self.0.open_cursor(&query.scope(slot.current_account().id), &text)?.key;
        }
        let answer = poll(&self.0, &slot, &ReadQuery::Events(query), &conditions, true).await?;
        Ok(answer.into())
    }

    /// Stream events
    ///
    /// Server-sent events: `id` is the event's `sequence`, `event` its `type`, `data` the event as the list
    /// shows it, on one line. An `EventSource` that reconnects resumes at its last position. After 15 s
    /// without an event comes a comment with the number up to which the log was read, so that a position
    /// stays recent even when `types` leaves everything out.
    ///
    /// The stream ends when the server stops, when the key is revoked or expires, and when a client does not
    /// read for 30 s; open it again at the last `id`. It costs one read token. When too many streams are
    /// open, the response is 503 `overloaded`.
    #[oai(path = "/v1/:phone_number_id/events/stream", method = "get", operation_id = "streamEvents")]
    async fn stream_events(
        &self,
        tenant: TenantCaller,
        last_event_id: LastEventId,
        /// The connected number, by WhatsApp's id of it.
        phone_number_id: Path<PhoneNumberId>,
        /// Only events of a greater number; `Last-Event-ID` takes precedence. Without both, and with 0: from
        /// the oldest that is kept.
        after: QueryParam<SequenceNumber>,
        /// Only these types, separated by commas.
        types: QueryParam<EventTypes>,
    ) -> Result<StreamedEvents, OperationError<StreamFails>> {
        let slot = self.0.find_account(&tenant, &phone_number_id.0)?;
        let query = EventQuery {
            after: last_event_id.0.or(after.0).map_or(0, SequenceNumber::number),
            types: types.0.unwrap_or_else(EventTypes::all_types),
            limit: stream::stream_batch(),
        };
        let opened = self.0.accounts.open_stream(&slot, tenant.caller(), query).await;
        Ok(StreamedEvents::from_stream(opened.map_err(refusal)?))
    }
}

fn refusal(error: AccountError) -> ApiError {
    if error == AccountError::Overloaded {
        let message = "too many event streams are open; close some, or read the list";
        return ApiError::new(ErrorCode::Overloaded, message);
    }
    error.into()
}
