//! The one-line rendering of each kind of message.

use serde_json::{Value, json};

use super::{body, sent};

#[test]
fn every_type_has_its_content() {
    for (kind, object, content) in [
        ("text", json!({"body": "two\nlines"}), "two\nlines"),
        ("image", json!({"id": "1"}), "[image]"),
        ("image", json!({"id": "1", "caption": " "}), "[image]"),
        ("video", json!({"id": "1", "caption": "our cat"}), "our cat"),
        ("audio", json!({"id": "1"}), "[audio]"),
        ("document", json!({"link": "https://e.com/a", "filename": "a\nb.pdf"}), "a b.pdf"),
        ("document", json!({"id": "1", "filename": "a.pdf", "caption": "the bill"}), "the bill"),
        ("sticker", json!({"id": "1"}), "[sticker]"),
        ("template", json!({"name": "order_sent", "language": "id"}), "[template] order_sent"),
        ("location", json!({"latitude": -7.25, "longitude": 112.75}), "📍 -7.25, 112.75"),
        (
            "location",
            json!({"latitude": 1, "longitude": 2, "name": "Pier", "address": "Dock 4"}),
            "📍 Pier, Dock 4",
        ),
        (
            "contacts",
            json!([{"name": {"formatted_name": "Ann"}}, {"name": {"formatted_name": "Bo"}}]),
            "👤 Ann, Bo",
        ),
        ("reaction", json!({"message_id": "wamid.A", "emoji": "👍"}), "👍"),
        ("reaction", json!({"message_id": "wamid.A", "emoji": ""}), "[reaction removed]"),
        (
            "interactive",
            json!({"type": "location_request_message", "body": {"text": "Where?"}, "action": {"name": "send_location"}}),
            "Where?",
        ),
        ("interactive", json!({"type": "product", "action": {"catalog_id": "1"}}), "[product]"),
    ] {
        assert_eq!(&*sent(&body(kind, object.clone())).content, content, "{kind} {object}");
    }
}

#[test]
fn the_object_is_passed_on_without_nulls() {
    let cases = [
        (
            "text",
            json!({"body": "a", "preview_url": null, "future": {"x": null, "y": [null, 1]}}),
            json!({"body": "a", "future": {"y": [null, 1]}}),
        ),
        (
            "template",
            json!({"name": "n", "language": "id", "namespace": "s"}),
            json!({"name": "n", "language": {"code": "id"}, "namespace": "s"}),
        ),
        (
            "template",
            json!({"name": "n", "language": {"code": "id", "policy": "deterministic"}}),
            json!({"name": "n", "language": {"code": "id", "policy": "deterministic"}}),
        ),
        (
            "contacts",
            json!([{"name": {"formatted_name": "A"}, "org": null}]),
            json!([{"name": {"formatted_name": "A"}}]),
        ),
        (
            "interactive",
            json!({"type": "flow", "body": {"text": "b"}, "header": null,
                "action": {"name": "flow", "parameters": {"flow_action_payload": {"data": {"x": null}}}}}),
            json!({"type": "flow", "body": {"text": "b"},
                "action": {"name": "flow", "parameters": {"flow_action_payload": {"data": {"x": null}}}}}),
        ),
    ];
    for (kind, object, payload) in cases {
        let passed: Value = serde_json::from_str(&sent(&body(kind, object)).payload).unwrap();
        assert_eq!(passed, payload);
    }
}
