//! Form of a nullable schema in 3.0: `nullable` widens the `type` beside it, and nothing else. A reference or
//! an `enum` in the same schema still rejects null.
//!
//! A nullable object of a response is therefore written inline; validators and generators agree on that form.
//! In a request, where null only means "absent", a reference may stay.

use serde_json::{Map, Value, json};

/// Marks a property as nullable. A schema without a type accepts null already.
pub(super) fn mark_nullable(property: &mut Value) {
    let Some(members) = property.as_object_mut() else { return };
    if let Some(reference) = members.remove("$ref") {
        members.insert("allOf".to_owned(), json!([{"$ref": reference}]));
    }
    if !members.contains_key("type") && !members.contains_key("allOf") {
        return;
    }
    members.insert("nullable".to_owned(), true.into());
    if let Some(words) = members.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
}

/// Rewrites a marked reference so that it accepts null; `schemas` are complete.
pub(super) fn write_out(property: &mut Value, schemas: &Map<String, Value>, answered: bool) {
    if property.get("nullable") != Some(&Value::Bool(true)) {
        return;
    }
    let reference = property.pointer("/allOf/0/$ref").and_then(Value::as_str);
    let target = reference.and_then(|path| schemas.get(path.rsplit('/').next()?)).and_then(Value::as_object);
    let Some((target, members)) = target.zip(property.as_object_mut()) else { return };
    if !answered && !target.contains_key("enum") {
        members.insert("type".to_owned(), "object".into());
        return;
    }
    members.remove("allOf");
    for (key, part) in target.iter().filter(|(key, _)| *key != "example") {
        members.entry(key.clone()).or_insert_with(|| part.clone());
    }
    if let Some(words) = members.get_mut("enum").and_then(Value::as_array_mut) {
        words.push(Value::Null);
    }
}
