//! The pass over the whole document, in order.

use serde_json::{Map, Value, json};

use super::{answers, enumerations, examples, requests, schemas, send_union, webhooks};
use crate::http::route::Resource;

const DESCRIPTION: &str = "\
Self-hosted WhatsApp Business messaging. One connected number is an *account*, named in paths by WhatsApp's \
`phone_number_id`.

**Polling costs nothing while nothing changes.** Every list and every single thing has an `ETag`; send it back as \
`If-None-Match` and the answer is `304` until it would be different, at no cost to your budget. Add \
`Prefer: wait=30` to be answered the moment it changes. A poll that starts after a write was acknowledged sees it.

**Budgets.** Every answer to a valid key says what is left: `X-RateLimit-Limit`, `-Remaining`, `-Reset`, and `RateLimit`.

**Idempotency.** Any POST below `/v1` takes an `Idempotency-Key`, and is then safe to repeat for 24 hours.

**Errors** have one shape; `type` and `code` are permanent, `message` is for people. \
A request that accepts `application/problem+json` by name gets them as problem details (RFC 9457). Query parameters that are not \
documented are ignored; those that are may be given once and never empty.";

/// Tags in reading order.
const CHAPTERS: [&str; 11] = [
    "Conversations",
    "Messages",
    "Contacts",
    "Templates",
    "Events",
    "Webhooks",
    "Plugins",
    "Accounts",
    "Server",
    "WhatsApp",
    "Operator",
];

/// Methods that an item of `paths` can hold.
const VERBS: [&str; 5] = ["get", "post", "put", "patch", "delete"];

/// Corrects and completes the document that poem-openapi wrote.
pub(super) fn polish_document(raw: Value) -> Value {
    let mut document = raw;
    let Some(root) = document.as_object_mut() else { return document };
    root.insert("openapi".to_owned(), "3.0.3".into());
    root.insert("servers".to_owned(), json!([{"url": "/", "description": "This server."}]));
    if let Some(info) = root.get_mut("info").and_then(Value::as_object_mut) {
        complete_info(info);
    }
    order_chapters(root);
    for_each_operation(root, |path, verb, operation| {
        // A test holds that every documented path is in the table.
        let Some(resource) = Resource::from_path(path) else { return };
        requests::complete_requests(resource, verb, operation);
        answers::complete_answers(resource.access(), operation);
    });
    schemas::complete_schemas(root);
    enumerations::complete_enumerations(root);
    send_union::complete_union(root);
    schemas::drop_unused(root);
    examples::complete_examples(root);
    requests::add_components(root);
    answers::add_components(root);
    webhooks::complete_webhooks(root);
    tidy_value(&mut document);
    document
}

fn complete_info(info: &mut Map<String, Value>) {
    info.insert("description".to_owned(), DESCRIPTION.into());
    info.insert("contact".to_owned(), json!({"name": "The operator of this server"}));
    let licence = json!({"name": "MIT OR Apache-2.0", "url": "https://spdx.org/licenses/MIT.html"});
    info.insert("license".to_owned(), licence);
}

fn order_chapters(root: &mut Map<String, Value>) {
    let place =
        |tag: &Value| CHAPTERS.iter().position(|name| tag.get("name").is_some_and(|known| known == name));
    if let Some(tags) = root.get_mut("tags").and_then(Value::as_array_mut) {
        tags.sort_by_key(|tag| place(tag).unwrap_or(CHAPTERS.len()));
    }
}

fn for_each_operation(
    root: &mut Map<String, Value>,
    mut each: impl FnMut(&str, &str, &mut Map<String, Value>),
) {
    let Some(paths) = root.get_mut("paths").and_then(Value::as_object_mut) else { return };
    for (path, item) in paths.iter_mut() {
        for verb in VERBS {
            if let Some(operation) = item.get_mut(verb).and_then(Value::as_object_mut) {
                each(path, verb, operation);
            }
        }
    }
}

/// Drops empty members, and writes numbers and formats in OpenAPI's terms.
fn tidy_value(value: &mut Value) {
    match value {
        Value::Object(members) => {
            members.retain(|key, member| !says_nothing(key, member));
            mend_integer(members);
            members.values_mut().for_each(tidy_value);
        }
        Value::Array(elements) => elements.iter_mut().for_each(tidy_value),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

fn says_nothing(key: &str, member: &Value) -> bool {
    match key {
        "deprecated" => *member == Value::Bool(false),
        "explode" => *member == Value::Bool(true),
        _ => false,
    }
}

/// Corrects an integer schema: `uint32` and the like are not OpenAPI's formats, and bounds of integers are
/// integers.
fn mend_integer(members: &mut Map<String, Value>) {
    if members.get("type").is_none_or(|kind| kind != "integer") {
        return;
    }
    let format = members.get("format").and_then(Value::as_str).unwrap_or_default();
    let unsigned = format.starts_with("uint");
    let mended = match format {
        "uint8" | "uint16" | "int8" | "int16" | "int32" => "int32",
        _ => "int64",
    };
    members.insert("format".to_owned(), mended.into());
    if unsigned {
        members.entry("minimum").or_insert_with(|| 0.into());
    }
    for bound in ["minimum", "maximum"] {
        if let Some(limit) = members.get_mut(bound)
            && let Some(whole) = limit.as_f64().and_then(|limit| format!("{limit:.0}").parse::<i64>().ok())
        {
            *limit = whole.into();
        }
    }
}
