//! The type's object as it goes to WhatsApp.
//!
//! Invariant: everything that the client wrote, in its order, but for members that are `null`.

use serde_json::Value;

/// What a flow gets to begin with is the business's own, where `null` may mean something.
const OPAQUE: &str = "flow_action_payload";

/// A copy without members that are `null`; elements of arrays keep their places.
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
