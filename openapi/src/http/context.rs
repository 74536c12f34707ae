//! The context of a request: facts about it that are known once its head is read, and its span.
//!
//! Invariant: the span `http.request` names ids, the method, the path's template and the status; never a path, a
//! query, a header or a body. While spans of level `debug` are off it allocates nothing.

use std::sync::Arc;

use bytes::Bytes;
use kabar_actors::{AccountEntry, BudgetClass, Caller};
use kabar_core::clock::Clock;
use kabar_core::ids::{RequestId, text_of, ulid};
use kabar_core::policy::token_bucket::BudgetQuote;
use poem::Request;
use poem::http::header::HeaderValue;
use poem::http::{Method, StatusCode};
use tracing::Span;
use tracing::field::{Empty, display};

use super::compression::ContentCoding;
use super::problem::ErrorForm;
use super::route::{Route, SurfaceScope};
use super::sender::RequestSender;
use crate::http::access::{OperatorCaller, RequestSource};
use crate::rest::prefer::WaitPreference;

/// Facts about a request, known once its head is read.
pub(super) struct RequestContext {
    pub(super) request_id: Bytes,
    pub(super) route: Route,
    pub(super) head_only: bool,
    pub(super) waits: bool,
    pub(super) encoding: Option<ContentCoding>,
    pub(super) error_form: ErrorForm,
    pub(super) origin: Option<HeaderValue>,
    pub(super) admitted: Option<AdmittedTenant>,
    pub(super) operator: Option<OperatorCaller>,
    pub(super) scope: SurfaceScope,
    pub(super) sender: RequestSender,
    /// `true` when another node gave the response; it is complete already.
    pub(super) foreign: bool,
    pub(super) span: Span,
}

/// A tenant with a valid key, and the state of its budget.
pub(super) struct AdmittedTenant {
    pub(super) caller: Arc<Caller>,
    pub(super) class: BudgetClass,
    /// `None` when another node took the token, and shows the budget.
    pub(super) quote: Option<BudgetQuote>,
}

impl RequestContext {
    /// Reads the head of a request. A HEAD is handled as a GET from here on.
    pub(super) fn read_head(
        request: &mut Request,
        clock: &Clock,
        origin: Option<HeaderValue>,
        scope: SurfaceScope,
        sender: RequestSender,
    ) -> Self {
        let head_only = request.method() == Method::HEAD;
        if head_only {
            request.set_method(Method::GET);
        }
        let route = Route::parse_path(request.uri().path());
        let request_id = mint_request_id(clock);
        let span = tracing::debug_span!(
            "http.request",
            request_id = %request_id.escape_ascii(),
            method = if head_only { "HEAD" } else { request.method().as_str() },
            route = route.resource.map_or("unknown", |resource| resource.path_template()),
            organisation = Empty,
            account = Empty,
            cached = Empty,
            status = Empty,
        );
        Self {
            request_id,
            route,
            head_only,
            waits: WaitPreference::from_headers(request.headers()).is_some(),
            encoding: ContentCoding::from_headers(request.headers()),
            error_form: ErrorForm::from_headers(request.headers()),
            origin,
            admitted: None,
            operator: None,
            scope,
            sender,
            foreign: false,
            span,
        }
    }

    /// Returns the request as the audit log names it.
    pub(super) fn source(&self) -> RequestSource {
        RequestSource { ip: self.sender.client(), request_id: self.request_id.clone() }
    }

    /// Notes the tenant of the request in its span.
    pub(super) fn note_tenant(&self, caller: &Caller) {
        if !self.span.is_disabled() {
            self.span.record("organisation", display(caller.key.organisation_id));
        }
    }

    /// Notes the account of the request in its span.
    pub(super) fn note_account(&self, slot: &AccountEntry) {
        if !self.span.is_disabled() {
            self.span.record("account", display(slot.current_account().id));
        }
    }

    /// Notes the status of the response in the span.
    pub(super) fn note_status(&self, status: StatusCode) {
        self.span.record("status", status.as_u16());
    }
}

fn mint_request_id(clock: &Clock) -> Bytes {
    let mut id = [b'_'; RequestId::PREFIX.len() + 27];
    let (prefix, text) = id.split_at_mut(RequestId::PREFIX.len() + 1);
    prefix.iter_mut().zip(RequestId::PREFIX.bytes()).for_each(|(slot, byte)| *slot = byte);
    text.copy_from_slice(&text_of(ulid(clock.read_now().millis(), rand::random())));
    Bytes::copy_from_slice(&id)
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
}
