//! Contract, sections 3 and 28: what a key was given in advance ends with the key.

use std::cell::Cell;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::harness::{Stream, Tenant, TestServer, from, patiently, text, until_matches};

/// Returns once so many polls wait.
#[track_caller]
fn waiting(server: &TestServer, polls: i64) -> impl Future<Output = i64> {
    let count_polls = async move || {
        let rows = server.operator.get("/admin/v1/actors").await.rows();
        rows.iter().map(|row| row["waiting_polls"].as_i64().unwrap()).sum()
    };
    until_matches(count_polls, move |count| *count == polls)
}

/// The tenant with a further key of this shape, and the key's id.
async fn with_key(server: &TestServer, tenant: &Tenant, shape: Value) -> (Tenant, String) {
    let path = format!("/admin/v1/organizations/{}/api_keys", tenant.organisation);
    let made = server.operator.post(&path, &shape).await.is(201).data();
    let key = text(&made["key"]);
    (Tenant { api: server.anyone.with_token(&key), key, ..tenant.clone() }, text(&made["id"]))
}

#[tokio::test]
async fn a_held_poll_of_a_revoked_key_ends_with_401_and_no_data() {
    // The manual clock stands, so that no deadline can answer.
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let (other, id) = with_key(&server, &tenant, json!({"label": "leaked"})).await;
    let tag = tenant.get("conversations").await.etag();
    let headers = [("If-None-Match", tag.as_str()), ("Prefer", "wait=60")];
    let since = "conversations?updated_since=2999-01-01T00:00:00Z";
    let wait = [("Prefer", "wait=60")];
    let revoke = async {
        waiting(&server, 3).await;
        server.operator.delete(&format!("/admin/v1/api_keys/{id}")).await.is(204);
        // The other keys of the tenant go on.
        waiting(&server, 1).await;
        tenant.hears(&from(0), "not for everyone").await;
    };
    let (tagged, untagged, kept, ()) = tokio::join!(
        other.get_with("conversations", &headers),
        other.get_with(since, &wait),
        tenant.get_with("conversations", &headers),
        revoke
    );
    tagged.refused(401, "invalid_api_key");
    untagged.refused(401, "invalid_api_key");
    assert_eq!(kept.is(200).rows().len(), 1);
}

#[tokio::test]
async fn a_held_poll_and_a_stream_of_an_expired_key_end_at_its_instant() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let shape = json!({"label": "short", "expires_at": "2026-06-19T11:00:30Z"});
    let (other, _) = with_key(&server, &tenant, shape).await;
    let tag = tenant.get("conversations").await.etag();
    let headers = [("If-None-Match", tag.as_str()), ("Prefer", "wait=60")];
    let mut stream = Stream::open(&other, "events/stream?after=3", &[]).await;
    assert!(stream.frame().await.unwrap().retry.is_some());
    let expire = async {
        waiting(&server, 1).await;
        server.clock.advance_manual(Duration::from_secs(29));
        waiting(&server, 1).await;
        server.clock.advance_manual(Duration::from_secs(1));
    };
    let (held, ()) = tokio::join!(other.get_with("conversations", &headers), expire);
    held.refused(401, "expired_api_key");
    // A beat may have been sent in between.
    while let Some(frame) = stream.frame().await {
        assert!(frame.comment.is_some() && frame.data.is_none(), "{frame:?}");
    }
}

#[tokio::test]
async fn a_held_poll_of_a_suspended_organisation_ends_with_403() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    let tag = tenant.get("conversations").await.etag();
    let headers = [("If-None-Match", tag.as_str()), ("Prefer", "wait=60")];
    let path = format!("/admin/v1/organizations/{}", tenant.organisation);
    let suspend = async {
        waiting(&server, 1).await;
        server.operator.patch(&path, &json!({"suspended": true})).await.is(200);
    };
    let (held, ()) = tokio::join!(tenant.get_with("conversations", &headers), suspend);
    held.refused(403, "organization_suspended");
    server.operator.patch(&path, &json!({"suspended": false})).await.is(200);
    tenant.get_if("conversations", &tag).await.is(304);
}

#[tokio::test]
async fn a_body_that_ends_after_its_key_was_revoked_changes_nothing() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let (other, id) = with_key(&server, &tenant, json!({"label": "leaked"})).await;
    let body = json!({"phone_number": "+6281200000001"}).to_string();
    let head = format!(
        "POST {} HTTP/1.1\r\nHost: kabar\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n",
        tenant.path("contacts"),
        other.key,
        body.len(),
    );
    let mut talk = server.raw().connect().await;
    talk.write_all(head.as_bytes()).await.unwrap();
    talk.write_all(&body.as_bytes()[..5]).await.unwrap();
    // Admitted, once the budget has paid for more than these probes.
    let probes = Cell::new(0);
    let writes = async || {
        probes.set(probes.get() + 1);
        let probe = tenant.api.delete(&tenant.path("contacts")).await;
        probe.number("X-RateLimit-Limit") - probe.number("X-RateLimit-Remaining") - probes.get()
    };
    until_matches(writes, |beside| *beside == 1).await;
    server.operator.delete(&format!("/admin/v1/api_keys/{id}")).await.is(204);
    talk.write_all(&body.as_bytes()[5..]).await.unwrap();
    let mut heard = Vec::new();
    patiently(talk.read_to_end(&mut heard)).await.unwrap();
    assert!(heard.starts_with(b"HTTP/1.1 401 "), "{}", String::from_utf8_lossy(&heard));
    assert!(tenant.get("contacts").await.rows().is_empty());
}
