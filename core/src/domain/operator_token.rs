//! The operator's named tokens.
//!
//! Invariant: of a token only its digest is kept. The token of the settings is none of these: it has no row, no name and
//! every scope.

use std::sync::Arc;

use super::principal::{Principal, PrincipalKind};
use super::scopes::OperatorScopes;
use super::time::Timestamp;
use crate::ids::OperatorTokenId;

/// A named token of the operator, without its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorToken {
    /// `opt_…`.
    pub id: OperatorTokenId,
    /// 1 to 200 characters.
    pub name: Arc<str>,
    /// The last four characters of the secret.
    pub last4: Arc<str>,
    /// SHA-256 of the secret.
    pub digest: [u8; 32],
    /// Operations that it admits to.
    pub scopes: OperatorScopes,
    /// From this time on it answers 401 `expired_api_key`.
    pub expires_at: Option<Timestamp>,
    /// The operator that made it.
    pub created_by: Principal,
    /// Time at which it was created.
    pub created_at: Timestamp,
}

impl OperatorToken {
    /// Returns the principal of the changes that the token makes.
    #[must_use]
    pub fn principal(&self) -> Principal {
        let id = self.id.to_string().into();
        Principal { kind: PrincipalKind::Operator, id: Some(id), name: Some(self.name.clone()) }
    }
}
