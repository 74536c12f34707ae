//! Adds the access class and the header parameters of each operation: keys, conditions, idempotency keys.

use serde_json::{Map, Value, json};

use crate::http::access::AccessClass;
use crate::http::route::Resource;

/// Adds the security and the header parameters of one operation.
pub(super) fn complete_requests(resource: Resource, verb: &str, operation: &mut Map<String, Value>) {
    let security = match resource.access() {
        AccessClass::Open => json!([]),
        AccessClass::Tenant => json!([{"apiKey": []}]),
        AccessClass::Operator => json!([{"operatorToken": []}]),
    };
    operation.insert("security".to_owned(), security);
    let polled = operation.get("responses").is_some_and(|responses| responses.get("304").is_some());
    let mut shared = Vec::new();
    if polled {
        shared.extend(["IfNoneMatch", "Prefer"]);
    }
    if resource == Resource::EventStream {
        shared.push("LastEventId");
    }
    if verb == "post" && resource.access() == AccessClass::Tenant {
        shared.push("IdempotencyKey");
    }
    if shared.is_empty() {
        return;
    }
    let parameters = operation.entry("parameters").or_insert_with(|| json!([]));
    if let Some(parameters) = parameters.as_array_mut() {
        parameters
            .extend(shared.iter().map(|name| json!({"$ref": format!("#/components/parameters/{name}")})));
    }
}

/// Adds the components that the operations refer to.
pub(super) fn add_components(root: &mut Map<String, Value>) {
    let components = root.entry("components").or_insert_with(|| json!({}));
    let Some(components) = components.as_object_mut() else { return };
    components.insert("parameters".to_owned(), header_parameters());
    components.insert(
        "securitySchemes".to_owned(),
        json!({
            "apiKey": {
                "type": "http",
                "scheme": "bearer",
                "description": "An API key of the organization, `kdv_live_…` or `kdv_test_…`.",
            },
            "operatorToken": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token of the operator: the one of the server's configuration, or a named one, `kdv_op_…`.",
            },
        }),
    );
}

/// Returns the header parameters. They have no examples: Swagger UI would send them, and callers would share
/// one idempotency key.
fn header_parameters() -> Value {
    json!({
        "IfNoneMatch": {
            "name": "If-None-Match",
            "in": "header",
            "required": false,
            "description": "The `ETag` of the answer that you have; a list of tags, or `*` (RFC 9110, 13.1.2). \
                            While the answer would be the same it is 304, which costs nothing. For example \
                            `W/\"2026-06-19T11:00:00.000Z:2:1:0:9f2c61d3a07b\"`.",
            "schema": {"type": "string"},
        },
        "Prefer": {
            "name": "Prefer",
            "in": "header",
            "required": false,
            "description": "`wait=<1–60>` (RFC 7240): hold the answer until it would differ from the one named by \
                            `If-None-Match`, or until there is something after `updated_since`; at the deadline it is \
                            304, or 200 with no rows. When there is something to answer at once, it is answered at \
                            once, without `Preference-Applied`. A server that holds too many polls answers before the time, with \
                            `Retry-After`. A request that asks to wait costs one read token, \
                            whatever it answers. Other preferences, and waits out of range, are ignored.",
            "schema": {"type": "string"},
        },
        "LastEventId": {
            "name": "Last-Event-ID",
            "in": "header",
            "required": false,
            "description": "The last `id` that you have seen; an `EventSource` sends it by itself when it connects again. \
                            Goes before `after`.",
            "schema": {"type": "integer", "format": "int64", "minimum": 0},
            "example": 1042,
        },
        "IdempotencyKey": {
            "name": "Idempotency-Key",
            "in": "header",
            "required": false,
            "description": "A key of your own for this request, best a random one. The same key with the same request \
                            within 24 hours is told the first answer again. For example \
                            `6f1e0c52-9c1b-4c39-8a54-3f6f5b1f2a77`.",
            "schema": {"type": "string", "minLength": 1, "maxLength": 255, "pattern": "^[ -~]+$"},
        },
    })
}
