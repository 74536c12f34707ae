//! Contract, section 4, "ETag": the tag changes exactly when the page would.

use serde_json::json;

use crate::harness::{Tenant, TestServer, from, is_timestamp, text};

mod laws;

/// The five parts of a list's tag: newest, unread, rows, `has_more`, fingerprint.
fn parts(tag: &str) -> Vec<String> {
    let inner = tag.strip_prefix("W/\"").and_then(|rest| rest.strip_suffix('"')).expect(tag);
    // The instant has colons of its own.
    let fields: Vec<&str> = inner.rsplitn(5, ':').collect();
    let fields: Vec<String> = fields.into_iter().rev().map(str::to_owned).collect();
    assert_eq!(fields.len(), 5, "{tag}");
    fields
}

async fn resolve(tenant: &Tenant, id: &str) {
    tenant.patch(&format!("conversations/{id}"), &json!({"status": "resolved"})).await.is(200);
}

#[tokio::test]
async fn the_tag_of_a_list_tells_newest_unread_rows_and_more() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(3).await;
    tenant.hears(&from(1), "twice").await;
    let page = tenant.get("conversations?limit=2").await;
    let newest = page.column("updated_at").iter().map(text).max().unwrap();
    let tag = page.etag();
    let [at, unread, rows, more, fingerprint] = parts(&tag).try_into().unwrap();
    assert!(is_timestamp(&at));
    assert_eq!((at, unread, rows, more), (newest, "2".into(), "2".into(), "1".into()), "{tag}");
    let hex = |c: char| c.is_ascii_digit() || ('a'..='f').contains(&c);
    assert!(fingerprint.len() == 12 && fingerprint.chars().all(hex), "{tag}");
    let whole = parts(&tenant.get("conversations").await.etag());
    assert_eq!((&*whole[2], &*whole[3]), ("3", "0"));
    for list in ["messages?limit=2", "contacts?limit=2"] {
        let page = tenant.get(list).await;
        let newest = page.column("updated_at").iter().map(text).max().unwrap();
        let tag = parts(&page.etag());
        assert_eq!(tag[..4], [newest, "0".into(), "2".into(), "1".into()], "{list}");
    }
}

#[tokio::test]
async fn an_empty_pages_tag_has_a_dash_for_the_time() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for list in ["conversations", "messages", "contacts", "conversations?updated_since=2999-01-01T00:00:00Z"]
    {
        let page = tenant.get(list).await;
        assert_eq!(parts(&page.etag())[..4], ["-", "0", "0", "0"], "{list}");
        tenant.get_if(list, &page.etag()).await.is(304);
    }
}

#[tokio::test]
async fn a_304_has_no_body_and_all_its_headers() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(2).await;
    let message = format!("messages/{}", text(&tenant.get("messages").await.rows()[0]["id"]));
    let conversation = format!("conversations/{}", text(&tenant.conversation_with(&from(0)).await["id"]));
    for tail in ["conversations", "messages", "contacts", &message, &conversation] {
        let page = tenant.get(tail).await;
        let unchanged = tenant.get_if(tail, &page.etag()).await.is(304);
        assert!(unchanged.body.is_empty());
        for name in ["ETag", "Cache-Control", "Vary"] {
            assert_eq!(unchanged.must(name), page.must(name), "{tail}");
        }
        assert_eq!(unchanged.must("Cache-Control"), "private, no-cache");
        assert!(unchanged.must("Vary").contains("Authorization"));
        for name in ["X-RateLimit-Limit", "X-RateLimit-Remaining", "X-RateLimit-Reset", "X-Request-Id"] {
            unchanged.must(name);
        }
    }
}

#[tokio::test]
async fn if_none_match_takes_lists_stars_and_the_strong_form() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(2).await;
    let message = format!("messages/{}", text(&tenant.get("messages").await.rows()[0]["id"]));
    for tail in ["conversations", "messages", "contacts", &message] {
        let tag = tenant.get(tail).await.etag();
        let strong = tag.trim_start_matches("W/").to_owned();
        for header in [
            "*".to_owned(),
            tag.clone(),
            strong.clone(),
            format!("\"a\", {tag}"),
            format!("{tag}, \"b\""),
            format!("W/\"a\",{strong},W/\"b\""),
            format!("\"a,b\" , {tag}"),
            format!("  {tag}  "),
        ] {
            tenant.get_if(tail, &header).await.is(304);
        }
        let inner = strong.trim_matches('"').to_owned();
        let short = format!("W/\"{}\"", &inner[..inner.len() - 1]);
        for header in [
            "\"x\"".to_owned(),
            String::new(),
            inner,
            "W/*".to_owned(),
            "\"*\"".to_owned(),
            short,
            format!("w/{strong}"),
        ] {
            tenant.get_if(tail, &header).await.is(200);
        }
        // Two lines are one list.
        let lines = [("If-None-Match", "\"x\""), ("If-None-Match", &*tag)];
        tenant.get_with(tail, &lines).await.is(304);
    }
}

#[tokio::test]
async fn resolving_in_the_middle_of_a_full_page_changes_nothing_but_the_fingerprint() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(6).await;
    let list = "conversations?status=open&limit=4";
    let before = tenant.get(list).await;
    // The page is 5, 4, 3, 2; the middle one goes, and the next one takes the last place.
    resolve(&tenant, &text(&rows[4]["id"])).await;
    let after = tenant.get_if(list, &before.etag()).await.is(200);
    let (old, new) = (parts(&before.etag()), parts(&after.etag()));
    assert_eq!(old[..4], new[..4], "count, newest, unread and has_more all stay");
    assert_ne!(old[4], new[4]);
    assert!(!after.column("id").contains(&rows[4]["id"]));
}

#[tokio::test]
async fn a_change_outside_the_page_leaves_its_tag_alone() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(6).await;
    let list = "conversations?limit=3";
    let page = tenant.get(list).await;
    // A row below the page, and a contact without a conversation.
    resolve(&tenant, &text(&rows[0]["id"])).await;
    tenant.post("contacts", &json!({"phone_number": "+6281200000001"})).await.is(201);
    tenant.get_if(list, &page.etag()).await.is(304);
    // Another account's traffic is nobody's business here.
    server.second_account(&tenant).await.inbox(2).await;
    tenant.get_if(list, &page.etag()).await.is(304);
    resolve(&tenant, &text(&rows[3]["id"])).await;
    tenant.get_if(list, &page.etag()).await.is(200);
}

#[tokio::test]
async fn the_tag_of_a_message_tells_status_error_and_change() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let sent = tenant.sent(&from(1)).await;
    let tail = format!("messages/{}", text(&sent["id"]));
    let page = tenant.get(&tail).await;
    assert_eq!(page.etag(), format!("W/\"sent:-:{}\"", text(&sent["updated_at"])));
    tenant.learns_that(&text(&sent["message_id"]), "failed").await;
    let failed = tenant.get_if(&tail, &page.etag()).await.is(200);
    let data = failed.data();
    let expected = format!("W/\"failed:recipient_not_on_whatsapp:{}\"", text(&data["updated_at"]));
    assert_eq!(failed.etag(), expected);
}
