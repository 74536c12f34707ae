//! Images, videos, audio, documents and stickers: a link or an uploaded medium's id, never both.
//!
//! The form of a link is checked; WhatsApp fetches it, and reports `media_download_failed` when it cannot.

use http::Uri;
use kabar_core::domain::message::MessageKind;

use crate::rest::body_fields::{BodyFields, FieldError};

use super::{RenderedContent, content, payload};

/// Longest link that browsers and proxies accept alike; a longer one is a mistake.
const LINK_CHARS: std::ops::RangeInclusive<usize> = 1..=2048;
const ID_CHARS: std::ops::RangeInclusive<usize> = 1..=255;
const CAPTION_CHARS: std::ops::RangeInclusive<usize> = 0..=1024;
/// Longest name that common file systems allow.
const FILENAME_CHARS: std::ops::RangeInclusive<usize> = 1..=255;

pub(super) fn render_media(
    kind: MessageKind,
    fields: &BodyFields<'_>,
) -> Result<RenderedContent, FieldError> {
    let key = kind.as_str();
    let medium = fields.object(key)?;
    check_medium(&medium)?;
    let caption = if matches!(kind, MessageKind::Audio | MessageKind::Sticker) {
        require_absent(&medium, "caption", "has no caption")?;
        None
    } else {
        medium.optional_text("caption", &CAPTION_CHARS)?
    };
    let filename = if kind == MessageKind::Document {
        medium.optional_text("filename", &FILENAME_CHARS)?
    } else {
        require_absent(&medium, "filename", "has no filename; only a document has one")?;
        None
    };
    let content = match (content::non_empty(caption), content::non_empty(filename)) {
        (Some(caption), _) => caption.to_owned(),
        (None, Some(filename)) => content::one_line(filename),
        (None, None) => format!("[{key}]"),
    };
    Ok(RenderedContent::new(content, payload::build_payload(fields.required(key)?)))
}

/// Checks a medium: link or id.
pub(super) fn check_medium(medium: &BodyFields<'_>) -> Result<(), FieldError> {
    let link = medium.optional_text("link", &LINK_CHARS)?;
    let id = medium.optional_text("id", &ID_CHARS)?;
    match (link, id) {
        (Some(link), None) if is_web_link(link, &["https"]) => Ok(()),
        (Some(_), None) => Err(medium.invalid("link", "an https:// URL, percent-encoded where needed")),
        (None, Some(_)) => Ok(()),
        (Some(_), Some(_)) => {
            let why = format!("{} takes a link or an id, not both", medium.path());
            Err(medium.refused("id", &why))
        }
        (None, None) => {
            let mut missing = FieldError::missing_field(medium.path_of("link"));
            missing.message = format!("{} needs a link or an id", medium.path());
            Err(missing)
        }
    }
}

/// Returns `true` for an absolute URL of one of these schemes.
pub(super) fn is_web_link(text: &str, schemes: &[&str]) -> bool {
    let Ok(uri) = text.parse::<Uri>() else { return false };
    uri.scheme_str().is_some_and(|scheme| schemes.contains(&scheme))
        && uri.host().is_some_and(|host| !host.is_empty())
}

fn require_absent(medium: &BodyFields<'_>, key: &str, why: &str) -> Result<(), FieldError> {
    match medium.get(key) {
        None => Ok(()),
        Some(_) => Err(medium.refused(key, &format!("{} {why}", medium.path()))),
    }
}
