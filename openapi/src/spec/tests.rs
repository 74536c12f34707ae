//! The document: complete, readable by generators, and the one that is committed.

use std::collections::BTreeSet;

use serde_json::Value;

use super::*;
use crate::http::route::{Resource, ResponseOrigin};
use crate::routes::{ApiOperations, documented_methods};

fn document() -> OpenApiDocument {
    OpenApiDocument::of::<ApiOperations>()
}

fn operations(document: &OpenApiDocument) -> Vec<(String, Value)> {
    let paths = document.value()["paths"].as_object().unwrap().clone();
    let operations = paths.into_iter().flat_map(|(path, item)| {
        let item = item.as_object().unwrap().clone();
        item.into_iter().map(move |(verb, operation)| (format!("{} {path}", verb.to_uppercase()), operation))
    });
    operations.collect()
}

fn visit(value: &Value, each: &mut dyn FnMut(&str, &Value)) {
    match value {
        Value::Object(members) => members.iter().for_each(|(key, member)| {
            each(key, member);
            visit(member, each);
        }),
        Value::Array(elements) => elements.iter().for_each(|element| visit(element, each)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[test]
fn the_committed_document_is_current() {
    let current = document();
    assert!(
        include_str!("../../openapi.json") == current.json(),
        "the contract changed: run `cargo run -- openapi > openapi/openapi.json`, and review the difference"
    );
}

#[test]
fn the_document_of_3_1_says_the_same_in_its_own_words() {
    let (old, new) = (document(), document().to_version_3_1());
    assert_eq!(operations(&old).len(), operations(&new).len());
    assert!(new.value()["webhooks"]["event"]["post"].is_object() && new.value().get("x-webhooks").is_none());
    let count = |document: &OpenApiDocument, wanted: &str| {
        let mut found = 0;
        visit(document.value(), &mut |key, value| {
            let is_null = matches!(value, Value::Array(kinds) if kinds.last().is_some_and(|kind| kind == "null"))
                || value == "null";
            found += usize::from(if wanted == "null" { key == "type" && is_null } else { key == wanted });
        });
        found
    };
    assert!(count(&old, "nullable") > 100);
    assert_eq!((count(&new, "nullable"), count(&new, "null")), (0, count(&old, "nullable")));
    assert_eq!(count(&new, "$ref"), count(&old, "$ref"));
}

#[test]
fn no_operation_is_lost() {
    let document = document();
    let told: BTreeSet<_> = operations(&document).into_iter().map(|(name, _)| name).collect();
    let routed: Vec<_> = documented_methods().map(|(path, method)| format!("{method} {path}")).collect();
    assert_eq!(told.len(), routed.len());
    assert_eq!(told, routed.into_iter().collect());
}

#[test]
fn the_table_of_routes_has_exactly_the_documented_paths() {
    let documented: BTreeSet<_> = documented_methods().map(|(path, _)| path).collect();
    let with_operations =
        Resource::ALL.iter().filter(|resource| resource.response_origin() != ResponseOrigin::Site);
    let routed = with_operations.map(|resource| resource.path_template().to_owned());
    assert_eq!(documented, routed.collect(), "openapi/src/http/route.rs has one row per path");
    assert_eq!(
        Resource::ALL.len(),
        Resource::ALL.iter().map(|row| row.path_template()).collect::<BTreeSet<_>>().len()
    );
}

#[test]
fn every_operation_is_told_in_full() {
    let document = document();
    let mut ids = BTreeSet::new();
    for (name, operation) in operations(&document) {
        for key in ["summary", "description", "operationId"] {
            assert!(operation[key].as_str().is_some_and(|text| !text.is_empty()), "{name} has no {key}");
        }
        assert_eq!(operation["tags"].as_array().map(Vec::len), Some(1), "{name}");
        assert!(ids.insert(operation["operationId"].as_str().unwrap().to_owned()), "{name}");
        assert!(operation["security"].is_array(), "{name}");
        for (status, response) in operation["responses"].as_object().unwrap() {
            assert!(response["description"].as_str().is_some_and(|text| !text.is_empty()), "{name} {status}");
            assert!(response["headers"]["X-Request-Id"].is_object(), "{name} {status}");
        }
        assert!(operation["responses"]["500"].is_object(), "{name}");
        if name.contains("/v1/{") || name.ends_with("/v1/me") {
            for status in ["401", "403", "429"] {
                assert!(operation["responses"][status].is_object(), "{name} {status}");
            }
        }
    }
}

#[test]
fn references_lead_somewhere_and_nothing_foreign_is_left() {
    let document = document();
    visit(document.value(), &mut |key, member| match key {
        "$ref" => {
            let path = member.as_str().unwrap().trim_start_matches('#');
            assert!(document.value().pointer(path).is_some(), "{path}");
        }
        "format" => {
            if let Some(format) = member.as_str() {
                // The last one is a member of the examples of webhook subscriptions.
                assert!(
                    ["int32", "int64", "double", "float", "date-time", "byte", "binary", "uri", "kabar"]
                        .contains(&format),
                    "{format}"
                );
            }
        }
        "deprecated" => assert_eq!(*member, Value::Bool(true)),
        "title" => assert!(member.as_str().is_none_or(|title| !title.starts_with("x-kabar")), "{member}"),
        key => assert!(!key.contains("charset"), "{key}"),
    });
    assert_eq!(document.value()["openapi"], "3.0.3");
}

#[test]
fn answers_have_every_key_and_say_which_may_be_null() {
    let document = document();
    let schemas = &document.value()["components"]["schemas"];
    for name in ["Conversation", "Message", "Contact"] {
        let schema = &schemas[name];
        let keys: BTreeSet<_> = schema["properties"].as_object().unwrap().keys().cloned().collect();
        let required =
            schema["required"].as_array().unwrap().iter().map(|key| key.as_str().unwrap().to_owned());
        assert_eq!(keys, required.collect(), "{name}");
        for (key, value) in schema["example"].as_object().unwrap() {
            if value.is_null() {
                assert_eq!(schema["properties"][key]["nullable"], true, "{name}.{key}");
            }
        }
    }
    assert_eq!(schemas["Conversation"]["properties"]["assignee"]["nullable"], true);
    let error = schemas["ErrorDetail"]["required"].as_array().unwrap();
    assert!(!error.contains(&"param".into()) && error.contains(&"request_id".into()));
    for (name, schema) in schemas.as_object().unwrap() {
        if name.ends_with("Envelope") || name.ends_with("Page") {
            assert!(schema["example"]["request_id"].is_string(), "{name} has no example");
        }
    }
}

#[test]
fn yaml_says_the_same() {
    let document = document();
    let read: Value = serde_norway::from_str(&document.yaml()).unwrap();
    assert_eq!(&read, document.value());
}

#[test]
fn swagger_ui_comes_without_its_own_end_and_loads_nothing() {
    let page = document().swagger_ui_head();
    assert!(page.contains("SwaggerUIBundle") && page.contains("<title>kabar API</title>"));
    assert!(page.trim_end().ends_with("<body>"));
    for loading in ["<script src", "<link ", "@import", "<iframe", "<img src=\"http"] {
        assert!(!page.to_ascii_lowercase().contains(loading), "{loading}");
    }
}
