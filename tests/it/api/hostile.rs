//! Whatever is thrown at it: a refusal of the contract's, never a 5xx, and nothing written.

use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use serde_json::{Value, json};

use crate::harness::{Answer, Tenant, TestServer, from, text};

mod bytes;

/// Values that have broken servers before, percent-encoded where a query needs it.
fn values() -> Vec<String> {
    let mut values: Vec<String> = [
        "",
        "%20",
        "0",
        "-1",
        "1e9",
        "NaN",
        "null",
        "undefined",
        "true",
        "[]",
        "{}",
        "%00",
        "a%00b",
        "%ff%fe",
        "%c0%80",
        "%ed%a0%80",
        "%",
        "%2",
        "%zz",
        "'",
        "''",
        "%22",
        "%5C",
        "1'%20OR%20'1'='1",
        "1;DROP%20TABLE%20messages",
        "..%2f..%2fetc%2fpasswd",
        "%0d%0aX-Evil:%201",
        "%e2%80%ae",
        "%f0%9f%8d%9c",
        "*",
        "%25",
        "_",
        "${7*7}",
        "%7B%7B7*7%7D%7D",
        "18446744073709551616",
        "-9223372036854775808",
        "0x7fffffff",
        "+1",
        "%2B1",
        "1,2",
        "a=b",
        "2026-06-19T11:00:00Z",
        "cnv_ZZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "msg_00000000000000000000000000",
        "usr_8ZZZZZZZZZZZZZZZZZZZZZZZZZ",
        "9999-12-31T23:59:60Z",
        "-271821-04-20T00:00:00Z",
        "open",
        "OPEN",
        "inbound",
    ]
    .map(str::to_owned)
    .to_vec();
    values.extend(["x".repeat(300), "9".repeat(5_000), "%F0%9F%8D%9C".repeat(500)]);
    values
}

/// Neither a 5xx nor anything without the contract's envelope.
#[track_caller]
fn is_tame(answer: &Answer, what: &str) {
    assert!(answer.status < 500, "{what}: {answer:?}");
    if answer.status >= 400 {
        answer.refusal();
    } else {
        assert!(matches!(answer.status, 200 | 201 | 204 | 302 | 304), "{what}: {answer:?}");
    }
}

/// Everything of the tenant's that a write would change.
async fn picture(tenant: &Tenant) -> Vec<Vec<Value>> {
    let mut lists = Vec::new();
    for list in ["conversations?limit=100", "messages?limit=100", "contacts?limit=100"] {
        lists.push(tenant.all(list).await);
    }
    lists
}

#[tokio::test]
async fn hostile_query_parameters_are_refused_or_find_nothing() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(2).await;
    let before = picture(&tenant).await;
    let lists: [(String, &[&str]); 5] = [
        (tenant.path("conversations"), &["status", "contact_id", "updated_since", "limit", "cursor"]),
        (
            tenant.path("messages"),
            &["conversation_id", "direction", "status", "created_after", "created_before", "limit", "cursor"],
        ),
        (tenant.path("contacts"), &["phone", "search", "limit", "cursor"]),
        ("/v1/accounts".to_owned(), &["status", "limit", "cursor"]),
        ("/v1/users".to_owned(), &["limit", "cursor"]),
    ];
    for (path, parameters) in &lists {
        for parameter in *parameters {
            for value in values() {
                let call = format!("{path}?{parameter}={value}");
                is_tame(&tenant.api.get(&call).await, &call);
            }
        }
    }
    for query in [
        "?",
        "?&",
        "?&&=&",
        "?=",
        "?limit",
        "?limit&limit",
        "?%ff=1",
        "?status=open&status=open",
        "??limit=1",
        "?limit=1#x",
    ] {
        let call = format!("{}{query}", tenant.path("conversations"));
        is_tame(&tenant.api.get(&call).await, &call);
    }
    assert_eq!(picture(&tenant).await, before);
}

#[tokio::test]
async fn hostile_path_segments_are_refused() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let before = picture(&tenant).await;
    for value in values().into_iter().filter(|value| !value.is_empty()) {
        for path in [
            format!("/v1/{value}/conversations"),
            tenant.path(&format!("conversations/{value}")),
            tenant.path(&format!("messages/{value}")),
            tenant.path(&format!("contacts/{value}")),
            tenant.path(&value),
            format!("/v1/{value}"),
        ] {
            let answer = tenant.api.get(&path).await;
            is_tame(&answer, &path);
            assert!(matches!(answer.status, 400 | 404 | 405), "{path}: {answer:?}");
            is_tame(&tenant.api.patch(&path, &json!({"status": "resolved", "name": "x"})).await, &path);
        }
        for path in [
            format!("/admin/v1/organizations/{value}"),
            format!("/admin/v1/accounts/{value}"),
            format!("/admin/v1/api_keys/{value}"),
        ] {
            is_tame(&server.operator.get(&path).await, &path);
            is_tame(
                &server.operator.patch(&path, &json!({"suspended": true, "status": "disconnected"})).await,
                &path,
            );
            is_tame(&server.operator.delete(&path).await, &path);
        }
    }
    assert_eq!(picture(&tenant).await, before);
}

#[tokio::test]
async fn hostile_headers_are_refused_or_ignored() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let before = picture(&tenant).await;
    let path = tenant.path("conversations");
    let values = [
        "", " ", "\"", "W/", ",,,,", "*", "é", "0", "-1", "a\tb", "wait=1e9", "gzip;q=x", "bytes=0-",
        "\u{7f}x", "null",
    ];
    let long = "x".repeat(6_000);
    for name in [
        "If-None-Match",
        "Prefer",
        "Accept-Encoding",
        "Accept",
        "Content-Type",
        "Origin",
        "Idempotency-Key",
        "X-Request-Id",
        "Range",
        "If-Modified-Since",
        "If-Match",
        "X-Forwarded-For",
        "X-HTTP-Method-Override",
        "Cookie",
        "Transfer-Encoding-X",
        "Accept-Language",
    ] {
        for value in values.iter().copied().chain([long.as_str()]).filter(|value| !value.contains('\u{7f}')) {
            is_tame(&tenant.api.get_with(&path, &[(name, value)]).await, name);
            if name != "Content-Type" {
                let body = json!({"phone_number": "x"});
                let answer = tenant.api.post_with(&tenant.path("contacts"), &[(name, value)], &body).await;
                is_tame(&answer, name);
                assert!(answer.status >= 400, "{name}: {value}");
            }
        }
    }
    for value in values.iter().filter(|value| !value.contains('\u{7f}')) {
        let answer = server.anyone.get_with("/v1/me", &[("Authorization", value)]).await;
        assert_eq!(answer.status, 401, "{value}");
        is_tame(&answer, value);
    }
    assert_eq!(picture(&tenant).await, before);
}

/// JSON of every kind, often with names and words that the API knows.
fn any_json() -> impl Strategy<Value = Value> {
    let word = prop_oneof![
        Just("whatsapp".to_owned()),
        Just("text".to_owned()),
        Just("interactive".to_owned()),
        Just("template".to_owned()),
        Just("read".to_owned()),
        Just("open".to_owned()),
        Just("button".to_owned()),
        Just("enterprise".to_owned()),
        any::<String>(),
        Just("\u{0}".to_owned()),
        Just("x".repeat(5_000)),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        word.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 6, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..6).prop_map(Value::from),
            proptest::collection::vec((name(), inner), 0..8)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

fn name() -> impl Strategy<Value = String> {
    let known = [
        "messaging_product",
        "to",
        "type",
        "text",
        "body",
        "template",
        "name",
        "language",
        "code",
        "components",
        "interactive",
        "action",
        "buttons",
        "reply",
        "id",
        "title",
        "sections",
        "rows",
        "image",
        "link",
        "caption",
        "status",
        "message_id",
        "assigned_to",
        "phone_number",
        "email",
        "metadata",
        "context",
        "location",
        "latitude",
        "longitude",
        "contacts",
        "reaction",
        "tier",
        "suspended",
        "write_per_minute",
        "label",
        "expires_at",
        "phone_number_id",
        "access_token",
        "messages_per_second",
    ];
    prop_oneof![9 => proptest::sample::select(known.to_vec()).prop_map(str::to_owned), 1 => any::<String>()]
}

#[test]
fn random_json_on_every_write_is_answered_in_the_envelope() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let server = runtime.block_on(TestServer::start());
    let tenant = runtime.block_on(server.tenant());
    let row = runtime.block_on(tenant.inbox(1)).remove(0);
    let operator = format!("/admin/v1/organizations/{}", tenant.organisation);
    let spare = runtime.block_on(server.organisation(&json!({"name": "spare"})));
    let calls = [
        ("POST", tenant.path("messages"), false),
        ("POST", tenant.path("contacts"), false),
        ("PATCH", tenant.path(&format!("conversations/{}", text(&row["id"]))), false),
        ("PATCH", tenant.path(&format!("contacts/{}", text(&row["contact"]["id"]))), false),
        ("POST", "/admin/v1/organizations".to_owned(), true),
        ("PATCH", format!("/admin/v1/organizations/{spare}"), true),
        ("POST", format!("{operator}/api_keys"), true),
        ("POST", format!("{operator}/users"), true),
        ("POST", format!("{operator}/accounts"), true),
        ("PATCH", format!("/admin/v1/accounts/{}", tenant.id), true),
    ];
    let config = Config { cases: 60, max_shrink_iters: 40, failure_persistence: None, ..Config::default() };
    let ran = TestRunner::new(config).run(&any_json(), |body| {
        runtime.block_on(async {
            for (method, path, operator) in &calls {
                let client = if *operator { &server.operator } else { &tenant.api };
                is_tame(
                    &client.call(method, path, &[], Some(&body)).await,
                    &format!("{method} {path} {body}"),
                );
            }
        });
        Ok(())
    });
    ran.unwrap();
    runtime.block_on(async {
        tenant.hears(&from(0), "still there").await;
        assert_eq!(tenant.conversation_with(&from(0)).await["id"], row["id"]);
    });
}
