//! Access classes of paths, and the caller that an operation receives.
//!
//! Invariants: the access class of a path is decided here alone, for the gateway and for the
//! document; an operation that asks for a [`TenantCaller`] or [`OperatorCaller`] cannot run without the
//! gateway having authenticated one.

use std::ops::Deref;
use std::sync::Arc;

use kabar_actors::Caller;
use kabar_core::domain::account::Secret;
use poem::{FromRequest, Request, RequestBody, Result};
use sha2::{Digest as _, Sha256};
use subtle::ConstantTimeEq as _;

use crate::rest::error::{ApiError, ErrorCode};

/// Credential that a path requires.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AccessClass {
    /// None.
    Open,
    /// A tenant's API key.
    Tenant,
    /// The operator's token.
    Operator,
}

/// Paths below `/v1` that need no key (contract, sections 3 and 7).
const OPEN: [&str; 3] = ["/v1/health", "/v1/openapi.json", "/v1/openapi.yaml"];

impl AccessClass {
    /// Returns the access class of a path.
    pub(crate) fn classify_path(path: &str) -> Self {
        if is_below(path, "/admin") {
            Self::Operator
        } else if is_below(path, "/v1") && !OPEN.contains(&path) {
            Self::Tenant
        } else {
            Self::Open
        }
    }
}

/// Returns `true` when a path is `root` or lies below it.
pub(crate) fn is_below(path: &str, root: &str) -> bool {
    path.strip_prefix(root).is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// Returns `true` when the secret is the expected one. It compares digests, which have one length, in
/// constant time. An empty expected secret matches nothing.
pub(crate) fn is_shown(expected: &Secret, shown: &str) -> bool {
    let same = Sha256::digest(expected.reveal()).ct_eq(&Sha256::digest(shown));
    bool::from(same) && !expected.reveal().is_empty()
}

/// The tenant that the gateway authenticated.
#[derive(Debug, Clone)]
pub struct TenantCaller(pub(crate) Arc<Caller>);

impl Deref for TenantCaller {
    type Target = Caller;

    fn deref(&self) -> &Caller {
        &self.0
    }
}

impl<'a> FromRequest<'a> for TenantCaller {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        Ok(request.data::<Self>().cloned().ok_or_else(missing_api_key)?)
    }
}

/// The operator, authenticated by the gateway.
#[derive(Debug, Clone, Copy)]
pub struct OperatorCaller {
    pub(crate) _let_in: (),
}

impl<'a> FromRequest<'a> for OperatorCaller {
    async fn from_request(request: &'a Request, _body: &mut RequestBody) -> Result<Self> {
        Ok(request.data::<Self>().copied().ok_or_else(missing_api_key)?)
    }
}

/// Refusal of a request without a key.
pub(crate) fn missing_api_key() -> ApiError {
    ApiError::new(ErrorCode::MissingApiKey, "send Authorization: Bearer and your key")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_path_has_its_door() {
        let cases = [
            ("/", AccessClass::Open),
            ("/docs", AccessClass::Open),
            ("/v1/health", AccessClass::Open),
            ("/v1/openapi.yaml", AccessClass::Open),
            ("/webhooks/whatsapp", AccessClass::Open),
            ("/v11", AccessClass::Open),
            ("/v1", AccessClass::Tenant),
            ("/v1/", AccessClass::Tenant),
            ("/v1/health/", AccessClass::Tenant),
            ("/v1/healthy", AccessClass::Tenant),
            ("/v1/nothing", AccessClass::Tenant),
            ("/admin/v1/organizations", AccessClass::Operator),
            ("/admin", AccessClass::Operator),
        ];
        for (path, access) in cases {
            assert_eq!(AccessClass::classify_path(path), access, "{path}");
        }
    }
}
