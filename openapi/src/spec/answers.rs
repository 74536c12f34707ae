//! Adds the gateway's headers and errors to every response of the document.
//!
//! Operations carry their error codes as a stand-in schema (see `error::OperationError`). Here they become
//! responses with a description, the one error schema and an example, together with the error codes of the
//! operation's access class.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::http::access::AccessClass;
use crate::rest::envelope::EXAMPLE_REQUEST_ID;
use crate::rest::error::{CODES_TITLE, ErrorCode};

/// Completes the responses of one operation.
pub(super) fn complete_answers(access: AccessClass, operation: &mut Map<String, Value>) {
    let Some(responses) = operation.get_mut("responses").and_then(Value::as_object_mut) else { return };
    for (status, codes) in list_failures(access, responses) {
        responses.insert(status.to_string(), failure_response(&codes));
    }
    for (status, response) in responses.iter_mut() {
        if let Some(response) = response.as_object_mut() {
            plain_content_types(response);
            add_headers(access, status, response);
        }
    }
    responses.sort_keys();
}

/// Returns the codes of an operation and of its access class, by status.
fn list_failures(access: AccessClass, responses: &Map<String, Value>) -> BTreeMap<u16, Vec<ErrorCode>> {
    let own = responses.values().filter_map(|response| {
        let schema = response.pointer("/content/application~1json/schema")?;
        schema.get("title").filter(|title| *title == CODES_TITLE)?;
        schema.get("enum")?.as_array()
    });
    let own = own.flatten().filter_map(|code| ErrorCode::parse(code.as_str()?));
    let mut by_status = BTreeMap::<u16, Vec<ErrorCode>>::new();
    for code in own.chain(of_door(access).iter().copied()) {
        let codes = by_status.entry(code.status().as_u16()).or_default();
        if !codes.contains(&code) {
            codes.push(code);
        }
    }
    for codes in by_status.values_mut() {
        codes.sort_unstable();
    }
    by_status
}

const fn of_door(access: AccessClass) -> &'static [ErrorCode] {
    use ErrorCode::{
        ExpiredApiKey, InsufficientScope, InternalError, InvalidApiKey, InvalidRequest, MissingApiKey,
        OrganizationSuspended, RateLimitExceeded,
    };
    match access {
        AccessClass::Open => &[InvalidRequest, InternalError],
        AccessClass::Operator => &[
            InvalidRequest,
            MissingApiKey,
            InvalidApiKey,
            InsufficientScope,
            RateLimitExceeded,
            InternalError,
        ],
        AccessClass::Tenant => &[
            InvalidRequest,
            MissingApiKey,
            InvalidApiKey,
            ExpiredApiKey,
            OrganizationSuspended,
            InsufficientScope,
            RateLimitExceeded,
            InternalError,
        ],
    }
}

fn failure_response(codes: &[ErrorCode]) -> Value {
    let spelt: Vec<_> =
        codes.iter().map(|code| format!("`{}`: {}.", code.as_str(), code.meaning())).collect();
    let example = |code: &ErrorCode| {
        let name = code.as_str();
        (name.to_owned(), json!({"$ref": format!("#/components/examples/{name}")}))
    };
    let examples: Map<_, _> = codes.iter().map(example).collect();
    json!({
        "description": spelt.join("\n\n"),
        "content": {"application/json": {
            "schema": {"$ref": "#/components/schemas/Error"},
            "examples": examples,
        }},
    })
}

fn plain_content_types(response: &mut Map<String, Value>) {
    let Some(Value::Object(content)) = response.remove("content") else { return };
    let plain = content.into_iter().map(|(kind, media)| {
        let essence = kind.split(';').next().unwrap_or_default().trim().to_owned();
        (essence, media)
    });
    response.insert("content".to_owned(), Value::Object(plain.collect()));
}

fn add_headers(access: AccessClass, status: &str, response: &mut Map<String, Value>) {
    let mut shared = vec![("X-Request-Id", "RequestId")];
    if access == AccessClass::Tenant && status != "401" {
        shared.extend([
            ("X-RateLimit-Limit", "RateLimitLimit"),
            ("X-RateLimit-Remaining", "RateLimitRemaining"),
            ("X-RateLimit-Reset", "RateLimitReset"),
            ("RateLimit", "RateLimit"),
            ("RateLimit-Policy", "RateLimitPolicy"),
        ]);
    }
    match status {
        "401" if access != AccessClass::Open => shared.push(("WWW-Authenticate", "Authenticate")),
        "429" | "503" => shared.push(("Retry-After", "RetryAfter")),
        _ => {}
    }
    let headers = response.entry("headers").or_insert_with(|| json!({}));
    let Some(headers) = headers.as_object_mut() else { return };
    for (name, component) in shared {
        headers.insert(name.to_owned(), json!({"$ref": format!("#/components/headers/{component}")}));
    }
}

/// Adds the headers and examples that the responses refer to, and the values of error types and codes.
pub(super) fn add_components(root: &mut Map<String, Value>) {
    let whole = json!({"type": "integer", "format": "int64", "minimum": 0});
    let text = json!({"type": "string"});
    let header = |description: &str, schema: &Value| json!({"description": description, "schema": schema});
    let headers = json!({
        "RequestId": header("Id of the request, as in the body.", &text),
        "RateLimitLimit": header("Tokens that the budget holds: requests per minute.", &whole),
        "RateLimitRemaining": header("Whole tokens left.", &whole),
        "RateLimitReset": header("Unix seconds at which the budget is full again, rounded up.", &whole),
        "RateLimit": header(
            "The budget in the IETF's form: its name, `r` whole tokens left, `t` seconds until it is full again.",
            &text,
        ),
        "RateLimitPolicy": header(
            "The budget's rule in the IETF's form: its name, `q` tokens in `w` seconds.",
            &text,
        ),
        "RetryAfter": header("Seconds after which to try again.", &whole),
        "Authenticate": header("Always `Bearer`.", &text),
    });
    let paths = root.get("paths").map(Value::to_string).unwrap_or_default();
    let used = |code: &ErrorCode| paths.contains(&format!("#/components/examples/{}\"", code.as_str()));
    let examples = ErrorCode::ALL.iter().copied().filter(used).map(example).collect();
    if let Some(components) = root.get_mut("components").and_then(Value::as_object_mut) {
        components.insert("headers".to_owned(), headers);
        components.insert("examples".to_owned(), examples);
        // Open lists: a strict client should not fail on a value that it does not know yet.
        for (word, all) in [("type", error_types()), ("code", error_codes())] {
            let path = format!("/ErrorDetail/properties/{word}");
            let found = components.get_mut("schemas").and_then(|schemas| schemas.pointer_mut(&path));
            if let Some(word) = found.and_then(Value::as_object_mut) {
                word.insert("x-extensible-enum".to_owned(), all.into());
            }
        }
    }
}

fn example(code: ErrorCode) -> (String, Value) {
    let error = json!({
        "type": code.kind(),
        "code": code.as_str(),
        "message": code.meaning(),
        "request_id": EXAMPLE_REQUEST_ID,
    });
    (code.as_str().to_owned(), json!({"summary": code.meaning(), "value": {"error": error}}))
}

fn error_codes() -> Vec<&'static str> {
    ErrorCode::ALL.iter().map(|code| code.as_str()).collect()
}

fn error_types() -> Vec<&'static str> {
    let mut types: Vec<_> = ErrorCode::ALL.iter().map(|code| code.kind()).collect();
    types.sort_unstable();
    types.dedup();
    types
}
