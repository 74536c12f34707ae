//! Reasons that a subscriber was not created, found or changed.

use crate::error::AccountError;

/// Reason that a webhook subscription was not created or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SubscriptionError {
    /// The tenant has none of this id.
    #[error("no such subscription")]
    NotFound,
    /// The tenant has the largest allowed number of subscriptions.
    #[error("too many subscriptions")]
    TooMany,
    /// It has the largest allowed number of signing secrets.
    #[error("too many signing secrets")]
    TooManySecrets,
    /// It cannot be read or written.
    #[error(transparent)]
    Account(#[from] AccountError),
}

/// Reason that a plugin was not created or changed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PluginError {
    /// The tenant has none of this id.
    #[error("no such plugin")]
    NotFound,
    /// The tenant has the largest allowed number of plugins.
    #[error("too many plugins")]
    TooMany,
    /// The components of the tenant would have more bytes than allowed.
    #[error("too many bytes of components")]
    TooManyBytes {
        /// Most bytes of all components of the tenant.
        bytes_max: u64,
    },
    /// It would have more secrets than allowed.
    #[error("too many secrets")]
    TooManySecrets,
    /// It has no such version.
    #[error("no such version")]
    NoVersion,
    /// It cannot be read or written.
    #[error(transparent)]
    Account(#[from] AccountError),
}
