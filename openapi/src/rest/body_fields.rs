//! Reads JSON bodies field by field, and words every error as the contract does.
//!
//! Invariants: an error names the field by its path from the body's root, members joined by dots and array
//! indices in brackets (`interactive.action.buttons[1].reply.id`); unknown keys are ignored; `null` means
//! absent, except where a PATCH may clear a field ([`FieldChange`]). Lengths count Unicode characters. The
//! meaning of a body belongs to the modules that read it.

mod email;
mod field_change;
mod field_error;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::ops::RangeInclusive;

use kabar_core::domain::phone::Phone;
use serde_json::{Map, Value};

pub(crate) use field_change::FieldChange;
pub(crate) use field_error::{FieldError, FieldErrorKind};

/// Members of one JSON object, with the path to it.
#[derive(Debug, Clone)]
pub(crate) struct BodyFields<'a> {
    members: &'a Map<String, Value>,
    path: String,
}

impl<'a> BodyFields<'a> {
    /// Reads the members of a whole body.
    ///
    /// # Errors
    /// If it is not an object, or holds a NUL character anywhere (PostgreSQL cannot store it).
    pub(crate) fn of_body(body: &'a Value) -> Result<Self, FieldError> {
        let fields = Self::of(body, String::new())?;
        refuse_nul(body, "")?;
        Ok(fields)
    }

    /// Reads the members of the object at `path`.
    ///
    /// # Errors
    /// If it is not an object.
    pub(crate) fn of(value: &'a Value, path: String) -> Result<Self, FieldError> {
        match value.as_object() {
            Some(members) => Ok(Self { members, path }),
            None if path.is_empty() => Err(FieldError::invalid_body("the body must be a JSON object")),
            None => Err(FieldError::invalid_value(path, "an object")),
        }
    }

    /// Returns the path of a member.
    #[must_use]
    pub(crate) fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() { key.to_owned() } else { format!("{}.{key}", self.path) }
    }

    /// Returns the path of the object itself.
    #[must_use]
    pub(crate) fn path(&self) -> &str {
        &self.path
    }

    /// Returns a member, unless absent or null.
    #[must_use]
    pub(crate) fn get(&self, key: &str) -> Option<&'a Value> {
        self.members.get(key).filter(|value| !value.is_null())
    }

    /// Builds the error of a member with a wrong value; `expected` continues "must be …".
    #[must_use]
    pub(crate) fn invalid(&self, key: &str, expected: &str) -> FieldError {
        FieldError::invalid_value(self.path_of(key), expected)
    }

    /// Builds the error of a member that is not allowed; `why` is the whole sentence.
    #[must_use]
    pub(crate) fn refused(&self, key: &str, why: &str) -> FieldError {
        FieldError::refused_value(self.path_of(key), why)
    }

    /// Returns a required member.
    ///
    /// # Errors
    /// `missing_required_field` when absent or null.
    pub(crate) fn required(&self, key: &str) -> Result<&'a Value, FieldError> {
        self.get(key).ok_or_else(|| FieldError::missing_field(self.path_of(key)))
    }

    /// Returns a required text of this many characters. An empty text below the minimum is a wrong value, not
    /// a missing one.
    ///
    /// # Errors
    /// If it is absent, not a text, too short or too long.
    pub(crate) fn text(&self, key: &str, chars: &RangeInclusive<usize>) -> Result<&'a str, FieldError> {
        self.read_text(key, self.required(key)?, chars)
    }

    /// Returns an optional text of this many characters.
    ///
    /// # Errors
    /// If it is not a text, too short or too long.
    pub(crate) fn optional_text(
        &self,
        key: &str,
        chars: &RangeInclusive<usize>,
    ) -> Result<Option<&'a str>, FieldError> {
        self.get(key).map(|value| self.read_text(key, value, chars)).transpose()
    }

    /// Returns the change of a text of this many characters: a new value, `null` to clear, or absent.
    ///
    /// # Errors
    /// If it is not a text, too short or too long.
    pub(crate) fn change_text(
        &self,
        key: &str,
        chars: &RangeInclusive<usize>,
    ) -> Result<FieldChange<&'a str>, FieldError> {
        match self.members.get(key) {
            None => Ok(FieldChange::Keep),
            Some(Value::Null) => Ok(FieldChange::Clear),
            Some(value) => self.read_text(key, value, chars).map(FieldChange::Set),
        }
    }

    fn read_text(
        &self,
        key: &str,
        value: &'a Value,
        chars: &RangeInclusive<usize>,
    ) -> Result<&'a str, FieldError> {
        let fits = |text: &&str| chars.contains(&text.chars().count());
        value.as_str().filter(fits).ok_or_else(|| self.invalid(key, &text_expectation(chars)))
    }

    /// Parses a required text with `parse`; `expected` continues "must be …".
    ///
    /// # Errors
    /// If it is absent, not a text, or `parse` rejects it.
    pub(crate) fn word<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<T, FieldError> {
        let text = self.required(key)?.as_str();
        text.and_then(parse).ok_or_else(|| self.invalid(key, expected))
    }

    /// Parses an optional text with `parse`; `expected` continues "must be …".
    ///
    /// # Errors
    /// If it is not a text, or `parse` rejects it.
    pub(crate) fn optional_word<T>(
        &self,
        key: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, FieldError> {
        if self.get(key).is_none() { Ok(None) } else { self.word(key, expected, parse).map(Some) }
    }

    /// Returns a required telephone number, normalised.
    ///
    /// # Errors
    /// `invalid_phone_number` for any other value.
    pub(crate) fn phone(&self, key: &str) -> Result<Phone, FieldError> {
        let phone = self.required(key)?.as_str().and_then(Phone::parse);
        phone.ok_or_else(|| FieldError::invalid_phone(self.path_of(key)))
    }

    /// Returns an optional `true` or `false`.
    ///
    /// # Errors
    /// If it is any other value.
    pub(crate) fn optional_flag(&self, key: &str) -> Result<Option<bool>, FieldError> {
        let read = |value: &Value| value.as_bool().ok_or_else(|| self.invalid(key, "true or false"));
        self.get(key).map(read).transpose()
    }

    /// Returns an optional integer within bounds.
    ///
    /// # Errors
    /// If it is not a number, not whole, or out of bounds.
    pub(crate) fn optional_integer(
        &self,
        key: &str,
        bounds: &RangeInclusive<i64>,
    ) -> Result<Option<i64>, FieldError> {
        let expected = || format!("a whole number from {} to {}", bounds.start(), bounds.end());
        let read = |value: &Value| {
            let whole = integer(value).filter(|n| bounds.contains(n));
            whole.ok_or_else(|| self.invalid(key, &expected()))
        };
        self.get(key).map(read).transpose()
    }

    /// Returns a required number within bounds.
    ///
    /// # Errors
    /// If it is absent, not a number, or out of bounds.
    pub(crate) fn number(&self, key: &str, bounds: &RangeInclusive<f64>) -> Result<f64, FieldError> {
        let number = self.required(key)?.as_f64().filter(|n| bounds.contains(n));
        number.ok_or_else(|| {
            self.invalid(key, &format!("a number from {} to {}", bounds.start(), bounds.end()))
        })
    }

    /// Returns a required object.
    ///
    /// # Errors
    /// If it is absent or not an object.
    pub(crate) fn object(&self, key: &str) -> Result<BodyFields<'a>, FieldError> {
        Self::of(self.required(key)?, self.path_of(key))
    }

    /// Returns an optional object.
    ///
    /// # Errors
    /// If it is not an object.
    pub(crate) fn optional_object(&self, key: &str) -> Result<Option<BodyFields<'a>>, FieldError> {
        self.get(key).map(|value| Self::of(value, self.path_of(key))).transpose()
    }

    /// Returns a required array of this many elements, each with its path.
    ///
    /// # Errors
    /// If it is absent, not an array, or has too few or too many elements.
    pub(crate) fn array(
        &self,
        key: &str,
        count: &RangeInclusive<usize>,
    ) -> Result<impl Iterator<Item = (String, &'a Value)> + use<'a>, FieldError> {
        let path = self.path_of(key);
        let expected = || format!("an array of {} to {} elements", count.start(), count.end());
        let elements = self.required(key)?.as_array().filter(|elements| count.contains(&elements.len()));
        let elements = elements.ok_or_else(|| self.invalid(key, &expected()))?;
        Ok(elements.iter().enumerate().map(move |(place, value)| (format!("{path}[{place}]"), value)))
    }

    /// Returns a required array of this many objects.
    ///
    /// # Errors
    /// As [`BodyFields::array`], and if an element is not an object.
    pub(crate) fn objects(
        &self,
        key: &str,
        count: &RangeInclusive<usize>,
    ) -> Result<Vec<BodyFields<'a>>, FieldError> {
        self.array(key, count)?.map(|(path, value)| Self::of(value, path)).collect()
    }

    /// Returns an optional array of this many objects; empty if absent.
    ///
    /// # Errors
    /// If it is not an array of objects, or has too few or too many.
    pub(crate) fn optional_objects(
        &self,
        key: &str,
        count: &RangeInclusive<usize>,
    ) -> Result<Vec<BodyFields<'a>>, FieldError> {
        if self.get(key).is_none() { Ok(Vec::new()) } else { self.objects(key, count) }
    }
}

/// Rejects the second of two equal texts; pass the same set for each.
///
/// # Errors
/// `invalid_field_value` for the member `key` when its text was seen before.
pub(crate) fn unique<'a>(
    seen: &mut HashSet<&'a str>,
    fields: &BodyFields<'a>,
    key: &str,
    text: &'a str,
) -> Result<(), FieldError> {
    if seen.insert(text) { Ok(()) } else { Err(fields.invalid(key, "different from the others")) }
}

/// Returns an integer. JSON has one kind of number, so `5.0` is whole, too. Beyond 15 digits a float is not exact.
fn integer(value: &Value) -> Option<i64> {
    let exact = |float: &f64| float.fract() == 0.0 && float.abs() < 1e15;
    value.as_i64().or_else(|| format!("{:.0}", value.as_f64().filter(exact)?).parse().ok())
}

fn text_expectation(chars: &RangeInclusive<usize>) -> String {
    match (*chars.start(), *chars.end()) {
        (0, most) => format!("a text of at most {most} characters"),
        (least, most) => format!("a text of {least} to {most} characters"),
    }
}

/// Rejects NUL characters. Depth is bounded by `serde_json`, which rejects more than 128 levels.
fn refuse_nul(value: &Value, path: &str) -> Result<(), FieldError> {
    match value {
        Value::String(text) if text.contains('\0') => {
            Err(FieldError::invalid_value(path.to_owned(), "free of NUL characters"))
        }
        Value::Array(elements) => elements
            .iter()
            .enumerate()
            .filter(|(_, element)| holds_text(element))
            .try_for_each(|(place, element)| refuse_nul(element, &format!("{path}[{place}]"))),
        Value::Object(members) => members.iter().try_for_each(|(key, member)| {
            if key.contains('\0') {
                return Err(FieldError::invalid_body("the body has a key with a NUL character"));
            }
            let dot = if path.is_empty() { "" } else { "." };
            if holds_text(member) { refuse_nul(member, &format!("{path}{dot}{key}")) } else { Ok(()) }
        }),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => Ok(()),
    }
}

/// Returns `true` for a value that may hold a NUL, so that a path is built for no other.
fn holds_text(value: &Value) -> bool {
    match value {
        Value::String(text) => text.contains('\0'),
        Value::Array(_) | Value::Object(_) => true,
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}
