//! The contract's table of error codes (section 2): code, status, type.
//!
//! Permanent: a code is never renamed, nor moved to another status.

use poem::http::StatusCode;

macro_rules! codes {
    ($($name:ident = $word:literal, $status:ident, $kind:literal, $meaning:literal;)*) => {
        /// A code of the contract.
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub(crate) enum ErrorCode { $($name,)* }

        impl ErrorCode {
            /// All codes, in the order of the contract's table.
            pub(crate) const ALL: &[Self] = &[$(Self::$name,)*];

            /// Returns the contract's word.
            #[must_use]
            pub(crate) const fn as_str(self) -> &'static str {
                match self { $(Self::$name => $word,)* }
            }

            /// Returns the HTTP status of the code.
            #[must_use]
            pub(crate) const fn status(self) -> StatusCode {
                match self { $(Self::$name => StatusCode::$status,)* }
            }

            /// Returns the contract's `type`.
            #[must_use]
            pub(crate) const fn kind(self) -> &'static str {
                match self { $(Self::$name => $kind,)* }
            }

            /// Returns the description of the code for the document.
            #[must_use]
            pub(crate) const fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning,)* }
            }

            /// Reads the contract's word.
            #[must_use]
            pub(crate) fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }
        }
    };
}

codes! {
    InvalidRequest = "invalid_request", BAD_REQUEST, "invalid_request_error",
        "the request cannot be read: its body is not a JSON object, or its target is too long";
    MissingRequiredField = "missing_required_field", BAD_REQUEST, "invalid_request_error",
        "a field that must be given is absent or null";
    InvalidFieldValue = "invalid_field_value", BAD_REQUEST, "invalid_request_error",
        "a field, parameter, header or id has a value that it cannot have";
    InvalidLimit = "invalid_limit", BAD_REQUEST, "invalid_request_error",
        "limit is not 1 to 100";
    InvalidCursor = "invalid_cursor", BAD_REQUEST, "invalid_request_error",
        "cursor is not the next_cursor of a page of this very list";
    InvalidPhoneNumber = "invalid_phone_number", BAD_REQUEST, "invalid_request_error",
        "a number is not in E.164 form";
    InvalidWebhookUrl = "invalid_webhook_url", BAD_REQUEST, "invalid_request_error",
        "a webhook address is not a public https address";
    MissingApiKey = "missing_api_key", UNAUTHORIZED, "authentication_error",
        "the Authorization header is missing or not a bearer token";
    InvalidApiKey = "invalid_api_key", UNAUTHORIZED, "authentication_error",
        "the key or token does not exist, or was revoked";
    ExpiredApiKey = "expired_api_key", UNAUTHORIZED, "authentication_error",
        "the key has expired";
    InvalidSignature = "invalid_signature", UNAUTHORIZED, "authentication_error",
        "the signature is missing, or of another secret or body";
    InvalidVerifyToken = "invalid_verify_token", FORBIDDEN, "permission_error",
        "the handshake does not show the configured token";
    OrganizationSuspended = "organization_suspended", FORBIDDEN, "permission_error",
        "the organization is suspended";
    PlanLimitReached = "plan_limit_reached", FORBIDDEN, "permission_error",
        "the plan allows no more of these";
    InsufficientScope = "insufficient_scope", FORBIDDEN, "permission_error",
        "the key or token lacks a scope that the operation requires";
    ResourceNotFound = "resource_not_found", NOT_FOUND, "not_found",
        "nothing of this id is here";
    RouteNotFound = "route_not_found", NOT_FOUND, "not_found",
        "nothing is at this path";
    MethodNotAllowed = "method_not_allowed", METHOD_NOT_ALLOWED, "invalid_request_error",
        "the path does not take this method; see Allow";
    IdempotencyInProgress = "idempotency_in_progress", CONFLICT, "conflict",
        "the first request of this Idempotency-Key is still running";
    VersionConflict = "version_conflict", CONFLICT, "conflict",
        "it has changed meanwhile";
    ContactAlreadyExists = "contact_already_exists", CONFLICT, "conflict",
        "the number is a contact already";
    TemplateAlreadyExists = "template_already_exists", CONFLICT, "conflict",
        "there is a template of this name in this language already";
    AccountAlreadyConnected = "account_already_connected", CONFLICT, "conflict",
        "the number is connected already";
    SecretKeyConflict = "secret_key_conflict", CONFLICT, "conflict",
        "the key files do not allow this rotation; the message names what is to be done";
    PositionExpired = "position_expired", GONE, "invalid_request_error",
        "the events behind the position are not kept any more; the message names the oldest that is";
    PayloadTooLarge = "payload_too_large", PAYLOAD_TOO_LARGE, "invalid_request_error",
        "the body is larger than allowed";
    UnsupportedMediaType = "unsupported_media_type", UNSUPPORTED_MEDIA_TYPE, "invalid_request_error",
        "the body is of another Content-Type";
    IdempotencyKeyReuse = "idempotency_key_reuse", UNPROCESSABLE_ENTITY, "invalid_request_error",
        "the Idempotency-Key belongs to another request";
    Outside24hWindow = "outside_24h_window", UNPROCESSABLE_ENTITY, "invalid_request_error",
        "the contact has not written within the last 24 hours";
    AccountNotConnected = "account_not_connected", UNPROCESSABLE_ENTITY, "invalid_request_error",
        "the account cannot send";
    TemplateNotApproved = "template_not_approved", UNPROCESSABLE_ENTITY, "invalid_request_error",
        "WhatsApp has not approved the template";
    TemplatePaused = "template_paused", UNPROCESSABLE_ENTITY, "invalid_request_error",
        "WhatsApp has paused the template";
    TemplateDisabled = "template_disabled", UNPROCESSABLE_ENTITY, "invalid_request_error",
        "WhatsApp has disabled the template";
    WhatsAppError = "whatsapp_error", UNPROCESSABLE_ENTITY, "invalid_request_error",
        "WhatsApp refuses it; see the message, and provider_code for WhatsApp's number";
    InvalidPlugin = "invalid_plugin", UNPROCESSABLE_ENTITY, "invalid_request_error",
        "the plugin cannot be used";
    RateLimitExceeded = "rate_limit_exceeded", TOO_MANY_REQUESTS, "rate_limit_error",
        "the budget is used up; see Retry-After";
    InternalError = "internal_error", INTERNAL_SERVER_ERROR, "api_error",
        "something went wrong here";
    WhatsAppUpstreamError = "whatsapp_upstream_error", BAD_GATEWAY, "api_error",
        "WhatsApp did not answer, or cannot do it now; try again";
    StorageUnavailable = "storage_unavailable", SERVICE_UNAVAILABLE, "api_error",
        "the database does not answer; see Retry-After";
    Overloaded = "overloaded", SERVICE_UNAVAILABLE, "api_error",
        "too much waits already; see Retry-After";
}
