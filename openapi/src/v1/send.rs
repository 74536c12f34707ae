//! Reads the body of `POST …/messages`: a message to send, or a message to mark as read.
//!
//! Invariant: a parsed body keeps every limit of the contract, and an error names the field that broke one.
//! The type's object is passed on to WhatsApp as the client wrote it, unknown keys included; only members
//! that are `null` are left out (many generated clients write `null` for "absent", which WhatsApp refuses),
//! a template's language becomes an object, and an alias of a type becomes WhatsApp's word. The account decides if the message may be sent now (24-hour
//! window, status).

mod contacts;
mod content;
mod drafts;
mod interactive;
mod location;
mod media;
mod payload;
mod reaction;
mod recipient;
pub(crate) mod schema;
mod template;
#[cfg(test)]
mod tests;
mod text;

use kabar_core::domain::message::{MessageKind, OutgoingMessage};
use kabar_core::domain::message_details::MessageSource;
use kabar_core::domain::message_details::ReactionTo;
use kabar_core::domain::read_receipt::ReadReceipt;
use kabar_core::domain::template::TemplateKey;
use serde_json::Value;

use crate::rest::body_fields::{BodyFields, FieldError};

pub use drafts::MessageDrafts;
pub(crate) use schema::SendMessageBody;

/// A parsed body of `POST …/messages`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum SendBody {
    /// Send a message.
    Send(OutgoingMessage),
    /// Mark an inbound message, and earlier unread ones of its conversation, as read.
    MarkRead(ReadReceipt),
}

/// A type's object, rendered for storage and for WhatsApp.
struct RenderedContent {
    content: String,
    payload: Value,
    /// The message that a reaction is for, and its emoji.
    reaction: Option<ReactionTo>,
    /// Name and language of a template.
    template: Option<TemplateKey>,
}

impl RenderedContent {
    /// Creates the content of anything but a reaction and a template.
    const fn new(content: String, payload: Value) -> Self {
        Self { content, payload, reaction: None, template: None }
    }
}

/// Characters of WhatsApp's message ids; those seen so far have 60 to 130.
const WAMID_CHARS: std::ops::RangeInclusive<usize> = 1..=512;

/// Longest `biz_opaque_callback_data`: WhatsApp's own limit.
const CALLBACK_CHARS: std::ops::RangeInclusive<usize> = 0..=512;

/// Parses a body that came from `source`.
///
/// # Errors
/// The first invalid field, in the order in which the contract lists them.
pub(crate) fn parse(body: &Value, source: MessageSource) -> Result<SendBody, FieldError> {
    let fields = BodyFields::of_body(body)?;
    fields.word("messaging_product", "\"whatsapp\"", |text| (text == "whatsapp").then_some(()))?;
    if fields.get("status").is_some() {
        fields
            .word("status", "\"read\", or absent to send a message", |text| (text == "read").then_some(()))?;
        let wamid = fields.text("message_id", &WAMID_CHARS)?.into();
        let indicator = fields.optional_object("typing_indicator")?;
        if let Some(indicator) = &indicator {
            indicator.word("type", "\"text\"", |text| (text == "text").then_some(()))?;
        }
        return Ok(SendBody::MarkRead(ReadReceipt { wamid, typing: indicator.is_some() }));
    }
    outgoing(&fields, source).map(SendBody::Send)
}

fn outgoing(fields: &BodyFields<'_>, source: MessageSource) -> Result<OutgoingMessage, FieldError> {
    let to = recipient::read_recipient(fields)?;
    let kind = fields.word("type", SENDABLE, MessageKind::parse)?;
    let RenderedContent { content, payload, reaction, template } = render(kind, fields)?;
    let context = match fields.optional_object("context")? {
        Some(context) => Some(context.text("message_id", &WAMID_CHARS)?.into()),
        None => None,
    };
    let callback_data = fields.optional_text("biz_opaque_callback_data", &CALLBACK_CHARS)?;
    Ok(OutgoingMessage {
        to,
        kind,
        content: content.into(),
        payload: payload.to_string().into(),
        context,
        reaction,
        template,
        callback_data: callback_data.filter(|text| !text.is_empty()).map(Into::into),
        source,
    })
}

const SENDABLE: &str = "text, image, video, audio, document, sticker, template, interactive, location, \
                        contacts or reaction";

fn render(kind: MessageKind, fields: &BodyFields<'_>) -> Result<RenderedContent, FieldError> {
    match kind {
        MessageKind::Text => text::render_text(fields),
        MessageKind::Image
        | MessageKind::Video
        | MessageKind::Audio
        | MessageKind::Document
        | MessageKind::Sticker => media::render_media(kind, fields),
        MessageKind::Template => template::render_template(fields),
        MessageKind::Interactive => interactive::render_interactive(fields),
        MessageKind::Location => location::render_location(fields),
        MessageKind::Contacts => contacts::render_contacts(fields),
        MessageKind::Reaction => reaction::render_reaction(fields),
        MessageKind::Button
        | MessageKind::Order
        | MessageKind::System
        | MessageKind::RequestWelcome
        | MessageKind::Call
        | MessageKind::Unsupported => Err(fields.invalid("type", SENDABLE)),
    }
}
