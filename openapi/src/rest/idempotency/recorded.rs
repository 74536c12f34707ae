//! Recorded responses: what a key keeps of its first call, and how that is told again.

use bytes::Bytes;
use kabar_actors::RecordedResponse;
use kabar_core::domain::account::Secret;
use kabar_core::domain::command::{CommandRefusal, CommandReply};
use kabar_core::ids::ContactId;
use kabar_core::store::RecordedBody;
use poem::http::StatusCode;
use poem::{IntoResponse, Response};

use crate::rest::envelope::{self, OpenEnvelope};
use crate::rest::error::{ApiError, ErrorCode, ErrorParts};

/// Secrecy of a response of success, which is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Secrecy {
    /// Shows no secret.
    Open,
    /// Shows a secret for the only time; its record is encrypted.
    Secret,
}

/// The contact that the response to a command shows.
pub(super) fn shown_contact(outcome: &Result<CommandReply, CommandRefusal>) -> Option<ContactId> {
    match outcome {
        Ok(CommandReply::Message(message)) => Some(message.contact_id),
        Ok(CommandReply::Conversation(conversation)) => Some(conversation.contact.id),
        Ok(CommandReply::Contact(contact)) => Some(contact.id),
        Ok(
            CommandReply::Ingested
            | CommandReply::Sends(_)
            | CommandReply::Recorded
            | CommandReply::Template(_)
            | CommandReply::Templates(_)
            | CommandReply::Account(_),
        )
        | Err(_) => None,
    }
}

pub(super) fn recorded_success(
    status: StatusCode,
    open: &OpenEnvelope,
    secrecy: Secrecy,
    contact_id: Option<ContactId>,
) -> RecordedResponse {
    let json = String::from_utf8_lossy(open.head());
    let body = match secrecy {
        Secrecy::Open => RecordedBody::Open(json.into()),
        Secrecy::Secret => RecordedBody::Secret(Secret::new(&json)),
    };
    RecordedResponse { status: status.as_u16(), body, contact_id }
}

pub(super) fn recorded_response(
    status: StatusCode,
    secrecy: Secrecy,
    shown: Result<OpenEnvelope, ApiError>,
    contact_id: Option<ContactId>,
) -> RecordedResponse {
    match shown {
        Ok(open) => recorded_success(status, &open, secrecy, contact_id),
        Err(refusal) => recorded_refusal(&refusal),
    }
}

pub(super) fn recorded_refusal(refusal: &ApiError) -> RecordedResponse {
    let body = serde_json::to_string(&refusal.parts()).unwrap_or_default();
    let body = RecordedBody::Open(body.into());
    RecordedResponse { status: refusal.code().status().as_u16(), body, contact_id: None }
}

pub(super) fn replay_recorded(recorded: &RecordedResponse) -> Result<Response, ApiError> {
    let status = StatusCode::from_u16(recorded.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    if status.is_success() {
        let head = Bytes::copy_from_slice(recorded.body.json().as_bytes());
        return Ok(envelope::open_response(status, Ok(OpenEnvelope::from_head(head))));
    }
    if status == StatusCode::NOT_FOUND && recorded.body.json().is_empty() {
        let message = "the first request of this Idempotency-Key was carried out, and what it answered was deleted since";
        return Ok(ApiError::new(ErrorCode::ResourceNotFound, message).into_response());
    }
    let parts: Option<ErrorParts<'_>> = serde_json::from_str(recorded.body.json()).ok();
    let refusal = parts.and_then(|parts| ApiError::of_parts(&parts)).ok_or_else(|| {
        tracing::error!(status = recorded.status, "remembered answer cannot be read");
        ApiError::internal_error()
    })?;
    Ok(refusal.into_response())
}
