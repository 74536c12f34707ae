//! Body of an account; the type has no member for its token or its secret.

use std::sync::Arc;

use kabar_core::domain::account::{Account, AccountStatus, PhoneNumberId};
use kabar_core::domain::phone::Phone;
use kabar_core::ids::AccountId;
use poem_openapi::Object;
use poem_openapi::types::Example;

use crate::rest::text::{TextValue, nouns};

nouns! {
    /// `object` of an account.
    AccountNoun = "account";
}

/// A connected WhatsApp number.
#[derive(Debug, Clone, Object)]
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
    /// `connected` can send; `degraded` waits for a new token, since WhatsApp refused the last.
    pub(crate) status: TextValue<AccountStatus>,
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
    fn every_key_is_there_and_no_secret() {
        let mut account = crate::spec::example_rows::example_account();
        account.name = None;
        account.access_token = Secret::new("EAAG-token");
        account.app_secret = Some(Secret::new("app-secret"));
        let json = AccountBody::from_account(&account).to_json().unwrap();
        let keys: Vec<_> = json.as_object().unwrap().keys().cloned().collect();
        assert_eq!(keys, ["id", "object", "phone_number_id", "phone_number", "name", "status"]);
        assert!(json["name"].is_null());
        let text = json.to_string();
        assert!(!text.contains("EAAG-token") && !text.contains("app-secret"));
    }
}
