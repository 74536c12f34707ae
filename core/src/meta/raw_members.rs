//! Splits a webhook's bytes into raw JSON members without reading their values.
//!
//! Invariants: an unreadable part affects only the piece that holds it, so its neighbours are kept. No text
//! that leaves this module holds U+0000 (PostgreSQL cannot store it) or half of a surrogate pair (UTF-8
//! cannot encode it). `translate` interprets the values.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;

use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// The body is not a JSON object at all, so there is no item to read or to skip.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the body is not a JSON object")]
pub struct MalformedWebhook;

/// The members of an object, not parsed yet.
pub(super) type RawMembers<'a> = BTreeMap<String, &'a RawValue>;

const ESCAPE_BYTES: usize = 6;
const REPLACEMENT: &[u8; ESCAPE_BYTES] = br"\ufffd";

/// Returns the body as text in which every escape can be stored. Other escapes, and bytes that are not UTF-8,
/// become U+FFFD, the replacement character.
pub(super) fn replace_unstorable(body: &[u8]) -> Cow<'_, str> {
    let broken = unstorable_escapes(body);
    if broken.is_empty() {
        return String::from_utf8_lossy(body);
    }
    let mut mended = body.to_vec();
    for at in broken {
        if let Some(escape) = mended.get_mut(at..at + ESCAPE_BYTES) {
            escape.copy_from_slice(REPLACEMENT);
        }
    }
    Cow::Owned(String::from_utf8_lossy(&mended).into_owned())
}

/// Returns the offsets of `\u0000` and of unpaired halves of surrogate pairs.
fn unstorable_escapes(body: &[u8]) -> Vec<usize> {
    let mut found = Vec::new();
    let mut at = 0;
    while let Some(ahead) = body.get(at..).and_then(|rest| rest.iter().position(|byte| *byte == b'\\')) {
        at += ahead;
        match read_unit(body, at) {
            None => at += 2,
            Some(0xd800..=0xdbff) if matches!(read_unit(body, at + ESCAPE_BYTES), Some(0xdc00..=0xdfff)) => {
                at += 2 * ESCAPE_BYTES;
            }
            Some(code) => {
                if code == 0 || (0xd800..=0xdfff).contains(&code) {
                    found.push(at);
                }
                at += ESCAPE_BYTES;
            }
        }
    }
    found
}

/// Returns the UTF-16 unit of the `\uXXXX` at this offset.
fn read_unit(body: &[u8], at: usize) -> Option<u16> {
    let digits = body.get(at..at + ESCAPE_BYTES)?.strip_prefix(br"\u")?;
    digits.iter().try_fold(0, |code: u16, digit| {
        let digit = char::from(*digit).to_digit(16)?;
        Some((code << 4) | u16::try_from(digit).ok()?)
    })
}

/// Returns the members of an object, the last one of each name. `None` when it is not an object.
pub(super) fn read_members(json: &str) -> Option<RawMembers<'_>> {
    serde_json::from_str(json).ok()
}

/// Returns the elements of an array; `None` when it is not an array.
pub(super) fn read_elements(json: &str) -> Option<Vec<&RawValue>> {
    serde_json::from_str(json).ok()
}

/// Returns the members of these names, the last one of each; none when it is not an object. Allocates nothing,
/// whatever else the object holds.
pub(super) fn pick_members<'a, const N: usize>(
    json: &'a str,
    names: &[&str; N],
) -> [Option<&'a RawValue>; N] {
    let mut reader = serde_json::Deserializer::from_str(json);
    let picked = reader.deserialize_map(MemberPicker(names));
    picked.ok().filter(|_| reader.end().is_ok()).unwrap_or([None; N])
}

/// Calls `visit` with each element of an array, in order, until it returns `false`. Does nothing when it is not an
/// array. Allocates nothing.
pub(super) fn visit_elements<'a>(json: &'a str, visit: impl FnMut(&'a RawValue) -> bool) {
    // An error ends the visit as the end does: the elements before it were readable.
    let _visited = serde_json::Deserializer::from_str(json).deserialize_seq(ElementVisitor(visit));
}

/// Returns a member that is a string.
pub(super) fn read_string(members: &RawMembers<'_>, name: &str) -> Option<String> {
    read_text(members.get(name)?)
}

/// Returns a value that is a string.
pub(super) fn read_text(value: &RawValue) -> Option<String> {
    serde_json::from_str(value.get()).ok()
}

/// Keeps the members of some names.
struct MemberPicker<'n, const N: usize>(&'n [&'n str; N]);

impl<'de, const N: usize> Visitor<'de> for MemberPicker<'_, N> {
    type Value = [Option<&'de RawValue>; N];

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut picked = [None; N];
        while let Some(place) = members.next_key_seed(NamePlace(self.0))? {
            match place.and_then(|place| picked.get_mut(place)) {
                Some(member) => *member = Some(members.next_value()?),
                None => {
                    members.next_value::<IgnoredAny>()?;
                }
            }
        }
        Ok(picked)
    }
}

/// Finds the place of a member's name among some names.
struct NamePlace<'n>(&'n [&'n str]);

impl<'de> DeserializeSeed<'de> for NamePlace<'_> {
    type Value = Option<usize>;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<Self::Value, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for NamePlace<'_> {
    type Value = Option<usize>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E>(self, name: &str) -> Result<Self::Value, E> {
        Ok(self.0.iter().position(|known| *known == name))
    }
}

/// Calls a function with each element.
struct ElementVisitor<F>(F);

impl<'de, F: FnMut(&'de RawValue) -> bool> Visitor<'de> for ElementVisitor<F> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut elements: A) -> Result<(), A::Error> {
        while let Some(element) = elements.next_element()? {
            if !(self.0)(element) {
                break;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn escapes_that_cannot_be_stored_are_replaced() {
        for (raw, mended) in [
            (r"a\u0000b", r"a\ufffdb"),
            (r"\ud800", r"\ufffd"),
            (r"\uDC00x", r"\ufffdx"),
            (r"\ud83d\ude00", r"\ud83d\ude00"),
            (r"\ud83d\ud83d\ude00", r"\ufffd\ud83d\ude00"),
            (r"\ud83dA", r"\ufffdA"),
            // An escaped backslash before a `u` is no escape of a character.
            (r"\\u0000", r"\\u0000"),
            (r"\\\u0000", r"\\\ufffd"),
            (r"\u00", r"\u00"),
            (r"\", r"\"),
        ] {
            assert_eq!(replace_unstorable(raw.as_bytes()), mended, "{raw}");
        }
        assert_eq!(replace_unstorable(b"a\xffb"), "a\u{fffd}b");
        assert!(matches!(replace_unstorable(b"plain \\n text"), Cow::Borrowed(_)));
    }

    #[test]
    fn a_member_is_kept_although_it_cannot_be_read() {
        let deep = format!("{}{}", "[".repeat(500), "]".repeat(500));
        let json = format!(r#"{{"deep":{deep},"huge":1e999,"name":"x"}}"#);
        let found = read_members(&json).unwrap();
        assert_eq!(read_string(&found, "name").as_deref(), Some("x"));
        assert_eq!(found["deep"].get(), deep);
        assert_eq!(read_string(&found, "huge"), None);
        assert!(
            read_members("[]").is_none() && read_elements("{}").is_none() && read_members("{} x").is_none()
        );
    }

    #[test]
    fn members_and_elements_are_picked_without_a_tree() {
        let json = r#"{"a":1,"x":{"a":2},"\u0062":[3,"4",{}],"a":5}"#;
        let [a, b, c] = pick_members(json, &["a", "b", "c"]);
        assert_eq!((a.map(RawValue::get), c.map(RawValue::get)), (Some("5"), None));
        let mut seen = Vec::new();
        visit_elements(b.unwrap().get(), |element| {
            seen.push(element.get());
            seen.len() < 2
        });
        assert_eq!(seen, ["3", r#""4""#]);
        for none in ["", "[]", "7", r#"{"a":1} x"#, r#"{"a":1"#] {
            assert!(pick_members(none, &["a"])[0].is_none(), "{none}");
        }
        visit_elements("{}", |_| panic!("no element"));
    }

    proptest! {
        #[test]
        fn mending_leaves_json_json(text: String, nul in any::<bool>()) {
            let text = if nul { format!("{text}\0") } else { text };
            let json = serde_json::to_string(&text).unwrap();
            let read: String = serde_json::from_str(&replace_unstorable(json.as_bytes())).unwrap();
            prop_assert_eq!(read, text.replace('\0', "\u{fffd}"));
        }

        #[test]
        fn any_units_can_be_read_after_mending(units in prop::collection::vec(prop_oneof![any::<u16>(), 0xd800u16..0xe000], 0..12)) {
            let json = units.iter().fold(String::new(), |json, unit| json + &format!("\\u{unit:04x}"));
            let read: String = serde_json::from_str(&replace_unstorable(format!("\"{json}\"").as_bytes())).unwrap();
            let expected = String::from_utf16_lossy(&units).replace('\0', "\u{fffd}");
            prop_assert_eq!(read, expected);
        }
    }
}
