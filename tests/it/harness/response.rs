//! What came back, and what must hold of every answer.
//!
//! Invariant: reading an answer's data or refusal checks the whole envelope around it.

use std::collections::BTreeSet;

use bytes::Bytes;
use reqwest::header::HeaderMap;
use serde_json::Value;

/// An answer, read whole.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

impl Answer {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(|value| value.to_str().expect("visible ASCII"))
    }

    /// A header that must be there.
    #[track_caller]
    pub(crate) fn must(&self, name: &str) -> String {
        self.header(name).unwrap_or_else(|| panic!("no {name} in {self:?}")).to_owned()
    }

    /// A header that must be there, as a number.
    #[track_caller]
    pub(crate) fn number(&self, name: &str) -> i64 {
        self.must(name).parse().unwrap_or_else(|_| panic!("{name} is no number in {self:?}"))
    }

    /// The entity tag.
    #[track_caller]
    pub(crate) fn etag(&self) -> String {
        self.must("ETag")
    }

    /// The body as JSON.
    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        let read = serde_json::from_slice(&self.body);
        read.unwrap_or_else(|_| panic!("not JSON: {} {:?}", self.status, self.body))
    }

    /// The same answer, if it has this status.
    #[track_caller]
    pub(crate) fn is(self, status: u16) -> Self {
        assert_eq!(self.status, status, "{:?}", self.body);
        self
    }

    /// The envelope of a success.
    #[track_caller]
    pub(crate) fn envelope(&self) -> Value {
        assert!(matches!(self.status, 200 | 201), "{} {:?}", self.status, self.body);
        assert_eq!(self.header("Content-Type").map(essence), Some("application/json"));
        let envelope = self.json();
        assert_eq!(envelope["request_id"], self.must("X-Request-Id"));
        envelope
    }

    /// The data of a success.
    #[track_caller]
    pub(crate) fn data(&self) -> Value {
        let envelope = self.envelope();
        assert_eq!(keys_of(&envelope), ["data", "request_id"].into(), "{envelope}");
        envelope["data"].clone()
    }

    /// The rows of a page.
    #[track_caller]
    pub(crate) fn rows(&self) -> Vec<Value> {
        let envelope = self.envelope();
        assert_eq!(keys_of(&envelope), ["data", "has_more", "next_cursor", "request_id"].into());
        let more = envelope["has_more"].as_bool().expect("has_more is a bool");
        assert_eq!(more, envelope["next_cursor"].is_string(), "{envelope}");
        assert_eq!(!more, envelope["next_cursor"].is_null(), "{envelope}");
        envelope["data"].as_array().expect("rows").clone()
    }

    /// One member of each row of a page.
    #[track_caller]
    pub(crate) fn column(&self, key: &str) -> Vec<Value> {
        self.rows().iter().map(|row| row[key].clone()).collect()
    }

    /// The cursor of the next page.
    #[track_caller]
    pub(crate) fn cursor(&self) -> Option<String> {
        self.rows();
        self.json()["next_cursor"].as_str().map(str::to_owned)
    }

    /// Checks a refusal, whole; gives its `error`.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16, code: &str) -> Value {
        assert_eq!(self.status, status, "{code} expected: {:?}", self.body);
        let error = self.refusal();
        assert_eq!(error["code"], code, "{error}");
        error
    }

    /// Checks that this is some refusal of the contract's; gives its `error`.
    #[track_caller]
    pub(crate) fn refusal(&self) -> Value {
        assert_eq!(self.header("Content-Type").map(essence), Some("application/json"), "{self:?}");
        let body = self.json();
        assert_eq!(keys_of(&body), ["error"].into(), "{body}");
        let error = body["error"].clone();
        let mut keys = keys_of(&error);
        keys.remove("param");
        keys.remove("provider_code");
        assert_eq!(keys, ["code", "message", "request_id", "type"].into(), "{error}");
        let code = error["code"].as_str().unwrap();
        let (statuses, kind) = type_of(code);
        assert!(statuses.contains(&self.status), "{} with {code}", self.status);
        assert_eq!(error["type"], kind, "{error}");
        assert_eq!(error["request_id"], self.must("X-Request-Id"));
        assert!(!error["message"].as_str().unwrap().is_empty());
        assert!(error.get("param").is_none_or(Value::is_string), "{error}");
        assert!(error.get("provider_code").is_none_or(Value::is_i64), "{error}");
        if self.status == 503 {
            assert!(self.number("Retry-After") >= 1);
        }
        error
    }
}

/// A content type without its parameters.
fn essence(content_type: &str) -> &str {
    content_type.split(';').next().unwrap_or_default().trim()
}

/// The names of an object's members.
#[track_caller]
pub(crate) fn keys_of(value: &Value) -> BTreeSet<&str> {
    value.as_object().unwrap_or_else(|| panic!("no object: {value}")).keys().map(String::as_str).collect()
}

/// The statuses and the type of a code (contract, section 2).
fn type_of(code: &str) -> (&'static [u16], &'static str) {
    match code {
        "invalid_request"
        | "missing_required_field"
        | "invalid_field_value"
        | "invalid_limit"
        | "invalid_cursor"
        | "invalid_phone_number"
        | "invalid_webhook_url" => (&[400], "invalid_request_error"),
        "missing_api_key" | "invalid_api_key" | "expired_api_key" | "invalid_signature" => {
            (&[401], "authentication_error")
        }
        "organization_suspended" | "plan_limit_reached" | "insufficient_scope" | "invalid_verify_token" => {
            (&[403], "permission_error")
        }
        "resource_not_found" | "route_not_found" => (&[404], "not_found"),
        "method_not_allowed" => (&[405], "invalid_request_error"),
        "idempotency_in_progress"
        | "version_conflict"
        | "secret_key_conflict"
        | "contact_already_exists"
        | "template_already_exists"
        | "account_already_connected" => (&[409], "conflict"),
        "position_expired" => (&[410], "invalid_request_error"),
        "payload_too_large" => (&[413], "invalid_request_error"),
        "unsupported_media_type" => (&[415], "invalid_request_error"),
        "idempotency_key_reuse"
        | "outside_24h_window"
        | "account_not_connected"
        | "template_not_approved"
        | "template_paused"
        | "template_disabled"
        | "whatsapp_error"
        | "invalid_plugin" => (&[422], "invalid_request_error"),
        "whatsapp_upstream_error" => (&[502], "api_error"),
        "rate_limit_exceeded" => (&[429], "rate_limit_error"),
        "internal_error" | "storage_unavailable" | "overloaded" => (&[500, 503], "api_error"),
        other => panic!("the contract has no code {other}"),
    }
}
