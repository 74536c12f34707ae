//! The forms of ids, instants and objects (contract, sections 1, 4 to 7 and 12).

use serde_json::Value;

use super::keys_of;

/// `<prefix>_` and 26 characters of Crockford's base32.
pub(crate) fn is_id(prefix: &str, text: &str) -> bool {
    let digits = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('_'));
    let crockford = |c: char| c.is_ascii_digit() || (c.is_ascii_uppercase() && !"ILOU".contains(c));
    digits.is_some_and(|digits| digits.len() == 26 && digits.chars().all(crockford))
}

/// `^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`
pub(crate) fn is_timestamp(text: &str) -> bool {
    let pattern = "0000-00-00T00:00:00.000Z";
    text.len() == pattern.len()
        && text.chars().zip(pattern.chars()).all(|(c, p)| if p == '0' { c.is_ascii_digit() } else { c == p })
}

const SUBSCRIPTION_KEYS: &[&str] = &[
    "url",
    "events",
    "format",
    "description",
    "status",
    "secrets",
    "created_at",
    "created_by",
    "updated_at",
];

const TEMPLATE_KEYS: &[&str] =
    &["name", "language", "status", "provider_status", "components", "variables", "created_at", "updated_at"];

/// The keys that an object must have, whatever their values.
fn keys_needed(object: &str) -> (&'static str, &'static [&'static str]) {
    match object {
        "conversation" => (
            "cnv",
            &[
                "status",
                "contact",
                "whatsapp_account",
                "assignee",
                "unread_count",
                "last_message_at",
                "last_inbound_at",
                "created_at",
                "updated_at",
            ],
        ),
        "message" => (
            "msg",
            &[
                "direction",
                "status",
                "type",
                "conversation_id",
                "contact_id",
                "from",
                "to",
                "message_id",
                "content",
                "payload",
                "context",
                "error",
                "status_history",
                "created_at",
                "updated_at",
                "sent_at",
                "delivered_at",
                "read_at",
                "failed_at",
            ],
        ),
        "contact" => (
            "ctc",
            &["phone_number", "name", "email", "metadata", "whatsapp_account", "created_at", "updated_at"],
        ),
        "template" => ("tmpl", TEMPLATE_KEYS),
        "account" => ("wba", &["phone_number_id", "phone_number", "name", "status"]),
        "user" => ("usr", &["name", "email"]),
        "organization" => (
            "org",
            &["name", "tier", "write_per_minute", "read_per_minute", "sandbox", "suspended", "created_at"],
        ),
        "webhook_subscription" => ("wbs", SUBSCRIPTION_KEYS),
        "webhook_secret" => ("sec", &["expires_at", "created_at", "created_by"]),
        "webhook_delivery" => (
            "wbd",
            &[
                "subscription_id",
                "event_id",
                "event_type",
                "status",
                "attempts",
                "next_attempt_at",
                "created_at",
            ],
        ),
        other => keys_of_credentials(other),
    }
}

/// The same of credentials, and of what they have done.
fn keys_of_credentials(object: &str) -> (&'static str, &'static [&'static str]) {
    match object {
        "api_key" => ("key", &["label", "last4", "scopes", "expires_at", "created_at", "created_by"]),
        "audit_entry" => ("aud", &["created_at", "actor", "action", "target", "ip", "request_id"]),
        "operator_token" => ("opt", &["name", "last4", "scopes", "expires_at", "created_by", "created_at"]),
        other => panic!("no such object: {other}"),
    }
}

/// Checks an object of the contract: its keys, its id, every instant in it.
#[track_caller]
pub(crate) fn check_object(value: &Value) {
    let (prefix, needed) = keys_needed(value["object"].as_str().expect("object"));
    let keys = keys_of(value);
    for key in needed {
        assert!(keys.contains(key), "{key} is not in {value}");
    }
    assert!(is_id(prefix, value["id"].as_str().unwrap()), "{value}");
    check_instants(value);
}

/// Checks every member called `…_at` or `at`, however deep; payloads are WhatsApp's.
#[track_caller]
fn check_instants(value: &Value) {
    match value {
        Value::Object(members) => {
            for (key, member) in members.iter().filter(|(key, _)| *key != "payload" && *key != "metadata") {
                if let Some(text) = member.as_str().filter(|_| key == "at" || key.ends_with("_at")) {
                    assert!(is_timestamp(text), "{key}: {text}");
                }
                check_instants(member);
            }
        }
        Value::Array(elements) => elements.iter().for_each(check_instants),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}
