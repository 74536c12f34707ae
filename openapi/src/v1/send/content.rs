//! One-line renderings, in the same form as those of inbound messages.
//!
//! Invariant: at most [`CHARS_MAX`] characters; the payload keeps the whole.

/// Longest rendering: WhatsApp's own limit of a text.
const CHARS_MAX: usize = 4096;

/// Returns the text without line breaks and other control characters, cut to the limit.
pub(super) fn one_line(text: &str) -> String {
    text.trim().chars().map(|c| if c.is_control() { ' ' } else { c }).take(CHARS_MAX).collect()
}

/// Returns the text, cut to the limit.
pub(super) fn cut_text(text: &str) -> String {
    text.chars().take(CHARS_MAX).collect()
}

/// Returns the text unless it is blank.
pub(super) fn non_empty(text: Option<&str>) -> Option<&str> {
    text.filter(|text| !text.trim().is_empty())
}
