//! Schemas of the objects of the simple types.
//!
//! The limits here are for readers and generators; the modules of `send` enforce them.

use poem_openapi::Object;
use serde_json::Value;

/// A plain text.
#[derive(Debug, Clone, Object)]
#[oai(skip_serializing_if_is_none)]
pub struct SendText {
    /// The text.
    #[oai(validator(min_length = 1, max_length = 4096))]
    pub body: String,
    /// `true` to show a preview of the first link.
    pub preview_url: Option<bool>,
}

/// A medium: `link` or `id`, not both.
#[derive(Debug, Clone, Object)]
pub struct SendMedium {
    /// URL that WhatsApp fetches it from; https only.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub link: Option<String>,
    /// The id of a medium that was uploaded to WhatsApp.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub id: Option<String>,
}

/// An image or a video: `link` or `id`, not both.
#[derive(Debug, Clone, Object)]
pub struct SendCaptioned {
    /// URL that WhatsApp fetches it from; https only.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub link: Option<String>,
    /// The id of a medium that was uploaded to WhatsApp.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub id: Option<String>,
    /// Shown below it.
    #[oai(validator(max_length = 1024))]
    pub caption: Option<String>,
}

/// A document: `link` or `id`, not both.
#[derive(Debug, Clone, Object)]
pub struct SendDocument {
    /// URL that WhatsApp fetches it from; https only.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub link: Option<String>,
    /// The id of a medium that was uploaded to WhatsApp.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub id: Option<String>,
    /// Shown below it.
    #[oai(validator(max_length = 1024))]
    pub caption: Option<String>,
    /// The name under which the recipient sees it.
    #[oai(validator(min_length = 1, max_length = 255))]
    pub filename: Option<String>,
}

/// A text that WhatsApp approved beforehand.
#[derive(Debug, Clone, Object)]
pub struct SendTemplate {
    /// Its name.
    #[oai(validator(min_length = 1, max_length = 512))]
    pub name: String,
    /// Its language. The bare code as a text is understood, too.
    pub language: TemplateLanguage,
    /// Values of its placeholders.
    #[oai(validator(max_items = 32))]
    pub components: Option<Vec<TemplateComponent>>,
}

/// A template's language.
#[derive(Debug, Clone, Object)]
pub struct TemplateLanguage {
    /// Such as `en_US`.
    #[oai(validator(min_length = 1, max_length = 35))]
    pub code: String,
}

/// Values of the placeholders of one part of a template.
#[derive(Debug, Clone, Object)]
pub struct TemplateComponent {
    /// Part of the template: `header`, `body`, `button`, …
    #[oai(rename = "type", validator(min_length = 1, max_length = 64))]
    pub kind: String,
    /// For a button: `quick_reply`, `url`, …
    pub sub_type: Option<String>,
    /// For a button: its index.
    pub index: Option<Value>,
    /// WhatsApp's parameter objects, each with a `type`.
    #[oai(validator(max_items = 1024))]
    pub parameters: Option<Vec<Value>>,
}

/// A location.
#[derive(Debug, Clone, Object)]
pub struct SendLocation {
    /// Latitude, in degrees.
    #[oai(validator(minimum(value = "-90"), maximum(value = "90")))]
    pub latitude: f64,
    /// Longitude, in degrees.
    #[oai(validator(minimum(value = "-180"), maximum(value = "180")))]
    pub longitude: f64,
    /// Name of the location.
    #[oai(validator(max_length = 1000))]
    pub name: Option<String>,
    /// Address of the location.
    #[oai(validator(max_length = 1000))]
    pub address: Option<String>,
}

/// A contact card. WhatsApp's other members (`phones`, `emails`, `org`, …) are passed on.
#[derive(Debug, Clone, Object)]
pub struct SendContactCard {
    /// The person's name.
    pub name: ContactName,
    /// WhatsApp's phone objects.
    pub phones: Option<Vec<Value>>,
    /// WhatsApp's email objects.
    pub emails: Option<Vec<Value>>,
}

/// The name on a contact card. WhatsApp wants `first_name` or another part, too.
#[derive(Debug, Clone, Object)]
#[expect(clippy::struct_field_names, reason = "WhatsApp names them so")]
pub struct ContactName {
    /// The full name, as shown.
    #[oai(validator(min_length = 1, max_length = 1024))]
    pub formatted_name: String,
    /// First name.
    pub first_name: Option<String>,
    /// Last name.
    pub last_name: Option<String>,
}

/// A reaction.
#[derive(Debug, Clone, Object)]
pub struct SendReaction {
    /// WhatsApp's id (`wamid.…`) of the message reacted to.
    #[oai(validator(min_length = 1, max_length = 512))]
    pub message_id: String,
    /// The emoji; empty to take the reaction back.
    #[oai(validator(max_length = 32))]
    pub emoji: String,
}

/// Points to a message.
#[derive(Debug, Clone, Object)]
#[oai(rename = "SendContext")]
pub struct MessageReference {
    /// WhatsApp's id (`wamid.…`).
    #[oai(validator(min_length = 1, max_length = 512))]
    pub message_id: String,
}
