//! Access classes, and the caller that an operation receives.
//!
//! Invariant: an operation that asks for a [`TenantCaller`], an [`OperatorCaller`] or an [`UnverifiedWebhook`] cannot run without the
//! gateway having let one in. `route` says which class a path has, for the gateway and for the document.

use std::net::IpAddr;
use std::ops::Deref;
use std::sync::Arc;

use bytes::Bytes;
use kabar_actors::{Caller, NamedOperator};
use kabar_core::domain::account::Secret;
use kabar_core::domain::audit::AuditOrigin;
use kabar_core::domain::principal::Principal;
use kabar_core::domain::scopes::{KeyScope, KeyScopes, OperatorScope, OperatorScopes};
use kabar_core::domain::time::Timestamp;
use kabar_core::meta::signature::ClaimedSignature;
use poem::{FromRequest, Request, RequestBody, Result};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::http::body_budget::BodyShare;
use crate::rest::error::{ApiError, ErrorCode};

/// Credential that a path requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessClass {
    /// None.
    Open,
    /// A tenant's API key.
    Tenant,
    /// A token of the operator.
    Operator,
}

/// Scopes that the operations of a path require. A read is a GET or HEAD, everything else a change.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ScopeRule {
    /// None: any credential that the path takes, or nothing where it takes none.
    Free,
    /// A tenant's reads and changes of conversations, messages, contacts and templates.
    Inbox,
    /// A tenant's plugins; `plugins` admits to reads too.
    Plugins,
    /// A tenant's webhooks; `webhooks` admits to reads too.
    Webhooks,
    /// The operator's reads and changes.
    Managed,
    /// The operator's changes that show or set a secret.
    Secret,
}

impl ScopeRule {
    /// Returns the scopes of which a key must have one; empty when every key will do.
    pub(crate) const fn key_scopes(self, changes: bool) -> KeyScopes {
        let own = match self {
            Self::Free | Self::Managed | Self::Secret => return KeyScopes::NONE,
            Self::Inbox => KeyScopes::NONE.with(if changes { KeyScope::Write } else { KeyScope::Read }),
            Self::Plugins => KeyScopes::NONE.with(KeyScope::Plugins),
            Self::Webhooks => KeyScopes::NONE.with(KeyScope::Webhooks),
        };
        if changes { own } else { own.with(KeyScope::Read) }
    }

    /// Returns the scopes all of which an operator token must have.
    pub(crate) const fn operator_scopes(self, changes: bool) -> OperatorScopes {
        let changing = OperatorScopes::NONE.with(OperatorScope::Manage);
        match self {
            Self::Free | Self::Inbox | Self::Plugins | Self::Webhooks => OperatorScopes::NONE,
            Self::Managed | Self::Secret if !changes => OperatorScopes::NONE.with(OperatorScope::Read),
            Self::Managed => changing,
            Self::Secret => changing.with(OperatorScope::Secrets),
        }
    }
}

/// Returns `true` when the secret is the expected one. It compares digests, which have one length, in
/// constant time. An empty expected secret matches nothing.
pub(crate) fn is_shown(expected: &Secret, shown: &str) -> bool {
    let same = Sha256::digest(expected.reveal()).ct_eq(&Sha256::digest(shown));
    bool::from(same) && !expected.reveal().is_empty()
}

/// The request of a caller, as the audit log names it.
#[derive(Debug, Clone)]
pub(crate) struct RequestSource {
    /// Address of the client; `None` where it is unknown.
    pub(crate) ip: Option<IpAddr>,
    /// `req_…`.
    pub(crate) request_id: Bytes,
}

impl RequestSource {
    /// Returns the origin of a change that this actor asks for with the request.
    pub(crate) fn origin(&self, actor: Principal) -> AuditOrigin {
        let request_id = String::from_utf8_lossy(&self.request_id).into();
        AuditOrigin { actor, ip: self.ip, request_id: Some(request_id) }
    }
}

/// The tenant that the gateway authenticated.
#[derive(Debug, Clone)]
pub(crate) struct TenantCaller {
    caller: Arc<Caller>,
    source: RequestSource,
}

impl TenantCaller {
    /// Returns the principal of the changes that the request makes.
    pub(crate) fn principal(&self) -> Principal {
        Principal::from_api_key(&self.key)
    }

    /// The holder of this key, with this request.
    pub(super) const fn new(caller: Arc<Caller>, source: RequestSource) -> Self {
        Self { caller, source }
    }

    /// Returns the holder of the key.
    pub(crate) const fn caller(&self) -> &Arc<Caller> {
        &self.caller
    }

    /// Returns the origin of the changes that the request makes.
    pub(crate) fn origin(&self) -> AuditOrigin {
        self.source.origin(self.principal())
    }
}

impl Deref for TenantCaller {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.caller
    }
}

impl<'a> FromRequest<'a> for TenantCaller {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        Ok(request.data::<Self>().cloned().ok_or_else(missing_api_key)?)
    }
}

/// The operator, authenticated by the gateway.
#[derive(Debug, Clone)]
pub(crate) struct OperatorCaller {
    /// The named token that was shown; `None` for the token of the settings.
    token: Option<Arc<NamedOperator>>,
    source: RequestSource,
}

impl OperatorCaller {
    /// The operator with a named token or, without one, that of the settings.
    pub(super) const fn new(token: Option<Arc<NamedOperator>>, source: RequestSource) -> Self {
        Self { token, source }
    }

    /// Returns the origin of the changes that the request makes.
    pub(crate) fn origin(&self) -> AuditOrigin {
        self.source.origin(self.principal())
    }

    /// Notes that the token was used.
    pub(super) fn note_use(&self, now: Timestamp) {
        if let Some(named) = &self.token {
            named.note_use(now);
        }
    }

    /// Returns the scopes of the token.
    pub(crate) fn scopes(&self) -> OperatorScopes {
        self.token.as_ref().map_or(OperatorScopes::ALL, |named| named.token.scopes)
    }

    /// Checks that the token has these scopes.
    ///
    /// # Errors
    /// `insufficient_scope`.
    pub(crate) fn require_scopes(&self, needed: OperatorScopes) -> Result<(), ApiError> {
        let lacked: OperatorScopes = needed.iter().filter(|scope| !self.scopes().has(*scope)).collect();
        if lacked.is_empty() {
            Ok(())
        } else {
            Err(insufficient_scope(&lacked.words().replace(' ', " and ")))
        }
    }

    /// Returns the principal of the changes that the request makes.
    pub(crate) fn principal(&self) -> Principal {
        self.token.as_ref().map_or(Principal::OPERATOR, |named| named.token.principal())
    }
}

impl<'a> FromRequest<'a> for OperatorCaller {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        Ok(request.data::<Self>().cloned().ok_or_else(missing_api_key)?)
    }
}

/// A webhook whose signature is well-formed, let in by the gateway and not verified yet.
#[derive(Debug, Clone)]
pub(crate) struct UnverifiedWebhook {
    /// The signature that its header claims.
    pub(crate) claimed: ClaimedSignature,
    /// Memory that its body holds until it is verified.
    pub(crate) share: Arc<BodyShare>,
}

impl<'a> FromRequest<'a> for UnverifiedWebhook {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        Ok(request.data::<Self>().cloned().ok_or_else(invalid_signature)?)
    }
}

/// Refusal of a request without a key.
pub(crate) fn missing_api_key() -> ApiError {
    ApiError::new(ErrorCode::MissingApiKey, "send Authorization: Bearer and your key")
}

/// Refusal of a credential without the scopes that it needs; `needed` are their words.
pub(crate) fn insufficient_scope(needed: &str) -> ApiError {
    let message = format!("this credential lacks the scope {needed}; use another one");
    ApiError::new(ErrorCode::InsufficientScope, message)
}

/// Refusal of a webhook without a valid signature.
pub(crate) fn invalid_signature() -> ApiError {
    let message = "X-Hub-Signature-256 must be sha256= and the HMAC of the raw body by the app secret";
    ApiError::new(ErrorCode::InvalidSignature, message)
}
