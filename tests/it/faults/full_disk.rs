//! A disk without room: writes are told so and leave nothing behind, polls go on, and it mends itself.

use serde_json::json;

use crate::harness::{Business, Child, database};

#[tokio::test]
async fn writes_to_a_full_disk_are_503_polls_go_on_and_it_recovers_by_itself() {
    let folder = tempfile::tempdir().unwrap();
    // A full disk under PostgreSQL is PostgreSQL's to survive.
    let url = database::sqlite(folder.path());
    let child = Child::start(folder.path(), &url, "http://127.0.0.1:9").await;
    let business = Business::open(&child.anyone).await;
    let client = child.anyone.with_token(&business.key);
    let contacts = format!("/v1/{}/contacts", business.id);
    let contact =
        |n: u32| json!({"phone_number": format!("+6281200{n:05}"), "metadata": {"a": "x".repeat(10_000)}});
    client.post(&contacts, &contact(0)).await.is(201);

    child.limit_files(Some(1_000_000)).await;
    let mut made = 1;
    let refused = loop {
        let answer = client.post(&contacts, &contact(made)).await;
        if answer.status != 201 {
            break answer;
        }
        made += 1;
        assert!(made < 1000, "the files stop growing");
    };
    refused.refused(503, "storage_unavailable");
    assert!(refused.number("Retry-After") >= 1);
    client.get(&format!("/v1/{}/conversations", business.id)).await.is(200);
    let rows = business.rows(&child.anyone, "contacts?limit=100").await;
    assert_eq!(rows.len(), usize::try_from(made).unwrap(), "what was refused is not there, the rest is");

    child.limit_files(None).await;
    client.post(&contacts, &contact(made)).await.is(201);
    child.anyone.get("/readyz").await.is(200);
    assert_eq!(child.terminate().await.code(), Some(0));
}

#[tokio::test]
async fn a_log_that_cannot_be_written_stops_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let url = database::sqlite(folder.path());
    let child = Child::start_without_log(folder.path(), &url, "http://127.0.0.1:9").await;
    // What the operator does is logged.
    let business = Business::open(&child.anyone).await;
    let client = child.anyone.with_token(&business.key);
    client
        .post(&format!("/v1/{}/contacts", business.id), &json!({"phone_number": "+6281200000001"}))
        .await
        .is(201);
    child.anyone.get("/readyz").await.is(200);
    assert_eq!(child.terminate().await.code(), Some(0));
}
