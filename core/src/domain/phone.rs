//! Telephone numbers in E.164: `+` and 7 to 15 digits. Meta writes them without the plus.

use std::fmt;
use std::sync::Arc;

/// A normalised number, `+` included.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Phone(Arc<str>);

impl Phone {
    /// Reads a number with or without `+`; blanks, hyphens, dots and brackets between the digits are dropped.
    /// `None` unless 7 to 15 digits, the first not zero, remain (ITU-T E.164, 6.1).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let digits = text.strip_prefix('+').unwrap_or(text);
        let mut normal = String::with_capacity(16);
        normal.push('+');
        for c in digits.chars() {
            match c {
                '0'..='9' if normal.len() < 16 => normal.push(c),
                ' ' | '-' | '.' | '(' | ')' => {}
                _ => return None,
            }
        }
        let count = normal.len() - 1;
        let valid = (7..=15).contains(&count) && !normal.starts_with("+0");
        valid.then(|| Self(normal.into()))
    }

    /// With the plus.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Without the plus, as Meta writes it.
    #[must_use]
    pub fn as_digits(&self) -> &str {
        self.0.trim_start_matches('+')
    }
}

impl fmt::Display for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// Debug output leaves all but the last two digits out: numbers do not belong into logs.
impl fmt::Debug for Phone {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let tail = self.0.get(self.0.len().saturating_sub(2)..).unwrap_or_default();
        write!(f, "+…{tail}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_normalised_or_refused() {
        for text in ["6281234567890", "+6281234567890", "+62 812-3456-7890", "+62 (812) 3456.7890"] {
            assert_eq!(Phone::parse(text).map(|p| p.to_string()), Some("+6281234567890".into()), "{text}");
        }
        for text in [
            "",
            "+",
            "123456",
            "1234567890123456",
            "+0812345678",
            "62812x345678",
            "++6281234567",
            "٦٢٨١٢٣٤٥٦٧",
        ] {
            assert_eq!(Phone::parse(text), None, "{text}");
        }
        assert_eq!(format!("{:?}", Phone::parse("+6281234567890").unwrap()), "+…90");
    }
}
