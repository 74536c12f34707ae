//! A reaction to a message; an empty emoji takes an earlier one back.
//!
//! Any text passes as an emoji: WhatsApp's set grows with Unicode's.

use crate::rest::body_fields::{BodyFields, FieldError};

use super::{RenderedContent, WAMID_CHARS, content, payload};

/// Families joined by zero-width joiners, with skin tones, stay below this.
const EMOJI_CHARS: std::ops::RangeInclusive<usize> = 0..=32;

pub(super) fn render_reaction(fields: &BodyFields<'_>) -> Result<RenderedContent, FieldError> {
    let reaction = fields.object("reaction")?;
    reaction.text("message_id", &WAMID_CHARS)?;
    let emoji = reaction.text("emoji", &EMOJI_CHARS)?;
    let content = if emoji.is_empty() { "[reaction removed]".to_owned() } else { content::one_line(emoji) };
    Ok(RenderedContent { content, payload: payload::build_payload(fields.required("reaction")?) })
}
