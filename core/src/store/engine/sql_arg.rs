//! Values that are bound to a statement.

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
