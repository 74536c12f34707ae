//! Cursors: a line with the list, then the text of the cursor.

use kabar_core::cursor::CursorKey;
use kabar_core::domain::page::PagePosition;

use super::{FuzzTarget, split_line};

pub(super) const TARGET: FuzzTarget = FuzzTarget {
    name: "cursor",
    run,
    words: &["A", "_", "-", "=", "conversations/a", "\u{e4}"],
    input_bytes_max: 200,
    mutations: 20_000,
};

/// A text that is taken is the only spelling of its position, and belongs to its list and key alone.
fn run(input: &[u8]) {
    let (list, text) = split_line(input);
    let (list, text) = (String::from_utf8_lossy(list), String::from_utf8_lossy(text));
    let key = CursorKey::new([7; 32]);
    if let Some(position) = key.verify_cursor(&list, &text) {
        assert_eq!(key.sign_cursor(&list, position), text, "one spelling");
    }
    let bytes = |from: usize| text.bytes().chain(std::iter::repeat(0)).skip(from);
    let position = PagePosition {
        key: bytes(0).take(8).fold(0, |key, byte| (key << 8) | i64::from(byte)),
        id: bytes(8).take(16).fold(0, |id, byte| (id << 8) | u128::from(byte)),
    };
    let signed = key.sign_cursor(&list, position);
    assert_eq!(key.verify_cursor(&list, &signed), Some(position));
    assert_eq!(key.verify_cursor(&format!("{list}/"), &signed), None, "another list");
    assert_eq!(CursorKey::new([8; 32]).verify_cursor(&list, &signed), None, "another key");
}
