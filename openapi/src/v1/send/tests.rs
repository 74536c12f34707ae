//! Every limit at its bound and one beyond it, and the promise that no JSON whatever panics.

mod any_json;
mod limits;
mod renderings;

use kabar_core::domain::address::Address;
use kabar_core::domain::identity::{GroupId, UserId};
use kabar_core::domain::phone::Phone;
use serde_json::{Value, json};

use super::*;
use crate::rest::body_fields::FieldErrorKind;

/// A sendable body of this type.
fn body(kind: &str, object: Value) -> Value {
    let mut body = json!({"messaging_product": "whatsapp", "to": "6281234567890", "type": kind});
    body[kind] = object;
    body
}

fn sent(body: &Value) -> OutgoingMessage {
    match read(body) {
        Ok(SendBody::Send(outgoing)) => outgoing,
        other => panic!("{other:?} for {body}"),
    }
}

fn read(body: &Value) -> Result<SendBody, FieldError> {
    parse(body, MessageSource::Api)
}

fn refused(body: &Value) -> (FieldErrorKind, String) {
    let error = read(body).expect_err(&body.to_string());
    (error.code, error.param)
}

fn letters(count: usize) -> String {
    // Two bytes each, so that counting bytes would show.
    "é".repeat(count)
}

#[test]
fn the_envelope_names_its_fields() {
    use FieldErrorKind::{InvalidFieldValue, InvalidPhoneNumber, InvalidRequest, MissingRequiredField};
    let text = json!({"body": "hi"});
    for (change, code, param) in [
        (json!({"messaging_product": null}), MissingRequiredField, "messaging_product"),
        (json!({"messaging_product": "sms"}), InvalidFieldValue, "messaging_product"),
        (json!({"recipient_type": "broadcast"}), InvalidFieldValue, "recipient_type"),
        (json!({"recipient_type": "group", "to": null}), MissingRequiredField, "to"),
        (json!({"recipient_type": "group", "to": "a b"}), InvalidFieldValue, "to"),
        (json!({"to": null, "recipient": "6281234567890"}), InvalidFieldValue, "recipient"),
        (json!({"to": "", "recipient": "ID.1"}), InvalidPhoneNumber, "to"),
        (json!({"biz_opaque_callback_data": 7}), InvalidFieldValue, "biz_opaque_callback_data"),
        (json!({"to": null}), MissingRequiredField, "to"),
        (json!({"to": "12"}), InvalidPhoneNumber, "to"),
        (json!({"to": 6_281_234_567_890_i64}), InvalidPhoneNumber, "to"),
        (json!({"type": null}), MissingRequiredField, "type"),
        (json!({"type": "fax"}), InvalidFieldValue, "type"),
        (json!({"type": "button"}), InvalidFieldValue, "type"),
        (json!({"type": "call"}), InvalidFieldValue, "type"),
        (json!({"type": "request_welcome"}), InvalidFieldValue, "type"),
        (json!({"text": null}), MissingRequiredField, "text"),
        (json!({"text": "hi"}), InvalidFieldValue, "text"),
        (json!({"text": {"body": "hi\0"}}), InvalidFieldValue, "text.body"),
        (json!({"context": {}}), MissingRequiredField, "context.message_id"),
        (json!({"context": "wamid.A"}), InvalidFieldValue, "context"),
        (json!({"status": "delivered"}), InvalidFieldValue, "status"),
        (json!({"status": "read"}), MissingRequiredField, "message_id"),
        (
            json!({"status": "read", "message_id": "wamid.A", "typing_indicator": {"type": "audio"}}),
            InvalidFieldValue,
            "typing_indicator.type",
        ),
        (
            json!({"status": "read", "message_id": "wamid.A", "typing_indicator": true}),
            InvalidFieldValue,
            "typing_indicator",
        ),
    ] {
        let mut body = body("text", text.clone());
        for (key, value) in change.as_object().unwrap() {
            body[key] = value.clone();
        }
        assert_eq!(refused(&body), (code, param.to_owned()), "{body}");
    }
    assert_eq!(refused(&json!([])), (InvalidRequest, String::new()));
}

#[test]
fn numbers_are_normalised_and_context_is_kept() {
    let mut body = body("text", json!({"body": "hi"}));
    body["context"] = json!({"message_id": "wamid.A", "from": "ignored"});
    body["recipient_type"] = json!("individual");
    body["unknown"] = json!([1, 2, 3]);
    for to in ["6281234567890", "+6281234567890", "+62 812-3456-7890"] {
        body["to"] = json!(to);
        let outgoing = sent(&body);
        assert_eq!(outgoing.to.as_str(), "+6281234567890");
        assert_eq!(outgoing.context.as_deref(), Some("wamid.A"));
        assert_eq!(outgoing.kind, MessageKind::Text);
    }
}

#[test]
fn marking_as_read_needs_no_recipient() {
    let body = json!({"messaging_product": "whatsapp", "status": "read", "message_id": "wamid.A"});
    let marked = |typing| Ok(SendBody::MarkRead(ReadReceipt { wamid: "wamid.A".into(), typing }));
    assert_eq!(read(&body), marked(false));
    let mut typing = body;
    typing["typing_indicator"] = json!({"type": "text"});
    assert_eq!(read(&typing), marked(true));
}

#[test]
fn a_recipient_is_a_number_a_user_or_a_group() {
    let phone = || Address::Phone(Phone::parse("+6281234567890").unwrap());
    let user = |id| Address::User(UserId::parse(id).unwrap());
    let group = |id| Address::Group(GroupId::parse(id).unwrap());
    for (members, to) in [
        (json!({"to": "6281234567890"}), phone()),
        (json!({"to": "ID.13491208655302741"}), user("ID.13491208655302741")),
        (json!({"recipient": "ID.1"}), user("ID.1")),
        (json!({"recipient": "ID.ENT.1", "recipient_type": "individual"}), user("ID.ENT.1")),
        (json!({"to": "6281234567890", "recipient": "ID.1"}), phone()),
        (json!({"to": "ID.2", "recipient": "ID.1"}), user("ID.2")),
        (json!({"to": null, "recipient": "ID.1"}), user("ID.1")),
        (json!({"to": "6281234567890", "recipient_type": "group"}), group("6281234567890")),
        (json!({"to": "Y2FwaV9ncm91cDox", "recipient_type": "group"}), group("Y2FwaV9ncm91cDox")),
    ] {
        let mut body = json!({"messaging_product": "whatsapp", "type": "text", "text": {"body": "hi"}});
        for (key, value) in members.as_object().unwrap() {
            body[key] = value.clone();
        }
        assert_eq!(sent(&body).to, to, "{members}");
    }
}

#[test]
fn a_text_of_the_clients_comes_along() {
    let mut body = body("text", json!({"body": "hi"}));
    assert_eq!((sent(&body).callback_data, sent(&body).reaction), (None, None));
    body["biz_opaque_callback_data"] = json!("order K-1042");
    let outgoing = sent(&body);
    assert_eq!(outgoing.callback_data.as_deref(), Some("order K-1042"));
    assert_eq!(outgoing.source, MessageSource::Api);
    body["biz_opaque_callback_data"] = json!("");
    assert_eq!(sent(&body).callback_data, None);
}

#[test]
fn a_reaction_names_its_message() {
    let reaction = |emoji: &str| {
        sent(&body("reaction", json!({"message_id": "wamid.A", "emoji": emoji}))).reaction.unwrap()
    };
    assert_eq!(reaction("👍"), ReactionTo { wamid: "wamid.A".into(), emoji: Some("👍".into()) });
    assert_eq!(reaction(""), ReactionTo { wamid: "wamid.A".into(), emoji: None });
}

#[test]
fn the_documented_example_is_accepted() {
    use poem_openapi::types::{Example, ToJSON};
    let example = SendMessageBody::example().to_json().expect("an object");
    assert_eq!(&*sent(&example).content, "Your order is on its way.");
}
