//! Body of an account; the type has no member for its token or its secret.

use std::sync::Arc;

use kabar_core::domain::account::{Account, AccountStatus, PhoneNumberId};
use kabar_core::domain::phone::Phone;
use kabar_core::ids::AccountId;
use poem_openapi::Object;
use poem_openapi::types::Example;
use serde::Serialize;

use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of an account.
    AccountNoun = "account";
}

/// A connected WhatsApp number.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Account", example)]
pub(crate) struct AccountBody {
    /// `wba_…`.
    pub(crate) id: TextValue<AccountId>,
    /// Always `account`.
    pub(crate) object: TextValue<AccountNoun>,
    /// WhatsApp's id of the number; the first part of its paths.
    pub(crate) phone_number_id: TextValue<PhoneNumberId>,
    /// The number, E.164.
    pub(crate) phone_number: TextValue<Phone>,
    /// The operator's name for the account.
    pub(crate) name: Option<TextValue<Arc<str>>>,
    /// `connected` can send; `degraded`: WhatsApp refuses the account as such, and its messages wait until
    /// WhatsApp accepts it again.
    pub(crate) status: TextValue<AccountStatus>,
    /// Cause of the status, for people; null while it is connected.
    pub(crate) status_reason: Option<TextValue<Arc<str>>>,
    /// Meta's id of the WhatsApp Business Account that the number belongs to, once it is known.
    pub(crate) waba_id: Option<TextValue<Arc<str>>>,
    /// Meta's word for the quality of the number's messages, such as `GREEN`.
    pub(crate) quality_rating: Option<TextValue<Arc<str>>>,
    /// Conversations that may be begun in a day; null where it is unknown or unlimited.
    pub(crate) messaging_limit: Option<i64>,
    /// Meta's word for that limit, such as `TIER_1K`.
    pub(crate) messaging_limit_tier: Option<TextValue<Arc<str>>>,
    /// Name that Meta has verified.
    pub(crate) verified_name: Option<TextValue<Arc<str>>>,
    /// Meta's word for the state of that name, such as `APPROVED`.
    pub(crate) name_status: Option<TextValue<Arc<str>>>,
}

impl AccountBody {
    /// Builds the body of an account.
    #[must_use]
    pub(crate) fn from_account(account: &Account) -> Self {
        Self {
            id: TextValue(account.id),
            object: TextValue(AccountNoun),
            phone_number_id: TextValue(account.phone_number_id.clone()),
            phone_number: TextValue(account.phone.clone()),
            name: account.name.clone().map(TextValue),
            status: TextValue(account.status),
            status_reason: account.status_reason.clone().map(TextValue),
            waba_id: account.profile.waba_id.clone().map(TextValue),
            quality_rating: account.profile.quality_rating.clone().map(TextValue),
            messaging_limit: account.profile.messaging_limit(),
            messaging_limit_tier: account.profile.messaging_limit_tier.clone().map(TextValue),
            verified_name: account.profile.verified_name.clone().map(TextValue),
            name_status: account.profile.name_status.clone().map(TextValue),
        }
    }
}

impl Example for AccountBody {
    fn example() -> Self {
        Self::from_account(&crate::spec::example_rows::example_account())
    }
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::account::Secret;
    use poem_openapi::types::ToJSON;

    use super::*;

    #[test]
    fn an_unlimited_number_has_no_figure() {
        let mut account = crate::spec::example_rows::example_account();
        account.profile.messaging_limit_tier = Some("TIER_UNLIMITED".into());
        account.status_reason = Some("WhatsApp has banned the account".into());
        let json = serde_json::to_value(AccountBody::from_account(&account)).unwrap();
        assert!(json["messaging_limit"].is_null());
        assert_eq!(json["messaging_limit_tier"], "TIER_UNLIMITED");
        assert_eq!(json["status_reason"], "WhatsApp has banned the account");
    }

    #[test]
    fn every_key_is_there_and_no_secret() {
        let mut account = crate::spec::example_rows::example_account();
        account.name = None;
        account.access_token = Secret::new("EAAG-token");
        account.app_secret = Some(Secret::new("app-secret"));
        let json = AccountBody::from_account(&account).to_json().unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        let profile = ["waba_id", "quality_rating", "messaging_limit", "messaging_limit_tier"];
        let expected = ["id", "object", "phone_number_id", "phone_number", "name", "status", "status_reason"];
        assert_eq!(keys, [&expected[..], &profile, &["verified_name", "name_status"]].concat());
        assert!(json["name"].is_null() && json["status_reason"].is_null());
        assert_eq!(
            (&json["messaging_limit"], &json["messaging_limit_tier"]),
            (&1000.into(), &"TIER_1K".into())
        );
        let text = json.to_string();
        assert!(!text.contains("EAAG-token") && !text.contains("app-secret"));
    }
}
