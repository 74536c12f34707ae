//! Examples of whole bodies, composed of the examples of their parts.

use serde_json::{Map, Value, json};

use crate::rest::envelope::EXAMPLE_REQUEST_ID;

/// Adds an example to every envelope, and to every body in an operation.
pub(super) fn complete_examples(root: &mut Map<String, Value>) {
    let Some(schemas) = root.get("components").and_then(|components| components.get("schemas")).cloned()
    else {
        return;
    };
    let named = |name: &str| schemas.get(name);
    let Some(Value::Object(own)) = root.get_mut("components").and_then(|all| all.get_mut("schemas")) else {
        return;
    };
    for schema in own.values_mut() {
        if let Some(example) = envelope_example(schema, named)
            && let Some(schema) = schema.as_object_mut()
        {
            schema.insert("example".to_owned(), example);
        }
    }
}

/// Returns `{"data": …, "request_id": …}` for the schema of an envelope.
fn envelope_example<'a>(schema: &Value, named: impl Fn(&str) -> Option<&'a Value>) -> Option<Value> {
    let properties = schema.get("properties")?;
    properties.get("request_id")?;
    let inner = properties.get("data")?;
    let example_of = |reference: &Value| {
        let name = reference.get("$ref")?.as_str()?.rsplit('/').next()?;
        named(name)?.get("example").cloned()
    };
    if let Some(row) = inner.get("items") {
        let rows = [example_of(row)?];
        let mut page = json!({"data": rows, "has_more": false, "next_cursor": null});
        // Further members of a list.
        for (name, member) in properties.as_object()? {
            if let Some(example) = member.get("example") {
                page.as_object_mut()?.insert(name.clone(), example.clone());
            }
        }
        return Some(page);
    }
    Some(json!({"data": example_of(inner)?, "request_id": EXAMPLE_REQUEST_ID}))
}
