//! What is wrong with a body, and with which field of it.
//!
//! Invariant: a message says what to do and never repeats what was sent, so that it may be shown
//! and logged. It knows nothing of HTTP: the error room gives it a status and an envelope.

/// What is wrong with a body, as one of the contract's codes of status 400.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldErrorKind {
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
    /// The contract's code.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::InvalidRequest => "invalid_request",
            Self::MissingRequiredField => "missing_required_field",
            Self::InvalidFieldValue => "invalid_field_value",
            Self::InvalidPhoneNumber => "invalid_phone_number",
        }
    }
}

/// One refused field.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct FieldError {
    /// What kind of fault.
    pub code: FieldErrorKind,
    /// The field's path; empty when the whole body is at fault.
    pub param: String,
    /// For a human; says what to do, and never repeats what was sent.
    pub message: String,
}

impl FieldError {
    /// A field with a value that it cannot have; `expected` continues "must be …".
    #[must_use]
    pub fn invalid_value(param: String, expected: &str) -> Self {
        let message = format!("{param} must be {expected}");
        Self { code: FieldErrorKind::InvalidFieldValue, param, message }
    }

    /// A field that may not be there, or not together with another; `why` is the whole sentence.
    #[must_use]
    pub fn refused_value(param: String, why: &str) -> Self {
        Self { code: FieldErrorKind::InvalidFieldValue, param, message: why.to_owned() }
    }

    /// A field that is not a telephone number.
    #[must_use]
    pub fn invalid_phone(param: String) -> Self {
        let message = format!("{param} must be a number in E.164 form, such as +6281234567890");
        Self { code: FieldErrorKind::InvalidPhoneNumber, param, message }
    }

    /// A field that is not there.
    #[must_use]
    pub fn missing_field(param: String) -> Self {
        let message = format!("{param} is required");
        Self { code: FieldErrorKind::MissingRequiredField, param, message }
    }

    /// A body that cannot be read at all.
    #[must_use]
    pub fn invalid_body(message: &str) -> Self {
        Self { code: FieldErrorKind::InvalidRequest, param: String::new(), message: message.to_owned() }
    }
}
