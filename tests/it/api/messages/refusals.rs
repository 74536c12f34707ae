//! Every limit of a send, one beyond it, and the name of the field at fault.

use serde_json::{Value, json};

use crate::harness::{Tenant, TestServer, from};

fn of(kind: &str, object: Value) -> Value {
    let mut body = json!({"messaging_product": "whatsapp", "to": from(1), "type": kind});
    body[kind] = object;
    body
}

/// So many characters of two bytes each.
fn long(chars: usize) -> String {
    "é".repeat(chars)
}

fn buttons(count: usize, id: impl Fn(usize) -> String, title: &str) -> Value {
    let button = |nth| json!({"type": "reply", "reply": {"id": id(nth), "title": title}});
    let buttons: Vec<Value> = (0..count).map(button).collect();
    json!({"type": "button", "body": {"text": "?"}, "action": {"buttons": buttons}})
}

fn list(rows: usize, title: &str, description: &str) -> Value {
    let row = |nth: usize| json!({"id": format!("r{nth}"), "title": title, "description": description});
    let rows: Vec<Value> = (0..rows).map(row).collect();
    json!({"type": "list", "body": {"text": "?"}, "action": {"button": "Open", "sections": [{"title": "S", "rows": rows}]}})
}

/// Two sections that have so many rows between them, told apart by `id`.
fn sections(first: usize, second: usize, id: impl Fn(usize) -> String) -> Value {
    let row = |nth: usize| json!({"id": id(nth), "title": "A"});
    let one: Vec<Value> = (0..first).map(&row).collect();
    let two: Vec<Value> = (first..first + second).map(&row).collect();
    json!({"type": "list", "body": {"text": "?"}, "action": {"button": "Open",
        "sections": [{"title": "One", "rows": one}, {"title": "Two", "rows": two}]}})
}

fn numbered(nth: usize) -> String {
    format!("r{nth}")
}

/// Bodies at their limits.
fn at_the_limit() -> Vec<Value> {
    let longest = |nth: usize| format!("{nth}{}", "x".repeat(255));
    let mut framed = buttons(1, longest, "A");
    framed["body"] = json!({"text": long(1024)});
    framed["header"] = json!({"type": "text", "text": long(60)});
    framed["footer"] = json!({"text": long(60)});
    vec![
        of("text", json!({"body": long(4096)})),
        of("text", json!({"body": "x"})),
        of("image", json!({"id": "1", "caption": long(1024)})),
        of("video", json!({"id": "1", "caption": long(1024)})),
        of("document", json!({"id": "1", "caption": long(1024)})),
        of("document", json!({"id": "1", "filename": "x"})),
        of("image", json!({"id": "1", "caption": ""})),
        of("interactive", buttons(3, longest, &long(20))),
        of("interactive", buttons(1, numbered, "x")),
        of("interactive", list(10, &long(24), &long(72))),
        of("interactive", list(1, "x", "")),
        of("interactive", sections(9, 1, numbered)),
        of("interactive", with(buttons(1, numbered, "A"), "body", json!({"text": "x"}))),
        of("location", json!({"latitude": 90, "longitude": -180})),
        of("contacts", json!([{"name": {"formatted_name": "x"}}])),
        of("reaction", json!({"message_id": "x", "emoji": ""})),
        of("interactive", framed),
    ]
}

const VALUE: &str = "invalid_field_value";
const MISSING: &str = "missing_required_field";

/// A body, and the code and the field that its refusal names.
type Case = (Value, &'static str, &'static str);

fn with(mut object: Value, key: &str, value: Value) -> Value {
    object[key] = value;
    object
}

/// Types of one object, beyond one limit each.
fn plain() -> Vec<Case> {
    [
        ("text", json!({"body": long(4097)}), VALUE, "text.body"),
        ("text", json!({"body": ""}), VALUE, "text.body"),
        ("text", json!({}), MISSING, "text.body"),
        ("text", json!({"body": "x", "preview_url": "yes"}), VALUE, "text.preview_url"),
        ("text", json!("x"), VALUE, "text"),
        ("text", Value::Null, MISSING, "text"),
        ("image", json!({"link": "https://a.b/c", "id": "1"}), VALUE, "image.id"),
        ("image", json!({}), MISSING, "image.link"),
        ("image", json!({"link": "http://a.b/c"}), VALUE, "image.link"),
        ("image", json!({"link": "ftp://a.b/c"}), VALUE, "image.link"),
        ("image", json!({"link": "nonsense"}), VALUE, "image.link"),
        ("image", json!({"id": "1", "caption": long(1025)}), VALUE, "image.caption"),
        ("video", json!({"id": "1", "caption": long(1025)}), VALUE, "video.caption"),
        ("document", json!({"id": "1", "caption": long(1025)}), VALUE, "document.caption"),
        ("video", json!({"link": "http://a.b/c"}), VALUE, "video.link"),
        ("audio", json!({"link": "http://a.b/c"}), VALUE, "audio.link"),
        ("document", json!({"link": "http://a.b/c"}), VALUE, "document.link"),
        ("sticker", json!({"link": "http://a.b/c"}), VALUE, "sticker.link"),
        ("audio", json!({"link": "https://a.b/c", "id": "1"}), VALUE, "audio.id"),
        ("sticker", json!({}), MISSING, "sticker.link"),
        ("video", json!({"id": "1", "filename": "x"}), VALUE, "video.filename"),
        ("audio", json!({"id": "1", "filename": "x"}), VALUE, "audio.filename"),
        ("sticker", json!({"id": "1", "filename": "x"}), VALUE, "sticker.filename"),
        ("audio", json!({"id": "1", "caption": "x"}), VALUE, "audio.caption"),
        ("sticker", json!({"id": "1", "caption": "x"}), VALUE, "sticker.caption"),
        ("image", json!({"id": "1", "filename": "x"}), VALUE, "image.filename"),
        ("template", json!({"language": "en"}), MISSING, "template.name"),
        ("template", json!({"name": "x"}), MISSING, "template.language"),
        ("template", json!({"name": "x", "language": {}}), MISSING, "template.language.code"),
        ("template", json!({"name": "x", "language": 1}), VALUE, "template.language"),
        ("location", json!({"latitude": 91, "longitude": 0}), VALUE, "location.latitude"),
        ("location", json!({"latitude": 0, "longitude": "1"}), VALUE, "location.longitude"),
        ("location", json!({"latitude": 0}), MISSING, "location.longitude"),
        ("contacts", json!([]), VALUE, "contacts"),
        ("contacts", json!([{"name": {}}]), MISSING, "contacts[0].name.formatted_name"),
        ("reaction", json!({"emoji": "x"}), MISSING, "reaction.message_id"),
        ("reaction", json!({"message_id": "x"}), MISSING, "reaction.emoji"),
        ("fax", json!({}), VALUE, "type"),
        ("unsupported", json!({}), VALUE, "type"),
    ]
    .into_iter()
    .map(|(kind, object, code, field)| (of(kind, object), code, field))
    .collect()
}

/// Interactive messages, beyond one limit each.
fn interactive() -> Vec<Case> {
    let same = |_| "same".to_owned();
    let one = || buttons(1, numbered, "A");
    let header = json!({"type": "text", "text": long(61)});
    [
        (buttons(4, numbered, "A"), "action.buttons"),
        (buttons(0, numbered, "A"), "action.buttons"),
        (buttons(2, same, "A"), "action.buttons[1].reply.id"),
        (buttons(1, |_| "x".repeat(257), "A"), "action.buttons[0].reply.id"),
        (buttons(1, |_| String::new(), "A"), "action.buttons[0].reply.id"),
        (buttons(1, numbered, &long(21)), "action.buttons[0].reply.title"),
        (buttons(1, numbered, ""), "action.buttons[0].reply.title"),
        (list(0, "A", "d"), "action.sections[0].rows"),
        (list(1, "", "d"), "action.sections[0].rows[0].title"),
        (sections(9, 2, numbered), "action.sections"),
        (sections(1, 1, |_| "same".to_owned()), "action.sections[1].rows[0].id"),
        (with(one(), "body", json!({"text": ""})), "body.text"),
        (with(one(), "footer", json!({"text": ""})), "footer.text"),
        (with(one(), "header", json!({"type": "text", "text": ""})), "header.text"),
        (with(one(), "header", json!({"type": "audio", "audio": {"id": "1"}})), "header.type"),
        (with(list(1, "A", "d"), "header", json!({"type": "image", "image": {"id": "1"}})), "header.type"),
        (list(11, "A", "d"), "action.sections[0].rows"),
        (list(1, &long(25), "d"), "action.sections[0].rows[0].title"),
        (list(1, "A", &long(73)), "action.sections[0].rows[0].description"),
        (with(one(), "body", json!({"text": long(1025)})), "body.text"),
        (with(one(), "footer", json!({"text": long(61)})), "footer.text"),
        (with(one(), "header", header), "header.text"),
        (with(one(), "type", json!(7)), "type"),
    ]
    .into_iter()
    .map(|(object, field)| (of("interactive", object), VALUE, field))
    .collect()
}

/// What stands around every type's object.
fn envelope() -> Vec<Case> {
    const PHONE: &str = "invalid_phone_number";
    [
        ("to", json!("12"), PHONE, "to"),
        ("to", json!(6_281_234_567_890_i64), PHONE, "to"),
        ("to", json!("+0812345678"), PHONE, "to"),
        ("to", Value::Null, MISSING, "to"),
        ("type", Value::Null, MISSING, "type"),
        ("messaging_product", json!("sms"), VALUE, "messaging_product"),
        ("messaging_product", Value::Null, MISSING, "messaging_product"),
        ("recipient_type", json!("broadcast"), VALUE, "recipient_type"),
        ("context", json!({}), MISSING, "context.message_id"),
        ("context", json!("wamid.X"), VALUE, "context"),
    ]
    .into_iter()
    .map(|(key, value, code, field)| (with(of("text", json!({"body": "x"})), key, value), code, field))
    .collect()
}

#[tokio::test]
async fn limits_are_kept_to_the_character_and_refusals_name_the_field() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let before = tenant.conversation_with(&from(1)).await;
    for (body, code, field) in plain().into_iter().chain(envelope()) {
        let error = tenant.post("messages", &body).await.refused(400, code);
        assert_eq!(error["param"], field, "{body}");
    }
    for (body, code, field) in interactive() {
        let error = tenant.post("messages", &body).await.refused(400, code);
        assert_eq!(error["param"], format!("interactive.{field}"), "{body}");
    }
    assert_eq!(tenant.conversation_with(&from(1)).await, before, "nothing was written");
    for (nth, body) in at_the_limit().iter().enumerate() {
        tenant.post("messages", body).await.is(200);
        assert_eq!(tenant.get("messages?direction=outbound").await.rows().len(), nth + 1);
    }
}

#[tokio::test]
async fn validation_comes_before_the_window() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.shuts_window_of(&from(1)).await;
    // The window is shut; yet the mistake is what can be mended.
    let refused = tenant.post("messages", &of("text", json!({"body": ""}))).await;
    refused.refused(400, "invalid_field_value");
    tenant.post("messages", &Tenant::letter(&from(1), "x")).await.refused(422, "outside_24h_window");
    assert!(tenant.get("messages?direction=outbound").await.rows().is_empty());
}
