//! A change of one clearable field in a PATCH body: absent, `null`, or a value.
//!
//! It does not apply the change; the domain's patches do.

/// A field of a PATCH body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldChange<T> {
    /// Absent: the field stays as it is.
    Keep,
    /// `null`: the field is cleared.
    Clear,
    /// The field is set to this value.
    Set(T),
}

impl<T> FieldChange<T> {
    /// Converts the value of the change.
    pub(crate) fn map<U>(self, f: impl FnOnce(T) -> U) -> FieldChange<U> {
        match self {
            Self::Keep => FieldChange::Keep,
            Self::Clear => FieldChange::Clear,
            Self::Set(value) => FieldChange::Set(f(value)),
        }
    }

    /// Converts to the form of the domain's patches: the outer option is set when the field changes, the
    /// inner one is its new value.
    #[must_use]
    #[expect(clippy::option_option, reason = "the domain's patches have this form")]
    pub(crate) fn touched(self) -> Option<Option<T>> {
        match self {
            Self::Keep => None,
            Self::Clear => Some(None),
            Self::Set(value) => Some(Some(value)),
        }
    }
}
