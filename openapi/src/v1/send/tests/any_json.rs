//! Whatever JSON comes: no panic, and what is accepted can be sent on.

use proptest::prelude::*;
use serde_json::{Map, Value, json};

use super::{MessageKind, SendBody, read};

fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i32>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        ".{0,12}".prop_map(Value::from),
        Just(json!("read")),
        Just(json!("text")),
    ];
    leaf.prop_recursive(5, 48, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((member(), inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect::<Map<_, _>>())),
        ]
    })
}

/// Names that the rooms look for, so that chance goes deep.
fn member() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            "body",
            "text",
            "link",
            "id",
            "caption",
            "filename",
            "name",
            "language",
            "code",
            "components",
            "parameters",
            "type",
            "action",
            "buttons",
            "reply",
            "title",
            "sections",
            "rows",
            "header",
            "footer",
            "latitude",
            "longitude",
            "formatted_name",
            "message_id",
            "emoji",
            "status",
            "context",
            "to",
            "recipient",
            "recipient_type",
        ])
        .prop_map(str::to_owned),
        ".{0,6}",
    ]
}

/// Bodies with a right envelope and anything for the type's object, some of them right, too.
fn nearly_right() -> impl Strategy<Value = Value> {
    let kinds = MessageKind::ALL.iter().map(|kind| kind.as_str()).collect::<Vec<_>>();
    let medium = json!({"id": "1", "body": "b", "name": "n", "language": "en", "message_id": "m", "emoji": "e",
                        "latitude": 1, "longitude": 2});
    let object = prop_oneof![
        any_json(),
        (any_json(), member()).prop_map(move |(extra, key)| {
            let mut object = medium.clone();
            object[key] = extra;
            object
        }),
        any_json().prop_map(|extra| json!([{"name": {"formatted_name": "A"}, "extra": extra}])),
    ];
    (prop::sample::select(kinds), object, any_json(), member()).prop_map(|(kind, object, extra, key)| {
        let mut body = json!({"to": "6281234567890", "type": kind});
        body[key] = extra;
        body["messaging_product"] = json!("whatsapp");
        body[kind] = object;
        body
    })
}

fn holds(body: &Value) -> Result<(), TestCaseError> {
    match read(body) {
        Ok(SendBody::Send(outgoing)) => {
            let payload: Value = serde_json::from_str(&outgoing.payload).expect("payload is JSON");
            // WhatsApp's contacts are the one array among the types' objects.
            prop_assert_eq!(payload.is_array(), outgoing.kind == MessageKind::Contacts);
            prop_assert!(payload.is_array() || payload.is_object());
            prop_assert!(outgoing.content.chars().count() <= 4096);
            prop_assert!(!outgoing.content.contains('\0') && !outgoing.payload.contains("\\u0000"));
        }
        Ok(SendBody::MarkRead(mark)) => prop_assert!(!mark.wamid.is_empty()),
        Err(error) => prop_assert!(error.message.len() < 10_000),
    }
    Ok(())
}

proptest! {
    #[test]
    fn arbitrary_json_is_answered(body in any_json()) {
        holds(&body)?;
    }

    #[test]
    fn nearly_right_bodies_are_answered(body in nearly_right()) {
        holds(&body)?;
    }
}
