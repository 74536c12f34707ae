//! Versions of rows that any node may change.
//!
//! Invariant: every statement that changes what such a row means raises its version, and a change that was
//! decided on a row is written only over the version that it was decided on.

/// Number of writes of a row, the first one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowVersion(i64);

impl RowVersion {
    /// Version of a row that was just made.
    pub const FIRST: Self = Self(1);

    /// Version that a row holds.
    #[must_use]
    pub const fn from_row(value: i64) -> Self {
        Self(value)
    }

    /// The number as a row holds it.
    #[must_use]
    pub const fn to_row(self) -> i64 {
        self.0
    }

    /// Version after one more write.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}
