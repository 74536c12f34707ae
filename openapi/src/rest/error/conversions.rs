//! Errors that poem and poem-openapi raise by themselves, converted into the contract's errors.
//!
//! Invariant: every error becomes an [`ApiError`]; an error that the client did not cause is logged here,
//! once, and becomes `internal_error`.

use kabar_core::cause::cause;
use poem::error::{MethodNotAllowedError, NotFoundError, ReadBodyError};
use poem::http::StatusCode;
use poem_openapi::error::{ContentTypeError, ParseParamError, ParsePathError, ParseRequestPayloadError};

use super::{ApiError, ErrorCode};

impl From<&poem::Error> for ApiError {
    fn from(error: &poem::Error) -> Self {
        if let Some(refusal) = error.downcast_ref::<Self>() {
            return refusal.clone();
        }
        if error.is::<NotFoundError>() {
            return Self::route_not_found();
        }
        if error.is::<MethodNotAllowedError>() {
            return Self::method_not_allowed();
        }
        if let Some(error) = error.downcast_ref::<ParseParamError>() {
            return Self::invalid_field(error.name, "of the documented form");
        }
        if let Some(error) = error.downcast_ref::<ParsePathError>() {
            return Self::invalid_field(error.name, "of the documented form");
        }
        if error.is::<ParseRequestPayloadError>() {
            return Self::new(ErrorCode::InvalidRequest, "the body is not of the documented form");
        }
        if error.is::<ContentTypeError>() {
            return Self::unsupported_media_type("application/json");
        }
        if let Some(error) = error.downcast_ref::<ReadBodyError>() {
            return Self::from(error);
        }
        Self::of_status(error)
    }
}

impl From<&ReadBodyError> for ApiError {
    fn from(error: &ReadBodyError) -> Self {
        match error {
            ReadBodyError::PayloadTooLarge => Self::new(ErrorCode::PayloadTooLarge, "the body is too large"),
            ReadBodyError::Utf8(_) | ReadBodyError::Io(_) => {
                Self::new(ErrorCode::InvalidRequest, "the body could not be read whole; send it again")
            }
            ReadBodyError::BodyHasBeenTaken => {
                tracing::error!(error = cause(error), "body read twice");
                Self::internal_error()
            }
        }
    }
}

impl ApiError {
    /// Builds the error of a path without an operation.
    #[must_use]
    pub(crate) fn route_not_found() -> Self {
        Self::new(ErrorCode::RouteNotFound, "there is nothing at this path; see /docs for what there is")
    }

    /// Builds the error of a known path with another method.
    #[must_use]
    pub(crate) fn method_not_allowed() -> Self {
        Self::new(ErrorCode::MethodNotAllowed, "this path does not take this method; see Allow")
    }

    fn of_status(error: &poem::Error) -> Self {
        match error.status() {
            StatusCode::NOT_FOUND => Self::route_not_found(),
            StatusCode::PAYLOAD_TOO_LARGE => Self::new(ErrorCode::PayloadTooLarge, "the body is too large"),
            StatusCode::UNSUPPORTED_MEDIA_TYPE => Self::unsupported_media_type("application/json"),
            status if status.is_client_error() => {
                Self::new(ErrorCode::InvalidRequest, "the request could not be understood")
            }
            _ => {
                tracing::error!(%error, "unforeseen error");
                Self::internal_error()
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_error_of_the_frameworks_has_a_code() {
        let bad_param = ParseParamError { name: "limit", reason: "x".into() };
        let cases: [(poem::Error, ErrorCode); 8] = [
            (ApiError::invalid_cursor().into(), ErrorCode::InvalidCursor),
            (NotFoundError.into(), ErrorCode::RouteNotFound),
            (MethodNotAllowedError.into(), ErrorCode::MethodNotAllowed),
            (bad_param.into(), ErrorCode::InvalidFieldValue),
            (ContentTypeError::ExpectContentType.into(), ErrorCode::UnsupportedMediaType),
            (ReadBodyError::PayloadTooLarge.into(), ErrorCode::PayloadTooLarge),
            (poem::Error::from_status(StatusCode::IM_A_TEAPOT), ErrorCode::InvalidRequest),
            (poem::Error::from_string("secret", StatusCode::BAD_GATEWAY), ErrorCode::InternalError),
        ];
        for (error, code) in cases {
            let refusal = ApiError::from(&error);
            assert_eq!(refusal.code(), code, "{error}");
            assert!(!refusal.to_string().contains("secret"));
        }
    }
}
