//! Conversions that all rows share: columns into values of the domain, and rows into JSON arrays.
//!
//! Invariant: a value that this server would not have written is `Corrupt`, with its table, column and row.

use std::borrow::Cow;

use serde::Serialize;

use super::StoreError;
use crate::domain::due_time::DueTime;
use crate::domain::phone::Phone;
use crate::domain::row_version::RowVersion;
use crate::domain::time::Timestamp;

/// A row's text: borrowed from the domain for a write, owned after a read.
pub(super) type RowText<'a> = Cow<'a, str>;

/// The row being read, for errors that name it.
#[derive(Clone, Copy)]
pub(super) struct RowPlace<'a> {
    /// The table.
    pub(super) table: &'static str,
    /// The row's id.
    pub(super) id: &'a str,
}

impl RowPlace<'_> {
    /// Returns the error for this column.
    pub(super) fn corrupt_column(self, column: &str) -> StoreError {
        StoreError::Corrupt(format!("{}.{column} of {:?}", self.table, self.id))
    }

    /// Returns a parsed value, or the error for this column.
    pub(super) fn check_value<T>(self, column: &str, value: Option<T>) -> Result<T, StoreError> {
        value.ok_or_else(|| self.corrupt_column(column))
    }

    /// Reads an instant.
    pub(super) fn check_time(self, column: &str, ms: i64) -> Result<Timestamp, StoreError> {
        let at = Timestamp::from_millis(ms);
        self.check_value(column, (at.millis() == ms).then_some(at))
    }

    /// Reads an instant that may be absent.
    pub(super) fn opt_time(self, column: &str, ms: Option<i64>) -> Result<Option<Timestamp>, StoreError> {
        ms.map(|ms| self.check_time(column, ms)).transpose()
    }

    /// Reads a due time that may be absent.
    pub(super) fn opt_due_time(self, column: &str, ms: Option<i64>) -> Result<Option<DueTime>, StoreError> {
        Ok(self.opt_time(column, ms)?.map(DueTime::from_row))
    }

    /// Reads a count.
    pub(super) fn check_count(self, column: &str, value: i64) -> Result<u32, StoreError> {
        self.check_value(column, u32::try_from(value).ok())
    }

    /// Reads a row's version.
    pub(super) fn row_version(self, value: i64) -> Result<RowVersion, StoreError> {
        self.check_value("row_version", (value > 0).then_some(RowVersion::from_row(value)))
    }

    /// Reads a flag, stored as 1 or 0.
    pub(super) fn check_flag(self, column: &str, value: i64) -> Result<bool, StoreError> {
        match value {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(self.corrupt_column(column)),
        }
    }

    /// Reads a telephone number in its normal form.
    pub(super) fn check_phone(self, column: &str, text: &str) -> Result<Phone, StoreError> {
        self.check_value(column, Phone::parse(text).filter(|phone| phone.as_str() == text))
    }

    /// Reads 32 bytes, stored as hexadecimal digits.
    pub(super) fn check_digest(self, column: &str, text: &str) -> Result<[u8; 32], StoreError> {
        let mut bytes = [0; 32];
        let decoded = hex::decode_to_slice(text, &mut bytes);
        self.check_value(column, decoded.ok().map(|()| bytes))
    }
}

/// Returns the milliseconds of an instant, if there is one.
pub(super) fn instant_millis(at: Option<Timestamp>) -> Option<i64> {
    at.map(Timestamp::millis)
}

/// Returns rows as one JSON array, the only argument of a bulk statement.
pub(super) fn json_array<T: Serialize>(rows: &[T]) -> Result<String, sqlx::Error> {
    json_text(&rows)
}

/// Returns a value as the text of its JSON.
pub(super) fn json_text<T: Serialize>(value: &T) -> Result<String, sqlx::Error> {
    let json = serde_json::to_string(value).map_err(|error| sqlx::Error::Encode(error.into()))?;
    Ok(without_nul(json))
}

/// Replaces each escaped NUL by a replacement character. SQLite would end the text there, and PostgreSQL
/// would refuse it.
fn without_nul(json: String) -> String {
    const NUL: &str = "\\u0000";
    if !json.contains(NUL) {
        return json;
    }
    let mut mended = String::with_capacity(json.len());
    let mut rest = json.as_str();
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        if let Some(after) = escape.strip_prefix(NUL) {
            mended.push_str("\\ufffd");
            rest = after;
        } else {
            // Two characters make an escape, so an escaped backslash hides nothing.
            let (pair, after) = escape.split_at_checked(2).unwrap_or((escape, ""));
            mended.push_str(pair);
            rest = after;
        }
    }
    mended.push_str(rest);
    mended
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nul_is_replaced_and_nothing_else() {
        let rows = ["a\0b", "\\u0000", "\\\0", "\u{fffd}\"\n é 😀", ""];
        let back: Vec<String> = serde_json::from_str(&json_array(&rows).unwrap()).unwrap();
        assert_eq!(back, ["a\u{fffd}b", "\\u0000", "\\\u{fffd}", "\u{fffd}\"\n é 😀", ""]);
    }

    #[test]
    fn foreign_values_are_corrupt() {
        let place = RowPlace { table: "t", id: "x" };
        assert!(place.check_time("c", -1).is_err() && place.check_time("c", i64::MAX).is_err());
        assert!(place.check_flag("c", 2).is_err() && place.check_count("c", -1).is_err());
        assert!(place.check_phone("c", "628 123 456 78").is_err() && place.check_digest("c", "00").is_err());
        assert_eq!(place.corrupt_column("c").to_string(), "a stored row cannot be read: t.c of \"x\"",);
    }
}
