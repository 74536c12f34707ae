//! Schemas of interactive messages.
//!
//! One action object for all types; a type leaves out the members that it does not use.

use poem_openapi::{Enum, Object};

use super::SendMedium;
use crate::rest::text::FreeObject;

/// The type of an interactive message; it decides what `action` holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "snake_case")]
#[expect(missing_docs, reason = "each is WhatsApp's own word")]
pub enum InteractiveType {
    Button,
    List,
    CtaUrl,
    Product,
    ProductList,
    Flow,
    LocationRequestMessage,
    CatalogMessage,
    AddressMessage,
}

/// An interactive message.
#[derive(Debug, Clone, Object)]
pub struct SendInteractive {
    /// Type of the interactive message.
    #[oai(rename = "type")]
    pub kind: InteractiveType,
    /// Above the body. A list takes a text only.
    pub header: Option<InteractiveHeader>,
    /// The text; only `product` may go without.
    pub body: Option<InteractiveText>,
    /// Below the body; at most 60 characters.
    pub footer: Option<InteractiveText>,
    /// Actions that the recipient can take.
    pub action: InteractiveAction,
}

/// A header: a text of at most 60 characters, or a medium.
#[derive(Debug, Clone, Object)]
pub struct InteractiveHeader {
    /// `text`, `image`, `video` or `document`.
    #[oai(rename = "type")]
    pub kind: String,
    /// For `type: "text"`.
    #[oai(validator(min_length = 1, max_length = 60))]
    pub text: Option<String>,
    /// For `type: "image"`.
    pub image: Option<SendMedium>,
    /// For `type: "video"`.
    pub video: Option<SendMedium>,
    /// For `type: "document"`.
    pub document: Option<SendMedium>,
}

/// A text of an interactive message: a body of at most 1024 characters, a footer of at most 60.
#[derive(Debug, Clone, Object)]
pub struct InteractiveText {
    /// The text.
    #[oai(validator(min_length = 1, max_length = 1024))]
    pub text: String,
}

/// Actions that the recipient can take.
#[derive(Debug, Clone, Object)]
pub struct InteractiveAction {
    /// For `button`.
    #[oai(validator(min_items = 1, max_items = 3))]
    pub buttons: Option<Vec<InteractiveButton>>,
    /// For `list`: the text of the button that opens it.
    #[oai(validator(min_length = 1, max_length = 20))]
    pub button: Option<String>,
    /// For `list`: at most 10 rows in all. `product_list` has sections of its own form.
    #[oai(validator(min_items = 1, max_items = 10))]
    pub sections: Option<Vec<InteractiveSection>>,
    /// For `cta_url`, `flow` and others: WhatsApp's name of the action.
    pub name: Option<String>,
    /// For `cta_url`: `display_text` (at most 20 characters) and `url`. For others: WhatsApp's own.
    pub parameters: Option<FreeObject>,
}

/// A reply button.
#[derive(Debug, Clone, Object)]
pub struct InteractiveButton {
    /// Always `reply`.
    #[oai(rename = "type")]
    pub kind: String,
    /// Reply that is sent when it is pressed.
    pub reply: InteractiveReply,
}

/// Title of a button, and the id of its reply.
#[derive(Debug, Clone, Object)]
pub struct InteractiveReply {
    /// Your id; different for each button.
    #[oai(validator(min_length = 1, max_length = 256))]
    pub id: String,
    /// Text on the button.
    #[oai(validator(min_length = 1, max_length = 20))]
    pub title: String,
}

/// A section of a list.
#[derive(Debug, Clone, Object)]
pub struct InteractiveSection {
    /// Title; required where there is more than one section.
    #[oai(validator(max_length = 24))]
    pub title: Option<String>,
    /// Its rows.
    #[oai(validator(min_items = 1, max_items = 10))]
    pub rows: Option<Vec<InteractiveRow>>,
}

/// A row of a list.
#[derive(Debug, Clone, Object)]
pub struct InteractiveRow {
    /// Your id; different for each row.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub id: String,
    /// Title of the row.
    #[oai(validator(min_length = 1, max_length = 24))]
    pub title: String,
    /// Text below the title, in smaller type.
    #[oai(validator(max_length = 72))]
    pub description: Option<String>,
}
