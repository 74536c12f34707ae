//! The last steps of every response: body, request id, budget, compression.
//!
//! Invariants: the id in the body is the id in the header; a 304 refunds its token, unless the request asked
//! to wait, and the headers then show the refunded budget; HEAD has the headers of GET and no body.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::{StreamExt as _, stream};
use kabar_actors::RenderedPage;
use poem::http::header::{
    ACCEPT, CACHE_CONTROL, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue,
    RETRY_AFTER, VARY, WWW_AUTHENTICATE,
};
use poem::http::{HeaderMap, StatusCode};
use poem::{Body, Response};
use serde::Serialize;

use super::budget_fields::write_budget;
use super::compression;
use super::compression::ContentCoding;
use super::context::{AdmittedTenant, RequestContext};
use super::problem::{ErrorForm, PROBLEM_JSON, problem_body};
use super::{cors, gzip};
use crate::app::AppState;
use crate::http::access::AccessClass;
use crate::rest::envelope::{CLOSING, OpenEnvelope};
use crate::rest::error::{ApiError, ErrorParts};
use crate::rest::poll::VARIES;

const REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const NO_STORE: HeaderValue = HeaderValue::from_static("no-store");
const BEARER: HeaderValue = HeaderValue::from_static("Bearer");

/// Marks a response with a long body of JSON up to and including `"request_id":"`: it is streamed as it comes, and
/// completed with the request's id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OpenStream;

/// Marks a response with an endless body: it is streamed as it comes, never collected or compressed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamedBody;

#[derive(Serialize)]
struct ErrorEnvelope<'a> {
    error: IdentifiedParts<'a>,
}

#[derive(Serialize)]
struct IdentifiedParts<'a> {
    #[serde(flatten)]
    parts: ErrorParts<'a>,
    request_id: &'a str,
}

fn error_body(refusal: &ApiError, request_id: &[u8]) -> Bytes {
    let request_id = std::str::from_utf8(request_id).unwrap_or_default();
    let envelope = ErrorEnvelope { error: IdentifiedParts { parts: refusal.parts(), request_id } };
    serde_json::to_vec(&envelope).unwrap_or_default().into()
}

/// Finishes a response.
pub(super) async fn finish_response(
    app: &AppState,
    mut visit: RequestContext,
    mut response: Response,
) -> Response {
    let open = response.extensions_mut().remove::<OpenStream>().is_some();
    if open {
        close_stream(&visit, &mut response);
    }
    let streamed = open || response.extensions_mut().remove::<StreamedBody>().is_some();
    let body = if streamed { Bytes::new() } else { close_body(&visit, &mut response).await };
    let status = response.status();
    count_response(app, status);
    settle_budget(app, &mut visit, &mut response);
    let headers = response.headers_mut();
    if let Ok(id) = HeaderValue::from_maybe_shared(visit.request_id) {
        headers.insert(REQUEST_ID, id);
    }
    write_guards(headers, visit.route.access);
    if status.is_client_error() || status.is_server_error() {
        headers.append(VARY, HeaderValue::from(ACCEPT));
    }
    if let Some(origin) = visit.origin {
        cors::allow_origin(headers, origin);
    }
    if streamed {
        if visit.head_only {
            response.set_body(Body::empty());
        }
        return response;
    }
    let body = match visit.encoding.filter(|_| !headers.contains_key(CONTENT_ENCODING)) {
        Some(encoding) => match encoding.compress_body(&body).await {
            Some((name, small)) => {
                headers.remove(CONTENT_LENGTH);
                headers.insert(CONTENT_ENCODING, name);
                small
            }
            None => body,
        },
        None => body,
    };
    if visit.head_only {
        if status != StatusCode::NOT_MODIFIED && status != StatusCode::NO_CONTENT {
            headers.insert(CONTENT_LENGTH, body.len().into());
        }
    } else if !body.is_empty() {
        response.set_body(Body::from_bytes(body));
    }
    response
}

/// Completes a body that is streamed with the request's id.
fn close_stream(visit: &RequestContext, response: &mut Response) {
    let end = [&visit.request_id[..], CLOSING].concat();
    let end = stream::once(std::future::ready(Ok(Bytes::from(end))));
    let body = response.take_body().into_bytes_stream().chain(end);
    response.set_body(Body::from_bytes_stream(body));
    response.headers_mut().insert(CONTENT_TYPE, JSON);
}

/// Completes the body with the request's id.
async fn close_body(visit: &RequestContext, response: &mut Response) -> Bytes {
    if let Some(page) = response.extensions_mut().remove::<Arc<RenderedPage>>() {
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, JSON);
        if visit.encoding == Some(ContentCoding::Gzip) && compression::is_worth_it(page.head.len()) {
            headers.insert(CONTENT_ENCODING, ContentCoding::Gzip.into());
            return gzip::close_page(&page, &visit.request_id);
        }
        return OpenEnvelope::from_head(page.head.clone()).close(&visit.request_id);
    }
    if let Some(open) = response.extensions_mut().remove::<OpenEnvelope>() {
        response.headers_mut().insert(CONTENT_TYPE, JSON);
        return open.close(&visit.request_id);
    }
    if let Some(refusal) = response.extensions_mut().remove::<ApiError>() {
        let headers = response.headers_mut();
        if let Some(seconds) = refusal.retry_after_s() {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if refusal.code().status() == StatusCode::UNAUTHORIZED && visit.route.access != AccessClass::Open {
            headers.insert(WWW_AUTHENTICATE, BEARER);
        }
        let (kind, body) = match visit.error_form {
            ErrorForm::Envelope => (JSON, error_body(&refusal, &visit.request_id)),
            ErrorForm::Problem => (PROBLEM_JSON, problem_body(&refusal, &visit.request_id)),
        };
        headers.insert(CONTENT_TYPE, kind);
        return body;
    }
    response.take_body().into_bytes().await.unwrap_or_default()
}

fn count_response(app: &AppState, status: StatusCode) {
    let metrics = &app.metrics;
    metrics.requests.inc();
    if status == StatusCode::NOT_MODIFIED {
        metrics.not_modified.inc();
    } else if status == StatusCode::TOO_MANY_REQUESTS {
        metrics.refused_budget.inc();
    } else if status.is_server_error() {
        metrics.errors.inc();
    }
}

/// Shows the budget in the headers of a response, and refunds the token of a 304.
pub(super) fn settle_budget(app: &AppState, visit: &mut RequestContext, response: &mut Response) {
    let Some(AdmittedTenant { caller, class, quote: Some(quote) }) = &mut visit.admitted else { return };
    if response.status() == StatusCode::NOT_MODIFIED && !visit.waits {
        *quote = caller.organisation.give_back(*class);
    }
    write_budget(response.headers_mut(), *class, *quote, app.clock.read_now());
}

/// Adds `Cache-Control` and `Vary`, so that no cache gives a response of one caller to another.
fn write_guards(headers: &mut HeaderMap, access: AccessClass) {
    let vary = match access {
        AccessClass::Open => HeaderValue::from_static("Accept-Encoding"),
        AccessClass::Tenant | AccessClass::Operator => {
            headers.entry(CACHE_CONTROL).or_insert(NO_STORE);
            VARIES
        }
    };
    headers.entry(VARY).or_insert(vary);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_enveloped_as_the_contract_shows() {
        let refusal = ApiError::new(crate::rest::error::ErrorCode::InvalidLimit, "limit must be 1 to 100")
            .with_param("limit");
        let expected = r#"{"error":{"type":"invalid_request_error","code":"invalid_limit","message":"limit must be 1 to 100","param":"limit","request_id":"req_1"}}"#;
        assert_eq!(&error_body(&refusal, b"req_1")[..], expected.as_bytes());
    }
}
