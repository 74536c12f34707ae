//! Interactive messages: the shared parts (header, body, footer), and the action of each type.
//!
//! Buttons, lists and links are checked to the last member. The other types are WhatsApp's shops and forms:
//! the shared parts are checked, the action is passed on as it is.

mod button;
mod cta_url;
mod list;

use crate::rest::body_fields::{BodyFields, FieldError};

use super::{RenderedContent, content, media, payload};

const BODY_CHARS: std::ops::RangeInclusive<usize> = 1..=1024;
const LINE_CHARS: std::ops::RangeInclusive<usize> = 1..=60;

/// A type of interactive message.
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
    const EXPECTED: &'static str = "button, list, cta_url, product, product_list, flow, \
                                    location_request_message, catalog_message or address_message";

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

    fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|known| known.as_str() == text)
    }
}

pub(super) fn render_interactive(fields: &BodyFields<'_>) -> Result<RenderedContent, FieldError> {
    let interactive = fields.object("interactive")?;
    let form = interactive.word("type", InteractiveKind::EXPECTED, InteractiveKind::parse)?;
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
    let content = match content::non_empty(body) {
        Some(body) => body.to_owned(),
        None => format!("[{}]", form.as_str()),
    };
    Ok(RenderedContent { content, payload: payload::build_payload(fields.required("interactive")?) })
}

/// Reads the body; only a single product may go without.
fn read_body<'a>(form: InteractiveKind, interactive: &BodyFields<'a>) -> Result<Option<&'a str>, FieldError> {
    if form == InteractiveKind::Product && interactive.get("body").is_none() {
        return Ok(None);
    }
    interactive.object("body")?.text("text", &BODY_CHARS).map(Some)
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
