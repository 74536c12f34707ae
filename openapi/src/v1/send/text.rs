//! A plain text. Its content is the text itself; WhatsApp alone looks for links in it.

use crate::rest::body_fields::{BodyFields, FieldError};

use super::{RenderedContent, payload};

pub(super) fn render_text(fields: &BodyFields<'_>) -> Result<RenderedContent, FieldError> {
    let text = fields.object("text")?;
    let body = text.text("body", &(1..=4096))?;
    text.optional_flag("preview_url")?;
    Ok(RenderedContent::new(body.to_owned(), payload::build_payload(fields.required("text")?)))
}
