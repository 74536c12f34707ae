//! A database that is locked: writes are told so, polls go on, and it mends itself.

use serde_json::json;
use sqlx::sqlite::SqliteConnectOptions;
use sqlx::{ConnectOptions as _, Connection as _, SqliteConnection};

use crate::harness::{Answer, Tenant, TestServer, Webhook, from, patiently, text, text_from};

/// Somebody else who holds the write lock of the file.
async fn hold(server: &TestServer) -> SqliteConnection {
    let options = SqliteConnectOptions::new().filename(&server.database).disable_statement_logging();
    let mut connection = options.connect().await.unwrap();
    patiently(sqlx::query("BEGIN IMMEDIATE").execute(&mut connection)).await.unwrap();
    connection
}

async fn let_go(mut connection: SqliteConnection) {
    sqlx::query("ROLLBACK").execute(&mut connection).await.unwrap();
    connection.close().await.unwrap();
}

fn unavailable(answer: &Answer) {
    answer.refused(503, "storage_unavailable");
    assert!(answer.number("Retry-After") >= 1);
}

#[tokio::test]
async fn writes_to_a_locked_database_are_503_polls_go_on_and_it_recovers_by_itself() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(3).await;
    let conversation = format!("conversations/{}", text(&rows[0]["id"]));
    let page = tenant.get("conversations").await;
    let messages = tenant.get("messages").await;
    let lock = hold(&server).await;

    let path = tenant.path("messages");
    let key = [("Idempotency-Key", "k")];
    let template = Tenant::template(&from(1));
    let lost = text_from(&from(7), tenant.clock.now(), "while it was locked");
    let webhook = Webhook::default().messages(&tenant.id, std::slice::from_ref(&lost));
    let (resolved, contact) = (json!({"status": "resolved"}), json!({"phone_number": "+6281200000001"}));
    let reads = async {
        // The writes wait for the lock meanwhile.
        for _ in 0..20 {
            tenant.get_if("conversations", &page.etag()).await.is(304);
            assert_eq!(tenant.get("conversations?limit=2").await.rows(), page.rows()[..2]);
            assert_eq!(tenant.get("messages").await.rows(), messages.rows());
            assert_eq!(tenant.get(&conversation).await.data(), rows[0]);
        }
    };
    let organisation = json!({"name": "Late"});
    let (taken, sent, patched, made, organised, ()) = tokio::join!(
        webhook.post(&tenant.api),
        tenant.api.post_with(&path, &key, &template),
        tenant.patch(&conversation, &resolved),
        tenant.post("contacts", &contact),
        server.operator.post("/admin/v1/organizations", &organisation),
        reads,
    );
    for answer in [&taken, &sent, &patched, &made, &organised] {
        unavailable(answer);
    }
    assert_eq!(server.anyone.get("/v1/health").await.status, 200, "it lives");
    tenant.get_if("conversations", &page.etag()).await.is(304);
    assert_eq!(tenant.all("contacts").await.len(), 3);

    let_go(lock).await;
    // WhatsApp delivers again, clients try again: the same calls now succeed, once.
    let delivered = webhook.post(&tenant.api).await;
    delivered.is(200);
    let sent = tenant.api.post_with(&path, &key, &template).await.is(200);
    assert_eq!(sent.must("Idempotent-Replayed"), "false", "503 is never remembered");
    tenant.patch(&conversation, &resolved).await.is(200);
    tenant.post("contacts", &contact).await.is(201);
    tenant.message_when(&text(&sent.data()["id"]), |message| message["status"] == "sent").await;
    assert_eq!(tenant.conversation_with(&from(7)).await["unread_count"], 1);
    assert_eq!(tenant.get("messages?direction=outbound").await.rows().len(), 1);
    server.anyone.get("/readyz").await.is(200);
}
