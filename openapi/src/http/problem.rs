//! Errors as problem details (RFC 9457), for clients that ask for them.
//!
//! Invariant: a client gets them only if its `Accept` names `application/problem+json`, so that clients generated from
//! the document read the envelope that the document describes.

use bytes::Bytes;
use poem::http::HeaderMap;
use poem::http::header::{ACCEPT, HeaderValue};
use serde::Serialize;

use super::compression::weight_of_item;
use crate::rest::error::ApiError;

/// Content type of problem details.
pub(super) const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Form of the body of an error.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ErrorForm {
    /// The envelope of the contract, section 2.
    Envelope,
    /// Problem details.
    Problem,
}

impl ErrorForm {
    /// Returns the form that a request asks for.
    pub(super) fn from_headers(headers: &HeaderMap) -> Self {
        // Most requests say `*/*`, which is too short to name it.
        let lines = headers.get_all(ACCEPT).iter().filter(|line| line.len() >= PROBLEM_JSON.len());
        let lines = lines.filter_map(|line| line.to_str().ok());
        let asks = lines.flat_map(|line| line.split(',')).any(|item| {
            let (kind, weight) = weight_of_item(item);
            weight > 0 && kind.eq_ignore_ascii_case("application/problem+json")
        });
        if asks { Self::Problem } else { Self::Envelope }
    }
}

#[derive(Serialize)]
struct ProblemDetails<'a> {
    #[serde(rename = "type")]
    kind: String,
    title: &'static str,
    status: u16,
    detail: &'a str,
    code: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    param: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    provider_code: Option<i64>,
    request_id: &'a str,
}

/// Returns the body of an error.
pub(super) fn problem_body(refusal: &ApiError, request_id: &[u8]) -> Bytes {
    let code = refusal.code();
    let parts = refusal.parts();
    let problem = ProblemDetails {
        kind: format!("urn:kabar:error:{}", code.as_str()),
        title: code.meaning(),
        status: code.status().as_u16(),
        detail: &parts.message,
        code: code.as_str(),
        param: parts.param.as_deref(),
        provider_code: parts.provider_code,
        request_id: std::str::from_utf8(request_id).unwrap_or_default(),
    };
    serde_json::to_vec(&problem).unwrap_or_default().into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rest::error::ErrorCode;

    fn form_of(accept: &'static str) -> ErrorForm {
        let mut headers = HeaderMap::new();
        headers.insert(ACCEPT, HeaderValue::from_static(accept));
        ErrorForm::from_headers(&headers)
    }

    #[test]
    fn problem_details_are_for_clients_that_name_them() {
        for accept in [
            "application/problem+json",
            "application/json, Application/Problem+JSON;q=0.5",
            "application/problem+json;charset=utf-8",
        ] {
            assert_eq!(form_of(accept), ErrorForm::Problem, "{accept}");
        }
        for accept in ["application/json", "*/*", "application/*", "application/problem+json;q=0", ""] {
            assert_eq!(form_of(accept), ErrorForm::Envelope, "{accept}");
        }
        assert_eq!(ErrorForm::from_headers(&HeaderMap::new()), ErrorForm::Envelope);
    }

    #[test]
    fn a_problem_has_the_members_of_the_standard_and_ours() {
        let refusal = ApiError::new(ErrorCode::InvalidLimit, "limit must be 1 to 100").with_param("limit");
        let problem: serde_json::Value = serde_json::from_slice(&problem_body(&refusal, b"req_1")).unwrap();
        let title = ErrorCode::InvalidLimit.meaning();
        assert_eq!(
            problem,
            serde_json::json!({
                "type": "urn:kabar:error:invalid_limit", "title": title, "status": 400,
                "detail": "limit must be 1 to 100", "code": "invalid_limit", "param": "limit",
                "request_id": "req_1",
            })
        );
    }
}
