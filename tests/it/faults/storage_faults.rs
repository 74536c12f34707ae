//! A database that is locked: writes are told so, polls go on, and it mends itself.

use serde_json::json;
use tokio::task::JoinSet;

use crate::harness::database::WriteLock;
use crate::harness::{Answer, InboundWebhook, Tenant, TestServer, from, patiently, text, text_from};

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
    let lock = WriteLock::take(&server.database_url()).await;

    let path = tenant.path("messages");
    let key = [("Idempotency-Key", "k")];
    let template = Tenant::template(&from(1));
    let lost = text_from(&from(7), tenant.clock.read_now(), "while it was locked");
    let webhook = InboundWebhook::default().messages(&tenant.id, std::slice::from_ref(&lost));
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

    lock.release().await;
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

#[tokio::test]
async fn what_waits_for_the_lock_is_bounded_and_the_rest_is_told_to_come_back() {
    let server = TestServer::shaped(|options| options.set("KABAR_LIMITS__QUEUED_COMMANDS", "2")).await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let lock = WriteLock::take(&server.database_url()).await;
    let mut calls = JoinSet::new();
    for nth in 0..10 {
        let tenant = tenant.clone();
        calls.spawn(async move { tenant.post("messages", &Tenant::template(&from(nth))).await });
    }
    // Those that found no room are answered while the lock is still held.
    let mut refused = 0;
    while refused < 8 {
        let answer = patiently(calls.join_next()).await.unwrap().unwrap();
        answer.refused(503, "overloaded");
        refused += 1;
    }
    lock.release().await;
    while let Some(answer) = patiently(calls.join_next()).await {
        answer.unwrap().is(200);
    }
    assert_eq!(tenant.get("messages?direction=outbound").await.rows().len(), 2);
}

#[tokio::test]
async fn a_second_call_with_a_key_waits_for_the_first_and_repeats_its_answer() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let lock = WriteLock::take(&server.database_url()).await;
    let mut calls = JoinSet::new();
    for _ in 0..3 {
        let tenant = tenant.clone();
        calls.spawn(async move {
            let path = tenant.path("messages");
            tenant.api.post_with(&path, &[("Idempotency-Key", "k")], &Tenant::template(&from(1))).await
        });
    }
    // A client that gave up does not let a second call in while its write is on its way.
    let path = tenant.path("messages");
    let gave_up = tenant.api.with_deadline(std::time::Duration::from_millis(200));
    let body = Tenant::template(&from(1)).to_string().into_bytes();
    let headers = [("Content-Type", "application/json"), ("Idempotency-Key", "k")];
    assert!(gave_up.attempt("POST", &path, &headers, body).await.is_err());
    lock.release().await;
    let answers = patiently(calls.join_all()).await;
    let replayed = |answer: &&Answer| answer.must("Idempotent-Replayed") == "true";
    assert!(answers.iter().filter(replayed).count() >= 2);
    assert!(answers.iter().all(|answer| answer.data() == answers[0].data()));
    assert_eq!(tenant.get("messages?direction=outbound").await.rows().len(), 1);
}
