//! Error of a request: one type, carried to the gateway, which renders it.
//!
//! Invariants: `code` alone decides type and status (contract, section 2); a message says what to do and
//! never repeats a secret, a phone number or a body. Rendering needs the request's id, so it happens in one
//! place only: `http`.

mod code;
mod conversions;
mod operation_error;
mod template_errors;

use std::borrow::Cow;

use kabar_actors::{AccountError, AuthFailure};
use kabar_core::domain::command::CommandRefusal;
use poem::error::ResponseError;
use poem::http::StatusCode;
use serde::{Deserialize, Serialize};

pub(crate) use code::ErrorCode;
pub(crate) use operation_error::CODES_TITLE;
pub(crate) use operation_error::{DocumentedErrors, OperationError, code_list};

use crate::rest::body_fields::{FieldError, FieldErrorKind};

/// Seconds after which a client should try again when the server is unavailable.
const RETRY_AFTER_S: u32 = 1;

/// An error response.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}: {message}", code.as_str())]
pub(crate) struct ApiError {
    code: ErrorCode,
    message: Cow<'static, str>,
    param: Option<Cow<'static, str>>,
    /// WhatsApp's own number of the error.
    provider_code: Option<i64>,
    retry_after_s: Option<u32>,
    /// `true` when another node owns the account, and nothing was carried out here.
    account_moved: bool,
}

/// An error without the request's id, as the envelope and the idempotency records hold it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct ErrorParts<'a> {
    #[serde(rename = "type")]
    pub(crate) kind: Cow<'a, str>,
    pub(crate) code: Cow<'a, str>,
    pub(crate) message: Cow<'a, str>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) param: Option<Cow<'a, str>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) provider_code: Option<i64>,
}

impl ApiError {
    /// Builds an error; the message is for people and says what to do.
    #[must_use]
    pub(crate) fn new(code: ErrorCode, message: impl Into<Cow<'static, str>>) -> Self {
        let retry_after_s = (code.status() == StatusCode::SERVICE_UNAVAILABLE).then_some(RETRY_AFTER_S);
        Self {
            code,
            message: message.into(),
            param: None,
            provider_code: None,
            retry_after_s,
            account_moved: false,
        }
    }

    /// Names the field at fault.
    #[must_use]
    pub(crate) fn with_param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.param = Some(param.into());
        self
    }

    /// Sets WhatsApp's own number of the error.
    #[must_use]
    pub(crate) const fn with_provider_code(mut self, number: Option<i64>) -> Self {
        self.provider_code = number;
        self
    }

    /// Sets the time after which to try again.
    #[must_use]
    pub(crate) const fn retry_after(mut self, seconds: u32) -> Self {
        self.retry_after_s = Some(seconds);
        self
    }

    /// Builds the error of a field, parameter or header with an invalid value; `expected` continues "must be …".
    #[must_use]
    pub(crate) fn invalid_field(param: &'static str, expected: &str) -> Self {
        Self::new(ErrorCode::InvalidFieldValue, format!("{param} must be {expected}")).with_param(param)
    }

    /// Builds the error of a well-formed id that names nothing here; `what` is the noun, `param` the
    /// parameter with the id.
    #[must_use]
    pub(crate) fn not_found(what: &str, param: &'static str) -> Self {
        Self::new(ErrorCode::ResourceNotFound, format!("there is no such {what}")).with_param(param)
    }

    /// Builds the error of a cursor that this server did not sign for this list.
    #[must_use]
    pub(crate) fn invalid_cursor() -> Self {
        let message = "cursor must be the next_cursor of a page of this very list; begin again without it";
        Self::new(ErrorCode::InvalidCursor, message).with_param("cursor")
    }

    /// Builds the error of a body with another content type than expected.
    #[must_use]
    pub(crate) fn unsupported_media_type(expected: &str) -> Self {
        let message = format!("send the body with Content-Type: {expected}");
        Self::new(ErrorCode::UnsupportedMediaType, message)
    }

    /// Builds the error of a body beyond the limit.
    #[must_use]
    pub(crate) fn payload_too_large(bytes_max: usize) -> Self {
        Self::new(ErrorCode::PayloadTooLarge, format!("the body must be at most {bytes_max} bytes"))
    }

    /// Builds the error of a defect of the server; the log has the cause, under the request's id.
    #[must_use]
    pub(crate) fn internal_error() -> Self {
        let message = "something went wrong here; try again, and report the request_id if it persists";
        Self::new(ErrorCode::InternalError, message)
    }

    /// Returns the contract's code.
    #[must_use]
    pub(crate) const fn code(&self) -> ErrorCode {
        self.code
    }

    /// Returns the path of the field at fault.
    #[cfg(test)]
    pub(crate) fn param(&self) -> Option<&str> {
        self.param.as_deref()
    }

    /// Returns `true` when another node owns the account and nothing was carried out here; the request can go
    /// there.
    #[must_use]
    pub(crate) const fn account_moved(&self) -> bool {
        self.account_moved
    }

    /// Returns the seconds after which to try again.
    #[must_use]
    pub(crate) const fn retry_after_s(&self) -> Option<u32> {
        self.retry_after_s
    }

    pub(crate) fn parts(&self) -> ErrorParts<'_> {
        ErrorParts {
            kind: self.code.kind().into(),
            code: self.code.as_str().into(),
            message: (&*self.message).into(),
            param: self.param.as_deref().map(Into::into),
            provider_code: self.provider_code,
        }
    }
}

impl ApiError {
    /// Reads a recorded error; `None` when its code is unknown.
    pub(crate) fn of_parts(parts: &ErrorParts<'_>) -> Option<Self> {
        let refusal = Self::new(ErrorCode::parse(&parts.code)?, parts.message.clone().into_owned());
        let refusal = refusal.with_provider_code(parts.provider_code);
        let param = parts.param.as_deref().map(str::to_owned);
        Some(param.map_or(refusal.clone(), |param| refusal.with_param(param)))
    }
}

impl ResponseError for ApiError {
    fn status(&self) -> StatusCode {
        self.code.status()
    }
}

impl From<FieldError> for ApiError {
    fn from(error: FieldError) -> Self {
        let code = match error.code {
            FieldErrorKind::InvalidRequest => ErrorCode::InvalidRequest,
            FieldErrorKind::MissingRequiredField => ErrorCode::MissingRequiredField,
            FieldErrorKind::InvalidFieldValue => ErrorCode::InvalidFieldValue,
            FieldErrorKind::InvalidPhoneNumber => ErrorCode::InvalidPhoneNumber,
        };
        let refusal = Self::new(code, error.message);
        if error.param.is_empty() { refusal } else { refusal.with_param(error.param) }
    }
}

impl From<AccountError> for ApiError {
    fn from(error: AccountError) -> Self {
        match error {
            AccountError::Storage => {
                Self::new(ErrorCode::StorageUnavailable, "storage is unavailable; try again shortly")
            }
            AccountError::Overloaded => {
                Self::new(ErrorCode::Overloaded, "too much waits for this account; try again shortly")
            }
            AccountError::Elsewhere => {
                let message = "the account is moving to another node; try again shortly";
                Self { account_moved: true, ..Self::new(ErrorCode::Overloaded, message) }
            }
            AccountError::Crashed | AccountError::Refused => Self::internal_error(),
            AccountError::Ambiguous => Self::new(
                ErrorCode::MissingRequiredField,
                "there are templates of this name in several languages; give language",
            )
            .with_param("language"),
            AccountError::Expired { oldest } => Self::new(
                ErrorCode::PositionExpired,
                format!(
                    "the events behind this position are not kept any more; the oldest event has number {oldest}: \
                     read the lists for what is missing, then go on after {}",
                    oldest.saturating_sub(1)
                ),
            ),
        }
    }
}

impl From<AuthFailure> for ApiError {
    fn from(failure: AuthFailure) -> Self {
        match failure {
            AuthFailure::Unknown => {
                Self::new(ErrorCode::InvalidApiKey, "this API key does not exist, or was revoked")
            }
            AuthFailure::Suspended => Self::new(
                ErrorCode::OrganizationSuspended,
                "this organization is suspended; ask the operator of the server",
            ),
            AuthFailure::Expired => {
                Self::new(ErrorCode::ExpiredApiKey, "this API key has expired; ask for a new one")
            }
        }
    }
}

impl From<CommandRefusal> for ApiError {
    fn from(refusal: CommandRefusal) -> Self {
        match refusal {
            CommandRefusal::OutsideWindow => Self::new(
                ErrorCode::Outside24hWindow,
                "the contact has not written within the last 24 hours; send a template instead",
            ),
            CommandRefusal::AccountNotConnected(status) => Self::new(
                ErrorCode::AccountNotConnected,
                format!("the account is {} and cannot send; have it connected first", status.as_str()),
            ),
            CommandRefusal::NoConversation => Self::not_found("conversation", "conversation_id"),
            CommandRefusal::NoMessage => Self::not_found("inbound message", "message_id"),
            CommandRefusal::NoContact => Self::not_found("contact", "contact_id"),
            CommandRefusal::ContactExists(id) => Self::new(
                ErrorCode::ContactAlreadyExists,
                format!("this number or user id is the contact {id}'s already; change that one instead"),
            )
            .with_param("phone_number"),
            CommandRefusal::TemplateNotApproved(status) => template_errors::refused_template(status),
            CommandRefusal::GroupMessage => Self::new(
                ErrorCode::InvalidFieldValue,
                "message_id must be a message of a person: WhatsApp has no read marks in groups",
            )
            .with_param("message_id"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_leave_an_absent_param_out() {
        let plain = serde_json::to_string(&ApiError::internal_error().parts()).unwrap();
        assert!(plain.starts_with(r#"{"type":"api_error","code":"internal_error","message":"#), "{plain}");
        assert!(!plain.contains("param"), "{plain}");
        let at = serde_json::to_value(ApiError::invalid_field("status", "one of a, b").parts()).unwrap();
        assert_eq!(at["param"], "status");
        assert_eq!(at["message"], "status must be one of a, b");
    }

    #[test]
    fn refusals_name_the_field_at_fault() {
        let group = ApiError::from(CommandRefusal::GroupMessage);
        assert_eq!((group.code(), group.param()), (ErrorCode::InvalidFieldValue, Some("message_id")));
        let known = ApiError::from(CommandRefusal::ContactExists(kabar_core::ids::ContactId::from_bits(1)));
        assert_eq!((known.code(), known.param()), (ErrorCode::ContactAlreadyExists, Some("phone_number")));
    }

    #[test]
    fn only_503_says_by_itself_when_to_try_again() {
        assert_eq!(ApiError::from(AccountError::Storage).retry_after_s(), Some(1));
        assert_eq!(ApiError::from(AccountError::Overloaded).retry_after_s(), Some(1));
        assert_eq!(ApiError::internal_error().retry_after_s(), None);
    }
}
