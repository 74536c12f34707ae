//! One bad item costs nobody but itself.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::{APP_SECRET, InboundWebhook, Tenant, TestServer, from, post_bytes, text, text_from};

/// Items that cannot be read as messages.
fn bad_items() -> Vec<Value> {
    let deep = (0..200).fold(json!(1), |inner, _| json!([inner]));
    vec![
        json!(null),
        json!(7),
        json!("text"),
        json!([]),
        json!({}),
        json!({"id": "wamid.BAD1"}),
        json!({"from": from(1)}),
        json!({"from": "nobody", "id": "wamid.BAD2", "type": "text", "text": {"body": "x"}}),
        json!({"from": from(1), "id": "", "type": "text", "text": {"body": "x"}}),
        json!({"from": from(1), "id": 5, "type": "text", "text": {"body": "x"}}),
        json!({"from": from(1), "id": "w".repeat(10_000), "type": "text", "text": {"body": "x"}}),
        json!({"from": from(1), "id": "wamid.BAD3", "type": "text", "text": {"body": "x".repeat(400_000)}}),
        json!({"from": from(1), "id": "wamid.BAD4", "type": "text", "text": deep}),
    ]
}

async fn heard(tenant: &Tenant, marker: &str) -> bool {
    let rows = tenant.all("messages?limit=100").await;
    rows.iter().any(|row| row["content"] == marker)
}

#[tokio::test]
async fn messages_around_a_bad_one_are_kept() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for (nth, bad) in bad_items().into_iter().enumerate() {
        let good = |side: &str| text_from(&from(nth), tenant.clock.read_now(), &format!("{side} {nth}"));
        tenant.receives(&[good("before"), bad.clone(), good("after")]).await;
        assert!(heard(&tenant, &format!("before {nth}")).await, "{bad}");
        assert!(heard(&tenant, &format!("after {nth}")).await, "{bad}");
    }
}

#[tokio::test]
async fn statuses_around_a_bad_one_are_kept() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for bad in bad_items() {
        let sent = tenant.sent(&from(1)).await;
        let good =
            crate::harness::status_of(&text(&sent["message_id"]), "delivered", tenant.clock.read_now());
        tenant.learns(&[bad.clone(), good]).await;
        assert_eq!(tenant.message(&text(&sent["id"])).await["status"], "delivered", "{bad}");
    }
}

#[tokio::test]
async fn entries_and_changes_around_a_bad_one_are_kept() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let bad = [
        json!(null),
        json!(7),
        json!({}),
        json!({"changes": 7}),
        json!({"changes": [null, 7, {}, {"field": "messages"}, {"field": "messages", "value": []}]}),
        json!({"changes": [{"field": "account_update", "value": {"event": "VERIFIED"}}]}),
        json!({"changes": [{"field": "messages", "value": {"metadata": {}, "messages": [{}]}}]}),
        json!({"changes": [{"field": "messages", "value": {"metadata": {"phone_number_id": "x"}}}]}),
        json!({"changes": [{"field": "messages", "value": {"metadata": {"phone_number_id": tenant.id},
            "messages": {"not": "a list"}, "contacts": "nor this"}}]}),
    ];
    for (nth, bad) in bad.into_iter().enumerate() {
        let webhook = InboundWebhook::default()
            .messages(&tenant.id, &[text_from(&from(nth), tenant.clock.read_now(), &format!("m{nth}"))]);
        let mut body = webhook.body();
        body["entry"].as_array_mut().unwrap().insert(0, bad.clone());
        post_bytes(&server.anyone, body.to_string().into(), APP_SECRET).await.is(200);
        assert!(heard(&tenant, &format!("m{nth}")).await, "{bad}");
    }
}

#[tokio::test]
async fn texts_that_no_database_takes_are_mended() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let webhook = InboundWebhook::default()
        .messages(&tenant.id, &[text_from(&from(1), tenant.clock.read_now(), "NUL and half")]);
    let body = webhook.body().to_string().replace("NUL and half", r"a\u0000b\ud83dc");
    post_bytes(&server.anyone, body.into_bytes(), APP_SECRET).await.is(200);
    assert!(heard(&tenant, "a\u{fffd}b\u{fffd}c").await);
    let mut body =
        webhook.body().to_string().replace("NUL and half", "@").replace("wamid.T", "wamid.U").into_bytes();
    let place = body.iter().position(|byte| *byte == b'@').unwrap();
    body[place] = 0xff;
    post_bytes(&server.anyone, body, APP_SECRET).await.is(200);
    assert!(heard(&tenant, "\u{fffd}").await);
}

/// Any JSON, of some size.
fn any_json() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        Just(json!("text")),
    ];
    let names = prop_oneof![
        Just("messages".to_owned()),
        Just("statuses".to_owned()),
        Just("id".to_owned()),
        Just("from".to_owned()),
        Just("type".to_owned()),
        Just("text".to_owned()),
        any::<String>(),
    ];
    leaf.prop_recursive(4, 24, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            proptest::collection::vec((names.clone(), inner), 0..5)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

#[test]
fn whatever_stands_beside_it_a_good_message_arrives() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(TestServer::start());
    let tenant = runtime.block_on(server.tenant());
    let config = Config { cases: 60, max_shrink_iters: 30, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(&(any_json(), any_json(), any_json()), |(entry, item, value)| {
        runtime.block_on(async {
            let good = text_from(&from(1), tenant.clock.read_now(), "good");
            let id = text(&good["id"]);
            let mut body = InboundWebhook::default()
                .value(&value)
                .messages(&tenant.id, &[item.clone(), good, item])
                .body();
            body["entry"].as_array_mut().unwrap().push(entry);
            post_bytes(&server.anyone, body.to_string().into(), APP_SECRET).await.is(200);
            let rows = tenant.get("messages?limit=5").await.rows();
            assert!(rows.iter().any(|row| row["message_id"] == *id), "{rows:?}");
        });
        Ok(())
    });
    ran.unwrap();
}
