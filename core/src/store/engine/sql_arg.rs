//! Values that are bound to a statement.

use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

/// A bound value.
#[derive(Debug, Clone)]
pub(in crate::store) enum SqlArg {
    /// An integer, or null.
    Int(Option<i64>),
    /// A text, or null.
    Text(Option<String>),
    /// Bytes.
    Bytes(Bytes),
    /// A text that is composed when the statement runs.
    Late(LateText),
}

/// Composes a text when its statement runs, because that may be long after the statement was queued.
#[derive(Clone)]
pub(in crate::store) struct LateText(Arc<dyn Fn() -> Result<String, sqlx::Error> + Send + Sync>);

impl LateText {
    /// Composes the text.
    pub(super) fn compose(&self) -> Result<String, sqlx::Error> {
        (self.0)()
    }
}

impl<F: Fn() -> Result<String, sqlx::Error> + Send + Sync + 'static> From<F> for LateText {
    fn from(compose: F) -> Self {
        Self(Arc::new(compose))
    }
}

impl fmt::Debug for LateText {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("LateText")
    }
}

impl SqlArg {
    /// Returns the bytes of a text or of bytes.
    pub(in crate::store) fn len(&self) -> usize {
        match self {
            Self::Int(_) | Self::Text(None) | Self::Late(_) => 0,
            Self::Text(Some(text)) => text.len(),
            Self::Bytes(bytes) => bytes.len(),
        }
    }
}

impl From<Bytes> for SqlArg {
    fn from(value: Bytes) -> Self {
        Self::Bytes(value)
    }
}

impl From<i64> for SqlArg {
    fn from(value: i64) -> Self {
        Self::Int(Some(value))
    }
}

impl From<Option<i64>> for SqlArg {
    fn from(value: Option<i64>) -> Self {
        Self::Int(value)
    }
}

impl From<String> for SqlArg {
    fn from(value: String) -> Self {
        Self::Text(Some(value))
    }
}

impl From<&str> for SqlArg {
    fn from(value: &str) -> Self {
        Self::Text(Some(value.to_owned()))
    }
}

impl From<Option<&str>> for SqlArg {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}
