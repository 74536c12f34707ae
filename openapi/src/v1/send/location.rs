//! A location: degrees, name and address.

use crate::rest::body_fields::{BodyFields, FieldError};

use super::{RenderedContent, content, payload};

/// WhatsApp states no bound; its clients show some 100.
const PLACE_CHARS: std::ops::RangeInclusive<usize> = 0..=1000;

pub(super) fn render_location(fields: &BodyFields<'_>) -> Result<RenderedContent, FieldError> {
    let location = fields.object("location")?;
    let latitude = location.number("latitude", &(-90.0..=90.0))?;
    let longitude = location.number("longitude", &(-180.0..=180.0))?;
    let name = location.optional_text("name", &PLACE_CHARS)?;
    let address = location.optional_text("address", &PLACE_CHARS)?;
    let named: Vec<&str> = [name, address].into_iter().filter_map(content::non_empty).collect();
    let place = if named.is_empty() { format!("{latitude}, {longitude}") } else { named.join(", ") };
    let content = format!("📍 {}", content::one_line(&place));
    Ok(RenderedContent::new(content, payload::build_payload(fields.required("location")?)))
}
