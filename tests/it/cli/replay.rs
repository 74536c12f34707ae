//! `kabar replay` and the operator's ingest: webhooks are read again, and nothing becomes two.

use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};
use tokio::process::Command;

use crate::harness::database::run;
use crate::harness::{
    APP_SECRET, InboundWebhook, OPERATOR_TOKEN, Tenant, TestServer, from, incoming, patiently, post_bytes,
    status_of, text, text_from,
};

const INGEST: &str = "/admin/v1/ingest";

async fn replay(server: &TestServer, files: &[&Path]) -> Output {
    let files: Vec<&str> = files.iter().map(|file| file.to_str().unwrap()).collect();
    replay_with(server, &files).await
}

async fn replay_with(server: &TestServer, arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_kabar"));
    command.arg("replay").args(arguments).args(["--url", &format!("http://{}", server.address())]);
    command.env_clear().env("KABAR_OPERATOR_TOKEN", OPERATOR_TOKEN).kill_on_drop(true);
    patiently(command.output()).await.unwrap()
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr)
}

/// The whole log, but for other types than these.
async fn events(tenant: &Tenant, query: &str) -> Vec<Value> {
    let (mut events, mut after) = (Vec::new(), 0);
    loop {
        let part = tenant.get(&format!("events?limit=100&after={after}{query}")).await.is(200).json();
        events.extend(part["data"].as_array().unwrap().iter().cloned());
        after = part["last_sequence"].as_i64().unwrap();
        if part["has_more"] == false {
            return events;
        }
    }
}

/// Every row that a client sees of a number.
async fn everything(tenant: &Tenant) -> Vec<Value> {
    let mut rows = events(tenant, "").await;
    for list in ["messages?limit=100", "conversations?limit=100", "contacts?limit=100"] {
        rows.extend(tenant.all(list).await);
    }
    for message in tenant.all("messages?limit=100").await {
        rows.push(tenant.get(&format!("messages/{}/raw", text(&message["id"]))).await.data());
    }
    rows
}

/// A webhook with a bit of everything.
async fn mixed(tenant: &Tenant) -> Value {
    let sent = text(&tenant.sent(&from(1)).await["message_id"]);
    let now = tenant.clock.read_now();
    let hello = text_from(&from(1), now, "hello");
    let reaction =
        incoming(&from(1), now, "reaction", json!({"message_id": hello["id"], "emoji": "\u{1F44D}"}));
    let mut body = InboundWebhook::default()
        .messages(&tenant.id, &[hello, reaction])
        .statuses(&tenant.id, &[status_of(&sent, "delivered", now), status_of(&sent, "read", now)])
        .value(&json!({"metadata": {"phone_number_id": tenant.id},
            "errors": [{"code": 130_429, "title": "Rate limit hit"}]}))
        .body();
    let alert = json!({"entity_type": "WABA", "alert_info": {"alert_type": "OBA_APPROVED"}});
    body["entry"].as_array_mut().unwrap().push(json!({"id": "102290129340398", "time": 1_781_866_800,
        "changes": [{"field": "account_alerts", "value": alert}]}));
    body
}

#[tokio::test]
async fn a_webhook_that_was_taken_in_changes_nothing_however_it_comes_again() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = mixed(&tenant).await;
    let bytes = body.to_string().into_bytes();
    post_bytes(&server.anyone, bytes.clone(), APP_SECRET).await.is(200);
    let before = everything(&tenant).await;
    assert_eq!(events(&tenant, "&types=whatsapp.*").await.len(), 2);
    post_bytes(&server.anyone, bytes.clone(), APP_SECRET).await.is(200);
    let answer = server.operator.bytes("POST", INGEST, &[("Content-Type", "application/json")], bytes).await;
    let told = answer.is(200).data();
    assert_eq!((&told["object"], &told["items"], &told["skipped"]), (&json!("ingest"), &json!(6), &json!(0)));
    assert_eq!(everything(&tenant).await, before);

    // At another time WhatsApp says the same anew.
    let mut again = body;
    again["entry"][3]["time"] = json!(1_781_999_999);
    server.operator.post(INGEST, &again).await.is(200);
    assert_eq!(events(&tenant, "&types=whatsapp.*").await.len(), 3);
}

#[tokio::test]
async fn files_are_replayed_document_by_document() {
    let mut server = TestServer::start().await;
    let tenant = server.tenant().await;
    let folder = tempfile::tempdir().unwrap();
    let now = tenant.clock.read_now();
    let webhook = |nth: usize| {
        let message = text_from(&from(nth), now, &format!("missed {nth}"));
        InboundWebhook::default().messages(&tenant.id, &[message]).body()
    };
    let stranger =
        InboundWebhook::default().messages("999888777666", &[text_from(&from(8), now, "x")]).body();
    let (lines, array) = (folder.path().join("log.jsonl"), folder.path().join("array.json"));
    std::fs::write(&lines, format!("{}\n{}\n", webhook(1), webhook(2))).unwrap();
    std::fs::write(&array, serde_json::to_string_pretty(&json!([webhook(3), stranger])).unwrap()).unwrap();
    for _ in 0..2 {
        let output = replay(&server, &[&lines, &array]).await;
        assert!(output.status.success(), "{}", said(&output));
        assert!(
            said(&output).contains("log.jsonl: 2 webhooks, 2 items read, 0 skipped"),
            "{}",
            said(&output)
        );
        assert!(
            said(&output).contains("array.json: 2 webhooks, 1 items read, 1 skipped"),
            "{}",
            said(&output)
        );
        let contents: Vec<_> = tenant.get("messages").await.column("content");
        assert_eq!(contents.len(), 3, "{contents:?}");
    }
    let skipped =
        server.metric("kabar_whatsapp_items_skipped_total{reason=\"not_connected\",field=\"messages\"}");
    assert_eq!(skipped.await, 2);
    let broken = folder.path().join("broken.json");
    std::fs::write(&broken, format!("{}\n{{\"entry\": [", webhook(4))).unwrap();
    let output = replay(&server, &[&broken]).await;
    assert!(
        !output.status.success() && said(&output).contains("broken.json, webhook 2"),
        "{}",
        said(&output)
    );
    assert_eq!(tenant.get("messages").await.rows().len(), 4, "what stood before is taken in");
    assert!(!replay(&server, &[&folder.path().join("absent.json")]).await.status.success());
    server.stop().await;
}

#[tokio::test]
async fn a_message_that_was_not_understood_is_filled_in() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let now = tenant.clock.read_now();
    let understood = text_from(&from(1), now, "a type of tomorrow");
    let mut unsupported = understood.clone();
    unsupported["type"] = "unsupported".into();
    unsupported.as_object_mut().unwrap().remove("text");
    unsupported["errors"] = json!([{"code": 131_051, "title": "Message type unknown"}]);
    tenant.receives(&[unsupported.clone()]).await;
    let kept = tenant.get("messages").await.rows().remove(0);
    assert_eq!(kept["type"], "unsupported");
    let ingest = async |message: &Value| {
        let body = InboundWebhook::default().messages(&tenant.id, std::slice::from_ref(message)).body();
        server.operator.post(INGEST, &body).await.is(200);
    };
    for _ in 0..2 {
        ingest(&understood).await;
        ingest(&unsupported).await;
        let rows = tenant.get("messages").await.rows();
        assert_eq!(rows.len(), 1);
        assert_eq!((&rows[0]["id"], &rows[0]["type"]), (&kept["id"], &json!("text")));
        assert_eq!(rows[0]["content"], "a type of tomorrow");
    }
    assert_eq!(tenant.conversation_with(&from(1)).await["unread_count"], 1);
    let edits = events(&tenant, "&types=message.edited").await;
    assert_eq!(edits.len(), 1);
    assert_eq!(edits[0]["data"]["previous_content"], "[unsupported]");
}

#[tokio::test]
async fn stored_items_are_read_again_with_the_code_of_today() {
    let mut server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = mixed(&tenant).await;
    post_bytes(&server.anyone, body.to_string().into_bytes(), APP_SECRET).await.is(200);
    let now = tenant.clock.read_now();
    let many: Vec<Value> = (0..120).map(|nth| text_from(&from(nth), now, &format!("text {nth}"))).collect();
    tenant.receives(&many).await;
    // As a version would have kept it that does not know the type.
    let older = "UPDATE messages SET kind = 'unsupported', content = '[unsupported]', payload = '{}' \
                 WHERE content = 'text 7'";
    run(&server.database_url(), older).await;
    server.restart().await;
    let before = everything(&tenant).await;
    for _ in 0..2 {
        let output = replay_with(&server, &["--stored", &tenant.id]).await;
        assert!(output.status.success(), "{}", said(&output));
        let summary = format!("{}: 124 stored items read, 0 skipped", tenant.id);
        assert!(said(&output).contains(&summary), "{}", said(&output));
    }
    assert_eq!(
        tenant.all("messages?limit=100").await.iter().filter(|row| row["content"] == "text 7").count(),
        1
    );
    let edits = events(&tenant, "&types=message.edited").await;
    assert_eq!((edits.len(), &edits[0]["data"]["message"]["content"]), (1, &json!("text 7")));
    assert_eq!(everything(&tenant).await.len(), before.len() + 1, "the event, and nothing else");

    let path = format!("/admin/v1/accounts/{}/ingest", tenant.id);
    tenant.api.post(&path, &json!({})).await.is(401);
    server.operator.post(&format!("{path}?cursor=x"), &json!({})).await.refused(400, "invalid_cursor");
    server
        .operator
        .post("/admin/v1/accounts/999999999/ingest", &json!({}))
        .await
        .refused(404, "resource_not_found");
    server.stop().await;
}

#[tokio::test]
async fn only_the_operator_has_webhooks_read() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let body = InboundWebhook::default()
        .messages(&tenant.id, &[text_from(&from(1), tenant.clock.read_now(), "forged")])
        .body();
    server.anyone.post(INGEST, &body).await.is(401);
    tenant.api.post(INGEST, &body).await.is(401);
    assert!(tenant.get("messages").await.rows().is_empty());
    assert_eq!(
        server.operator.post(INGEST, &json!({})).await.refused(400, "missing_required_field")["param"],
        "entry"
    );
    server.operator.post(INGEST, &json!([])).await.refused(400, "invalid_request");
    // A number that has a secret of its own, too.
    let (id, phone) = server.account_with(&tenant.organisation, json!({"app_secret": "its own"})).await;
    let own = Tenant { id, phone, ..tenant.clone() };
    let body = InboundWebhook::default()
        .messages(&own.id, &[text_from(&from(1), tenant.clock.read_now(), "hello")])
        .body();
    assert_eq!(server.operator.post(INGEST, &body).await.is(200).data()["items"], 1);
    assert_eq!(own.get("messages").await.rows().len(), 1);
}
