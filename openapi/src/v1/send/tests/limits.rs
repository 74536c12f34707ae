//! Each limit: the value at the bound passes, one beyond is refused by name.

use serde_json::{Value, json};

use super::{FieldErrorKind, body, letters, read, refused, sent};

/// One limit: how to make a body with this size, the largest size, and the field to be named.
type LimitCase = (&'static str, fn(usize) -> Value, usize, &'static str);

fn interactive(extra: &Value) -> Value {
    let mut object =
        json!({"type": "button", "body": {"text": "choose"}, "action": {"buttons": [button("a", "A")]}});
    for (key, value) in extra.as_object().unwrap() {
        object[key] = value.clone();
    }
    body("interactive", object)
}

fn button(id: &str, title: &str) -> Value {
    json!({"type": "reply", "reply": {"id": id, "title": title}})
}

fn buttons(buttons: &[Value]) -> Value {
    interactive(&json!({"action": {"buttons": buttons}}))
}

fn list(sections: &Value) -> Value {
    interactive(&json!({"type": "list", "action": {"button": "open", "sections": sections}}))
}

fn row(row: &Value) -> Value {
    list(&json!([{"rows": [row]}]))
}

fn rows(prefix: &str, count: usize) -> Vec<Value> {
    (0..count).map(|n| json!({"id": format!("{prefix}{n}"), "title": "row"})).collect()
}

fn cta_url(text: &str, url: &str) -> Value {
    let parameters = json!({"display_text": text, "url": url});
    interactive(&json!({"type": "cta_url", "action": {"name": "cta_url", "parameters": parameters}}))
}

fn link(chars: usize) -> String {
    let host = "https://example.com/";
    format!("{host}{}", "x".repeat(chars - host.len()))
}

const LIMITS: &[LimitCase] = &[
    ("text", |n| body("text", json!({"body": letters(n)})), 4096, "text.body"),
    ("link", |n| body("image", json!({"link": link(n)})), 2048, "image.link"),
    ("id", |n| body("sticker", json!({"id": letters(n)})), 255, "sticker.id"),
    ("image", |n| body("image", json!({"id": "1", "caption": letters(n)})), 1024, "image.caption"),
    ("video", |n| body("video", json!({"id": "1", "caption": letters(n)})), 1024, "video.caption"),
    ("document", |n| body("document", json!({"id": "1", "caption": letters(n)})), 1024, "document.caption"),
    ("filename", |n| body("document", json!({"id": "1", "filename": letters(n)})), 255, "document.filename"),
    ("template", |n| body("template", json!({"name": letters(n), "language": "en"})), 512, "template.name"),
    ("code", |n| body("template", json!({"name": "n", "language": letters(n)})), 35, "template.language"),
    (
        "object code",
        |n| body("template", json!({"name": "n", "language": {"code": letters(n)}})),
        35,
        "template.language.code",
    ),
    (
        "components",
        |n| {
            body(
                "template",
                json!({"name": "n", "language": "en", "components": vec![json!({"type": "body"}); n]}),
            )
        },
        32,
        "template.components",
    ),
    ("body", |n| interactive(&json!({"body": {"text": letters(n)}})), 1024, "interactive.body.text"),
    (
        "list body",
        |n| {
            let action = json!({"button": "open", "sections": [{"rows": rows("r", 1)}]});
            interactive(&json!({"type": "list", "body": {"text": letters(n)}, "action": action}))
        },
        4096,
        "interactive.body.text",
    ),
    ("footer", |n| interactive(&json!({"footer": {"text": letters(n)}})), 60, "interactive.footer.text"),
    (
        "header",
        |n| interactive(&json!({"header": {"type": "text", "text": letters(n)}})),
        60,
        "interactive.header.text",
    ),
    (
        "buttons",
        |n| buttons(&(0..n).map(|n| button(&n.to_string(), "same")).collect::<Vec<_>>()),
        3,
        "interactive.action.buttons",
    ),
    ("button id", |n| buttons(&[button(&letters(n), "A")]), 256, "interactive.action.buttons[0].reply.id"),
    (
        "button title",
        |n| buttons(&[button("a", &letters(n))]),
        20,
        "interactive.action.buttons[0].reply.title",
    ),
    ("rows", |n| list(&json!([{"rows": rows("r", n)}])), 10, "interactive.action.sections[0].rows"),
    (
        "rows of two sections",
        |n| list(&json!([{"title": "a", "rows": rows("a", n - 1)}, {"title": "b", "rows": rows("b", 1)}])),
        10,
        "interactive.action.sections",
    ),
    (
        "section title",
        |n| list(&json!([{"title": letters(n), "rows": rows("r", 1)}])),
        24,
        "interactive.action.sections[0].title",
    ),
    (
        "list button",
        |n| {
            interactive(
                &json!({"type": "list", "action": {"button": letters(n), "sections": [{"rows": rows("r", 1)}]}}),
            )
        },
        20,
        "interactive.action.button",
    ),
    (
        "row id",
        |n| row(&json!({"id": letters(n), "title": "t"})),
        200,
        "interactive.action.sections[0].rows[0].id",
    ),
    (
        "row title",
        |n| row(&json!({"id": "a", "title": letters(n)})),
        24,
        "interactive.action.sections[0].rows[0].title",
    ),
    (
        "row description",
        |n| row(&json!({"id": "a", "title": "t", "description": letters(n)})),
        72,
        "interactive.action.sections[0].rows[0].description",
    ),
    (
        "display text",
        |n| cta_url(&letters(n), "https://example.com/"),
        20,
        "interactive.action.parameters.display_text",
    ),
    ("cta url", |n| cta_url("open", &link(n)), 2048, "interactive.action.parameters.url"),
    (
        "place",
        |n| body("location", json!({"latitude": 1, "longitude": 2, "name": letters(n)})),
        1000,
        "location.name",
    ),
    (
        "address",
        |n| body("location", json!({"latitude": 1, "longitude": 2, "address": letters(n)})),
        1000,
        "location.address",
    ),
    (
        "cards",
        |n| body("contacts", json!(vec![json!({"name": {"formatted_name": "A"}}); n])),
        257,
        "contacts",
    ),
    (
        "card name",
        |n| body("contacts", json!([{"name": {"formatted_name": letters(n)}}])),
        1024,
        "contacts[0].name.formatted_name",
    ),
    (
        "emoji",
        |n| body("reaction", json!({"message_id": "wamid.A", "emoji": letters(n)})),
        32,
        "reaction.emoji",
    ),
    (
        "reacted to",
        |n| body("reaction", json!({"message_id": letters(n), "emoji": ""})),
        512,
        "reaction.message_id",
    ),
    (
        "callback data",
        |n| {
            let mut body = body("text", json!({"body": "hi"}));
            body["biz_opaque_callback_data"] = json!(letters(n));
            body
        },
        512,
        "biz_opaque_callback_data",
    ),
    (
        "read",
        |n| json!({"messaging_product": "whatsapp", "status": "read", "message_id": letters(n)}),
        512,
        "message_id",
    ),
];

#[test]
fn the_bound_is_accepted_and_one_beyond_refused() {
    for (name, make, most, param) in LIMITS {
        let at_bound = make(*most);
        assert!(read(&at_bound).is_ok(), "{name}: {:?}", read(&at_bound));
        assert_eq!(
            refused(&make(*most + 1)),
            (FieldErrorKind::InvalidFieldValue, (*param).to_owned()),
            "{name}"
        );
    }
}

#[test]
fn what_must_say_something_is_not_empty() {
    for (name, make, _, param) in LIMITS {
        let may_be_empty = [
            "image",
            "video",
            "document",
            "place",
            "address",
            "row description",
            "emoji",
            "components",
            "callback data",
        ];
        let needs_more = ["link", "cta url", "rows of two sections"];
        if needs_more.contains(name) || (*name == "section title") {
            continue;
        }
        let empty = make(0);
        if may_be_empty.contains(name) {
            assert!(read(&empty).is_ok(), "{name}: {:?}", read(&empty));
        } else {
            assert_eq!(refused(&empty).1, *param, "{name}");
        }
    }
}

#[test]
fn refusals_beyond_lengths_name_their_field() {
    use FieldErrorKind::{InvalidFieldValue, MissingRequiredField};
    let two_sections = list(&json!([{"title": "a", "rows": rows("a", 1)}, {"rows": rows("b", 1)}]));
    let twice = [rows("a", 1), rows("a", 1)].concat();
    let same_rows = list(&json!([{"rows": twice}]));
    let card = json!([{"name": {"formatted_name": "A"}}, {"name": {}}]);
    let components =
        json!({"name": "n", "language": "en", "components": [{"type": "body", "parameters": [{}]}]});
    for (body, code, param) in [
        (body("text", json!({"body": "x", "preview_url": "yes"})), InvalidFieldValue, "text.preview_url"),
        (body("image", json!({})), MissingRequiredField, "image.link"),
        (body("image", json!({"link": "https://e.com/x", "id": "1"})), InvalidFieldValue, "image.id"),
        (body("image", json!({"link": "http://e.com/x"})), InvalidFieldValue, "image.link"),
        (body("image", json!({"link": "https://"})), InvalidFieldValue, "image.link"),
        (body("image", json!({"link": "https://e.com/a b"})), InvalidFieldValue, "image.link"),
        (body("image", json!({"id": "1", "filename": "a.png"})), InvalidFieldValue, "image.filename"),
        (body("audio", json!({"id": "1", "caption": "a"})), InvalidFieldValue, "audio.caption"),
        (body("sticker", json!({"id": "1", "caption": "a"})), InvalidFieldValue, "sticker.caption"),
        (body("template", json!({"name": "n"})), MissingRequiredField, "template.language"),
        (
            body("template", json!({"name": "n", "language": {}})),
            MissingRequiredField,
            "template.language.code",
        ),
        (body("template", json!({"name": "n", "language": 1})), InvalidFieldValue, "template.language"),
        (body("template", components), MissingRequiredField, "template.components[0].parameters[0].type"),
        (
            body("location", json!({"latitude": 90.01, "longitude": 0})),
            InvalidFieldValue,
            "location.latitude",
        ),
        (
            body("location", json!({"latitude": 0, "longitude": -180.5})),
            InvalidFieldValue,
            "location.longitude",
        ),
        (body("location", json!({"latitude": "1", "longitude": 0})), InvalidFieldValue, "location.latitude"),
        (body("contacts", card), MissingRequiredField, "contacts[1].name.formatted_name"),
        (body("contacts", json!({})), InvalidFieldValue, "contacts"),
        (body("reaction", json!({"message_id": "a"})), MissingRequiredField, "reaction.emoji"),
        (interactive(&json!({"type": null})), MissingRequiredField, "interactive.type"),
        (interactive(&json!({"type": "Carousel!"})), InvalidFieldValue, "interactive.type"),
        (interactive(&json!({"type": ""})), InvalidFieldValue, "interactive.type"),
        (interactive(&json!({"body": null})), MissingRequiredField, "interactive.body"),
        (interactive(&json!({"action": null})), MissingRequiredField, "interactive.action"),
        (interactive(&json!({"header": {"type": "audio"}})), InvalidFieldValue, "interactive.header.type"),
        (
            interactive(&json!({"header": {"type": "image", "image": {"link": "ftp://e.com"}}})),
            InvalidFieldValue,
            "interactive.header.image.link",
        ),
        (
            buttons(&[button("a", "A"), button("a", "B")]),
            InvalidFieldValue,
            "interactive.action.buttons[1].reply.id",
        ),
        (two_sections, MissingRequiredField, "interactive.action.sections[1].title"),
        (same_rows, InvalidFieldValue, "interactive.action.sections[0].rows[1].id"),
        (cta_url("go", "ftp://e.com/"), InvalidFieldValue, "interactive.action.parameters.url"),
    ] {
        assert_eq!(refused(&body), (code, param.to_owned()), "{body}");
    }
}

#[test]
fn whatsapps_shops_and_forms_pass_with_their_action() {
    for kind in ["product_list", "flow", "location_request_message", "catalog_message", "address_message"] {
        let body = interactive(&json!({"type": kind, "action": {"name": kind, "parameters": {"x": 1}}}));
        assert!(read(&body).is_ok(), "{kind}");
    }
    let product = json!({"type": "product", "action": {"catalog_id": "1", "product_retailer_id": "2"}});
    assert!(read(&body("interactive", product)).is_ok());
}

#[test]
fn a_type_of_tomorrow_passes_whole_within_its_bound() {
    let types =
        ["carousel", "call_permission_request", "voice_call", "request_contact_info", "order_details"];
    for kind in types.into_iter().chain(["order_status", "a_type_of_2027"]) {
        let object = json!({"type": kind, "cards": [{"card_index": 0}], "action": {"cards": [1.5]}});
        let outgoing = sent(&body("interactive", object.clone()));
        assert_eq!(*outgoing.content, format!("[{kind}]"));
        assert_eq!(serde_json::from_str::<Value>(&outgoing.payload).unwrap(), object);
    }
    let carousel = |bytes: usize| {
        let empty = json!({"type": "carousel", "x": ""}).to_string().len();
        body("interactive", json!({"type": "carousel", "x": "y".repeat(bytes - empty)}))
    };
    assert!(read(&carousel(32 * 1024)).is_ok());
    let beyond = refused(&carousel(32 * 1024 + 1));
    assert_eq!(beyond, (FieldErrorKind::InvalidFieldValue, "interactive".to_owned()));
    let long = json!({"type": "carousel", "body": {"text": letters(5000)}});
    assert_eq!(sent(&body("interactive", long)).content.chars().count(), 4096);
}

#[test]
fn kirimdevs_word_for_buttons_becomes_whatsapps() {
    let outgoing = sent(&interactive(&json!({"type": "reply_buttons"})));
    let payload: Value = serde_json::from_str(&outgoing.payload).unwrap();
    assert_eq!((&payload["type"], &*outgoing.content), (&json!("button"), "choose"));
    let twice = [button("a", "A"), button("a", "B")];
    let body = interactive(&json!({"type": "reply_buttons", "action": {"buttons": twice}}));
    assert_eq!(refused(&body).1, "interactive.action.buttons[1].reply.id");
}

#[test]
fn the_poles_and_the_date_line_are_places() {
    for (latitude, longitude) in [(90.0, 180.0), (-90.0, -180.0), (0.0, 0.0)] {
        let location = body("location", json!({"latitude": latitude, "longitude": longitude}));
        assert!(read(&location).is_ok());
    }
}
