//! The single entry point: every request passes here, whatever its outcome.
//!
//! Order: sender → request id → `Host` → CORS preflight → budget of refusals → key → budget → suspension → another node's account → cached response
//! → body → operation → id, rate-limit and other headers → compression. Invariants: every response has a
//! request id; every response to a valid key has the headers of its budget; every response other than 2xx and
//! 3xx has the error envelope, panics included. It does not interpret operations.

use std::panic::AssertUnwindSafe;
use std::sync::{Arc, LazyLock};
use std::time::Instant;

use futures_util::FutureExt as _;
use kabar_actors::{Caller, ResponseKey};
use poem::endpoint::BoxEndpoint;
use poem::http::header::{ALLOW, HOST, HeaderValue, IF_NONE_MATCH};
use poem::http::{Method, Version};
use poem::{Endpoint as _, IntoResponse, Request, Response};
use tracing::Instrument as _;

use super::auth_refusals::AuthRefusals;
use super::body_budget::BodyBudget;
use super::context::RequestContext;
use super::cors::CorsPolicy;
use super::methods::{MethodTable, SITE_METHODS};
use super::request_body::{BodyError, BodyRules, read_body};
use super::route::{BodyLimit, ResponseOrigin, Route, SurfaceScope};
use super::sender::{
    MeantAccounts, RequestSender, check_forwarded_body, identify_sender, misdirected_response,
};
use super::upload_permits::UploadPermits;
use crate::app::AppState;
use crate::http::access::{AccessClass, TenantCaller, UnverifiedWebhook};
use crate::rest::error::{ApiError, ErrorCode};
use crate::rest::poll::respond_to_poll;
use crate::rest::prefer::PREFER;
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
    pub(super) refusals: AuthRefusals,
    /// Memory for bodies that are not authenticated yet.
    unauthenticated: Arc<BodyBudget>,
    uploads: UploadPermits,
}

impl Gateway {
    pub(crate) fn new(
        app: Arc<AppState>,
        operations: BoxEndpoint<'static>,
        documented: impl IntoIterator<Item = (String, String)>,
        document: &'static LazyLock<OpenApiDocument>,
    ) -> Self {
        let pages = SitePages::new(document, app.sandbox_keys.clone());
        let methods = MethodTable::new(documented);
        let refusals = AuthRefusals::new(app.clock.clone(), app.metrics.clone());
        let unauthenticated = BodyBudget::new(app.limits.unauthenticated_bytes.max(app.limits.ingress_bytes));
        let uploads = UploadPermits::new();
        app.metrics.watch_bound(uploads.bound().clone());
        Self { app, operations, methods, pages, refusals, unauthenticated, uploads }
    }

    async fn handle_request(
        &self,
        mut request: Request,
        visit: &mut RequestContext,
    ) -> Result<Response, ApiError> {
        if matches!(visit.sender, RequestSender::LateNode) {
            visit.foreign = true;
            return Ok(misdirected_response());
        }
        if has_wrong_host(&request) {
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "send exactly one Host header with an HTTP/1.1 request",
            ));
        }
        if visit.scope == SurfaceScope::Health && !visit.route.is_health() {
            return Err(ApiError::route_not_found());
        }
        if let Some(preflight) = CorsPolicy::answer_preflight(&request, visit.origin.as_ref()) {
            return Ok(preflight);
        }
        match visit.route.access {
            AccessClass::Tenant => self.app.accounts.ensure_fresh_directory().await?,
            AccessClass::Operator => {
                self.refusals.check_operator_address(visit.sender.client_block())?;
                super::auth::ensure_fresh_operators(&self.app, request.headers()).await?;
            }
            AccessClass::Open => {}
        }
        self.admit_sender(&mut request, visit).await?;
        let held = visit.waits && request.method() == Method::GET;
        match visit.admitted.as_ref().map(|admitted| admitted.caller.clone()).filter(|_| held) {
            Some(caller) => self.hold_while_admitted(&caller, self.carry_out(request, visit)).await,
            None => self.carry_out(request, visit).await,
        }
    }

    /// Holds a request that may wait for a change, as long as its caller is accepted. A caller whose access ended
    /// meanwhile gets no data.
    async fn hold_while_admitted(
        &self,
        caller: &Caller,
        answer: impl Future<Output = Result<Response, ApiError>>,
    ) -> Result<Response, ApiError> {
        let answer = tokio::select! {
            answer = answer => answer?,
            ended = self.app.directory.until_access_ends(caller) => return Err(ended.into()),
        };
        if self.app.accounts.is_clustered() {
            // The key may have been revoked at another node.
            self.app.accounts.ensure_fresh_directory().await?;
        }
        self.app.directory.check_access(caller)?;
        Ok(answer)
    }

    /// Answers a request that was admitted: here, or at the node that serves its account.
    async fn carry_out(
        &self,
        mut request: Request,
        visit: &mut RequestContext,
    ) -> Result<Response, ApiError> {
        if let Some(answer) = self.forward_request(&mut request, visit).await? {
            visit.foreign = true;
            return Ok(answer);
        }
        if let Some(response) = self.repeat_cached(&request, visit) {
            return Ok(response);
        }
        let origin = visit.route.response_origin();
        if origin == ResponseOrigin::Directory {
            self.app.accounts.catch_up().await?;
        }
        if request.uri().path_and_query().is_some_and(|target| target.as_str().len() > TARGET_BYTES) {
            return Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "shorten the request's path and query: 8 KiB at most",
            ));
        }
        if origin == ResponseOrigin::Site
            && let Some(page) = self.pages.answer_request(&request, visit.encoding).await?
        {
            return Ok(page);
        }
        self.read_request_body(&mut request, visit).await?;
        let kept = self.keep_for_move(&mut request, visit).await;
        let is_read = request.method() == Method::GET;
        let answer = self.operate_or_follow(request, kept, visit).await?;
        if is_read && let Some(admitted) = &visit.admitted {
            self.app.directory.check_access(&admitted.caller)?;
        }
        Ok(answer)
    }

    /// Checks the credential of a request, and takes a token off its tenant's budget.
    async fn admit_sender(&self, request: &mut Request, visit: &mut RequestContext) -> Result<(), ApiError> {
        let client = visit.sender.client_block();
        match visit.route.access {
            AccessClass::Open => {
                if let Some(proof) = visit.sender.proof() {
                    request.set_data(MeantAccounts(proof.accounts.clone()));
                }
            }
            AccessClass::Operator => match super::auth::admit_operator(&self.app, request, visit) {
                Ok(operator) => request.set_data(operator),
                Err(refusal) => return Err(self.refuse_operator(visit, refusal).await),
            },
            AccessClass::Tenant => {
                let caller = match super::auth::admit_tenant(&self.app, request, visit).await {
                    Ok(caller) => caller,
                    Err(refusal) => return Err(self.refusals.refuse_key(client, refusal).await),
                };
                self.note_account(request, visit, &caller);
                request.set_data(TenantCaller::new(caller, visit.source()));
            }
        }
        Ok(())
    }

    /// Reads the body of a request that was admitted. Without a credential only a webhook has a body.
    pub(super) async fn read_request_body(
        &self,
        request: &mut Request,
        visit: &RequestContext,
    ) -> Result<(), ApiError> {
        let (route, proof) = (visit.route, visit.sender.proof());
        let bytes_max = route.body_limit().bytes_max(&self.app.limits);
        if route.access != AccessClass::Open {
            self.admit_upload(request, route).await?;
            let rules = BodyRules { bytes_max, clock: &self.app.clock, share: None };
            read_body(request, rules).await.map_err(|error| self.note_body_error(error))?;
            if let Some(admitted) = &visit.admitted {
                // The body may have taken long to come.
                self.app.directory.check_access(&admitted.caller)?;
            }
            return check_forwarded_body(request, proof).await;
        }
        if route.body_limit() != BodyLimit::Webhook || request.method() != Method::POST {
            return Ok(());
        }
        let claimed = super::auth::admit_webhook(request.headers()).inspect_err(|_refusal| {
            self.app.metrics.webhook_unsigned.inc();
        })?;
        let share = Arc::new(self.unauthenticated.open_share());
        // A node has authenticated itself.
        let counted = proof.is_none().then_some(&*share);
        let rules = BodyRules { bytes_max, clock: &self.app.clock, share: counted };
        read_body(request, rules).await.map_err(|error| self.note_body_error(error))?;
        request.set_data(UnverifiedWebhook { claimed, share });
        check_forwarded_body(request, proof).await
    }

    /// Takes a permit for a request with a component, before its body is read.
    async fn admit_upload(&self, request: &mut Request, route: Route) -> Result<(), ApiError> {
        if route.body_limit() != BodyLimit::Component || request.method() == Method::GET {
            return Ok(());
        }
        let Some(caller) = request.data::<TenantCaller>() else { return Ok(()) };
        let permit = self.uploads.acquire_permit(caller.key.organisation_id, &self.app.clock).await?;
        request.set_data(permit);
        Ok(())
    }

    fn note_body_error(&self, error: BodyError) -> ApiError {
        match error {
            BodyError::Refused(_) => {}
            BodyError::TooSlow => {
                self.app.metrics.slow_bodies.inc();
            }
            BodyError::NoBudget => {
                self.app.metrics.refused_bodies.inc();
            }
        }
        error.into()
    }

    /// Answers a poll from the response cache, if an earlier request had the same path and query and its page
    /// is still current. It needs no routing, no parameters, no SQL and no JSON.
    fn repeat_cached(&self, request: &Request, visit: &RequestContext) -> Option<Response> {
        let caller = &visit.admitted.as_ref()?.caller;
        let ResponseOrigin::CachedPages(kind) = visit.route.response_origin() else { return None };
        if request.method() != Method::GET || request.headers().contains_key(PREFER) {
            return None;
        }
        let number = visit.route.account_in(request.uri().path())?;
        let slot = self.app.directory.find_account(caller.key.organisation_id, number)?;
        let key = ResponseKey { kind, request: request.uri().path_and_query()?.as_str() };
        let asked = self.app.accounts.cached_response(&slot, key)?;
        visit.span.record("cached", true);
        respond_to_poll(&asked, request.headers().get_all(IF_NONE_MATCH).into_iter()).ok()
    }

    /// Notes a tenant's account in the span of the request.
    fn note_account(&self, request: &Request, visit: &RequestContext, caller: &Caller) {
        if visit.span.is_disabled() {
            return;
        }
        let number = visit.route.account_in(request.uri().path());
        let slot =
            number.and_then(|number| self.app.directory.find_account(caller.key.organisation_id, number));
        if let Some(slot) = slot {
            visit.note_account(&slot);
        }
    }

    pub(super) async fn call_operation(&self, request: Request, route: Route) -> Response {
        let site =
            route.response_origin() == ResponseOrigin::Site && self.pages.has_page(request.uri().path());
        match self.operations.call(request).await {
            Ok(response) => response,
            Err(error) if error.is_from_response() => error.into_response(),
            Err(error) => {
                let refusal = ApiError::from(&error);
                let unrouted =
                    matches!(refusal.code(), ErrorCode::MethodNotAllowed | ErrorCode::RouteNotFound);
                let allow = self.allowed_methods(route, site).filter(|_| unrouted);
                let refusal = if allow.is_some() { ApiError::method_not_allowed() } else { refusal };
                let mut response = refusal.into_response();
                if let Some(allow) = allow {
                    response.headers_mut().insert(ALLOW, allow);
                }
                response
            }
        }
    }

    /// Returns the `Allow` header of a route; `None` for an unknown path.
    fn allowed_methods(&self, route: Route, site: bool) -> Option<HeaderValue> {
        if site { Some(SITE_METHODS) } else { self.methods.allowed_methods(route.resource?) }
    }

    async fn answer_request(&self, request: Request, mut visit: RequestContext) -> Response {
        let began = (!visit.span.is_disabled()).then(Instant::now);
        let passing = AssertUnwindSafe(self.handle_request(request, &mut visit)).catch_unwind().await;
        let is_refused = !matches!(passing, Ok(Ok(_)));
        let mut response = match passing {
            Ok(Ok(response)) => response,
            Ok(Err(refusal)) => refusal.into_response(),
            Err(_panic) => {
                // The panic hook has logged the location; the id links it to the client's response.
                tracing::error!(request_id = %visit.request_id.escape_ascii(), "request panicked");
                ApiError::internal_error().into_response()
            }
        };
        let is_foreign = visit.foreign && !is_refused;
        visit.note_status(response.status());
        if let Some(began) = began {
            tracing::debug!(took_us = began.elapsed().as_micros(), "answered");
        }
        if is_foreign {
            super::response::settle_budget(&self.app, &mut visit, &mut response);
            return response;
        }
        super::response::finish_response(&self.app, visit, response).await
    }
}

impl Gateway {
    /// Answers a request that came to a listener of this scope.
    pub(super) async fn answer(&self, mut request: Request, scope: SurfaceScope) -> Response {
        let sender = identify_sender(&self.app, &mut request);
        let origin = CorsPolicy(&self.app.settings.load().allowed_origins).allowed_origin(request.headers());
        let visit = RequestContext::read_head(&mut request, &self.app.clock, origin, scope, sender);
        let span = visit.span.clone();
        self.answer_request(request, visit).instrument(span).await
    }
}

/// Returns `true` for an HTTP/1.1 request without exactly one `Host` (RFC 9112, 3.2).
fn has_wrong_host(request: &Request) -> bool {
    if request.version() != Version::HTTP_11 {
        return false;
    }
    let mut hosts = request.headers().get_all(HOST).iter();
    hosts.next().is_none() || hosts.next().is_some()
}
