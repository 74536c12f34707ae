//! Errors in a request body, with the field at fault.
//!
//! Invariant: a message says what to do and never repeats the input, so that it may be shown and logged. It
//! is independent of HTTP: `rest::error` gives it a status and an envelope.

/// Kinds of body errors: the contract's codes of status 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldErrorKind {
    /// The body as a whole cannot be read.
    InvalidRequest,
    /// A field is absent, or null.
    MissingRequiredField,
    /// A field has a value that it cannot have.
    InvalidFieldValue,
    /// A field is not a telephone number.
    InvalidPhoneNumber,
}

impl FieldErrorKind {
    /// Returns the contract's code.
    #[must_use]
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::MissingRequiredField => "missing_required_field",
            Self::InvalidFieldValue => "invalid_field_value",
            Self::InvalidPhoneNumber => "invalid_phone_number",
        }
    }
}

/// An invalid field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub(crate) struct FieldError {
    /// Kind of the error.
    pub(crate) code: FieldErrorKind,
    /// Path of the field; empty when the whole body is at fault.
    pub(crate) param: String,
    /// Text for people; says what to do, and never repeats the input.
    pub(crate) message: String,
}

impl FieldError {
    /// Builds the error of an invalid value; `expected` continues "must be …".
    #[must_use]
    pub(crate) fn invalid_value(param: String, expected: &str) -> Self {
        let message = format!("{param} must be {expected}");
        Self { code: FieldErrorKind::InvalidFieldValue, param, message }
    }

    /// Builds the error of a field that is not allowed, or not together with another; `why` is the whole sentence.
    #[must_use]
    pub(crate) fn refused_value(param: String, why: &str) -> Self {
        Self { code: FieldErrorKind::InvalidFieldValue, param, message: why.to_owned() }
    }

    /// Builds the error of a field that is not a telephone number.
    #[must_use]
    pub(crate) fn invalid_phone(param: String) -> Self {
        let message = format!("{param} must be a number in E.164 form, such as +6281234567890");
        Self { code: FieldErrorKind::InvalidPhoneNumber, param, message }
    }

    /// Builds the error of a missing field.
    #[must_use]
    pub(crate) fn missing_field(param: String) -> Self {
        let message = format!("{param} is required");
        Self { code: FieldErrorKind::MissingRequiredField, param, message }
    }

    /// Builds the error of an unreadable body.
    #[must_use]
    pub(crate) fn invalid_body(message: &str) -> Self {
        Self { code: FieldErrorKind::InvalidRequest, param: String::new(), message: message.to_owned() }
    }
}
