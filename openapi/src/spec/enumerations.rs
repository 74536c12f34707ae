//! Gives each enumeration one name in the whole document.
//!
//! Generators make one type of a named enumeration, and one per place of the others; some make two of the
//! same name. A nullable enumeration stays inline: in 3.0 a reference cannot be null.

use serde_json::{Map, Value, json};

/// Name, description, and the schema and property that define the values.
const NAMED: [(&str, &str, &str, &str); 8] = [
    ("ConversationStatus", "State of a conversation.", "Conversation", "status"),
    ("MessageStatus", "State of a message.", "Message", "status"),
    ("SightedStatus", "State in a message's history.", "StatusSighting", "status"),
    ("MessageDirection", "Direction of a message.", "Message", "direction"),
    ("MessageType", "Type of a message; names the form of its payload.", "Message", "type"),
    ("AccountStatus", "State of a connected number.", "Account", "status"),
    ("Tier", "Tier of an organization; sets its limits.", "Organization", "tier"),
    ("DeliveryStatus", "State of a delivery to a webhook.", "WebhookDelivery", "status"),
];

/// Names the known enumerations, and replaces their other places by references.
pub(super) fn complete_enumerations(root: &mut Map<String, Value>) {
    for (name, description, owner, property) in NAMED {
        let path = format!("/components/schemas/{owner}/properties/{property}/enum");
        let words = Value::Object(std::mem::take(root));
        let found = words.pointer(&path).cloned();
        if let Value::Object(whole) = words {
            *root = whole;
        }
        let Some(words) = found else { continue };
        for (key, part) in root.iter_mut() {
            refer_to(key, part, name, &words);
        }
        let schema = json!({"type": "string", "description": description, "enum": words});
        if let Some(schemas) = super::schemas_of(root) {
            schemas.insert(name.to_owned(), schema);
        }
    }
}

/// Replaces every schema below that has exactly these values by a reference.
fn refer_to(key: &str, value: &mut Value, name: &str, words: &Value) {
    match value {
        Value::Object(members) if is_plain(members, words) && key != name => {
            let reference = json!({"$ref": format!("#/components/schemas/{name}")});
            *value = match members.remove("description") {
                Some(description) => json!({"description": description, "allOf": [reference]}),
                None => reference,
            };
        }
        Value::Object(members) => members.iter_mut().for_each(|(key, part)| refer_to(key, part, name, words)),
        Value::Array(elements) => elements.iter_mut().for_each(|part| refer_to("", part, name, words)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn is_plain(members: &Map<String, Value>, words: &Value) -> bool {
    members.get("enum") == Some(words) && members.get("type").is_some_and(|kind| kind == "string")
}
