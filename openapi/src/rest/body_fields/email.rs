//! Email addresses in bodies: only the form is checked, because only a mail can show that an address exists.

use std::ops::RangeInclusive;
use std::sync::Arc;

use super::{BodyFields, FieldChange, FieldError};

/// RFC 5321, 4.5.3.1.3, less the angle brackets.
const CHARS: RangeInclusive<usize> = 1..=254;

impl BodyFields<'_> {
    /// Reads an email address, if present.
    ///
    /// # Errors
    /// If it is not a text, too long, or implausible.
    pub(crate) fn optional_email(&self, key: &str) -> Result<Option<Arc<str>>, FieldError> {
        self.optional_text(key, &CHARS)?.map(|text| self.read_email(key, text)).transpose()
    }

    /// Reads the change of an email address.
    ///
    /// # Errors
    /// As [`BodyFields::optional_email`].
    pub(crate) fn change_email(&self, key: &str) -> Result<FieldChange<Arc<str>>, FieldError> {
        Ok(match self.change_text(key, &CHARS)? {
            FieldChange::Keep => FieldChange::Keep,
            FieldChange::Clear => FieldChange::Clear,
            FieldChange::Set(text) => FieldChange::Set(self.read_email(key, text)?),
        })
    }

    fn read_email(&self, key: &str, text: &str) -> Result<Arc<str>, FieldError> {
        let plausible = text.rsplit_once('@').is_some_and(|(mailbox, host)| {
            !mailbox.is_empty() && !mailbox.contains('@') && !host.split('.').any(str::is_empty)
        });
        let printable = !text.contains(|c: char| c.is_whitespace() || c.is_control());
        if plausible && printable { Ok(text.into()) } else { Err(self.invalid(key, "an email address")) }
    }
}
