//! Responses to polls: the page, 304, or a held response. One way for every list and every single object.
//!
//! Invariants: `respond_to_poll` is the only place that turns a page into a response, for the operations and
//! for the gateway's cached responses; a held request is answered as soon as its response changes. The
//! account owns the pages and decides how long they may be served.

use std::marker::PhantomData;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use kabar_actors::{AccountEntry, CachedResponse, ReadQuery, RenderedPage};
use kabar_core::domain::etag;
use poem::http::header::{
    CACHE_CONTROL, CONTENT_TYPE, ETAG, HeaderName, HeaderValue, IF_NONE_MATCH, RETRY_AFTER, VARY,
};
use poem::http::uri::PathAndQuery;
use poem::http::{HeaderMap, StatusCode};
use poem::{FromRequest, IntoResponse, Request, RequestBody, Response, Result};
use poem_openapi::ApiResponse;
use poem_openapi::registry::{MetaHeader, MetaResponse, MetaResponses, MetaSchema, MetaSchemaRef, Registry};
use poem_openapi::types::Type;

use crate::app::AppState;
use crate::rest::envelope;
use crate::rest::envelope::{PageOf, SingleOf};
use crate::rest::error::ApiError;
use crate::rest::prefer::WaitPreference;

pub(crate) const CACHE_STATUS: HeaderName = HeaderName::from_static("cache-status");
const PREFERENCE_APPLIED: HeaderName = HeaderName::from_static("preference-applied");
const JSON: HeaderValue = HeaderValue::from_static("application/json");
const REVALIDATE: HeaderValue = HeaderValue::from_static("private, no-cache");
const MISS: HeaderValue = HeaderValue::from_static("kabar; fwd=miss");
/// `Vary` header: the representation depends on the caller, and on the codings it can decompress.
pub(crate) const VARIES: HeaderValue = HeaderValue::from_static("Authorization, Accept-Encoding");
/// Longest path and query under which a page is cached; longer ones would let one client fill the cache's memory.
const REMEMBERED_BYTES: usize = 1024;

/// Pause that a client is asked for whose poll was not held to its end, so that it does not ask again at once.
const CUT_SHORT_PAUSE_S: u64 = 5;

/// Conditions of a request: the response that the client has, and the time that it would wait.
#[derive(Debug, Clone)]
pub(crate) struct PollConditions {
    if_none_match: Vec<HeaderValue>,
    wait: Option<WaitPreference>,
    request: Option<Box<str>>,
}

impl<'a> FromRequest<'a> for PollConditions {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        let target = request.uri().path_and_query().map(PathAndQuery::as_str);
        Ok(Self {
            if_none_match: request.headers().get_all(IF_NONE_MATCH).into_iter().cloned().collect(),
            wait: WaitPreference::from_headers(request.headers()),
            request: target.filter(|target| target.len() <= REMEMBERED_BYTES).map(Into::into),
        })
    }
}

/// Returns `true` when the client has this page already.
fn has_it<'h>(asked: &CachedResponse, mut if_none_match: impl Iterator<Item = &'h HeaderValue>) -> bool {
    let Some(page) = &asked.page else { return false };
    let Ok(tag) = std::str::from_utf8(&page.etag) else { return false };
    if_none_match.any(|line| line.to_str().is_ok_and(|line| etag::tag_matches(line, tag)))
}

/// Returns `true` when a page is empty and no further page follows.
fn is_nothing(page: &RenderedPage) -> bool {
    page.rows == 0 && page.reach.is_none_or(|reach| !reach.has_more)
}

/// Answers a poll. With `delta`, an empty page means "nothing new yet".
pub(crate) async fn poll(
    app: &AppState,
    slot: &Arc<AccountEntry>,
    question: &ReadQuery,
    conditions: &PollConditions,
    delta: bool,
) -> Result<Response, ApiError> {
    let known = || conditions.if_none_match.iter();
    let Some(wait) = conditions.wait else {
        let asked = app.accounts.read_response(slot, question, conditions.request.as_deref()).await?;
        return respond_to_poll(&asked, known());
    };
    let held = AtomicBool::new(false);
    let done = |asked: &CachedResponse| {
        let nothing_new = delta && asked.page.as_ref().is_some_and(|page| is_nothing(page));
        let idle = nothing_new || has_it(asked, known());
        held.fetch_or(idle, Ordering::Relaxed);
        !idle
    };
    let asked = app.accounts.ask_until(slot, question, wait.duration(), &done).await?;
    let mut response = respond_to_poll(&asked.response, known())?;
    if asked.is_cut_short {
        response.headers_mut().insert(RETRY_AFTER, HeaderValue::from(wait.seconds().min(CUT_SHORT_PAUSE_S)));
    } else if held.into_inner()
        && let Ok(applied) = HeaderValue::try_from(format!("wait={}", wait.seconds()))
    {
        response.headers_mut().insert(PREFERENCE_APPLIED, applied);
    }
    Ok(response)
}

/// Converts a page into a response: 200, 304 when the client has it, 404 when the object does not exist.
///
/// # Errors
/// `resource_not_found`.
pub(crate) fn respond_to_poll<'h>(
    asked: &CachedResponse,
    if_none_match: impl Iterator<Item = &'h HeaderValue>,
) -> Result<Response, ApiError> {
    let Some(page) = &asked.page else {
        return Err(ApiError::new(
            crate::rest::error::ErrorCode::ResourceNotFound,
            "this account has nothing of this id",
        ));
    };
    let unchanged = has_it(asked, if_none_match);
    let mut response = Response::default();
    let mut headers = HeaderMap::with_capacity(16);
    if let Ok(tag) = HeaderValue::from_maybe_shared(page.etag.clone()) {
        headers.insert(ETAG, tag);
    }
    headers.insert(CACHE_CONTROL, REVALIDATE);
    headers.insert(VARY, VARIES);
    headers.insert(CACHE_STATUS, cache_status(asked));
    if unchanged {
        response.set_status(StatusCode::NOT_MODIFIED);
    } else {
        headers.insert(CONTENT_TYPE, JSON);
        response.set_data(page.clone());
    }
    *response.headers_mut() = headers;
    Ok(response)
}

fn cache_status(asked: &CachedResponse) -> HeaderValue {
    if !asked.hit {
        return MISS;
    }
    HeaderValue::try_from(format!("kabar; hit; ttl={}", asked.ttl_s)).unwrap_or(MISS)
}

/// Response to a poll of one `T`.
pub(crate) struct PolledOne<T>(Response, PhantomData<fn() -> T>);

/// Response to a poll of a list of `T`.
pub(crate) struct PolledPage<T>(Response, PhantomData<fn() -> T>);

impl<T> From<Response> for PolledOne<T> {
    fn from(response: Response) -> Self {
        Self(response, PhantomData)
    }
}

impl<T> From<Response> for PolledPage<T> {
    fn from(response: Response) -> Self {
        Self(response, PhantomData)
    }
}

impl<T> IntoResponse for PolledOne<T> {
    fn into_response(self) -> Response {
        self.0
    }
}

impl<T> IntoResponse for PolledPage<T> {
    fn into_response(self) -> Response {
        self.0
    }
}

impl<T: Type> ApiResponse for PolledOne<T> {
    fn meta() -> MetaResponses {
        envelope::collect_responses(documented(envelope::single_response::<T>(200, "As it stands.")))
    }
    fn register(registry: &mut Registry) {
        SingleOf::<T>::register(registry);
    }
}

impl<T: Type> ApiResponse for PolledPage<T> {
    fn meta() -> MetaResponses {
        envelope::collect_responses(documented(envelope::page_response::<T>(200, "One page.")))
    }
    fn register(registry: &mut Registry) {
        PageOf::<T>::register(registry);
    }
}

const UNCHANGED: &str = "The client has this answer already (`If-None-Match`). No body. Costs nothing, unless the request asked to wait.";

pub(crate) fn documented(mut ok: MetaResponse) -> [MetaResponse; 2] {
    let mut unchanged = envelope::bare_response(304, UNCHANGED);
    ok.headers = validators();
    unchanged.headers = validators();
    [ok, unchanged]
}

fn validators() -> Vec<MetaHeader> {
    [
        ("ETag", "Weak tag of this answer; send it back as `If-None-Match`.", true),
        ("Cache-Control", "Always `private, no-cache`: ask again, with the tag.", true),
        ("Vary", "`Authorization, Accept-Encoding`.", true),
        ("Cache-Status", "`kabar; hit; ttl=<s>` or `kabar; fwd=miss` (RFC 9211).", true),
        (
            "Preference-Applied",
            "`wait=<s>` when the answer was held; absent when there was something to answer at once.",
            false,
        ),
        (
            "Retry-After",
            "Seconds after which to ask again, when a poll was not held to its end because other organizations' polls \
             need the room.",
            false,
        ),
    ]
    .map(|(name, description, required)| MetaHeader {
        name: name.to_owned(),
        description: Some(description.to_owned()),
        required,
        deprecated: false,
        schema: MetaSchemaRef::Inline(Box::new(MetaSchema::new("string"))),
    })
    .into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use std::sync::OnceLock;

    fn asked(hit: bool) -> CachedResponse {
        let page = RenderedPage {
            etag: Bytes::from_static(b"W/\"a\""),
            head: Bytes::from_static(b"{\"data\":[],\"request_id\":\""),
            rows: 0,
            reach: None,
            compressed: OnceLock::new(),
        };
        CachedResponse { page: Some(Arc::new(page)), hit, ttl_s: 7 }
    }

    fn answer(lines: &[&'static str]) -> Response {
        let lines: Vec<_> = lines.iter().map(|line| HeaderValue::from_static(line)).collect();
        respond_to_poll(&asked(true), lines.iter()).unwrap()
    }

    #[test]
    fn a_match_is_304_without_a_body() {
        for lines in [&["W/\"a\""][..], &["*"], &["\"x\"", "\"y\", \"a\""]] {
            let response = answer(lines);
            assert_eq!(response.status(), StatusCode::NOT_MODIFIED, "{lines:?}");
            assert!(response.data::<Arc<RenderedPage>>().is_none());
            for name in ["etag", "cache-control", "vary"] {
                assert!(response.headers().contains_key(name), "{name}");
            }
            assert!(!response.headers().contains_key("content-type"));
        }
    }

    #[test]
    fn anything_else_is_the_page() {
        for lines in [&[][..], &["W/\"b\""], &["a"]] {
            let response = answer(lines);
            assert_eq!(response.status(), StatusCode::OK, "{lines:?}");
            assert_eq!(response.header("cache-status"), Some("kabar; hit; ttl=7"));
            assert_eq!(response.header("cache-control"), Some("private, no-cache"));
            let page = response.data::<Arc<RenderedPage>>().unwrap();
            assert_eq!(&page.head[..], br#"{"data":[],"request_id":""#);
        }
        let miss = respond_to_poll(&asked(false), std::iter::empty()).unwrap();
        assert_eq!(miss.header("cache-status"), Some("kabar; fwd=miss"));
    }

    #[test]
    fn nothing_is_404() {
        let nothing = CachedResponse { page: None, hit: true, ttl_s: 1 };
        assert!(respond_to_poll(&nothing, [HeaderValue::from_static("*")].iter()).is_err());
    }
}
