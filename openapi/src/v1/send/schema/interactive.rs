//! Schemas of interactive messages.
//!
//! One action object for all types; a type leaves out the members that it does not use.

use poem_openapi::Object;

use super::SendMedium;
use crate::rest::text::FreeObject;

/// An interactive message.
#[derive(Debug, Clone, Object)]
pub(crate) struct SendInteractive {
    /// WhatsApp's word for its type, which decides what `action` holds: `button`, `list`, `cta_url`, `flow`,
    /// `product`, `product_list`, `catalog_message`, `address_message`, `location_request_message`, `carousel`,
    /// `call_permission_request`, `voice_call`, `request_contact_info`, `order_details`, `order_status`, … A type
    /// that is not checked here goes to WhatsApp as it is, if the object has at most 32 KiB. `reply_buttons` is
    /// understood as `button`.
    #[oai(rename = "type", validator(min_length = 1, max_length = 64))]
    pub(crate) kind: String,
    /// Above the body. A list takes a text only.
    pub(crate) header: Option<InteractiveHeader>,
    /// The text, which most types need.
    pub(crate) body: Option<InteractiveText>,
    /// Below the body; at most 60 characters.
    pub(crate) footer: Option<InteractiveText>,
    /// Actions that the recipient can take, which most types need.
    pub(crate) action: Option<InteractiveAction>,
}

/// A header: a text of at most 60 characters, or a medium.
#[derive(Debug, Clone, Object)]
pub(crate) struct InteractiveHeader {
    /// `text`, `image`, `video` or `document`.
    #[oai(rename = "type")]
    pub(crate) kind: String,
    /// For `type: "text"`.
    #[oai(validator(min_length = 1, max_length = 60))]
    pub(crate) text: Option<String>,
    /// For `type: "image"`.
    pub(crate) image: Option<SendMedium>,
    /// For `type: "video"`.
    pub(crate) video: Option<SendMedium>,
    /// For `type: "document"`.
    pub(crate) document: Option<SendMedium>,
}

/// A text of an interactive message: a body of at most 1024 characters, or 4096 in a `list`; a footer of at most
/// 60.
#[derive(Debug, Clone, Object)]
pub(crate) struct InteractiveText {
    /// The text.
    #[oai(validator(min_length = 1, max_length = 4096))]
    pub(crate) text: String,
}

/// Actions that the recipient can take.
#[derive(Debug, Clone, Object)]
pub(crate) struct InteractiveAction {
    /// For `button`.
    #[oai(validator(min_items = 1, max_items = 3))]
    pub(crate) buttons: Option<Vec<InteractiveButton>>,
    /// For `list`: the text of the button that opens it.
    #[oai(validator(min_length = 1, max_length = 20))]
    pub(crate) button: Option<String>,
    /// For `list`: at most 10 rows in all. `product_list` has sections of its own form.
    #[oai(validator(min_items = 1, max_items = 10))]
    pub(crate) sections: Option<Vec<InteractiveSection>>,
    /// For `cta_url`, `flow` and others: WhatsApp's name of the action.
    pub(crate) name: Option<String>,
    /// For `cta_url`: `display_text` (at most 20 characters) and `url`. For others: WhatsApp's own.
    pub(crate) parameters: Option<FreeObject>,
}

/// A reply button.
#[derive(Debug, Clone, Object)]
pub(crate) struct InteractiveButton {
    /// Always `reply`.
    #[oai(rename = "type")]
    pub(crate) kind: String,
    /// Reply that is sent when it is pressed.
    pub(crate) reply: InteractiveReply,
}

/// Title of a button, and the id of its reply.
#[derive(Debug, Clone, Object)]
pub(crate) struct InteractiveReply {
    /// Your id; different for each button.
    #[oai(validator(min_length = 1, max_length = 256))]
    pub(crate) id: String,
    /// Text on the button.
    #[oai(validator(min_length = 1, max_length = 20))]
    pub(crate) title: String,
}

/// A section of a list.
#[derive(Debug, Clone, Object)]
pub(crate) struct InteractiveSection {
    /// Title; required where there is more than one section.
    #[oai(validator(max_length = 24))]
    pub(crate) title: Option<String>,
    /// Its rows.
    #[oai(validator(min_items = 1, max_items = 10))]
    pub(crate) rows: Option<Vec<InteractiveRow>>,
}

/// A row of a list.
#[derive(Debug, Clone, Object)]
pub(crate) struct InteractiveRow {
    /// Your id; different for each row.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub(crate) id: String,
    /// Title of the row.
    #[oai(validator(min_length = 1, max_length = 24))]
    pub(crate) title: String,
    /// Text below the title, in smaller type.
    #[oai(validator(max_length = 72))]
    pub(crate) description: Option<String>,
}
