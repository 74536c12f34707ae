//! Body of a stored answer.

use std::sync::Arc;

use crate::domain::account::Secret;

/// JSON of an answer. One that shows a secret is encrypted where it is stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RecordedBody {
    /// Shows no secret.
    Open(Arc<str>),
    /// Shows a secret, for the only time.
    Secret(Secret),
}

impl RecordedBody {
    /// Returns the JSON, to answer with.
    #[must_use]
    pub fn json(&self) -> &str {
        match self {
            Self::Open(json) => json,
            Self::Secret(json) => json.reveal(),
        }
    }
}

impl From<&str> for RecordedBody {
    fn from(json: &str) -> Self {
        Self::Open(json.into())
    }
}
