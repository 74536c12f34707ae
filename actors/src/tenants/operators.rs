//! The operator's named tokens: found, listed, made and revoked.
//!
//! Invariants: as of the directory: durable before visible, visible before acknowledged. A secret is looked up by its
//! digest, and shown once.

use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use kabar_core::domain::audit::{AuditAction, AuditOrigin, AuditTarget, AuditTargetKind};
use kabar_core::domain::operator_token::OperatorToken;
use kabar_core::domain::scopes::OperatorScopes;
use kabar_core::domain::time::Timestamp;
use kabar_core::ids::{IdSource as _, OperatorTokenId};
use rand::RngExt as _;
use sha2::{Digest as _, Sha256};

use super::admin::unwritten;
use super::last_use::LastUse;
use super::{AuthFailure, DirectorySnapshot, TenantDirectory};
use crate::audit::AuditedChanges;
use crate::error::AccountError;

/// Random bytes of a token; 43 characters of base64url.
const TOKEN_BYTES: usize = 32;

/// A token of the operator to be created.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewOperatorToken {
    /// 1 to 200 characters.
    pub name: Arc<str>,
    /// Operations that it shall admit to.
    pub scopes: OperatorScopes,
    /// Instant from which it is refused.
    pub expires_at: Option<Timestamp>,
}

/// Holder of a named token of the operator.
#[derive(Debug)]
pub struct NamedOperator {
    /// The token.
    pub token: OperatorToken,
    pub(super) last_use: Arc<LastUse>,
}

impl NamedOperator {
    /// Notes that the token was used.
    pub fn note_use(&self, now: Timestamp) {
        self.last_use.note_use(now);
    }
}

impl DirectorySnapshot {
    pub(super) fn put_operator(&mut self, token: OperatorToken) {
        let last_use = self.operators.get(&token.digest).map(|known| known.last_use.clone());
        let operator = NamedOperator { token, last_use: last_use.unwrap_or_default() };
        self.operators.insert(operator.token.digest, Arc::new(operator));
    }

    pub(super) fn drop_operator(&mut self, id: OperatorTokenId) {
        let found =
            self.operators.values().find(|known| known.token.id == id).map(|known| known.token.digest);
        if let Some(digest) = found {
            self.operators.remove(&digest);
        }
    }
}

impl TenantDirectory {
    /// Finds the named token with this secret. The secret itself is never compared, only its SHA-256 is looked up.
    ///
    /// # Errors
    /// [`AuthFailure`].
    pub fn find_operator(&self, secret: &str) -> Result<Arc<NamedOperator>, AuthFailure> {
        let digest: [u8; 32] = Sha256::digest(secret.as_bytes()).into();
        let known = self.current_snapshot().operators.get(&digest).cloned().ok_or(AuthFailure::Unknown)?;
        match known.token.expires_at {
            Some(at) if at <= self.0.clock.read_now() => Err(AuthFailure::Expired),
            Some(_) | None => Ok(known),
        }
    }

    /// Lists the operator's tokens that were not revoked, newest first.
    #[must_use]
    pub fn operator_tokens(&self) -> Vec<OperatorToken> {
        let mut tokens: Vec<_> =
            self.current_snapshot().operators.values().map(|known| known.token.clone()).collect();
        tokens.sort_by_key(|token| std::cmp::Reverse(token.id));
        tokens
    }

    /// Creates a token and returns it with its secret, which cannot be read again.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn create_operator_token(
        &self,
        new: NewOperatorToken,
        origin: &AuditOrigin,
    ) -> Result<(OperatorToken, String), AccountError> {
        let mut ids = self.0.writing.lock().await;
        let now = self.0.clock.read_now();
        let entropy: [u8; TOKEN_BYTES] = rand::rng().random();
        let secret = format!("kdv_op_{}", URL_SAFE_NO_PAD.encode(entropy));
        let token = OperatorToken {
            id: OperatorTokenId::from_bits(ids.next_bits(now.millis())),
            name: new.name,
            last4: secret.get(secret.len().saturating_sub(4)..).unwrap_or_default().into(),
            digest: Sha256::digest(secret.as_bytes()).into(),
            scopes: new.scopes,
            expires_at: new.expires_at,
            created_by: origin.actor.clone(),
            created_at: now,
        };
        let target = AuditTarget::one(AuditTargetKind::OperatorToken, &token.id);
        let store = self.audited(origin, None, AuditAction::OperatorTokenCreated, target);
        store.insert_operator_token(&token).await.map_err(|error| unwritten(&error))?;
        self.publish_snapshot(|next| next.put_operator(token.clone()));
        Ok((token, secret))
    }

    /// Revokes a token with effect on the next request; `false` when there is no such token.
    ///
    /// # Errors
    /// [`AccountError::Storage`].
    pub async fn revoke_operator_token(
        &self,
        id: OperatorTokenId,
        origin: &AuditOrigin,
    ) -> Result<bool, AccountError> {
        let _turn = self.0.writing.lock().await;
        let now = self.0.clock.read_now();
        let target = AuditTarget::one(AuditTargetKind::OperatorToken, &id);
        let store = self.audited(origin, None, AuditAction::OperatorTokenRevoked, target);
        let revoked = store.revoke_operator_token(id, now).await.map_err(|error| unwritten(&error))?;
        self.publish_snapshot(|next| next.drop_operator(id));
        Ok(revoked)
    }
}
