//! Accounts as clients see them: connected WhatsApp numbers, never their secrets.
//!
//! It lists; connecting and changing numbers is the operator's (`admin`).

use kabar_core::domain::account::{Account, AccountStatus};
use poem_openapi::{Enum, Object};

/// Whether an account can send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename = "AccountStatus", rename_all = "lowercase")]
pub enum AccountStatusWord {
    /// Works.
    Connected,
    /// Taken off by the operator.
    Disconnected,
    /// WhatsApp refused its token; the operator must give a new one.
    Degraded,
    /// Not finished connecting.
    Onboarding,
}

impl From<AccountStatus> for AccountStatusWord {
    fn from(status: AccountStatus) -> Self {
        match status {
            AccountStatus::Connected => Self::Connected,
            AccountStatus::Disconnected => Self::Disconnected,
            AccountStatus::Degraded => Self::Degraded,
            AccountStatus::Onboarding => Self::Onboarding,
        }
    }
}

/// A WhatsApp number of an organization.
#[derive(Debug, Clone, Object)]
#[oai(rename = "Account")]
pub struct AccountBody {
    /// `wba_…`.
    pub id: String,
    /// Always `account`.
    pub object: String,
    /// Meta's id of the number; the first part of its paths.
    pub phone_number_id: String,
    /// The number, E.164.
    pub phone_number: String,
    /// What the operator calls it.
    pub name: Option<String>,
    /// Whether it can send.
    pub status: AccountStatusWord,
}

impl From<&Account> for AccountBody {
    fn from(account: &Account) -> Self {
        Self {
            id: account.id.to_string(),
            object: "account".to_owned(),
            phone_number_id: account.phone_number_id.to_string(),
            phone_number: account.phone.to_string(),
            name: account.name.as_deref().map(str::to_owned),
            status: account.status.into(),
        }
    }
}

/// Which accounts a list shows.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum AccountFilter {
    /// Those that can send.
    #[default]
    Connected,
    /// Whatever their status.
    All,
}

impl AccountFilter {
    /// Reads the contract's word.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        [Self::Connected, Self::All].into_iter().find(|known| known.as_str() == text)
    }

    /// The contract's word.
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::All => "all",
        }
    }

    /// Whether the list shows an account of this status.
    pub(crate) fn shows(self, status: AccountStatus) -> bool {
        self == Self::All || status == AccountStatus::Connected
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_has_two_words() {
        assert_eq!(AccountFilter::parse("connected"), Some(AccountFilter::Connected));
        assert_eq!(AccountFilter::parse("all"), Some(AccountFilter::All));
        assert_eq!(AccountFilter::parse("degraded"), None);
        for status in AccountStatus::ALL {
            assert!(AccountFilter::All.shows(status));
            assert_eq!(AccountFilter::Connected.shows(status), status == AccountStatus::Connected);
        }
    }

    #[test]
    fn status_words_are_the_domains() {
        use poem_openapi::types::ToJSON;
        for status in AccountStatus::ALL {
            let word = AccountStatusWord::from(status).to_json();
            assert_eq!(word, Some(status.as_str().into()));
        }
    }
}
