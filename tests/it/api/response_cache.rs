//! Contract, section 4, "Response cache": hits, lifetimes, and no stale read after any write.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::harness::{Answer, Tenant, TestServer, from, text};

/// The `ttl` of a hit; `None` for a miss.
#[track_caller]
fn hit(answer: &Answer) -> Option<i64> {
    let status = answer.must("Cache-Status");
    if status == "kabar; fwd=miss" {
        return None;
    }
    let ttl = status.strip_prefix("kabar; hit; ttl=").unwrap_or_else(|| panic!("{status}"));
    Some(ttl.parse().unwrap())
}

#[tokio::test]
async fn a_list_is_a_hit_for_eight_seconds_and_a_miss_after() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(2).await;
    server.clock.advance_manual(Duration::from_mins(1));
    for list in [
        "conversations?limit=7",
        "messages?limit=7",
        "contacts?limit=7",
        "conversations?updated_since=2026-06-19T11:00:00Z",
    ] {
        let first = tenant.get(list).await;
        assert_eq!(hit(&first), None, "{list}");
        assert_eq!(first.must("Cache-Control"), "private, no-cache");
        assert!(first.must("Vary").contains("Authorization"));
        assert_eq!(hit(&tenant.get(list).await), Some(8), "{list}");
        server.clock.advance_manual(Duration::from_secs(4));
        let later = tenant.get(list).await;
        assert_eq!((hit(&later), later.rows()), (Some(4), first.rows()), "{list}");
        assert!(hit(&tenant.get_if(list, &first.etag()).await.is(304)).is_some(), "{list}");
        server.clock.advance_manual(Duration::from_millis(3_999));
        assert_eq!(hit(&tenant.get(list).await), Some(0), "{list}");
        server.clock.advance_manual(Duration::from_millis(1));
        let fresh = tenant.get(list).await;
        assert_eq!((hit(&fresh), fresh.etag()), (None, first.etag()), "{list}");
    }
}

/// Checks how long a page is served, from a miss to a miss.
async fn lifetime(server: &TestServer, tenant: &Tenant, tail: &str, seconds: i64) {
    server.clock.advance_manual(Duration::from_secs(100));
    assert_eq!(hit(&tenant.get(tail).await), None, "{tail}");
    assert_eq!(hit(&tenant.get(tail).await), Some(seconds), "{tail}");
    server.clock.advance_manual(Duration::from_secs(u64::try_from(seconds).unwrap()));
    assert_eq!(hit(&tenant.get(tail).await), None, "{tail}");
}

#[tokio::test]
async fn a_message_lives_as_long_as_its_status_lets_it() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let received = text(&tenant.get("messages").await.rows()[0]["id"]);
    let sent = tenant.sent(&from(2)).await;
    let wamid = text(&sent["message_id"]);
    let of = |id: &Value| format!("messages/{}", text(id));
    lifetime(&server, &tenant, &format!("messages/{received}"), 5).await;
    lifetime(&server, &tenant, &of(&sent["id"]), 5).await;
    tenant.learns_that(&wamid, "delivered").await;
    lifetime(&server, &tenant, &of(&sent["id"]), 10).await;
    tenant.learns_that(&wamid, "read").await;
    lifetime(&server, &tenant, &of(&sent["id"]), 60).await;
    let failing = text(&tenant.sends("+12025132001").await["id"]);
    tenant.message_when(&failing, |message| message["status"] == "failed").await;
    lifetime(&server, &tenant, &format!("messages/{failing}"), 60).await;
}

#[tokio::test]
async fn entries_are_per_query_and_per_account() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let other = server.second_account(&tenant).await;
    tenant.inbox(3).await;
    other.inbox(1).await;
    let lists = [
        "conversations?limit=1",
        "conversations?limit=2",
        "conversations?status=open&limit=1",
        "conversations?status=resolved&limit=1",
    ];
    for list in lists {
        assert_eq!(hit(&tenant.get(list).await), None, "{list}");
    }
    assert_eq!(hit(&other.get(lists[0]).await), None);
    for list in lists {
        assert!(hit(&tenant.get(list).await).is_some(), "{list}");
    }
    // Another key of the same tenant shares the pages, another tenant never.
    let colleague =
        Tenant { api: server.anyone.with_token(&server.key(&tenant.organisation).await), ..tenant.clone() };
    assert!(hit(&colleague.get(lists[0]).await).is_some());
    let stranger = server.tenant().await;
    stranger.api.get(&tenant.path(lists[0])).await.refused(404, "resource_not_found");
}

/// Pages that every change of a conversation must refresh.
const LISTS: [&str; 3] =
    ["conversations", "conversations?limit=2", "conversations?updated_since=2020-01-01T00:00:00Z"];

async fn warm(tenant: &Tenant, tails: &[String]) -> Vec<Answer> {
    let mut pages = Vec::new();
    for tail in tails {
        tenant.get(tail).await;
        let page = tenant.get(tail).await;
        assert!(hit(&page).is_some(), "{tail}");
        pages.push(page);
    }
    pages
}

/// Every cached page of these shows its change as soon as the write is acknowledged.
async fn refreshed(tenant: &Tenant, tails: &[String], before: &[Answer]) {
    for (tail, old) in tails.iter().zip(before) {
        let fresh = tenant.get_if(tail, &old.etag()).await;
        assert_eq!(fresh.status, 200, "{tail}: a stale 304");
        assert_ne!(fresh.json()["data"], old.json()["data"], "{tail}");
        assert_eq!(hit(&fresh), None, "{tail}");
    }
}

#[tokio::test]
async fn no_read_is_stale_after_any_kind_of_write() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let user = server.user(&tenant.organisation, "Rani").await;
    tenant.hears(&from(1), "first").await;
    let row = tenant.conversation_with(&from(1)).await;
    let one = format!("conversations/{}", text(&row["id"]));
    let contact = format!("contacts/{}", text(&row["contact"]["id"]));
    let tails: Vec<String> = LISTS.iter().map(|list| (*list).to_owned()).chain([one.clone()]).collect();

    let pages = warm(&tenant, &tails).await;
    let wamid = tenant.hears(&from(1), "webhook").await;
    refreshed(&tenant, &tails, &pages).await;

    let pages = warm(&tenant, &tails).await;
    tenant.post("messages", &Tenant::letter(&from(1), "send")).await.is(200);
    refreshed(&tenant, &tails, &pages).await;

    let pages = warm(&tenant, &tails).await;
    tenant.patch(&one, &json!({"status": "pending"})).await.is(200);
    refreshed(&tenant, &tails, &pages).await;

    let pages = warm(&tenant, &tails).await;
    tenant.patch(&one, &json!({"assigned_to": user["id"]})).await.is(200);
    refreshed(&tenant, &tails, &pages).await;

    let mut with_contact = tails.clone();
    with_contact.extend([contact.clone(), "contacts".to_owned()]);
    let pages = warm(&tenant, &with_contact).await;
    tenant.patch(&contact, &json!({"name": "Renamed"})).await.is(200);
    refreshed(&tenant, &with_contact, &pages).await;

    let pages = warm(&tenant, &tails).await;
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
    tenant.post("messages", &read).await.is(200);
    refreshed(&tenant, &tails, &pages).await;

    let contacts = ["contacts".to_owned(), "contacts?phone=%2B6281200000001".to_owned()];
    let pages = warm(&tenant, &contacts).await;
    tenant.post("contacts", &json!({"phone_number": "+6281200000001"})).await.is(201);
    refreshed(&tenant, &contacts, &pages).await;
}

#[tokio::test]
async fn a_message_and_its_lists_are_fresh_after_every_status() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let sent = tenant.sent(&from(1)).await;
    let (id, wamid) = (text(&sent["id"]), text(&sent["message_id"]));
    let tails = [format!("messages/{id}"), "messages".to_owned(), "messages?direction=outbound".to_owned()];
    for status in ["delivered", "read"] {
        let pages = warm(&tenant, &tails).await;
        tenant.learns_that(&wamid, status).await;
        refreshed(&tenant, &tails, &pages).await;
        assert_eq!(tenant.message(&id).await["status"], status);
    }
    let filtered = format!("messages?status=read&conversation_id={}", text(&sent["conversation_id"]));
    assert_eq!(tenant.get(&filtered).await.rows().len(), 1);
    // A not-found is not remembered beyond its end either.
    let ghost = "messages?status=received";
    assert!(tenant.get(ghost).await.rows().is_empty());
    tenant.hears(&from(1), "thanks").await;
    assert_eq!(tenant.get(ghost).await.rows().len(), 1);
}

#[tokio::test]
async fn hits_and_304s_cost_no_statement() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(3).await;
    let sent = tenant.sent(&from(1)).await;
    let message = format!("messages/{}", text(&sent["id"]));
    for tail in ["conversations", "messages", "contacts", &message] {
        let page = tenant.get(tail).await;
        let free = async || {
            for _ in 0..10 {
                assert!(hit(&tenant.get(tail).await).is_some(), "{tail}");
                tenant.get_if(tail, &page.etag()).await.is(304);
            }
        };
        assert_eq!(server.statements_of(free).await, 0, "{tail}");
    }
    // A resident list costs none even on a miss.
    let miss = async || assert_eq!(hit(&tenant.get("conversations?limit=2").await), None);
    assert_eq!(server.statements_of(miss).await, 0);
}

#[tokio::test]
async fn concurrent_identical_misses_compute_once() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(3).await;
    let before = server.server().metrics.page_sql.get();
    let mut calls = JoinSet::new();
    for _ in 0..25 {
        let tenant = tenant.clone();
        calls.spawn(async move { tenant.get("messages?limit=99").await });
    }
    let answers = calls.join_all().await;
    assert!(answers.iter().all(|answer| answer.rows().len() == 3));
    assert_eq!(server.server().metrics.page_sql.get(), before + 1);
}
