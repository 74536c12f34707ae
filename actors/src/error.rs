//! Error of every operation on accounts, tenants and subscribers, as far as a caller may know it.

use kabar_core::cause::cause;
use kabar_core::store::StoreError;

/// Reason that a query or command was not served. All but `Refused`, `Expired` and `Ambiguous` may be
/// tried again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum AccountError {
    /// The store cannot be read or written.
    #[error("storage is unavailable")]
    Storage,
    /// Too many commands wait for this account already.
    #[error("too many commands wait for this account")]
    Overloaded,
    /// The database refuses the command's rows: a defect. Nothing was written.
    #[error("the database refuses the command")]
    Refused,
    /// Another node serves the account.
    #[error("another node serves the account")]
    Elsewhere,
    /// The account's actor died meanwhile; it is unknown if the command was carried out.
    #[error("the account was interrupted")]
    Crashed,
    /// The events behind the position are not kept any more.
    #[error("the position is older than the log")]
    Expired {
        /// The oldest number that is kept.
        oldest: i64,
    },
    /// The name stands for several templates, in different languages.
    #[error("there are several templates of this name")]
    Ambiguous,
}

impl AccountError {
    /// Logs a store's error where it is handled, and keeps the part that a caller may know.
    pub(crate) fn from_store(error: &StoreError, what: &'static str) -> Self {
        if matches!(error, StoreError::Elsewhere(_) | StoreError::Fenced | StoreError::LeaseLost) {
            return Self::Elsewhere;
        }
        tracing::error!(error = cause(error), "{what}");
        Self::Storage
    }
}
