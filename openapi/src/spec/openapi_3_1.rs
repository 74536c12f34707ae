//! The document in the form of OpenAPI 3.1.
//!
//! Invariant: it is made of the finished document of 3.0.3, so the two say the same. Schemas become those of JSON Schema:
//! `nullable` is a type, `example` a list, and a body of bytes has no type. `x-webhooks` gets its place, `webhooks`.

use serde_json::{Map, Value, json};

/// Place of a value in the document.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DocumentPart {
    /// Anything but a schema.
    Other,
    /// A schema.
    Schema,
    /// Schemas by name.
    NamedSchemas,
    /// Data of examples and defaults, which stay as they are.
    Data,
}

/// Returns the document in the form of 3.1.
pub(super) fn convert_document(document: &Value) -> Value {
    let mut converted = document.clone();
    convert_part(&mut converted, DocumentPart::Other);
    if let Some(root) = converted.as_object_mut() {
        root.insert("openapi".to_owned(), "3.1.0".into());
        if let Some(webhooks) = root.remove("x-webhooks") {
            root.insert("webhooks".to_owned(), webhooks);
        }
    }
    converted
}

fn convert_part(value: &mut Value, part: DocumentPart) {
    match value {
        Value::Object(members) => {
            for (key, member) in members.iter_mut() {
                convert_part(member, part_below(part, key));
            }
            if part == DocumentPart::Schema {
                convert_schema(members);
            }
        }
        Value::Array(elements) => elements.iter_mut().for_each(|element| convert_part(element, part)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn part_below(part: DocumentPart, key: &str) -> DocumentPart {
    match (part, key) {
        (DocumentPart::NamedSchemas, _)
        | (DocumentPart::Other, "schema")
        | (DocumentPart::Schema, "items" | "additionalProperties" | "allOf" | "oneOf" | "anyOf" | "not") => {
            DocumentPart::Schema
        }
        (DocumentPart::Other, "schemas") | (DocumentPart::Schema, "properties") => DocumentPart::NamedSchemas,
        (DocumentPart::Other, "example" | "examples") | (DocumentPart::Schema | DocumentPart::Data, _) => {
            DocumentPart::Data
        }
        (DocumentPart::Other, _) => DocumentPart::Other,
    }
}

fn convert_schema(schema: &mut Map<String, Value>) {
    if let Some(example) = schema.remove("example") {
        schema.insert("examples".to_owned(), json!([example]));
    }
    if schema.get("format").is_some_and(|format| format == "binary") {
        schema.remove("format");
        schema.remove("type");
    }
    if schema.remove("nullable") != Some(Value::Bool(true)) {
        return;
    }
    let kind = schema.remove("type");
    if let Some(Value::Array(mut parts)) = schema.remove("allOf") {
        let referred = if parts.len() == 1 { parts.remove(0) } else { json!({"allOf": parts}) };
        schema.insert("anyOf".to_owned(), json!([referred, {"type": "null"}]));
    } else if let Some(kind) = kind {
        schema.insert("type".to_owned(), json!([kind, "null"]));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn schemas_become_those_of_json_schema_and_data_stays() {
        let old = json!({
            "openapi": "3.0.3",
            "x-webhooks": {"event": {"post": {"requestBody": {"content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/A"}, "example": {"nullable": true}}
            }}}}},
            "components": {
                "examples": {"A": {"value": {"schema": {"nullable": true, "type": "string"}}}},
                "schemas": {"A": {
                    "type": "object",
                    "example": {"example": 1},
                    "properties": {
                        "example": {"type": "string", "nullable": true, "enum": ["a", null], "example": "a"},
                        "other": {"type": "object", "nullable": true, "allOf": [{"$ref": "#/components/schemas/B"}]},
                        "list": {"type": "array", "items": {"type": "integer", "nullable": true}},
                        "bytes": {"type": "string", "format": "binary"},
                        "kept": {"type": "object", "allOf": [{"$ref": "#/components/schemas/B"}]},
                    },
                    "additionalProperties": {"type": "boolean", "nullable": true},
                }},
            },
        });
        let new = json!({
            "openapi": "3.1.0",
            "webhooks": {"event": {"post": {"requestBody": {"content": {
                "application/json": {"schema": {"$ref": "#/components/schemas/A"}, "example": {"nullable": true}}
            }}}}},
            "components": {
                "examples": {"A": {"value": {"schema": {"nullable": true, "type": "string"}}}},
                "schemas": {"A": {
                    "type": "object",
                    "examples": [{"example": 1}],
                    "properties": {
                        "example": {"type": ["string", "null"], "enum": ["a", null], "examples": ["a"]},
                        "other": {"anyOf": [{"$ref": "#/components/schemas/B"}, {"type": "null"}]},
                        "list": {"type": "array", "items": {"type": ["integer", "null"]}},
                        "bytes": {},
                        "kept": {"type": "object", "allOf": [{"$ref": "#/components/schemas/B"}]},
                    },
                    "additionalProperties": {"type": ["boolean", "null"]},
                }},
            },
        });
        assert_eq!(convert_document(&old), new);
    }
}
