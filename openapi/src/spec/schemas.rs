//! Corrects schemas: members that are always present are required, members that may be null are nullable.
//!
//! poem-openapi writes `Option` as "may be absent". A response has every documented key, null when there is
//! no value (contract, section 1); only an error's `param` and `provider_code` are really left out. In a request null and absent
//! mean the same, except where a PATCH clears a field.

mod nullable;

use std::collections::BTreeSet;

use serde_json::{Map, Value};

/// End of the names of schemas of an event's data: once it was erased, no member is left.
const EVENT_DATA: &str = "EventData";
/// Members of responses that are left out when they have no value.
const LEFT_OUT: [(&str, &str); 3] =
    [("ContactExport", "conversation"), ("ErrorDetail", "param"), ("ErrorDetail", "provider_code")];

/// Completes every named schema.
pub(super) fn complete_schemas(root: &mut Map<String, Value>) {
    let asked = reachable_schemas(root, "requestBody");
    let answered = reachable_schemas(root, "responses");
    let Some(schemas) = super::schemas_of(root) else { return };
    let whole = |name: &String| answered.contains(name) && !asked.contains(name);
    for (name, schema) in schemas.iter_mut() {
        if let Some(schema) = schema.as_object_mut() {
            schema.remove("title");
            if let Some(example) = schema.get_mut("example").filter(|_| !whole(name)) {
                drop_nulls(example);
            }
            complete_object(name, schema, whole(name));
        }
    }
    let all = schemas.clone();
    for (name, schema) in schemas.iter_mut() {
        let properties = schema.get_mut("properties").and_then(Value::as_object_mut);
        for property in properties.into_iter().flat_map(Map::values_mut) {
            nullable::write_out(property, &all, whole(name));
        }
    }
}

/// Drops unreferenced schemas.
pub(super) fn drop_unused(root: &mut Map<String, Value>) {
    loop {
        let mut used = BTreeSet::new();
        root.values().for_each(|part| collect_references(part, &mut used));
        let Some(schemas) = super::schemas_of(root) else { return };
        let before = schemas.len();
        schemas.retain(|name, _| used.contains(name));
        if schemas.len() == before {
            return;
        }
    }
}

fn collect_references(value: &Value, found: &mut BTreeSet<String>) {
    match value {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            found.extend(reference.and_then(|path| path.rsplit('/').next()).map(str::to_owned));
            members.values().for_each(|part| collect_references(part, found));
        }
        Value::Array(elements) => elements.iter().for_each(|part| collect_references(part, found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// Drops nulls of an example: in a request null may clear a field, which no example should do by accident.
fn drop_nulls(example: &mut Value) {
    match example {
        Value::Object(members) => {
            members.retain(|_, member| !member.is_null());
            members.values_mut().for_each(drop_nulls);
        }
        Value::Array(elements) => elements.iter_mut().for_each(drop_nulls),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn complete_object(name: &str, schema: &mut Map<String, Value>, whole: bool) {
    let required: BTreeSet<String> = collect_names(schema.get("required")).collect();
    let Some(properties) = schema.get_mut("properties").and_then(Value::as_object_mut) else { return };
    for (key, property) in properties.iter_mut() {
        if let Some(property) = property.as_object_mut() {
            merge_reference(property);
        }
        if !required.contains(key) && !LEFT_OUT.contains(&(name, key.as_str())) {
            nullable::mark_nullable(property);
        }
    }
    if name.ends_with(EVENT_DATA) {
        schema.remove("required");
    } else if whole {
        let all = properties.keys().filter(|key| !LEFT_OUT.contains(&(name, key.as_str())));
        let all: Vec<Value> = all.map(|key| key.as_str().into()).collect();
        schema.insert("required".to_owned(), all.into());
    }
}

fn collect_names(list: Option<&Value>) -> impl Iterator<Item = String> + '_ {
    list.and_then(Value::as_array).into_iter().flatten().filter_map(|name| Some(name.as_str()?.to_owned()))
}

/// Removes the duplicate description: a reference with a description comes as `allOf` of the reference and
/// the description, beside the description itself.
fn merge_reference(property: &mut Map<String, Value>) {
    if let Some(parts) = property.get_mut("allOf").and_then(Value::as_array_mut) {
        parts.retain(|part| part.get("$ref").is_some());
    }
}

/// Returns the names of the schemas that this part of the operations refers to.
fn reachable_schemas(root: &Map<String, Value>, part: &str) -> BTreeSet<String> {
    let items = root.get("paths").and_then(Value::as_object).into_iter().flatten();
    let operations = items.filter_map(|(_, item)| item.as_object()).flatten();
    let mut open: Vec<&Value> = operations.filter_map(|(_, operation)| operation.get(part)).collect();
    let schemas = root.get("components").and_then(|components| components.get("schemas"));
    let mut found = BTreeSet::new();
    while let Some(value) = open.pop() {
        match value {
            Value::Array(elements) => open.extend(elements),
            Value::Object(members) => {
                let name =
                    members.get("$ref").and_then(Value::as_str).and_then(|path| path.rsplit('/').next());
                if let Some(name) = name.filter(|name| found.insert((*name).to_owned())) {
                    open.extend(schemas.and_then(|schemas| schemas.get(name)));
                }
                open.extend(members.values());
            }
            Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
        }
    }
    found
}
