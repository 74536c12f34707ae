//! Accounts that are larger than memory, and accounts that were dropped from it: nobody can tell.

use std::collections::BTreeSet;
use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Tenant, TestServer, from, text, text_from, until_advancing};

/// More than the 100 conversations that the server may keep.
const PEOPLE: usize = 260;

async fn crowded(server: &TestServer) -> Tenant {
    let tenant = server.tenant().await;
    for crowd in 0..4 {
        let people = crowd * PEOPLE / 4..(crowd + 1) * PEOPLE / 4;
        let messages: Vec<Value> =
            people.map(|nth| text_from(&from(nth), tenant.clock.read_now(), &format!("m{nth}"))).collect();
        tenant.receives(&messages).await;
    }
    tenant
}

async fn small_memory() -> TestServer {
    TestServer::shaped(|options| options.set("KABAR_LIMITS__RESIDENT_CONVERSATIONS", "100")).await
}

/// What the operator sees of the one resident account.
async fn actor(server: &TestServer) -> Value {
    server.operator.get("/admin/v1/actors").await.json()["data"][0].clone()
}

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| text(&row["id"])).collect()
}

#[tokio::test]
async fn walks_go_on_below_the_horizon_without_a_seam() {
    let mut server = small_memory().await;
    let tenant = crowded(&server).await;
    // After a start only the newest are loaded.
    server.restart().await;
    tenant.get("conversations?limit=1").await;
    let resident = actor(&server).await;
    assert_eq!(resident["conversations"], 100);
    assert!(resident["horizon"].is_string());
    for list in
        ["conversations?", "conversations?status=open&", "conversations?updated_since=2020-01-01T00:00:00Z&"]
    {
        let whole = tenant.all(&format!("{list}limit=100")).await;
        assert_eq!(whole.iter().map(|row| text(&row["id"])).collect::<BTreeSet<_>>().len(), PEOPLE, "{list}");
        for limit in [7, 33] {
            assert_eq!(ids(&tenant.all(&format!("{list}limit={limit}")).await), ids(&whole), "{list}");
        }
        let key = if list.contains("since") { "updated_at" } else { "last_message_at" };
        let order: Vec<(String, String)> =
            whole.iter().map(|row| (text(&row[key]), text(&row["id"]))).collect();
        assert!(order.windows(2).all(|pair| pair[0] > pair[1]), "{list}: order");
    }
}

#[tokio::test]
async fn old_conversations_are_read_changed_and_tagged_like_new_ones() {
    let mut server = small_memory().await;
    let tenant = crowded(&server).await;
    server.restart().await;
    let oldest = tenant.all("conversations?limit=100").await.pop().unwrap();
    let path = format!("conversations/{}", text(&oldest["id"]));
    let page = tenant.get(&path).await;
    assert_eq!(page.data(), oldest);
    tenant.get_if(&path, &page.etag()).await.is(304);
    let of_contact = format!("conversations?contact_id={}", text(&oldest["contact"]["id"]));
    let listed = tenant.get(&of_contact).await;
    assert_eq!(listed.rows(), std::slice::from_ref(&oldest));
    let resolved_list = "conversations?status=resolved";
    let none = tenant.get(resolved_list).await;
    assert!(none.rows().is_empty());
    // Every write makes it fresh at once, wherever it lay.
    let resolved = tenant.patch(&path, &json!({"status": "resolved"})).await.is(200).data();
    for tail in [&*path, &of_contact, resolved_list] {
        let tag = if tail == resolved_list {
            none.etag()
        } else if tail == path {
            page.etag()
        } else {
            listed.etag()
        };
        tenant.get_if(tail, &tag).await.is(200);
    }
    assert_eq!(tenant.get(resolved_list).await.rows(), std::slice::from_ref(&resolved));
    let since = format!("conversations?updated_since={}", text(&oldest["updated_at"]));
    let changed = tenant.get(&since).await.rows();
    assert_eq!(changed[0]["id"], resolved["id"], "the newest change comes first");
    // Somebody from below the horizon writes again: the same conversation, on top.
    let author = text(&oldest["contact"]["phone_number"]).trim_start_matches('+').to_owned();
    tenant.hears(&author, "long time").await;
    let top = tenant.get("conversations?limit=1").await.rows().remove(0);
    assert_eq!(
        (&top["id"], &top["status"], &top["unread_count"]),
        (&oldest["id"], &json!("open"), &json!(2))
    );
    assert_eq!(tenant.all("conversations?limit=100").await.len(), PEOPLE, "nobody came twice");
}

#[tokio::test]
async fn an_account_that_rested_is_found_as_it_was_left() {
    let server = TestServer::shaped(|options| {
        options.clock = crate::harness::manual_clock();
        options.set("KABAR_LIMITS__IDLE_SECONDS", "60");
    })
    .await;
    let tenant = server.tenant().await;
    tenant.inbox(3).await;
    let page = tenant.get("conversations").await;
    until_advancing(&server.clock, Duration::from_secs(30), async || !actor(&server).await.is_object()).await;
    tenant.get_if("conversations", &page.etag()).await.is(304);
    assert_eq!(tenant.get("conversations").await.rows(), page.rows());
    tenant.hears(&from(0), "again").await;
    assert_eq!(tenant.conversation_with(&from(0)).await["unread_count"], 2);
}
