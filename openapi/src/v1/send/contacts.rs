//! Contact cards. The "object" of this one type is an array, in WhatsApp's wire format too.

use crate::rest::body_fields::{BodyFields, FieldError};

use super::{RenderedContent, content, payload};

/// Meta, "Contacts messages": up to 257 in one message, fewer are advised.
const CARDS: std::ops::RangeInclusive<usize> = 1..=257;
const NAME_CHARS: std::ops::RangeInclusive<usize> = 1..=1024;

pub(super) fn render_contacts(fields: &BodyFields<'_>) -> Result<RenderedContent, FieldError> {
    let names: Vec<&str> = fields
        .objects("contacts", &CARDS)?
        .iter()
        .map(|card| card.object("name")?.text("formatted_name", &NAME_CHARS))
        .collect::<Result<_, _>>()?;
    let content = content::one_line(&format!("👤 {}", names.join(", ")));
    Ok(RenderedContent::new(content, payload::build_payload(fields.required("contacts")?)))
}
