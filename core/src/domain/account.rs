//! An account: one WhatsApp number connected by one organisation.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

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
    /// WhatsApp refuses the account as such. Nothing is sent until it accepts the account again.
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

/// Properties of a number as Meta tells them. `None` where nothing was told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AccountProfile {
    /// WhatsApp Business Account that the number belongs to.
    pub waba_id: Option<Arc<str>>,
    /// Meta's word for the quality of the number.
    pub quality_rating: Option<Arc<str>>,
    /// Meta's word for the limit of conversations.
    pub messaging_limit_tier: Option<Arc<str>>,
    /// Verified name.
    pub verified_name: Option<Arc<str>>,
    /// State of the verified name.
    pub name_status: Option<Arc<str>>,
}

impl AccountProfile {
    /// Reads Meta's id of a WhatsApp Business Account: up to 32 digits, and not 0, as Meta's test webhooks have it.
    #[must_use]
    pub fn parse_waba_id(text: &str) -> Option<Arc<str>> {
        let valid = (1..=32).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit());
        (valid && text != "0").then(|| text.into())
    }

    /// Returns `true` when something differs that clients are told of by an event: anything but the WhatsApp
    /// Business Account, which any webhook may teach.
    #[must_use]
    pub fn is_news_after(&self, before: &Self) -> bool {
        Self { waba_id: None, ..self.clone() } != Self { waba_id: None, ..before.clone() }
    }

    /// The limit of conversations a day; `None` where it is unknown or unlimited.
    #[must_use]
    pub fn messaging_limit(&self) -> Option<i64> {
        let word = self.messaging_limit_tier.as_deref()?.strip_prefix("TIER_")?;
        let (digits, factor) = match word.strip_suffix('K') {
            Some(thousands) => (thousands, 1000),
            None => (word, 1),
        };
        digits.parse::<i64>().ok()?.checked_mul(factor)
    }

    /// Takes over what another statement tells. Returns `false` when nothing changed.
    pub fn update_from(&mut self, told: &Self) -> bool {
        let before = self.clone();
        for (known, told) in [
            (&mut self.waba_id, &told.waba_id),
            (&mut self.quality_rating, &told.quality_rating),
            (&mut self.messaging_limit_tier, &told.messaging_limit_tier),
            (&mut self.verified_name, &told.verified_name),
            (&mut self.name_status, &told.name_status),
        ] {
            if told.is_some() {
                known.clone_from(told);
            }
        }
        *self != before
    }
}

/// Waits before WhatsApp is asked again, after 0, 1, 2, … failures; the last one repeats.
const RECOVERY_WAITS: [Duration; 6] = [
    Duration::from_mins(1),
    Duration::from_mins(5),
    Duration::from_mins(15),
    Duration::from_mins(30),
    Duration::from_hours(1),
    Duration::from_hours(1),
];

/// Recovery of an account that WhatsApp refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AccountRecovery {
    /// Attempts that failed since the account was refused.
    pub failures: u32,
    /// Wall time of the next attempt.
    pub next_at: Timestamp,
    /// WhatsApp answers again, and the oldest waiting message goes alone: its outcome decides.
    pub trial: bool,
}

impl AccountRecovery {
    /// The recovery after this number of failures.
    #[must_use]
    pub fn after_failures(failures: u32, now: Timestamp) -> Self {
        let place = usize::try_from(failures).unwrap_or(usize::MAX).min(RECOVERY_WAITS.len() - 1);
        let wait = RECOVERY_WAITS.get(place).copied().unwrap_or(Duration::from_hours(1));
        Self { failures, next_at: now.plus_duration(wait), trial: false }
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
    /// Reason for the state, in readable form; `None` while it is connected.
    pub status_reason: Option<Arc<str>>,
    /// Recovery, while WhatsApp refuses the account or its first message after that is under way.
    pub recovery: Option<AccountRecovery>,
    /// Properties as Meta tells them.
    pub profile: AccountProfile,
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
    /// New status. It clears the reason of the former one.
    pub status: Option<AccountStatus>,
    /// Reason for the new status.
    pub status_reason: Option<Arc<str>>,
    /// Properties that Meta told.
    pub profile: AccountProfile,
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
            account.status_reason.clone_from(&self.status_reason);
            account.recovery = None;
        }
        account.profile.update_from(&self.profile);
        if let Some(token) = &self.access_token {
            account.access_token = token.clone();
            // A refused token may have been the reason: the next message shows it.
            if account.status == AccountStatus::Degraded && self.status.is_none() {
                account.status = AccountStatus::Connected;
                account.status_reason = None;
                account.recovery = None;
            }
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
