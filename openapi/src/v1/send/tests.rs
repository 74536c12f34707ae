//! Every limit at its bound and one beyond it, and the promise that no JSON whatever panics.

mod any_json;
mod limits;
mod renderings;

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
    match parse(body) {
        Ok(SendBody::Send(outgoing)) => outgoing,
        other => panic!("{other:?} for {body}"),
    }
}

fn refused(body: &Value) -> (FieldErrorKind, String) {
    let error = parse(body).expect_err(&body.to_string());
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
        (json!({"recipient_type": "group"}), InvalidFieldValue, "recipient_type"),
        (json!({"to": null}), MissingRequiredField, "to"),
        (json!({"to": "12"}), InvalidPhoneNumber, "to"),
        (json!({"to": 6_281_234_567_890_i64}), InvalidPhoneNumber, "to"),
        (json!({"type": null}), MissingRequiredField, "type"),
        (json!({"type": "fax"}), InvalidFieldValue, "type"),
        (json!({"type": "button"}), InvalidFieldValue, "type"),
        (json!({"text": null}), MissingRequiredField, "text"),
        (json!({"text": "hi"}), InvalidFieldValue, "text"),
        (json!({"text": {"body": "hi\0"}}), InvalidFieldValue, "text.body"),
        (json!({"context": {}}), MissingRequiredField, "context.message_id"),
        (json!({"context": "wamid.A"}), InvalidFieldValue, "context"),
        (json!({"status": "delivered"}), InvalidFieldValue, "status"),
        (json!({"status": "read"}), MissingRequiredField, "message_id"),
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
    assert_eq!(parse(&body), Ok(SendBody::MarkRead { wamid: "wamid.A".into() }));
}

#[test]
fn the_documented_example_is_accepted() {
    use poem_openapi::types::{Example, ToJSON};
    let example = SendMessageBody::example().to_json().expect("an object");
    assert_eq!(&*sent(&example).content, "Your order is on its way.");
}
