//! Admission of a request: keys, tokens and budgets.
//!
//! Invariants: a request with a valid key costs one token of its class, whatever the response, at the node that got it
//! from the client; a secret is never compared byte by byte, nor logged; an operator's token does not admit to tenant
//! paths, and no key admits to operator paths; a credential without the scope of its route is refused before anything is
//! looked up; a webhook without a well-formed signature is refused before its body is read.

use std::sync::Arc;

use kabar_actors::{AuthFailure, BudgetClass, Caller, NamedOperator};
use kabar_core::meta::signature;
use kabar_core::meta::signature::ClaimedSignature;
use poem::Request;
use poem::http::header::AUTHORIZATION;
use poem::http::{HeaderMap, Method};

use super::context::{AdmittedTenant, RequestContext};
use crate::app::AppState;
use crate::http::access::{OperatorCaller, insufficient_scope, invalid_signature, is_shown, missing_api_key};
use crate::rest::error::{ApiError, ErrorCode};

/// Returns the secret of `Authorization: Bearer <secret>`; the scheme's case does not matter (RFC 9110, 11.1).
pub(super) fn bearer_token(headers: &HeaderMap) -> Option<&str> {
    let (scheme, secret) = headers.get(AUTHORIZATION)?.to_str().ok()?.split_once(' ')?;
    let secret = secret.trim();
    (scheme.eq_ignore_ascii_case("bearer") && !secret.is_empty()).then_some(secret)
}

/// Checks the form of a webhook's signature, before there is a body to verify.
pub(super) fn admit_webhook(headers: &HeaderMap) -> Result<ClaimedSignature, ApiError> {
    let shown = headers.get(signature::HEADER).and_then(|value| value.to_str().ok());
    shown.and_then(ClaimedSignature::parse_header).ok_or_else(invalid_signature)
}

/// Finds the named token of the operator that a request shows; `None` when it shows that of the settings.
pub(super) fn find_operator(
    app: &AppState,
    headers: &HeaderMap,
) -> Result<Option<Arc<NamedOperator>>, ApiError> {
    let shown = bearer_token(headers).ok_or_else(missing_api_key)?;
    if is_shown(&app.settings.load().operator_token, shown) {
        return Ok(None);
    }
    app.directory.find_operator(shown).map(Some).map_err(|failure| match failure {
        AuthFailure::Unknown => {
            ApiError::new(ErrorCode::InvalidApiKey, "this is no token of the operator, or it was revoked")
        }
        AuthFailure::Expired => {
            ApiError::new(ErrorCode::ExpiredApiKey, "this token has expired; make another one")
        }
        other @ AuthFailure::Suspended => other.into(),
    })
}

/// Returns once a named token that is found cannot have been revoked more than a second ago. The token of the settings
/// works without the database.
pub(super) async fn ensure_fresh_operators(app: &AppState, headers: &HeaderMap) -> Result<(), ApiError> {
    match bearer_token(headers) {
        Some(shown) if !is_shown(&app.settings.load().operator_token, shown) => {
            Ok(app.accounts.ensure_fresh_directory().await?)
        }
        Some(_) | None => Ok(()),
    }
}

/// Checks the operator's token, and its scopes.
pub(super) fn admit_operator(
    app: &AppState,
    request: &Request,
    visit: &mut RequestContext,
) -> Result<OperatorCaller, ApiError> {
    let token = find_operator(app, request.headers())?;
    let operator = OperatorCaller::new(token, visit.source());
    operator.note_use(app.clock.read_now());
    let changes = request.method() != Method::GET;
    operator.require_scopes(visit.route.scope_rule().operator_scopes(changes))?;
    visit.operator = Some(operator.clone());
    Ok(operator)
}

/// Checks a tenant's key, and takes one token off the budget.
pub(super) async fn admit_tenant(
    app: &AppState,
    request: &Request,
    visit: &mut RequestContext,
) -> Result<Arc<Caller>, ApiError> {
    let secret = bearer_token(request.headers()).ok_or_else(missing_api_key)?;
    let caller = app.directory.find_caller(secret)?;
    let class = if request.method() == Method::GET { BudgetClass::Read } else { BudgetClass::Write };
    let now = app.clock.read_now();
    caller.note_use(now);
    // A node that forwards a request has taken its token.
    let quote = match visit.sender.proof() {
        Some(_) => None,
        None => Some(caller.organisation.take_token(class, now).await),
    };
    visit.note_tenant(&caller);
    visit.admitted = Some(AdmittedTenant { caller: caller.clone(), class, quote });
    if caller.organisation.is_suspended() {
        return Err(AuthFailure::Suspended.into());
    }
    if let Some(seconds) = quote.and_then(|quote| quote.retry_after_s) {
        let message = format!("too many requests; try again in {seconds} s");
        return Err(ApiError::new(ErrorCode::RateLimitExceeded, message).retry_after(seconds));
    }
    let needed = visit.route.scope_rule().key_scopes(class == BudgetClass::Write);
    if !needed.is_empty() && !caller.key.scopes.has_any(needed) {
        return Err(insufficient_scope(&needed.words().replace(' ', " or ")));
    }
    Ok(caller)
}

#[cfg(test)]
mod tests {
    use super::*;
    use poem::http::HeaderValue;

    #[test]
    fn bearer_secrets_are_read() {
        let read = |value: &str| {
            let mut headers = HeaderMap::new();
            headers.insert(AUTHORIZATION, HeaderValue::from_str(value).unwrap());
            bearer_token(&headers).map(str::to_owned)
        };
        assert_eq!(read("Bearer abc").as_deref(), Some("abc"));
        assert_eq!(read("bearer  abc ").as_deref(), Some("abc"));
        for value in ["", "Bearer", "Bearer ", "Basic abc", "abc", "Bearerabc"] {
            assert_eq!(read(value), None, "{value}");
        }
        assert_eq!(bearer_token(&HeaderMap::new()), None);
    }
}
