//! The contract's table of error codes (section 2): code, status, type.
//!
//! Permanent: a code is never renamed, nor moved to another status.

use poem::http::StatusCode;

macro_rules! codes {
    ($($name:ident = $word:literal, $status:ident, $kind:literal;)*) => {
        /// A code of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        #[expect(missing_docs, reason = "each is the contract's own word, which as_str spells")]
        pub enum ErrorCode { $($name,)* }

        impl ErrorCode {
            /// All of them, in the order of the contract's table.
            pub const ALL: &[Self] = &[$(Self::$name,)*];

            /// The contract's word.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// The HTTP status that it goes with.
            #[must_use]
            pub const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// The contract's `type`.
            #[must_use]
            pub const fn kind(self) -> &'static str {
                match self { $(Self::$name => $kind,)* }
            }

            /// Reads the contract's word.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }
        }
    };
}

codes! {
    InvalidRequest = "invalid_request", BAD_REQUEST, "invalid_request_error";
    MissingRequiredField = "missing_required_field", BAD_REQUEST, "invalid_request_error";
    InvalidFieldValue = "invalid_field_value", BAD_REQUEST, "invalid_request_error";
    InvalidLimit = "invalid_limit", BAD_REQUEST, "invalid_request_error";
    InvalidCursor = "invalid_cursor", BAD_REQUEST, "invalid_request_error";
    InvalidPhoneNumber = "invalid_phone_number", BAD_REQUEST, "invalid_request_error";
    InvalidWebhookUrl = "invalid_webhook_url", BAD_REQUEST, "invalid_request_error";
    MissingApiKey = "missing_api_key", UNAUTHORIZED, "authentication_error";
    InvalidApiKey = "invalid_api_key", UNAUTHORIZED, "authentication_error";
    ExpiredApiKey = "expired_api_key", UNAUTHORIZED, "authentication_error";
    InvalidSignature = "invalid_signature", UNAUTHORIZED, "authentication_error";
    OrganizationSuspended = "organization_suspended", FORBIDDEN, "permission_error";
    PlanLimitReached = "plan_limit_reached", FORBIDDEN, "permission_error";
    ResourceNotFound = "resource_not_found", NOT_FOUND, "not_found";
    RouteNotFound = "route_not_found", NOT_FOUND, "not_found";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "invalid_request_error";
    IdempotencyInProgress = "idempotency_in_progress", CONFLICT, "conflict";
    VersionConflict = "version_conflict", CONFLICT, "conflict";
    ContactAlreadyExists = "contact_already_exists", CONFLICT, "conflict";
    AccountAlreadyConnected = "account_already_connected", CONFLICT, "conflict";
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "invalid_request_error";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "invalid_request_error";
    IdempotencyKeyReuse = "idempotency_key_reuse", UNPROCESSABLE_ENTITY, "invalid_request_error";
    Outside24hWindow = "outside_24h_window", UNPROCESSABLE_ENTITY, "invalid_request_error";
    AccountNotConnected = "account_not_connected", UNPROCESSABLE_ENTITY, "invalid_request_error";
    InvalidPlugin = "invalid_plugin", UNPROCESSABLE_ENTITY, "invalid_request_error";
    RateLimitExceeded = "rate_limit_exceeded", TOO_MANY_REQUESTS, "rate_limit_error";
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, "api_error";
    StorageUnavailable = "storage_unavailable", SERVICE_UNAVAILABLE, "api_error";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "api_error";
}
