//! Interactive messages: the shared parts (header, body, footer), and the action of each type.
//!
//! Buttons, lists and links are checked to the last member. Of WhatsApp's shops and forms the shared parts are
//! checked, and the action is passed on as it is. Every other type is passed on whole, within a bound:
//! WhatsApp's set grows, and WhatsApp refuses what it does not know.

mod button;
mod cta_url;
mod list;

use serde_json::Value;

use crate::rest::body_fields::{BodyFields, FieldError};

use super::{RenderedContent, content, media, payload};

const BODY_CHARS: std::ops::RangeInclusive<usize> = 1..=1024;
const LIST_BODY_CHARS: std::ops::RangeInclusive<usize> = 1..=4096;
const LINE_CHARS: std::ops::RangeInclusive<usize> = 1..=60;

/// Longest word of a type.
const TYPE_CHARS: std::ops::RangeInclusive<usize> = 1..=64;
/// Bytes of an object that is passed on whole, at most.
const WHOLE_BYTES_MAX: usize = 32 * 1024;
/// Kirimdev's word for `button`.
const BUTTON_ALIAS: &str = "reply_buttons";

/// A type of interactive message whose parts are checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum InteractiveKind {
    Button,
    List,
    CtaUrl,
    Product,
    ProductList,
    Flow,
    LocationRequest,
    Catalog,
    Address,
}

impl InteractiveKind {
    const ALL: [Self; 9] = [
        Self::Button,
        Self::List,
        Self::CtaUrl,
        Self::Product,
        Self::ProductList,
        Self::Flow,
        Self::LocationRequest,
        Self::Catalog,
        Self::Address,
    ];

    /// Returns WhatsApp's word.
    const fn as_str(self) -> &'static str {
        match self {
            Self::Button => "button",
            Self::List => "list",
            Self::CtaUrl => "cta_url",
            Self::Product => "product",
            Self::ProductList => "product_list",
            Self::Flow => "flow",
            Self::LocationRequest => "location_request_message",
            Self::Catalog => "catalog_message",
            Self::Address => "address_message",
        }
    }

    /// Reads WhatsApp's word, or Kirimdev's alias.
    fn parse(text: &str) -> Option<Self> {
        if text == BUTTON_ALIAS {
            return Some(Self::Button);
        }
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

pub(super) fn render_interactive(fields: &BodyFields<'_>) -> Result<RenderedContent, FieldError> {
    let interactive = fields.object("interactive")?;
    let word = interactive.text("type", &TYPE_CHARS)?;
    let Some(form) = InteractiveKind::parse(word) else { return render_whole(fields, &interactive, word) };
    check_header(form, &interactive)?;
    let body = read_body(form, &interactive)?;
    if let Some(footer) = interactive.optional_object("footer")? {
        footer.text("text", &LINE_CHARS)?;
    }
    let action = interactive.object("action")?;
    match form {
        InteractiveKind::Button => button::check_button(&action)?,
        InteractiveKind::List => list::check_list(&action)?,
        InteractiveKind::CtaUrl => cta_url::check_cta_url(&action)?,
        InteractiveKind::Product
        | InteractiveKind::ProductList
        | InteractiveKind::Flow
        | InteractiveKind::LocationRequest
        | InteractiveKind::Catalog
        | InteractiveKind::Address => {}
    }
    let mut payload = payload::build_payload(fields.required("interactive")?);
    if let Some(slot) = payload.get_mut("type") {
        *slot = form.as_str().into();
    }
    Ok(RenderedContent::new(render_line(body, form.as_str()), payload))
}

/// Passes an object of a type that is not checked on, if it is small enough.
fn render_whole(
    fields: &BodyFields<'_>,
    interactive: &BodyFields<'_>,
    word: &str,
) -> Result<RenderedContent, FieldError> {
    if !word.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_') {
        return Err(interactive.invalid("type", "WhatsApp's word for a type, such as button"));
    }
    let payload = payload::build_payload(fields.required("interactive")?);
    if payload.to_string().len() > WHOLE_BYTES_MAX {
        return Err(fields.invalid("interactive", "an object of at most 32 KiB"));
    }
    let body = payload.pointer("/body/text").and_then(Value::as_str);
    Ok(RenderedContent::new(render_line(body, word), payload))
}

fn render_line(body: Option<&str>, word: &str) -> String {
    // The body of a type that is not checked has no bound of its own.
    content::non_empty(body).map_or_else(|| format!("[{word}]"), content::cut_text)
}

/// Reads the body; only a single product may go without.
fn read_body<'a>(form: InteractiveKind, interactive: &BodyFields<'a>) -> Result<Option<&'a str>, FieldError> {
    if form == InteractiveKind::Product && interactive.get("body").is_none() {
        return Ok(None);
    }
    let chars = if form == InteractiveKind::List { &LIST_BODY_CHARS } else { &BODY_CHARS };
    interactive.object("body")?.text("text", chars).map(Some)
}

/// Checks the header: a text, or a medium where the type allows one.
fn check_header(form: InteractiveKind, interactive: &BodyFields<'_>) -> Result<(), FieldError> {
    let Some(header) = interactive.optional_object("header")? else { return Ok(()) };
    let text_only = matches!(form, InteractiveKind::List | InteractiveKind::ProductList);
    let (kinds, expected): (&[&str], _) = if text_only {
        (&["text"], "text")
    } else {
        (&["text", "image", "video", "document"], "text, image, video or document")
    };
    let find = |text: &str| kinds.iter().copied().find(|kind| *kind == text);
    match header.word("type", expected, find)? {
        "text" => header.text("text", &LINE_CHARS).map(drop),
        medium => media::check_medium(&header.object(medium)?),
    }
}
