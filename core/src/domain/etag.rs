//! Entity tags: weak, and different exactly when the page is different.
//!
//! A list's tag names its newest change, its largest unread count, its rows, whether more follow,
//! and a fingerprint of the ordered (id, `updated_at`) list. Every visible change of a row moves its
//! `updated_at`, so equal fingerprints mean equal rows.

use std::hash::{DefaultHasher, Hasher};

use super::contact::Contact;
use super::conversation::Conversation;
use super::log::EventPage;
use super::message::Message;
use super::page::RowPage;
use super::template::Template;
use super::time::Timestamp;

/// Fields of a row that a list's tag depends on.
pub trait ListTagged {
    /// The id's bits.
    fn id_bits(&self) -> u128;
    /// Account clock of the last visible change.
    fn updated_at(&self) -> Timestamp;
    /// Unread messages, 0 where the noun has none.
    fn unread(&self) -> u32 {
        0
    }
}

impl ListTagged for Conversation {
    fn id_bits(&self) -> u128 {
        self.id.bits()
    }
    fn updated_at(&self) -> Timestamp {
        self.updated_at
    }
    fn unread(&self) -> u32 {
        self.unread_count
    }
}

impl ListTagged for Message {
    fn id_bits(&self) -> u128 {
        self.id.bits()
    }
    fn updated_at(&self) -> Timestamp {
        self.updated_at
    }
}

impl ListTagged for Contact {
    fn id_bits(&self) -> u128 {
        self.id.bits()
    }
    fn updated_at(&self) -> Timestamp {
        self.updated_at
    }
}

impl ListTagged for Template {
    fn id_bits(&self) -> u128 {
        self.id.bits()
    }
    fn updated_at(&self) -> Timestamp {
        self.updated_at
    }
}

impl<T: ListTagged> ListTagged for std::sync::Arc<T> {
    fn id_bits(&self) -> u128 {
        T::id_bits(self)
    }
    fn updated_at(&self) -> Timestamp {
        T::updated_at(self)
    }
    fn unread(&self) -> u32 {
        T::unread(self)
    }
}

/// `W/"<newest updated_at or ->:<max unread>:<rows>:<has_more 0|1>:<fingerprint>"`.
#[must_use]
pub fn of_page<T: ListTagged>(page: &RowPage<T>) -> String {
    let mut hasher = DefaultHasher::new();
    for row in &page.rows {
        hasher.write_u128(row.id_bits());
        hasher.write_i64(row.updated_at().millis());
    }
    let newest = page.rows.iter().map(ListTagged::updated_at).max();
    let newest = newest.map_or_else(|| "-".to_owned(), |at| at.to_string());
    let unread = page.rows.iter().map(ListTagged::unread).max().unwrap_or(0);
    let fingerprint = hasher.finish() & 0xffff_ffff_ffff;
    format!("W/\"{newest}:{unread}:{}:{}:{fingerprint:012x}\"", page.rows.len(), u8::from(page.has_more))
}

/// `W/"<status>:<error code or ->:<updated_at>"`.
#[must_use]
pub fn of_message(message: &Message) -> String {
    let error = message.error.as_ref().map_or("-", |error| &error.code);
    format!("W/\"{}:{error}:{}\"", message.status.as_str(), message.updated_at)
}

/// `W/"<last_sequence>:<events>:<has_more 0|1>"`, for a page of the log. Events never change, so after one
/// position this tells two pages apart.
#[must_use]
pub fn of_events(page: &EventPage) -> String {
    format!("W/\"{}:{}:{}\"", page.last_sequence, page.events.len(), u8::from(page.has_more))
}

/// `W/"<updated_at>:<unread>"`, for a single conversation or contact.
#[must_use]
pub fn of_row<T: ListTagged>(row: &T) -> String {
    format!("W/\"{}:{}\"", row.updated_at(), row.unread())
}

/// Returns `true` when an `If-None-Match` value matches: a list or `*`, weak comparison (RFC 9110, 13.1.2).
#[must_use]
pub fn tag_matches(if_none_match: &str, etag: &str) -> bool {
    let opaque = etag.strip_prefix("W/").unwrap_or(etag);
    let mut rest = if_none_match.trim();
    if rest == "*" {
        return true;
    }
    // A tag may hold a comma, so tags are read one quoted string at a time.
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        let tag = rest.strip_prefix("W/").unwrap_or(rest);
        let Some(body) = tag.strip_prefix('"') else { return false };
        let Some(end) = body.find('"') else { return false };
        let (Some(quoted), Some(after)) = (tag.get(..end + 2), body.get(end + 1..)) else { return false };
        if quoted == opaque {
            return true;
        }
        rest = after;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone, PartialEq)]
    struct TestRow(u128, i64, u32);
    impl ListTagged for TestRow {
        fn id_bits(&self) -> u128 {
            self.0
        }
        fn updated_at(&self) -> Timestamp {
            Timestamp::from_millis(self.1)
        }
        fn unread(&self) -> u32 {
            self.2
        }
    }

    fn page() -> impl Strategy<Value = RowPage<TestRow>> {
        (proptest::collection::vec((0_u128..4, 0_i64..4), 0..4), any::<bool>()).prop_map(
            |(rows, has_more)| RowPage {
                rows: rows.into_iter().map(|(id, at)| TestRow(id, at, u32::try_from(at).unwrap())).collect(),
                has_more,
            },
        )
    }

    proptest! {
        #[test]
        fn tags_are_equal_exactly_when_pages_are(a in page(), b in page()) {
            prop_assert_eq!(of_page(&a) == of_page(&b), a == b);
        }

        #[test]
        fn any_header_is_survived(header in ".{0,40}") {
            let _whatever = tag_matches(&header, "W/\"a\"");
        }
    }

    #[test]
    fn lists_stars_and_weakness() {
        let tag = "W/\"2026-06-19T11:00:00.000Z:2:1:0:9f2c61d3a07b\"";
        for header in [
            "*",
            tag,
            " W/\"x\", W/\"2026-06-19T11:00:00.000Z:2:1:0:9f2c61d3a07b\"",
            "\"2026-06-19T11:00:00.000Z:2:1:0:9f2c61d3a07b\"",
            "\"a,b\",W/\"2026-06-19T11:00:00.000Z:2:1:0:9f2c61d3a07b\"",
        ] {
            assert!(tag_matches(header, tag), "{header}");
        }
        for header in ["", "W/", "\"", "2026", "W/\"y\"", "w/\"y\"", "**", "\"x\" \"y\""] {
            assert!(!tag_matches(header, tag), "{header}");
        }
        assert!(of_page::<TestRow>(&RowPage { rows: vec![], has_more: false }).starts_with("W/\"-:0:0:0:"));
    }
}
