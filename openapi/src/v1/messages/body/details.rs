//! Parts of a message's body that most messages lack: context, participant of a group, reactions.

use std::sync::Arc;

use kabar_core::domain::identity::UserId;
use kabar_core::domain::message_details::{GroupSender, MessageContext, MessageReaction, ReactionSide};
use kabar_core::domain::phone::Phone;
use kabar_core::domain::time::Timestamp;
use poem_openapi::Object;
use serde::Serialize;

use crate::rest::text::{FreeObject, TextValue};

/// The message that another one answers, and the rest that WhatsApp tells of its origin.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "MessageContext")]
pub(crate) struct MessageContextBody {
    /// WhatsApp's id of the message that this one answers.
    pub(super) message_id: Option<TextValue<Arc<str>>>,
    /// Author of that message, as WhatsApp names it.
    pub(super) from: Option<TextValue<Arc<str>>>,
    /// `true` when the message was forwarded.
    pub(super) forwarded: bool,
    /// `true` when the message was forwarded many times.
    pub(super) frequently_forwarded: bool,
    /// The product that the message asks about, in WhatsApp's form.
    pub(super) referred_product: Option<FreeObject>,
}

impl MessageContextBody {
    pub(super) fn from_context(context: &MessageContext) -> Self {
        Self {
            message_id: context.message_id.clone().map(TextValue),
            from: context.from.clone().map(TextValue),
            forwarded: context.forwarded,
            frequently_forwarded: context.frequently_forwarded,
            referred_product: context.referred_product.clone().map(FreeObject),
        }
    }
}

/// The participant of a group that wrote a message.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "GroupSender")]
pub(crate) struct GroupSenderBody {
    /// E.164; null where WhatsApp does not name it.
    phone_number: Option<TextValue<Phone>>,
    /// WhatsApp's id of the user.
    user_id: Option<TextValue<UserId>>,
    /// WhatsApp's profile name.
    name: Option<TextValue<Arc<str>>>,
}

impl GroupSenderBody {
    pub(super) fn from_sender(sender: &GroupSender) -> Self {
        Self {
            phone_number: sender.phone.clone().map(TextValue),
            user_id: sender.user_id.clone().map(TextValue),
            name: sender.name.clone().map(TextValue),
        }
    }
}

/// A reaction that a message has.
#[derive(Debug, Clone, Serialize, Object)]
#[oai(rename = "Reaction")]
pub(crate) struct ReactionBody {
    /// The emoji.
    emoji: TextValue<Arc<str>>,
    /// Side that reacted; any participant of a group is the contact.
    from: TextValue<ReactionSide>,
    /// Time of the reaction, by WhatsApp's own time where WhatsApp reported it.
    at: TextValue<Timestamp>,
}

impl ReactionBody {
    /// Builds the body of a reaction; `None` for one that was taken back.
    pub(super) fn from_reaction(reaction: &MessageReaction) -> Option<Self> {
        let emoji = TextValue(reaction.emoji.clone()?);
        Some(Self { emoji, from: TextValue(reaction.from), at: TextValue(reaction.at) })
    }
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::address::Address;
    use kabar_core::domain::identity::GroupId;
    use kabar_core::domain::message::{Direction, Message, MessageKind};
    use kabar_core::domain::message_details::{MessageDetails, MessageSource};
    use kabar_core::domain::status::MessageStatus;
    use serde_json::{Value, json};

    use super::*;
    use crate::spec::example_rows;
    use crate::v1::messages::body::MessageBody;

    fn shown(message: &Message) -> Value {
        serde_json::to_value(MessageBody::from_message(message)).unwrap()
    }

    fn at(seconds: i64) -> Timestamp {
        Timestamp::from_seconds(seconds)
    }

    #[test]
    fn a_plain_message_has_every_key() {
        let body = shown(&example_rows::example_message());
        for key in ["context", "referral", "group_id", "sender", "callback_data", "hold_reason", "pricing"] {
            assert_eq!(body.get(key), Some(&Value::Null), "{key}");
        }
        assert_eq!((&body["edited_at"], &body["revoked_at"]), (&Value::Null, &Value::Null));
        assert_eq!((&body["reactions"], &body["standby"]), (&json!([]), &json!(false)));
        assert_eq!((&body["source"], &body["to"]), (&json!("api"), &json!("+447700900123")));
    }

    #[test]
    fn a_message_of_a_group_names_its_author() {
        let group = GroupId::parse("120363041234").unwrap();
        let sender = GroupSender { phone: None, user_id: UserId::parse("ID.77"), name: Some("Budi".into()) };
        let details = MessageDetails {
            group_id: Some(group.clone()),
            sender: Some(sender),
            ..MessageDetails::of_source(MessageSource::Inbound)
        };
        let message = Message {
            direction: Direction::Inbound,
            from: Address::Group(group),
            details,
            ..example_rows::example_message()
        };
        let body = shown(&message);
        assert_eq!((&body["group_id"], &body["from"]), (&json!("120363041234"), &json!("120363041234")));
        assert_eq!(body["sender"], json!({"phone_number": null, "user_id": "ID.77", "name": "Budi"}));
        assert_eq!(body["source"], "inbound");
    }

    #[test]
    fn what_whatsapp_tells_beside_the_content_is_shown_in_its_form() {
        let context = MessageContext {
            message_id: None,
            from: Some("15550783881".into()),
            forwarded: true,
            frequently_forwarded: true,
            referred_product: Some(r#"{"catalog_id":"1","product_retailer_id":"2"}"#.into()),
        };
        let details = MessageDetails {
            referral: Some(r#"{"ctwa_clid":"Aff","n":1.50}"#.into()),
            pricing: Some(r#"{"billable":true}"#.into()),
            callback_data: Some("order-7".into()),
            hold_reason: Some("paused".into()),
            standby: true,
            edited_at: Some(at(2)),
            revoked_at: Some(at(3)),
            ..MessageDetails::of_source(MessageSource::App)
        };
        let message = Message { context: Some(context), details, ..example_rows::example_message() };
        let body = shown(&message);
        assert_eq!(
            body["context"],
            json!({"message_id": null, "from": "15550783881", "forwarded": true, "frequently_forwarded": true,
                   "referred_product": {"catalog_id": "1", "product_retailer_id": "2"}})
        );
        assert_eq!(body["referral"]["ctwa_clid"], "Aff");
        assert_eq!((&body["pricing"]["billable"], &body["standby"]), (&json!(true), &json!(true)));
        assert_eq!((&body["callback_data"], &body["hold_reason"]), (&json!("order-7"), &json!("paused")));
        assert_eq!(body["edited_at"], "1970-01-01T00:00:02.000Z");
        assert_eq!(
            (&body["revoked_at"], &body["source"]),
            (&json!("1970-01-01T00:00:03.000Z"), &json!("app"))
        );
        let text = serde_json::to_string(&MessageBody::from_message(&message)).unwrap();
        assert!(text.contains(r#""n":1.50"#), "{text}");
    }

    #[test]
    fn only_reactions_with_an_emoji_are_shown() {
        let reaction = |emoji: Option<&str>, from, seconds| MessageReaction {
            emoji: emoji.map(Into::into),
            from,
            participant: None,
            at: at(seconds),
        };
        let reactions = vec![
            reaction(None, ReactionSide::Contact, 1),
            reaction(Some("\u{1F44D}"), ReactionSide::Business, 2),
        ];
        let details = MessageDetails { reactions, ..MessageDetails::default() };
        let body = shown(&Message { details, ..example_rows::example_message() });
        let at = "1970-01-01T00:00:02.000Z";
        assert_eq!(body["reactions"], json!([{"emoji": "\u{1F44D}", "from": "business", "at": at}]));
    }

    #[test]
    fn played_is_in_the_history_alone() {
        let mut message = example_rows::example_message();
        message.kind = MessageKind::Call;
        message.status = MessageStatus::Read;
        message.history.keep_reported(MessageStatus::Played, at(9));
        let body = shown(&message);
        assert_eq!((&body["status"], &body["type"]), (&json!("read"), &json!("call")));
        let last = body["status_history"].as_array().unwrap().last().unwrap();
        assert_eq!(*last, json!({"status": "played", "at": "1970-01-01T00:00:09.000Z"}));
    }
}
