//! An account: one WhatsApp number connected by one organisation.

use std::fmt;
use std::sync::Arc;

use super::phone::Phone;
use super::time::Timestamp;
use crate::ids::{AccountId, OrganisationId};

/// Meta's id of a connected number: 6 to 20 digits.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PhoneNumberId(Arc<str>);

impl PhoneNumberId {
    /// Reads `^\d{6,20}$`.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::is_valid(text).then(|| Self(text.into()))
    }

    /// Returns `true` when a text has the shape of an id, without keeping it.
    #[must_use]
    pub fn is_valid(text: &str) -> bool {
        (6..=20).contains(&text.len()) && text.bytes().all(|b| b.is_ascii_digit())
    }

    /// The digits.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl std::borrow::Borrow<str> for PhoneNumberId {
    fn borrow(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for PhoneNumberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for PhoneNumberId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// State of an account's connection: only a connected account can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AccountStatus {
    /// Can send.
    Connected,
    /// Disconnected by the operator.
    Disconnected,
    /// WhatsApp refused its token (error codes 190, 0); the operator must supply a new one.
    Degraded,
    /// The connection is not completed yet.
    Onboarding,
}

impl AccountStatus {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Connected, Self::Disconnected, Self::Degraded, Self::Onboarding];

    /// The contract's word.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::Disconnected => "disconnected",
            Self::Degraded => "degraded",
            Self::Onboarding => "onboarding",
        }
    }

    /// Reads the contract's word.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

/// A text that never shows itself in logs.
#[derive(Clone, PartialEq, Eq)]
pub struct Secret(Arc<str>);

impl Secret {
    /// Wraps a secret.
    #[must_use]
    pub fn new(text: &str) -> Self {
        Self(text.into())
    }

    /// The secret itself; name the reason where you call this.
    #[must_use]
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

/// One connected number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// `wba_…`.
    pub id: AccountId,
    /// The short number under which the store keeps the account's rows. Internal: no client sees it.
    pub number: i64,
    /// The tenant.
    pub organisation_id: OrganisationId,
    /// Meta's id; unique in the server.
    pub phone_number_id: PhoneNumberId,
    /// The WhatsApp number.
    pub phone: Phone,
    /// Name given by the operator.
    pub name: Option<Arc<str>>,
    /// Connection state; only `Connected` can send.
    pub status: AccountStatus,
    /// Bearer token for Meta's API.
    pub access_token: Secret,
    /// Key of its webhooks' signatures; `None` when the server's key applies.
    pub app_secret: Option<Secret>,
    /// Pace of sending.
    pub messages_per_second: u32,
    /// `true` when its organisation is a sandbox.
    pub sandbox: bool,
    /// Time at which it was connected.
    pub created_at: Timestamp,
}

/// Changes to an account that the operator, or a refusal by WhatsApp, makes. `None` leaves a field alone.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountPatch {
    /// New status.
    pub status: Option<AccountStatus>,
    /// New token.
    pub access_token: Option<Secret>,
    /// New webhook secret.
    pub app_secret: Option<Secret>,
    /// New pace.
    pub messages_per_second: Option<u32>,
}

impl AccountPatch {
    /// Applies the patch; `false` when nothing changed.
    pub fn apply(&self, account: &mut Account) -> bool {
        let before = account.clone();
        if let Some(status) = self.status {
            account.status = status;
        }
        if let Some(token) = &self.access_token {
            account.access_token = token.clone();
        }
        if let Some(secret) = &self.app_secret {
            account.app_secret = Some(secret.clone());
        }
        if let Some(pace) = self.messages_per_second {
            account.messages_per_second = pace;
        }
        *account != before
    }
}
