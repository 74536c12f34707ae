//! The single entry point: every request passes here, whatever its outcome.
//!
//! Order: request id → CORS preflight → another node's account → key → budget → suspension → cached response
//! → body → operation → id, rate-limit and other headers → compression. Invariants: every response has a
//! request id; every response to a valid key has the headers of its budget; every response other than 2xx and
//! 3xx has the error envelope, panics included. It does not interpret operations.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use bytes::Bytes;
use futures_util::FutureExt as _;
use kabar_actors::{BudgetClass, Caller};
use kabar_core::clock::Clock;
use kabar_core::domain::account::PhoneNumberId;
use kabar_core::ids::{RequestId, text_of, ulid};
use kabar_core::policy::token_bucket::BudgetQuote;
use poem::endpoint::BoxEndpoint;
use poem::http::header::{ALLOW, HeaderValue, IF_NONE_MATCH};
use poem::http::{Method, StatusCode};
use poem::{Endpoint, IntoResponse, Request, Response};

use super::compression::ContentCoding;
use super::cors::CorsPolicy;
use super::methods::{MethodTable, PathMethod};
pub(crate) use super::response::StreamedBody;
use crate::app::AppState;
use crate::http::access::{AccessClass, OperatorCaller, TenantCaller, is_below};
use crate::rest::error::{ApiError, ErrorCode};
use crate::rest::poll::respond_to_poll;
use crate::rest::prefer::{PREFER, WaitPreference};
use crate::site::SitePages;
use crate::spec::OpenApiDocument;

/// Longest path and query; RFC 9110 (4.1) asks for at least 8000 octets.
const TARGET_BYTES: usize = 8192;

/// The whole HTTP surface.
pub(crate) struct Gateway {
    pub(super) app: Arc<AppState>,
    pub(super) operations: BoxEndpoint<'static>,
    pub(super) methods: MethodTable,
    pub(super) pages: SitePages,
    pub(super) cors: CorsPolicy,
}

/// Facts about a request, known once its head is read.
pub(super) struct RequestContext {
    pub(super) request_id: Bytes,
    pub(super) access: AccessClass,
    pub(super) head_only: bool,
    pub(super) waits: bool,
    pub(super) encoding: Option<ContentCoding>,
    pub(super) origin: Option<HeaderValue>,
    pub(super) admitted: Option<AdmittedTenant>,
    /// `true` when another node gave the response; it is complete already.
    pub(super) foreign: bool,
}

/// A tenant with a valid key, and the state of its budget.
pub(super) struct AdmittedTenant {
    pub(super) caller: Arc<Caller>,
    pub(super) class: BudgetClass,
    pub(super) quote: BudgetQuote,
}

fn mint_request_id(clock: &Clock) -> Bytes {
    let mut id = [b'_'; RequestId::PREFIX.len() + 27];
    let (prefix, text) = id.split_at_mut(RequestId::PREFIX.len() + 1);
    prefix.iter_mut().zip(RequestId::PREFIX.bytes()).for_each(|(slot, byte)| *slot = byte);
    text.copy_from_slice(&text_of(ulid(clock.read_now().millis(), rand::random())));
    Bytes::copy_from_slice(&id)
}

impl Gateway {
    pub(crate) fn new(
        app: Arc<AppState>,
        operations: BoxEndpoint<'static>,
        documented: impl IntoIterator<Item = PathMethod>,
        document: &'static LazyLock<OpenApiDocument>,
    ) -> Self {
        let pages = SitePages::new(document, app.sandbox_keys.clone());
        let methods = MethodTable::new(documented, pages.page_paths());
        let cors = CorsPolicy::new(&app.allowed_origins);
        Self { app, operations, methods, pages, cors }
    }

    fn read_context(&self, request: &mut Request) -> RequestContext {
        let head_only = request.method() == Method::HEAD;
        if head_only {
            request.set_method(Method::GET);
        }
        RequestContext {
            request_id: mint_request_id(&self.app.clock),
            access: AccessClass::classify_path(request.uri().path()),
            head_only,
            waits: WaitPreference::from_headers(request.headers()).is_some(),
            encoding: ContentCoding::from_headers(request.headers()),
            origin: self.cors.allowed_origin(request.headers()),
            admitted: None,
            foreign: false,
        }
    }

    async fn handle_request(
        &self,
        mut request: Request,
        visit: &mut RequestContext,
    ) -> Result<Response, ApiError> {
        if let Some(preflight) = CorsPolicy::answer_preflight(&request, visit.origin.as_ref()) {
            return Ok(preflight);
        }
        if visit.access == AccessClass::Tenant {
            self.app.accounts.ensure_fresh_directory().await?;
        }
        if let Some(answer) = self.forward_request(&mut request, visit).await? {
            visit.foreign = true;
            return Ok(answer);
        }
        match visit.access {
            AccessClass::Open => {}
            AccessClass::Operator => {
                super::auth::admit_operator(&self.app, request.headers())?;
                request.set_data(OperatorCaller { _let_in: () });
            }
            AccessClass::Tenant => {
                let caller = super::auth::admit_tenant(&self.app, &request, visit).await?;
                if let Some(response) = self.repeat_cached(&request, &caller) {
                    return Ok(response);
                }
                request.set_data(TenantCaller(caller));
            }
        }
        if is_of_the_directory(request.uri().path()) {
            self.app.accounts.catch_up().await?;
        }
        if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > TARGET_BYTES) {
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "shorten the request's path and query: 8 KiB at most",
            ));
        }
        if let Some(page) = self.pages.answer_request(&request, visit.encoding).await? {
            return Ok(page);
        }
        super::request_body::read_body(&mut request, self.app.limits).await?;
        let kept = self.keep_for_move(&mut request, visit).await;
        self.operate_or_follow(request, kept, visit).await
    }

    /// Answers a poll from the response cache, if an earlier request had the same path and query and its page
    /// is still current. It needs no routing, no parameters, no SQL and no JSON.
    fn repeat_cached(&self, request: &Request, caller: &Caller) -> Option<Response> {
        if request.method() != Method::GET || request.headers().contains_key(PREFER) {
            return None;
        }
        let number = polled_account(request.uri().path())?;
        let slot = self.app.directory.find_account(caller.key.organisation_id, number)?;
        let asked = self.app.accounts.cached_response(&slot, request.uri().path_and_query()?.as_str())?;
        respond_to_poll(&asked, request.headers().get_all(IF_NONE_MATCH).into_iter()).ok()
    }

    pub(super) async fn call_operation(&self, request: Request) -> Response {
        let path = request.uri().path().to_owned();
        match self.operations.call(request).await {
            Ok(response) => response,
            Err(error) if error.is_from_response() => error.into_response(),
            Err(error) => {
                let refusal = ApiError::from(&error);
                let unrouted =
                    matches!(refusal.code(), ErrorCode::MethodNotAllowed | ErrorCode::RouteNotFound);
                let allow = self.methods.allowed_methods(&path).filter(|_| unrouted);
                let refusal = if allow.is_some() { ApiError::method_not_allowed() } else { refusal };
                let mut response = refusal.into_response();
                if let Some(allow) = allow {
                    response.headers_mut().insert(ALLOW, allow);
                }
                response
            }
        }
    }
}

/// Returns `true` for a path to the directory, which every node keeps in memory. A change made at one node is
/// visible in the next request, whichever node gets it.
fn is_of_the_directory(path: &str) -> bool {
    const ROOTS: [&str; 6] = [
        "/admin/v1/accounts",
        "/admin/v1/organizations",
        "/admin/v1/plugins",
        "/v1/plugins",
        "/v1/webhook_deliveries",
        "/v1/webhook_subscriptions",
    ];
    ROOTS.iter().any(|root| is_below(path, root))
}

/// Returns the account of a path that clients poll.
fn polled_account(path: &str) -> Option<&str> {
    let (number, rest) = path.strip_prefix("/v1/")?.split_once('/')?;
    let noun = rest.split('/').next().unwrap_or_default();
    let polled = matches!(noun, "conversations" | "messages" | "contacts" | "events");
    (polled && PhoneNumberId::is_valid(number)).then_some(number)
}

impl Endpoint for Gateway {
    type Output = Response;

    async fn call(&self, mut request: Request) -> poem::Result<Response> {
        let mut visit = self.read_context(&mut request);
        let log = AccessLog::from_request(&request);
        let passing = AssertUnwindSafe(self.handle_request(request, &mut visit)).catch_unwind().await;
        let response = match passing {
            Ok(Ok(response)) => response,
            Ok(Err(refusal)) => refusal.into_response(),
            Err(_panic) => {
                // The panic hook has logged the location; the id links it to the client's response.
                tracing::error!(request_id = %visit.request_id.escape_ascii(), "request panicked");
                ApiError::internal_error().into_response()
            }
        };
        log.write_line(&visit.request_id, response.status());
        if visit.foreign {
            return Ok(response);
        }
        Ok(super::response::finish_response(&self.app, visit, response).await)
    }
}

/// A log line per request at level `debug`; it costs nothing unless that level is on.
struct AccessLog(Option<(Instant, Method, String)>);

impl AccessLog {
    fn from_request(request: &Request) -> Self {
        // The path only: a query may hold a phone number or a name.
        let kept = || (Instant::now(), request.method().clone(), request.uri().path().to_owned());
        Self(tracing::enabled!(tracing::Level::DEBUG).then(kept))
    }

    fn write_line(self, request_id: &Bytes, status: StatusCode) {
        let Some((began, method, path)) = self.0 else { return };
        let took_us = began.elapsed().as_micros();
        let request_id = request_id.escape_ascii();
        tracing::debug!(%request_id, %method, path, status = status.as_u16(), took_us, "answered");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kabar_core::domain::time::Timestamp;

    #[test]
    fn request_ids_are_well_formed_and_differ() {
        let clock = Clock::manual_clock(Timestamp::from_millis(1_781_866_800_000));
        let (a, b) = (mint_request_id(&clock), mint_request_id(&clock));
        assert_ne!(a, b);
        for id in [a, b] {
            assert!(RequestId::parse(std::str::from_utf8(&id).unwrap()).is_ok(), "{id:?}");
        }
    }

    #[test]
    fn polls_go_to_an_account() {
        for path in ["/v1/123456/conversations", "/v1/123456/messages/msg_1", "/v1/123456/contacts/"] {
            assert_eq!(polled_account(path), Some("123456"), "{path}");
        }
        for path in ["/v1/12345/conversations", "/v1/123456", "/v1/123456/conversationsx", "/v1/me", "/"] {
            assert_eq!(polled_account(path), None, "{path}");
        }
    }
}
