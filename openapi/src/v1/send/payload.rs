//! The type's object in the form that is sent to WhatsApp.
//!
//! Invariant: it has everything that the client wrote, in its order, except members that are `null`.

use serde_json::Value;

/// Key of a flow's input, which belongs to the business; `null` may have a meaning there.
const OPAQUE: &str = "flow_action_payload";

/// Copies a value without members that are `null`; elements of arrays keep their places.
pub(super) fn build_payload(value: &Value) -> Value {
    match value {
        Value::Object(members) => members
            .iter()
            .filter(|(_, member)| !member.is_null())
            .map(|(key, member)| {
                (key.clone(), if key == OPAQUE { member.clone() } else { build_payload(member) })
            })
            .collect(),
        Value::Array(elements) => elements.iter().map(build_payload).collect(),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => value.clone(),
    }
}
