//! An account on the wire; its token and its secret have no member to leave by.

use std::sync::Arc;

use kabar_core::domain::account::{Account, AccountStatus, PhoneNumberId};
use kabar_core::domain::phone::Phone;
use kabar_core::ids::AccountId;
use poem_openapi::Object;
use poem_openapi::types::Example;

use crate::wire::{AccountNoun, Shown};

/// A connected WhatsApp number.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Account", example)]
pub struct AccountBody {
    /// `wba_…`.
    pub id: Shown<AccountId>,
    /// Always `account`.
    pub object: Shown<AccountNoun>,
    /// WhatsApp's id of the number; the first part of its paths.
    pub phone_number_id: Shown<PhoneNumberId>,
    /// The number, E.164.
    pub phone_number: Shown<Phone>,
    /// What the operator calls it.
    pub name: Option<Shown<Arc<str>>>,
    /// `connected` can send; `degraded` waits for a new token, since WhatsApp refused the last.
    pub status: Shown<AccountStatus>,
}

impl AccountBody {
    /// What an account shows of itself.
    #[must_use]
    pub fn of(account: &Account) -> Self {
        Self {
            id: Shown(account.id),
            object: Shown(AccountNoun),
            phone_number_id: Shown(account.phone_number_id.clone()),
            phone_number: Shown(account.phone.clone()),
            name: account.name.clone().map(Shown),
            status: Shown(account.status),
        }
    }
}

impl Example for AccountBody {
    fn example() -> Self {
        Self::of(&crate::examples::account())
    }
}
