//! Read operations on accounts: connected WhatsApp numbers, never their secrets.
//!
//! Connecting and changing numbers is the operator's task (`admin`).

pub(crate) mod body;

use std::sync::Arc;

use kabar_core::domain::account::AccountStatus;
use kabar_core::domain::page::PageLimit;
use poem_openapi::OpenApi;
use poem_openapi::registry::MetaSchema;

use self::body::AccountBody;
use crate::app::AppState;
use crate::http::access::TenantCaller;
use crate::rest::envelope::PageResponse;
use crate::rest::error::{OperationError, code_list};
use crate::rest::list::PageRequest;
use crate::rest::params::{CursorText, ParameterKind, QueryParam};
use crate::rest::tags::ApiTag;

code_list! {
    /// Error codes of listing accounts.
    AccountListFails = [InvalidFieldValue, InvalidLimit, InvalidCursor];
}

/// Operation that lists accounts.
#[derive(Debug, Clone)]
pub(crate) struct AccountsApi(pub(crate) Arc<AppState>);

#[expect(clippy::unused_async, reason = "poem-openapi wants every operation asynchronous")]
#[OpenApi(tag = "ApiTag::Accounts")]
impl AccountsApi {
    /// List accounts
    ///
    /// Your WhatsApp numbers, the most recently connected first.
    #[oai(path = "/v1/accounts", method = "get", operation_id = "listAccounts")]
    async fn list_accounts(
        &self,
        tenant: TenantCaller,
        /// `connected`, the default: only accounts that can send; `all`: whatever their status.
        status: QueryParam<AccountFilter>,
        /// Rows of a page, 1 to 100.
        limit: QueryParam<PageLimit>,
        /// `next_cursor` of the page before; bound to the same filter.
        cursor: QueryParam<CursorText>,
    ) -> Result<PageResponse<AccountBody>, OperationError<AccountListFails>> {
        let id = tenant.key.organisation_id;
        let filter = status.0.unwrap_or_default();
        let scope = format!("accounts/{id}&status={}", filter.as_str());
        let place = PageRequest::parse_request(&self.0.cursor_key, &scope, limit.0, cursor.0.as_ref())?;
        let rows = self.0.directory.accounts_of(id).into_iter().filter(|row| filter.shows_status(row.status));
        Ok(place.page_response(rows, |row| row.id.bits(), |row| AccountBody::from_account(row)))
    }
}

/// Filter of the list of accounts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum AccountFilter {
    /// Accounts that can send.
    #[default]
    Connected,
    /// Accounts of any status.
    All,
}

impl AccountFilter {
    const ALL: [Self; 2] = [Self::Connected, Self::All];

    /// Returns the contract's word.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Connected => "connected",
            Self::All => "all",
        }
    }

    fn shows_status(self, status: AccountStatus) -> bool {
        self == Self::All || status == AccountStatus::Connected
    }
}

impl ParameterKind for AccountFilter {
    const EXPECTED: &'static str = "connected or all";

    fn read(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }

    fn schema() -> MetaSchema {
        let words = Self::ALL.map(|word| word.as_str().into());
        let default = Some(Self::default().as_str().into());
        MetaSchema { enum_items: words.to_vec(), default, ..MetaSchema::new("string") }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_filter_has_two_words() {
        assert_eq!(AccountFilter::read("connected"), Some(AccountFilter::Connected));
        assert_eq!(AccountFilter::read("all"), Some(AccountFilter::All));
        assert_eq!(AccountFilter::read("degraded"), None);
        for status in AccountStatus::ALL {
            assert!(AccountFilter::All.shows_status(status));
            assert_eq!(AccountFilter::Connected.shows_status(status), status == AccountStatus::Connected);
        }
    }
}
