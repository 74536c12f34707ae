//! Row forms of what Meta tells about a number, its recovery, and the account as its events show it.
//!
//! Invariant: secrets are in no event.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::StoreError;
use super::engine::RowFields;
use super::row::{RowPlace, RowText};
use crate::domain::account::{
    Account, AccountProfile, AccountRecovery, AccountStatus, PhoneNumberId, Secret,
};
use crate::ids::{AccountId, OrganisationId};

/// Properties of a number, but for its WhatsApp Business Account, which has a column of its own.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct ProfileRow<'a> {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    quality_rating: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    messaging_limit_tier: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    verified_name: Option<RowText<'a>>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    name_status: Option<RowText<'a>>,
    /// Failures, time of the next attempt, and whether the first message is under way.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    recovery: Option<(u32, i64, bool)>,
}

impl<'a> ProfileRow<'a> {
    /// Creates the row of an account's profile and recovery.
    pub(super) fn from_account(account: &'a Account) -> Self {
        let recovery = account.recovery.map(|known| (known.failures, known.next_at.millis(), known.trial));
        Self { recovery, ..Self::from_profile(&account.profile) }
    }

    /// Creates the row of a profile.
    fn from_profile(profile: &'a AccountProfile) -> Self {
        Self {
            quality_rating: profile.quality_rating.as_deref().map(RowText::Borrowed),
            messaging_limit_tier: profile.messaging_limit_tier.as_deref().map(RowText::Borrowed),
            verified_name: profile.verified_name.as_deref().map(RowText::Borrowed),
            name_status: profile.name_status.as_deref().map(RowText::Borrowed),
            recovery: None,
        }
    }

    /// Reads the columns `waba_id` and `profile`.
    pub(super) fn read_columns(
        at: RowPlace<'_>,
        fields: &mut RowFields<'_>,
    ) -> Result<(AccountProfile, Option<AccountRecovery>), StoreError> {
        let waba_id = fields.opt_text()?.map(Arc::from);
        let row: Self = at.check_value("profile", serde_json::from_str(&fields.take_text()?).ok())?;
        let recovery = match row.recovery {
            Some((failures, next_at, trial)) => {
                Some(AccountRecovery { failures, next_at: at.check_time("profile", next_at)?, trial })
            }
            None => None,
        };
        Ok((row.into_profile(waba_id), recovery))
    }

    fn into_profile(self, waba_id: Option<Arc<str>>) -> AccountProfile {
        AccountProfile {
            waba_id,
            quality_rating: self.quality_rating.map(Arc::from),
            messaging_limit_tier: self.messaging_limit_tier.map(Arc::from),
            verified_name: self.verified_name.map(Arc::from),
            name_status: self.name_status.map(Arc::from),
        }
    }
}

/// An account in the event log, without its secrets.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct AccountSnapshot<'a> {
    id: String,
    number: i64,
    organisation_id: String,
    phone_number_id: RowText<'a>,
    phone: RowText<'a>,
    name: Option<RowText<'a>>,
    status: RowText<'a>,
    status_reason: Option<RowText<'a>>,
    waba_id: Option<RowText<'a>>,
    profile: ProfileRow<'a>,
    messages_per_second: u32,
    sandbox: bool,
    created_at: i64,
}

impl<'a> AccountSnapshot<'a> {
    /// Creates the snapshot of an account.
    pub(super) fn from_account(account: &'a Account) -> Self {
        Self {
            id: account.id.to_string(),
            number: account.number,
            organisation_id: account.organisation_id.to_string(),
            phone_number_id: account.phone_number_id.as_str().into(),
            phone: account.phone.as_str().into(),
            name: account.name.as_deref().map(RowText::Borrowed),
            status: account.status.as_str().into(),
            status_reason: account.status_reason.as_deref().map(RowText::Borrowed),
            waba_id: account.profile.waba_id.as_deref().map(RowText::Borrowed),
            profile: ProfileRow::from_profile(&account.profile),
            messages_per_second: account.messages_per_second,
            sandbox: account.sandbox,
            created_at: account.created_at.millis(),
        }
    }

    /// Converts the snapshot into an account with empty secrets.
    pub(super) fn into_account(self, at: RowPlace<'_>) -> Result<Account, StoreError> {
        let organisation_id = OrganisationId::parse(&self.organisation_id).ok();
        Ok(Account {
            id: at.check_value("snapshot", AccountId::parse(&self.id).ok())?,
            number: self.number,
            organisation_id: at.check_value("snapshot", organisation_id)?,
            phone_number_id: at.check_value("snapshot", PhoneNumberId::parse(&self.phone_number_id))?,
            phone: at.check_phone("snapshot", &self.phone)?,
            name: self.name.map(Arc::from),
            status: at.check_value("snapshot", AccountStatus::parse(&self.status))?,
            status_reason: self.status_reason.map(Arc::from),
            recovery: None,
            profile: self.profile.into_profile(self.waba_id.map(Arc::from)),
            access_token: Secret::new(""),
            app_secret: None,
            messages_per_second: self.messages_per_second,
            sandbox: self.sandbox,
            created_at: at.check_time("snapshot", self.created_at)?,
        })
    }
}
