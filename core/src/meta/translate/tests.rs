//! Webhooks as Meta sends them, as nobody should, and as anybody could.

use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::domain::inbound::{InboundMessage, RawRole, StatusReport};
use crate::domain::message::MessageKind;
use crate::domain::status::MessageStatus;
use crate::ids::MessageId;
use crate::meta::WAMID_BYTES_MAX;

const EVERY_TYPE: &[u8] = include_bytes!("../../../../tests/fixtures/meta/every_type.json");
const STATUSES: &[u8] = include_bytes!("../../../../tests/fixtures/meta/statuses.json");
const MIXED: &[u8] = include_bytes!("../../../../tests/fixtures/meta/mixed.json");
const NUMBER: &str = "100200300400501";

/// 2026-06-19T12:00:00Z.
fn noon() -> Timestamp {
    Timestamp::from_seconds(1_781_870_400)
}

fn read(body: &[u8]) -> InboundWebhook {
    translate_webhook(body, noon()).unwrap()
}

fn messages(webhook: &InboundWebhook) -> Vec<&InboundMessage> {
    let items = webhook.groups.iter().flat_map(|group| &group.items);
    items
        .filter_map(
            |item| if let InboundFact::Message(message) = &item.fact { Some(&**message) } else { None },
        )
        .collect()
}

fn statuses(webhook: &InboundWebhook) -> Vec<&StatusReport> {
    let items = webhook.groups.iter().flat_map(|group| &group.items);
    items
        .filter_map(|item| if let InboundFact::Status(report) = &item.fact { Some(&**report) } else { None })
        .collect()
}

fn hook(messages: &Value, statuses: &Value) -> Vec<u8> {
    let value = json!({"metadata": {"phone_number_id": NUMBER}, "messages": messages, "statuses": statuses});
    json!({"entry": [{"changes": [{"field": "messages", "value": value}]}]}).to_string().into_bytes()
}

fn number(id: &str) -> ItemTarget {
    ItemTarget::Number(PhoneNumberId::parse(id).unwrap())
}

fn text(wamid: &str) -> Value {
    json!({"id": wamid, "from": "12025550141", "timestamp": "1781866800", "type": "text", "text": {"body": wamid}})
}

#[test]
fn every_type_is_taken() {
    let webhook = read(EVERY_TYPE);
    assert_eq!((webhook.skipped.len(), webhook.groups.len()), (0, 1));
    assert_eq!(webhook.groups[0].target, number(NUMBER));
    let seen: Vec<_> = messages(&webhook).iter().map(|m| (m.kind.as_str(), m.content.to_string())).collect();
    let expected = [
        ("text", "Is the blue one\nstill there?"),
        ("image", "like this"),
        ("video", "[video]"),
        ("audio", "[audio]"),
        ("document", "offer.pdf"),
        ("sticker", "[sticker]"),
        ("location", "📍 Kite Beach, Jetty 4"),
        ("contacts", "👤 Cy Reed"),
        ("interactive", "Take it"),
        ("interactive", "Afternoon"),
        ("interactive", "Sent"),
        ("button", "Yes please"),
        ("reaction", "👍"),
        ("order", "🛒 1 item: by noon"),
        ("system", "Bo changed the number"),
        ("unsupported", "[unsupported]"),
        ("unsupported", "[unsupported]"),
    ];
    assert_eq!(seen, expected.map(|(kind, content)| (kind, content.to_owned())));

    let all = messages(&webhook);
    assert_eq!(all[0].payload.as_ref(), r#"{"body":"Is the blue one\nstill there?"}"#);
    assert_eq!(all[0].at, Timestamp::from_seconds(1_781_866_801));
    let author = all[0].owner.party();
    assert_eq!(author.phone.as_ref().map(Phone::as_str), Some("+12025550141"));
    assert_eq!(author.name.as_deref(), Some("Ann Lowe"));
    assert_eq!(all[14].owner.party().name.as_deref(), Some("Bo"));
    let context = all[8].context.as_ref().unwrap();
    assert_eq!(context.message_id.as_deref(), Some("wamid.KBROUT01"));
    let raw = webhook.groups[0].items[0].raw.as_ref().unwrap();
    assert_eq!(
        (raw.role, &*raw.wamid_key),
        (RawRole::Message, &*crate::domain::wamid::wamid_key(&all[0].wamid))
    );
    assert_eq!(serde_json::from_str::<Value>(&raw.body).unwrap()["type"], "text");
    let whole: Value = serde_json::from_str(&all[16].payload).unwrap();
    assert_eq!((&whole["type"], &whole["hologram"]["beam"]), (&json!("hologram"), &json!("blue")));
}

#[test]
fn statuses_carry_their_echo_and_their_error() {
    let webhook = read(STATUSES);
    let seen: Vec<_> = statuses(&webhook).iter().map(|s| (&*s.wamid, s.status, s.echo.is_some())).collect();
    let expected = [
        ("wamid.KBROUT01", MessageStatus::Sent, true),
        ("wamid.KBROUT01", MessageStatus::Delivered, true),
        ("wamid.KBROUT01", MessageStatus::Read, false),
        ("wamid.KBROUT02", MessageStatus::Played, false),
        ("wamid.KBROUT03", MessageStatus::Failed, true),
        ("wamid.KBROUT04", MessageStatus::Failed, false),
    ];
    assert_eq!(seen, expected);
    let all = statuses(&webhook);
    assert_eq!(all[0].echo, MessageId::parse("msg_01JY3N2Q00000000000000000A").ok());
    assert_eq!(all[0].error, None);
    let error = all[4].error.as_ref().unwrap();
    assert_eq!((&*error.code, error.provider_code), ("recipient_not_on_whatsapp", Some(131_026)));
    assert_eq!(&*error.message, "Recipient is not on WhatsApp");
    assert_eq!(&*all[5].error.as_ref().unwrap().code, "whatsapp_error");
    let reasons: Vec<_> = webhook.skipped.iter().map(|skipped| skipped.reason).collect();
    assert_eq!(reasons, [SkipReason::NoWamid]);
    assert!(webhook.skipped.iter().all(|skipped| skipped.target == Some(number(NUMBER))));
    let raw_only = webhook.groups[0].items.iter().filter(|item| item.fact == InboundFact::RawOnly);
    assert_eq!(raw_only.count(), 1, "a status with an unknown name is kept");
}

#[test]
fn several_numbers_are_told_apart_and_noise_is_told() {
    use SkipReason::{NoPhoneNumberId, Unreadable};
    let webhook = read(MIXED);
    let seen: Vec<_> = webhook.groups.iter().map(|group| (group.target.clone(), group.items.len())).collect();
    let waba = ItemTarget::Waba("900800700".into());
    let expected =
        [(number(NUMBER), 4), (waba, 1), (number("100200300400502"), 1), (number("100200300400503"), 1)];
    assert_eq!(seen, expected);
    assert_eq!(webhook.groups[0].waba_id.as_deref(), Some("900800700"));
    let contents: Vec<_> = messages(&webhook).iter().map(|m| m.content.to_string()).collect();
    assert_eq!(contents, ["first", "x", "second", "to the other number"]);
    assert!(messages(&webhook)[1].owner.party().is_anonymous(), "kept, although its author is not named");
    let items = webhook.groups.iter().flat_map(|group| &group.items);
    let told: Vec<_> = items
        .filter_map(
            |item| if let InboundFact::Field(notice) = &item.fact { Some(&*notice.field) } else { None },
        )
        .collect();
    assert_eq!(told, ["message_template_status_update", "errors"]);
    let reasons: Vec<_> = webhook.skipped.iter().map(|skipped| skipped.reason).collect();
    assert_eq!(reasons, [Unreadable, Unreadable, NoPhoneNumberId, Unreadable]);
}

#[test]
fn only_what_is_no_object_is_malformed() {
    for body in [&b""[..], b"[]", b"null", b"\"x\"", b"{", b"{} {}", b"\xff\xfe", b"entry=1"] {
        assert_eq!(translate_webhook(body, noon()), Err(MalformedWebhook), "{body:?}");
    }
    for body in [&b"{}"[..], br#"{"entry":null}"#, br#"{"entry":[]}"#, br#"{"object":"page","x":[1]}"#] {
        assert_eq!(translate_webhook(body, noon()), Ok(InboundWebhook::default()), "{body:?}");
    }
}

#[test]
fn an_absurd_time_does_not_lose_the_message() {
    let times = [json!(null), json!("0"), json!("-5"), json!("soon"), json!(99_999_999_999_i64), json!({})];
    for time in times.into_iter().chain([json!(1.5e300), json!("1230767999")]) {
        let mut message = text("wamid.T");
        message["timestamp"] = time.clone();
        assert_eq!(messages(&read(&hook(&json!([message]), &json!([]))))[0].at, noon(), "{time}");
    }
    let mut message = text("wamid.T");
    message["timestamp"] = json!(1_781_866_800);
    assert_eq!(
        messages(&read(&hook(&json!([message]), &json!([]))))[0].at,
        Timestamp::from_seconds(1_781_866_800)
    );
}

#[test]
fn what_cannot_be_stored_is_replaced_and_neighbours_stay() {
    let body = String::from_utf8(hook(&json!([text("wamid.A"), text("wamid.B")]), &json!([]))).unwrap();
    let body = body.replacen(r#""body":"wamid.A""#, r#""body":"a\u0000b\ud83dc""#, 1);
    let webhook = read(body.as_bytes());
    let all = messages(&webhook);
    assert_eq!((&*all[0].content, &*all[1].content), ("a\u{fffd}b\u{fffd}c", "wamid.B"));
    assert_eq!(&*all[0].payload, "{\"body\":\"a\u{fffd}b\u{fffd}c\"}");
}

#[test]
fn limits_skip_the_item_alone() {
    let long = "w".repeat(WAMID_BYTES_MAX + 1);
    let mut heavy = text("wamid.H");
    heavy["text"]["body"] = "x".repeat(FIELD_BYTES_MAX).into();
    let mut cited = text("wamid.C");
    cited["context"] = json!({"id": long});
    let webhook = read(&hook(&json!([text(&long), text(""), heavy, cited]), &json!([])));
    let reasons: Vec<_> = webhook.skipped.iter().map(|skipped| skipped.reason).collect();
    assert_eq!(reasons, [SkipReason::NoWamid, SkipReason::NoWamid, SkipReason::PayloadTooLarge]);
    assert_eq!(messages(&webhook).len(), 1);
    assert_eq!(messages(&webhook)[0].context.as_ref().unwrap().message_id, None);
}

#[test]
fn a_known_type_without_its_substance_is_kept_whole() {
    for broken in [json!(null), json!({}), json!({"body": 7}), json!([])] {
        let mut message = text("wamid.E");
        message["text"] = broken;
        let webhook = read(&hook(&json!([message.clone()]), &json!([])));
        let kept = messages(&webhook)[0];
        assert_eq!(kept.kind, MessageKind::Unsupported);
        assert_eq!(serde_json::from_str::<Value>(&kept.payload).unwrap(), message);
    }
}

#[test]
fn duplicates_are_kept_for_the_account_to_recognise() {
    let webhook = read(&hook(&json!([text("wamid.A"), text("wamid.A")]), &json!([])));
    let all = messages(&webhook);
    assert_eq!((all.len(), all[0]), (2, all[1]));
}

/// Any JSON, often with the names that webhooks use.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        "[a-z0-9+. ]{0,12}".prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::sample::select(vec!["messages", "text", "image", "read", "failed", NUMBER, "12025550141"])
            .prop_map(Value::from),
    ];
    let names = vec![
        "entry",
        "changes",
        "field",
        "value",
        "metadata",
        "phone_number_id",
        "contacts",
        "messages",
        "statuses",
        "errors",
        "id",
        "from",
        "type",
        "text",
        "body",
        "timestamp",
        "status",
        "context",
        "profile",
        "wa_id",
    ];
    leaf.prop_recursive(6, 48, 6, move |inner| {
        let name = prop_oneof![4 => prop::sample::select(names.clone()).prop_map(str::to_owned), 1 => any::<String>()];
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((name, inner), 0..6)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

/// Items that must be skipped, as JSON text (some cannot be spelled as a `Value`).
fn bad_item() -> impl Strategy<Value = String> {
    let texts = [
        "null",
        "7",
        "[]",
        "\"noise\"",
        "{}",
        r#"{"id":""}"#,
        r#"{"id":""}"#,
        r#"{"from":"\ud800","status":"\udc00"}"#,
        r#"{"id":"wamid.X","from":1,"status":"lost","huge":1e999}"#,
        r#"{"id":{},"from":"12025550141","status":"sent"}"#,
    ];
    let deep = format!(r#"{{"id":"wamid.X","x":{}{}}}"#, "[".repeat(300), "]".repeat(300));
    prop::sample::select(texts.map(str::to_owned).into_iter().chain([deep]).collect::<Vec<_>>())
}

proptest! {
    #[test]
    fn no_bytes_and_no_json_make_it_panic(bytes: Vec<u8>, json in any_json()) {
        let _any = translate_webhook(&bytes, noon());
        let body = json.to_string();
        prop_assert_eq!(translate_webhook(body.as_bytes(), noon()).is_ok(), json.is_object());
        let inside = json!({"entry": [{"changes": [{"field": "messages", "value": json.clone()}]}]});
        prop_assert!(translate_webhook(inside.to_string().as_bytes(), noon()).is_ok());
        let one = read(&hook(&json!([json.clone()]), &json!([json])));
        prop_assert!(one.groups.iter().map(|group| group.items.len()).sum::<usize>() + one.skipped.len() == 2);
        for message in messages(&one) {
            prop_assert!(!message.content.contains('\0') && message.content.chars().count() <= 4096);
            prop_assert!(!message.payload.contains("\\u0000") || message.payload.contains("\\\\u0000"));
            prop_assert!(serde_json::from_str::<Value>(&message.payload).is_ok());
        }
    }

    #[test]
    fn a_bad_item_costs_nobody_but_itself(
        count in 0usize..6, at: prop::sample::Index, bad in bad_item(), in_statuses: bool,
    ) {
        let item = |n: usize| if in_statuses {
            json!({"id": format!("wamid.{n}"), "status": "sent", "timestamp": "1781866800"})
        } else {
            text(&format!("wamid.{n}"))
        };
        let mut items: Vec<String> = (0..count).map(|n| item(n).to_string()).collect();
        let body = |items: &[String]| {
            let name = if in_statuses { "statuses" } else { "messages" };
            format!(r#"{{"entry":[{{"changes":[{{"field":"messages","value":{{"metadata":{{"phone_number_id":"{NUMBER}"}},"{name}":[{}]}}}}]}}]}}"#, items.join(","))
        };
        let clean = read(body(&items).as_bytes());
        prop_assert_eq!(clean.skipped.len(), 0);
        items.insert(at.index(count + 1), bad);
        let spoilt = read(body(&items).as_bytes());
        prop_assert_eq!(spoilt.groups, clean.groups);
        prop_assert_eq!(spoilt.skipped.len(), 1);
    }
}
