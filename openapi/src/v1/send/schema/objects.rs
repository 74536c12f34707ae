//! Schemas of the objects of the simple types.
//!
//! The limits here are for readers and generators; the modules of `send` enforce them.

use poem_openapi::{Enum, Object};
use serde_json::Value;

/// A plain text.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none)]
pub(crate) struct SendText {
    /// The text.
    #[oai(validator(min_length = 1, max_length = 4096))]
    pub(crate) body: String,
    /// `true` to show a preview of the first link.
    pub(crate) preview_url: Option<bool>,
}

/// A medium: `link` or `id`, not both.
#[derive(Debug, Clone, Object)]
pub(crate) struct SendMedium {
    /// URL that WhatsApp fetches it from; https only.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub(crate) link: Option<String>,
    /// The id of a medium that was uploaded to WhatsApp.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub(crate) id: Option<String>,
}

/// An image or a video: `link` or `id`, not both.
#[derive(Debug, Clone, Object)]
pub(crate) struct SendCaptioned {
    /// URL that WhatsApp fetches it from; https only.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub(crate) link: Option<String>,
    /// The id of a medium that was uploaded to WhatsApp.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub(crate) id: Option<String>,
    /// Shown below it.
    #[oai(validator(max_length = 1024))]
    pub(crate) caption: Option<String>,
}

/// A document: `link` or `id`, not both.
#[derive(Debug, Clone, Object)]
pub(crate) struct SendDocument {
    /// URL that WhatsApp fetches it from; https only.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub(crate) link: Option<String>,
    /// The id of a medium that was uploaded to WhatsApp.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub(crate) id: Option<String>,
    /// Shown below it.
    #[oai(validator(max_length = 1024))]
    pub(crate) caption: Option<String>,
    /// The name under which the recipient sees it.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub(crate) filename: Option<String>,
}

/// A text that WhatsApp approved beforehand.
#[derive(Debug, Clone, Object)]
pub(crate) struct SendTemplate {
    /// Its name.
    #[oai(validator(min_length = 1, max_length = 512))]
    pub(crate) name: String,
    /// Its language. The bare code as a text is understood, too.
    pub(crate) language: TemplateLanguage,
    /// Values of its placeholders.
    #[oai(validator(max_items = 32))]
    pub(crate) components: Option<Vec<TemplateComponent>>,
}

/// A template's language.
#[derive(Debug, Clone, Object)]
pub(crate) struct TemplateLanguage {
    /// Such as `en_US`.
    #[oai(validator(min_length = 1, max_length = 35))]
    pub(crate) code: String,
}

/// Values of the placeholders of one part of a template.
#[derive(Debug, Clone, Object)]
pub(crate) struct TemplateComponent {
    /// Part of the template: `header`, `body`, `button`, …
    #[oai(rename = "type", validator(min_length = 1, max_length = 64))]
    pub(crate) kind: String,
    /// For a button: `quick_reply`, `url`, …
    pub(crate) sub_type: Option<String>,
    /// For a button: its index.
    pub(crate) index: Option<Value>,
    /// WhatsApp's parameter objects, each with a `type`.
    #[oai(validator(max_items = 1024))]
    pub(crate) parameters: Option<Vec<Value>>,
}

/// A location.
#[derive(Debug, Clone, Object)]
pub(crate) struct SendLocation {
    /// Latitude, in degrees.
    #[oai(validator(minimum(value = "-90"), maximum(value = "90")))]
    pub(crate) latitude: f64,
    /// Longitude, in degrees.
    #[oai(validator(minimum(value = "-180"), maximum(value = "180")))]
    pub(crate) longitude: f64,
    /// Name of the location.
    #[oai(validator(max_length = 1000))]
    pub(crate) name: Option<String>,
    /// Address of the location.
    #[oai(validator(max_length = 1000))]
    pub(crate) address: Option<String>,
}

/// A contact card. WhatsApp's other members (`phones`, `emails`, `org`, …) are passed on.
#[derive(Debug, Clone, Object)]
pub(crate) struct SendContactCard {
    /// The person's name.
    pub(crate) name: ContactName,
    /// WhatsApp's phone objects.
    pub(crate) phones: Option<Vec<Value>>,
    /// WhatsApp's email objects.
    pub(crate) emails: Option<Vec<Value>>,
}

/// The name on a contact card. WhatsApp wants `first_name` or another part, too.
#[derive(Debug, Clone, Object)]
#[expect(clippy::struct_field_names, reason = "WhatsApp names them so")]
pub(crate) struct ContactName {
    /// The full name, as shown.
    #[oai(validator(min_length = 1, max_length = 1024))]
    pub(crate) formatted_name: String,
    /// First name.
    pub(crate) first_name: Option<String>,
    /// Last name.
    pub(crate) last_name: Option<String>,
}

/// A reaction.
#[derive(Debug, Clone, Object)]
pub(crate) struct SendReaction {
    /// WhatsApp's id (`wamid.…`) of the message reacted to.
    #[oai(validator(min_length = 1, max_length = 512))]
    pub(crate) message_id: String,
    /// The emoji; empty to take the reaction back.
    #[oai(validator(max_length = 32))]
    pub(crate) emoji: String,
}

/// Points to a message.
#[derive(Debug, Clone, Object)]
#[oai(rename = "SendContext")]
pub(crate) struct MessageReference {
    /// WhatsApp's id (`wamid.…`).
    #[oai(validator(min_length = 1, max_length = 512))]
    pub(crate) message_id: String,
}

/// Shows the contact that an answer is being written.
#[derive(Debug, Clone, Object)]
pub(crate) struct TypingIndicator {
    /// Always `text`.
    #[oai(rename = "type")]
    pub(crate) kind: TypingKind,
}

/// Kind of a typing indicator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub(crate) enum TypingKind {
    /// The only one.
    Text,
}
