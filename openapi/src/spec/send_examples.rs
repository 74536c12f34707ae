//! Example bodies of `sendMessage`: one of each commonly used kind.

use serde_json::{Value, json};

/// Name, summary and body; the first one is what Swagger UI shows.
pub(super) fn example_bodies() -> [(&'static str, &'static str, Value); 8] {
    let message = |kind: &str, object: Value| {
        let mut body = json!({"messaging_product": "whatsapp", "to": "+6281234567890", "type": kind});
        if let Some(members) = body.as_object_mut() {
            members.insert(kind.to_owned(), object);
        }
        body
    };
    let template = json!({
        "name": "order_shipped",
        "language": {"code": "en_US"},
        "components": [{"type": "body", "parameters": [{"type": "text", "text": "K-1042"}]}],
    });
    let by_user_id = json!({"messaging_product": "whatsapp", "recipient": "ID.13491208655302741", "type": "text",
        "text": {"body": "Your order is on its way."}, "biz_opaque_callback_data": "order K-1042"});
    let image = json!({"link": "https://shop.example.com/raincoat.jpg", "caption": "The blue one."});
    let buttons = json!({
        "type": "button",
        "body": {"text": "Shall we deliver today?"},
        "action": {"buttons": [
            {"type": "reply", "reply": {"id": "today", "title": "Today"}},
            {"type": "reply", "reply": {"id": "tomorrow", "title": "Tomorrow"}},
        ]},
    });
    let list = json!({
        "type": "list",
        "body": {"text": "Which size?"},
        "action": {"button": "Sizes", "sections": [{"rows": [
            {"id": "m", "title": "M", "description": "Chest up to 100 cm"},
            {"id": "l", "title": "L"},
        ]}]},
    });
    let wamid = "wamid.HBgMNDQ3NzAwOTAwMTIzFQIAERgSMUE2QjI0";
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
    [
        ("template", "A template, at any time", message("template", template)),
        ("text", "A text, within 24 hours", message("text", json!({"body": "Your order is on its way."}))),
        ("user", "A text to a user whose number is not known", by_user_id),
        ("image", "An image with a caption", message("image", image)),
        ("buttons", "A question with reply buttons", message("interactive", buttons)),
        ("list", "A list to choose from", message("interactive", list)),
        ("reaction", "A reaction", message("reaction", json!({"message_id": wamid, "emoji": "\u{1F44D}"}))),
        ("read", "Mark as read", read),
    ]
}

#[cfg(test)]
mod tests {
    use kabar_core::domain::message_details::MessageSource;

    use super::*;

    #[test]
    fn each_is_taken() {
        for (name, _, body) in example_bodies() {
            assert!(crate::v1::send::parse(&body, MessageSource::Api).is_ok(), "{name}");
        }
    }
}
