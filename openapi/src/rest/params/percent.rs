//! Strict percent-decoding: bytes that are not UTF-8 after decoding are an error.
//!
//! Common parsers replace what they cannot read, so that a malformed search would find the wrong rows.

use std::borrow::Cow;

/// Meaning of `+`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PlusMeaning {
    /// A plus, in a path.
    IsPlus,
    /// A blank, in a query (application/x-www-form-urlencoded).
    IsBlank,
}

/// Decodes one component; `None` when an escape is broken, or the result is not UTF-8.
pub(super) fn decode_percent(text: &str, plus: PlusMeaning) -> Option<Cow<'_, str>> {
    let escaped = |byte: u8| byte == b'%' || (byte == b'+' && plus == PlusMeaning::IsBlank);
    if !text.bytes().any(escaped) {
        return Some(Cow::Borrowed(text));
    }
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'%' => hex_digit(bytes.next()?)? << 4 | hex_digit(bytes.next()?)?,
            b'+' if plus == PlusMeaning::IsBlank => b' ',
            other => other,
        });
    }
    String::from_utf8(decoded).ok().map(Cow::Owned)
}

fn hex_digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}

/// Returns the values of a name in a query, in order; `None` for one that cannot be decoded.
pub(super) fn query_values<'a>(query: &'a str, name: &'a str) -> impl Iterator<Item = Option<Cow<'a, str>>> {
    let pairs = query.split('&').map(|pair| pair.split_once('=').unwrap_or((pair, "")));
    let named = pairs
        .filter(move |(key, _)| decode_percent(key, PlusMeaning::IsBlank).is_some_and(|key| key == name));
    named.map(|(_, value)| decode_percent(value, PlusMeaning::IsBlank))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_or_refused() {
        let blank = |text| decode_percent(text, PlusMeaning::IsBlank);
        assert_eq!(blank("a+b%20c%2B").as_deref(), Some("a b c+"));
        assert_eq!(decode_percent("a+b", PlusMeaning::IsPlus).as_deref(), Some("a+b"));
        assert_eq!(blank("%C3%a9").as_deref(), Some("é"));
        for broken in ["%", "%2", "%zz", "%ff", "%C3", "a%"] {
            assert_eq!(blank(broken), None, "{broken}");
        }
    }
}
