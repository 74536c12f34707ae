//! Schema of the body of `POST …/messages`.
//!
//! One plain object with an optional member per type: generators make better clients of it than of a union.
//! Nothing is ever parsed into these types; `parse` reads the JSON itself, and its tests compare the two
//! through the example.

mod interactive;
mod objects;

use poem_openapi::types::Example;
use poem_openapi::{Enum, Object};

pub(crate) use interactive::SendInteractive;
pub(crate) use objects::{
    MessageReference, SendCaptioned, SendContactCard, SendDocument, SendLocation, SendMedium, SendReaction,
    SendTemplate, SendText, TypingIndicator,
};

/// WhatsApp is the only product.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub(crate) enum MessagingProduct {
    /// The only one.
    Whatsapp,
}

/// Kind of the recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub(crate) enum RecipientType {
    /// A person or business.
    Individual,
    /// A group.
    Group,
}

/// Type of a message; names the member that holds its object.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub(crate) enum SendType {
    Text,
    Image,
    Video,
    Audio,
    Document,
    Sticker,
    Template,
    Interactive,
    Location,
    Contacts,
    Reaction,
}

/// Asks for marking a message as read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Enum)]
#[oai(rename_all = "lowercase")]
pub(crate) enum ReadMark {
    /// The only one.
    Read,
}

/// A message to send, or, with `status: "read"`, an inbound message to mark as read.
///
/// To send: `to` or `recipient`, `type`, and the member that `type` names. To mark as read: `status` and
/// `message_id`; earlier unread messages of the conversation become read with it. Members inside
/// the type's object that are not listed here go to WhatsApp unchanged; members that are `null` are
/// left out.
#[derive(Debug, Clone, Object)]
#[oai(example, skip_serializing_if_is_none)]
pub(crate) struct SendMessageBody {
    /// Always `whatsapp`.
    pub(crate) messaging_product: MessagingProduct,
    /// `individual`, the default, or `group`.
    pub(crate) recipient_type: Option<RecipientType>,
    /// The recipient's number, E.164; the leading `+` may be left out. A user id of WhatsApp's is understood
    /// too. With `recipient_type: "group"` the group's id.
    pub(crate) to: Option<String>,
    /// WhatsApp's id of the recipient, such as `ID.13491208655302741`; `to` wins.
    #[oai(validator(min_length = 4, max_length = 131))]
    pub(crate) recipient: Option<String>,
    /// Type of the message to send.
    #[oai(rename = "type")]
    pub(crate) kind: Option<SendType>,
    /// For `type: "text"`.
    pub(crate) text: Option<SendText>,
    /// For `type: "image"`.
    pub(crate) image: Option<SendCaptioned>,
    /// For `type: "video"`.
    pub(crate) video: Option<SendCaptioned>,
    /// For `type: "audio"`.
    pub(crate) audio: Option<SendMedium>,
    /// For `type: "document"`.
    pub(crate) document: Option<SendDocument>,
    /// For `type: "sticker"`.
    pub(crate) sticker: Option<SendMedium>,
    /// For `type: "template"`; may be sent at any time.
    pub(crate) template: Option<SendTemplate>,
    /// For `type: "interactive"`.
    pub(crate) interactive: Option<SendInteractive>,
    /// For `type: "location"`.
    pub(crate) location: Option<SendLocation>,
    /// For `type: "contacts"`.
    #[oai(validator(min_items = 1, max_items = 257))]
    pub(crate) contacts: Option<Vec<SendContactCard>>,
    /// For `type: "reaction"`; may be sent at any time.
    pub(crate) reaction: Option<SendReaction>,
    /// The message that this one answers.
    pub(crate) context: Option<MessageReference>,
    /// Text of yours that the message shows as `callback_data`.
    #[oai(validator(max_length = 512))]
    pub(crate) biz_opaque_callback_data: Option<String>,
    /// `read`, to mark a message as read.
    pub(crate) status: Option<ReadMark>,
    /// WhatsApp's id (`wamid.…`) of the message to mark as read.
    #[oai(validator(min_length = 1, max_length = 512))]
    pub(crate) message_id: Option<String>,
    /// Shows the contact that an answer is being written; with `status: "read"`.
    pub(crate) typing_indicator: Option<TypingIndicator>,
}

impl Example for SendMessageBody {
    fn example() -> Self {
        Self {
            messaging_product: MessagingProduct::Whatsapp,
            recipient_type: None,
            to: Some("+6281234567890".to_owned()),
            recipient: None,
            kind: Some(SendType::Text),
            text: Some(SendText { body: "Your order is on its way.".to_owned(), preview_url: None }),
            image: None,
            video: None,
            audio: None,
            document: None,
            sticker: None,
            template: None,
            interactive: None,
            location: None,
            contacts: None,
            reaction: None,
            context: None,
            biz_opaque_callback_data: None,
            status: None,
            message_id: None,
            typing_indicator: None,
        }
    }
}
