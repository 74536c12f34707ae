//! Every limit of a send, one beyond it, and the name of the field at fault.

use serde_json::{Value, json};

use crate::harness::{Tenant, TestServer, from, text};

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

/// Bodies at their limits.
fn at_the_limit() -> Vec<Value> {
    let numbered = |nth: usize| format!("{nth}{}", "x".repeat(255));
    let mut framed = buttons(1, numbered, "A");
    framed["body"] = json!({"text": long(1024)});
    framed["header"] = json!({"type": "text", "text": long(60)});
    framed["footer"] = json!({"text": long(60)});
    vec![
        of("text", json!({"body": long(4096)})),
        of("text", json!({"body": "x"})),
        of("image", json!({"id": "1", "caption": long(1024)})),
        of("interactive", buttons(3, numbered, &long(20))),
        of("interactive", list(10, &long(24), &long(72))),
        of("interactive", framed),
    ]
}

/// Bodies beyond one limit each, with the code and the field that the refusal names.
fn beyond() -> Vec<(Value, &'static str, &'static str)> {
    const VALUE: &str = "invalid_field_value";
    const MISSING: &str = "missing_required_field";
    let same = |_| "same".to_owned();
    let numbered = |nth: usize| format!("{nth}");
    let with = |mut object: Value, key: &str, value: Value| {
        object[key] = value;
        object
    };
    vec![
        (of("text", json!({"body": long(4097)})), VALUE, "text.body"),
        (of("text", json!({"body": ""})), VALUE, "text.body"),
        (of("text", json!({})), MISSING, "text.body"),
        (of("text", json!({"body": "x", "preview_url": "yes"})), VALUE, "text.preview_url"),
        (of("text", json!("x")), VALUE, "text"),
        (json!({"messaging_product": "whatsapp", "to": from(1), "type": "text"}), MISSING, "text"),
        (of("image", json!({"link": "https://a.b/c", "id": "1"})), VALUE, "image.id"),
        (of("image", json!({})), MISSING, "image.link"),
        (of("image", json!({"link": "http://a.b/c"})), VALUE, "image.link"),
        (of("image", json!({"link": "ftp://a.b/c"})), VALUE, "image.link"),
        (of("image", json!({"link": "nonsense"})), VALUE, "image.link"),
        (of("image", json!({"id": "1", "caption": long(1025)})), VALUE, "image.caption"),
        (of("audio", json!({"id": "1", "caption": "x"})), VALUE, "audio.caption"),
        (of("sticker", json!({"id": "1", "caption": "x"})), VALUE, "sticker.caption"),
        (of("image", json!({"id": "1", "filename": "x"})), VALUE, "image.filename"),
        (of("template", json!({"language": "en"})), MISSING, "template.name"),
        (of("template", json!({"name": "x"})), MISSING, "template.language"),
        (of("template", json!({"name": "x", "language": {}})), MISSING, "template.language.code"),
        (of("template", json!({"name": "x", "language": 1})), VALUE, "template.language"),
        (of("interactive", buttons(4, numbered, "A")), VALUE, "interactive.action.buttons"),
        (of("interactive", buttons(0, numbered, "A")), VALUE, "interactive.action.buttons"),
        (of("interactive", buttons(2, same, "A")), VALUE, "interactive.action.buttons[1].reply.id"),
        (
            of("interactive", buttons(1, |_| "x".repeat(257), "A")),
            VALUE,
            "interactive.action.buttons[0].reply.id",
        ),
        (
            of("interactive", buttons(1, numbered, &long(21))),
            VALUE,
            "interactive.action.buttons[0].reply.title",
        ),
        (of("interactive", list(11, "A", "d")), VALUE, "interactive.action.sections"),
        (of("interactive", list(1, &long(25), "d")), VALUE, "interactive.action.sections[0].rows[0].title"),
        (
            of("interactive", list(1, "A", &long(73))),
            VALUE,
            "interactive.action.sections[0].rows[0].description",
        ),
        (
            of("interactive", with(buttons(1, numbered, "A"), "body", json!({"text": long(1025)}))),
            VALUE,
            "interactive.body.text",
        ),
        (
            of("interactive", with(buttons(1, numbered, "A"), "footer", json!({"text": long(61)}))),
            VALUE,
            "interactive.footer.text",
        ),
        (
            of(
                "interactive",
                with(buttons(1, numbered, "A"), "header", json!({"type": "text", "text": long(61)})),
            ),
            VALUE,
            "interactive.header.text",
        ),
        (
            of("interactive", json!({"type": "poll", "body": {"text": "x"}, "action": {}})),
            VALUE,
            "interactive.type",
        ),
        (of("location", json!({"latitude": 91, "longitude": 0})), VALUE, "location.latitude"),
        (of("location", json!({"latitude": 0, "longitude": "1"})), VALUE, "location.longitude"),
        (of("location", json!({"latitude": 0})), MISSING, "location.longitude"),
        (of("contacts", json!([])), VALUE, "contacts"),
        (of("contacts", json!([{"name": {}}])), MISSING, "contacts[0].name.formatted_name"),
        (of("reaction", json!({"emoji": "x"})), MISSING, "reaction.message_id"),
        (of("reaction", json!({"message_id": "x"})), MISSING, "reaction.emoji"),
        (of("fax", json!({})), VALUE, "type"),
        (of("unsupported", json!({})), VALUE, "type"),
        (with(of("text", json!({"body": "x"})), "to", json!("12")), "invalid_phone_number", "to"),
        (
            with(of("text", json!({"body": "x"})), "to", json!(6_281_234_567_890_i64)),
            "invalid_phone_number",
            "to",
        ),
        (with(of("text", json!({"body": "x"})), "to", json!("+0812345678")), "invalid_phone_number", "to"),
        (with(of("text", json!({"body": "x"})), "to", Value::Null), MISSING, "to"),
        (
            with(of("text", json!({"body": "x"})), "messaging_product", json!("sms")),
            VALUE,
            "messaging_product",
        ),
        (with(of("text", json!({"body": "x"})), "recipient_type", json!("group")), VALUE, "recipient_type"),
        (with(of("text", json!({"body": "x"})), "context", json!({})), MISSING, "context.message_id"),
        (with(of("text", json!({"body": "x"})), "context", json!("wamid.X")), VALUE, "context"),
    ]
}

#[tokio::test]
async fn limits_are_kept_to_the_character_and_refusals_name_the_field() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let before = tenant.conversation_with(&from(1)).await;
    for (body, code, field) in beyond() {
        let error = tenant.post("messages", &body).await.refused(400, code);
        let named = text(&error["param"]);
        assert!(
            named == field || (field.ends_with("sections") && named.starts_with(field)),
            "{named} is not {field}"
        );
    }
    assert_eq!(tenant.conversation_with(&from(1)).await, before, "nothing was written");
    for (nth, body) in at_the_limit().iter().enumerate() {
        tenant.post("messages", body).await.is(200);
        assert_eq!(tenant.get("messages?direction=outbound").await.rows().len(), nth + 1);
    }
}

#[tokio::test]
async fn validation_comes_before_the_window() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    // Nobody wrote, so the window is shut; yet the mistake is what can be mended.
    let refused = tenant.post("messages", &of("text", json!({"body": ""}))).await;
    refused.refused(400, "invalid_field_value");
    tenant.post("messages", &Tenant::letter(&from(1), "x")).await.refused(422, "outside_24h_window");
    assert!(tenant.get("messages").await.rows().is_empty());
    assert!(tenant.get("conversations").await.rows().is_empty());
}
