//! Addresses that are not called, whatever they are written like.

use serde_json::json;

use super::{attempts, stage, until_deliveries};
use crate::harness::{Receiver, TestServer, database, from, manual_clock, text};

const PATH: &str = "/v1/webhook_subscriptions";

/// Never, whatever the settings.
const NEVER: [&str; 40] = [
    "",
    "example.com",
    "//example.com",
    "/hook",
    "https://",
    "ftp://example.com/",
    "file:///etc/passwd",
    "gopher://example.com/",
    "https://user@example.com/",
    "https://user:secret@example.com/",
    "https://example.com/#part",
    "https://example.com:22/",
    "https://example.com:25/",
    "https://example.com:6667/",
    "https://example.com:0/",
    "https://exa mple.com/",
    " https://example.com/",
    "https://example.com\\@evil.example/",
    "https://intranet/",
    "https://printer.local/",
    "https://metadata.google.internal/computeMetadata/v1/",
    "https://0.0.0.0/",
    "https://10.0.0.1/",
    "https://100.64.0.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://172.16.0.1/",
    "https://192.168.0.1/",
    "https://198.18.0.1/",
    "https://203.0.113.1/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:8.8.8.8]/",
    "https://[64:ff9b::7f00:1]/",
    "https://[2002:7f00:1::]/",
    "https://[fd00:ec2::254]/",
    "https://[fe80::1]/",
    "https://[ff02::1]/",
    "https://2130706433/",
    "https://0x7f.0.0.1/",
];

/// Only with `outbound.allow_loopback`.
const WITH_THE_SETTING: [&str; 6] = [
    "http://example.com/",
    "http://127.0.0.1:9000/",
    "https://127.0.0.1/",
    "https://localhost/",
    "http://api.localhost:3000/",
    "https://[::1]/",
];

#[tokio::test]
async fn forbidden_addresses_are_refused_when_they_are_written() {
    let closed = TestServer::start().await;
    let (open, guest) = stage().await;
    let tenant = closed.tenant().await;
    let body = |url: &str| json!({"url": url, "events": ["message.status"]});
    let kept = tenant.api.post(PATH, &body("https://hooks.example.com/")).await.is(201).data();
    let path = format!("{PATH}/{}", text(&kept["id"]));
    for url in NEVER.iter().chain(&WITH_THE_SETTING) {
        for answer in [tenant.api.post(PATH, &body(url)).await, tenant.api.patch(&path, &body(url)).await] {
            let error = answer.refused(400, "invalid_webhook_url");
            assert_eq!(error["param"], "url", "{url}");
            assert!(text(&error["message"]).starts_with("url must"), "{error}");
        }
    }
    assert_eq!(tenant.api.get(&path).await.data()["url"], "https://hooks.example.com/");
    for url in NEVER {
        guest.api.post(PATH, &body(url)).await.refused(400, "invalid_webhook_url");
    }
    for url in WITH_THE_SETTING {
        guest.api.post(PATH, &body(url)).await.is(201);
    }
    drop(open);
}

#[tokio::test]
async fn bodies_are_refused_field_by_field() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let url = "https://hooks.example.com/";
    for (body, code, param) in [
        (json!({"events": ["message.status"]}), "missing_required_field", "url"),
        (json!({"url": url}), "missing_required_field", "events"),
        (json!({"url": 1, "events": ["message.status"]}), "invalid_field_value", "url"),
        (json!({"url": url, "events": []}), "invalid_field_value", "events"),
        (json!({"url": url, "events": "message.status"}), "invalid_field_value", "events"),
        (json!({"url": url, "events": ["message.status", "message"]}), "invalid_field_value", "events[1]"),
        (
            json!({"url": url, "events": ["message.status"], "description": 1}),
            "invalid_field_value",
            "description",
        ),
    ] {
        assert_eq!(tenant.api.post(PATH, &body).await.refused(400, code)["param"], param, "{body}");
    }
    tenant.api.post(PATH, &json!([])).await.refused(400, "invalid_request");
    tenant.api.get(&format!("{PATH}/wbs_1")).await.refused(400, "invalid_field_value");
    let unknown = "wbs_01J0QF3Z5W8V9T4KXN2M6PBRHC";
    tenant.api.get(&format!("{PATH}/{unknown}")).await.refused(404, "resource_not_found");
    let made = tenant.api.post(PATH, &json!({"url": url, "events": ["message.status"]})).await.is(201).data();
    let path = format!("{PATH}/{}", text(&made["id"]));
    for status in ["disabled", "deleted", ""] {
        let refused = tenant.api.patch(&path, &json!({"status": status})).await;
        assert_eq!(refused.refused(400, "invalid_field_value")["param"], "status");
    }
}

#[tokio::test]
async fn an_address_that_was_allowed_once_is_not_called_when_it_is_not_any_more() {
    let folder = tempfile::tempdir().unwrap();
    let url = database::chosen(folder.path()).await;
    let receiver = Receiver::start().await;
    let clock = manual_clock();
    let tenant = {
        let mut server = TestServer::shaped(|options| {
            options.clock = clock.clone();
            options.set("KABAR_DATABASE_URL", &url);
            options.set("KABAR_OUTBOUND__ALLOW_LOOPBACK", "true");
        })
        .await;
        let tenant = server.tenant().await;
        super::subscribe(&tenant, &receiver).await;
        // A name of this machine too: it is resolved at every attempt.
        let named = format!("https://localhost:{}/", receiver.port);
        let body = json!({"url": named, "events": ["message.received"]});
        tenant.api.post(PATH, &body).await.is(201);
        server.stop().await;
        tenant
    };
    let server = TestServer::shaped(|options| {
        options.clock = clock.clone();
        options.set("KABAR_DATABASE_URL", &url);
    })
    .await;
    let tenant = server.here(&tenant);
    tenant.hears(&from(0), "hello").await;
    for row in until_deliveries(&tenant, "status=failed", 2).await {
        let attempt = attempts(&row).remove(0);
        assert_eq!(attempt["status_code"], json!(null));
        assert!(text(&attempt["error"]).starts_with("the url must"), "{attempt}");
    }
    assert_eq!(receiver.count(), 0);
}
