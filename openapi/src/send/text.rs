//! A plain text. Its content is itself; WhatsApp alone looks for links in it.

use crate::body::{FieldError, Fields};

use super::{Rendered, payload};

pub(super) fn render(fields: &Fields<'_>) -> Result<Rendered, FieldError> {
    let text = fields.object("text")?;
    let body = text.text("body", &(1..=4096))?;
    text.optional_flag("preview_url")?;
    Ok(Rendered { content: body.to_owned(), payload: payload::of(fields.required("text")?) })
}
