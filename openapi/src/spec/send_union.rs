//! The body of `sendMessage` as a union: one schema per type, and one for marking as read.
//!
//! The code describes the body as one plain object with a member per type. A union also states which member
//! is required for which `type`. `type` alone distinguishes the schemas. Marking as read has no `type`, so
//! the union cannot name it as its discriminator.

use serde_json::{Map, Value, json};

use super::send_examples;

/// Name of the plain object, which the union takes over.
const BODY: &str = "SendMessageBody";
/// Operation that takes the body.
const POST: &str = "/~1v1~1{phone_number_id}~1messages/post";
/// Schema with the values of `type`.
const TYPES: &str = "SendType";
/// Members of a message of any type before the type's object. Either `to` or `recipient` is needed, which a
/// schema of 3.0 cannot say in a form that generators understand.
const SHARED: [&str; 4] = ["messaging_product", "recipient_type", "to", "recipient"];
/// Members of a message of any type after the type's object.
const OPTIONAL: [&str; 2] = ["context", "biz_opaque_callback_data"];

/// Replaces the plain object by the union.
pub(super) fn complete_union(root: &mut Map<String, Value>) {
    let Some(schemas) = super::schemas_of(root) else { return };
    let Some(plain) = schemas.get(BODY).cloned() else { return };
    let types = schemas.get(TYPES).and_then(|schema| schema.get("enum")).and_then(Value::as_array).cloned();
    let mut one_of = Vec::new();
    for word in types.iter().flatten().filter_map(Value::as_str) {
        let name = format!("Send{}Message", capitalize_word(word));
        schemas.insert(name.clone(), message_schema(&plain, word));
        one_of.push(json!({"$ref": format!("#/components/schemas/{name}")}));
    }
    schemas.insert("MarkAsRead".to_owned(), mark_as_read(&plain));
    one_of.push(json!({"$ref": "#/components/schemas/MarkAsRead"}));
    let union = json!({
        "description": plain.get("description"),
        "oneOf": one_of,
        "example": plain.get("example"),
    });
    schemas.insert(BODY.to_owned(), union);
    let media = root
        .get_mut("paths")
        .and_then(|paths| paths.pointer_mut(POST))
        .and_then(|post| post.pointer_mut("/requestBody/content/application~1json"))
        .and_then(Value::as_object_mut);
    let Some(media) = media else { return };
    let bodies = send_examples::example_bodies()
        .map(|(name, summary, body)| (name.to_owned(), json!({"summary": summary, "value": body})));
    media.insert("examples".to_owned(), Value::Object(bodies.into_iter().collect()));
}

fn capitalize_word(word: &str) -> String {
    let mut letters = word.chars();
    letters.next().map(|first| first.to_uppercase().chain(letters).collect()).unwrap_or_default()
}

fn message_schema(plain: &Value, word: &str) -> Value {
    let mut properties = Map::new();
    for key in SHARED {
        properties.insert(key.to_owned(), member_schema(plain, key, key == "messaging_product"));
    }
    properties.insert(
        "type".to_owned(),
        json!({"type": "string", "description": "Type of the message to send.", "enum": [word]}),
    );
    properties.insert(word.to_owned(), member_schema(plain, word, true));
    for key in OPTIONAL {
        properties.insert(key.to_owned(), member_schema(plain, key, false));
    }
    json!({
        "type": "object",
        "description": format!("Sends a message of type `{word}`."),
        "required": ["messaging_product", "type", word],
        "properties": properties,
    })
}

fn mark_as_read(plain: &Value) -> Value {
    let keys = ["messaging_product", "status", "message_id"];
    let mut properties: Map<_, _> =
        keys.iter().map(|key| ((*key).to_owned(), member_schema(plain, key, true))).collect();
    properties.insert("typing_indicator".to_owned(), member_schema(plain, "typing_indicator", false));
    json!({
        "type": "object",
        "description": "Marks an inbound message, and the earlier unread ones of its conversation, as read.",
        "required": keys,
        "properties": properties,
    })
}

/// Returns a member of the plain object; a required one cannot be null.
fn member_schema(plain: &Value, key: &str, must: bool) -> Value {
    let mut member = plain.pointer(&format!("/properties/{key}")).cloned().unwrap_or_default();
    if let Some(members) = member.as_object_mut().filter(|_| must) {
        members.remove("nullable");
        if members.contains_key("allOf") {
            members.remove("type");
        }
        if let Some(words) = members.get_mut("enum").and_then(Value::as_array_mut) {
            words.retain(|word| !word.is_null());
        }
    }
    member
}
