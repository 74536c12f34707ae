//! A reaction to a message; an empty emoji takes an earlier one back.
//!
//! Any text passes as an emoji: WhatsApp's set grows with Unicode's.

use kabar_core::domain::message_details::ReactionTo;

use crate::rest::body_fields::{BodyFields, FieldError};

use super::{RenderedContent, WAMID_CHARS, content, payload};

/// Families joined by zero-width joiners, with skin tones, stay below this.
const EMOJI_CHARS: std::ops::RangeInclusive<usize> = 0..=32;

pub(super) fn render_reaction(fields: &BodyFields<'_>) -> Result<RenderedContent, FieldError> {
    let reaction = fields.object("reaction")?;
    let wamid = reaction.text("message_id", &WAMID_CHARS)?.into();
    let emoji = reaction.text("emoji", &EMOJI_CHARS)?;
    let content = if emoji.is_empty() { "[reaction removed]".to_owned() } else { content::one_line(emoji) };
    let payload = payload::build_payload(fields.required("reaction")?);
    let emoji = content::non_empty(Some(emoji)).map(Into::into);
    Ok(RenderedContent {
        reaction: Some(ReactionTo { wamid, emoji }),
        ..RenderedContent::new(content, payload)
    })
}
