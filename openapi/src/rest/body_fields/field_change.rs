//! What a PATCH body says of one field that may be cleared: nothing, `null`, or a value.
//!
//! It does not apply the change; the domain's patches do.

/// A field of a PATCH body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldChange<T> {
    /// Not in the body: stays as it is.
    Keep,
    /// `null`: to be cleared.
    Clear,
    /// To be set.
    Set(T),
}

impl<T> FieldChange<T> {
    /// The same change of another value.
    pub fn map<U>(self, f: impl FnOnce(T) -> U) -> FieldChange<U> {
        match self {
            Self::Keep => FieldChange::Keep,
            Self::Clear => FieldChange::Clear,
            Self::Set(value) => FieldChange::Set(f(value)),
        }
    }

    /// As the domain's patches say it: whether the field is touched, then what it becomes.
    #[must_use]
    pub fn touched(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }
}
