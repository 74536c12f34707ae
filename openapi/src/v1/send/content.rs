//! One-line renderings, in the same forms in which inbound messages are rendered.
//!
//! Invariant: at most [`CHARS_MAX`] characters; the payload keeps the whole.

/// Characters of a rendering: WhatsApp's own limit of a text.
const CHARS_MAX: usize = 4096;

/// The text without line breaks and other control characters, cut to the bound.
pub(super) fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect()
}

/// A text that says something, if it does.
pub(super) fn non_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}
