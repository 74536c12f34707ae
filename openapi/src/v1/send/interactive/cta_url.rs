//! A button that opens a web page.

use crate::rest::body_fields::{BodyFields, FieldError};

use super::media;

const DISPLAY_CHARS: std::ops::RangeInclusive<usize> = 1..=20;
const URL_CHARS: std::ops::RangeInclusive<usize> = 1..=2048;

pub(super) fn check_cta_url(action: &BodyFields<'_>) -> Result<(), FieldError> {
    action.word("name", "\"cta_url\"", |text| (text == "cta_url").then_some(()))?;
    let parameters = action.object("parameters")?;
    parameters.text("display_text", &DISPLAY_CHARS)?;
    let url = parameters.text("url", &URL_CHARS)?;
    if media::is_web_link(url, &["https", "http"]) {
        Ok(())
    } else {
        Err(parameters.invalid("url", "an http:// or https:// URL, percent-encoded where needed"))
    }
}
