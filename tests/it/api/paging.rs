//! Contract, section 3, "Paging": walks that miss and repeat nothing, cursors that fit one list.

use std::collections::BTreeSet;

use serde_json::json;

use crate::harness::{Tenant, TestServer, from, text};

#[tokio::test]
async fn limits_are_1_to_100_and_25_by_default() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let messages: Vec<_> =
        (0..27).map(|nth| crate::harness::text_from(&from(nth), tenant.clock.read_now(), "x")).collect();
    tenant.receives(&messages).await;
    for list in ["conversations", "messages", "contacts"] {
        let page = tenant.get(list).await;
        assert_eq!((page.rows().len(), page.cursor().is_some()), (25, true), "{list}");
        for (limit, rows) in [(1, 1), (26, 26), (27, 27), (100, 27)] {
            let page = tenant.get(&format!("{list}?limit={limit}")).await;
            assert_eq!((page.rows().len(), page.cursor().is_some()), (rows, limit < 27), "{list} {limit}");
        }
        for bad in
            ["0", "101", "-1", "", "x", "1.0", "1e1", "0x10", "99999999999999999999", "%31%30%30%30", "１"]
        {
            let error = tenant.get(&format!("{list}?limit={bad}")).await.refused(400, "invalid_limit");
            assert_eq!(error["param"], "limit");
        }
        tenant.get(&format!("{list}?limit=1&limit=2")).await.refused(400, "invalid_limit");
    }
    for path in ["/v1/accounts", "/v1/users"] {
        tenant.api.get(&format!("{path}?limit=0")).await.refused(400, "invalid_limit");
        tenant.api.get(&format!("{path}?limit=100")).await.is(200);
    }
}

#[tokio::test]
async fn a_walk_under_inserts_and_moves_repeats_and_misses_nothing() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let before: BTreeSet<String> = tenant.inbox(23).await.iter().map(|row| text(&row["id"])).collect();
    for list in ["conversations", "messages", "contacts"] {
        let there: BTreeSet<String> =
            tenant.all(&format!("{list}?limit=100")).await.iter().map(|row| text(&row["id"])).collect();
        let mut seen = Vec::new();
        let mut page = tenant.get(&format!("{list}?limit=4")).await;
        let mut newcomer = 1_000 + seen.len() + list.len() * 100;
        loop {
            seen.extend(page.column("id").iter().map(text));
            let Some(cursor) = page.cursor() else { break };
            // Newcomers land before the cursor, where a walk has been.
            tenant.hears(&from(newcomer), "new").await;
            newcomer += 1;
            page = tenant.get(&format!("{list}?limit=4&cursor={cursor}")).await;
        }
        let unique: BTreeSet<String> = seen.iter().cloned().collect();
        assert_eq!(unique.len(), seen.len(), "{list}: a row came twice");
        assert!(unique.is_superset(&there), "{list}: a row is missing");
        if list == "conversations" {
            assert!(unique.is_superset(&before));
        }
    }
}

#[tokio::test]
async fn a_walk_through_rows_of_one_instant_is_exact() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    // One webhook is one commit: every row has the same instant, and ids alone tell them apart.
    let at = tenant.clock.read_now();
    let messages: Vec<_> = (0..12).map(|nth| crate::harness::text_from(&from(nth), at, "x")).collect();
    tenant.receives(&messages).await;
    for list in ["conversations", "conversations?updated_since=2020-01-01T00:00:00Z", "messages", "contacts"]
    {
        let sign = if list.contains('?') { '&' } else { '?' };
        let whole = tenant.get(&format!("{list}{sign}limit=100")).await.rows();
        let instants: BTreeSet<String> = whole.iter().map(|row| text(&row["updated_at"])).collect();
        assert_eq!((whole.len(), instants.len()), (12, 1), "{list}");
        assert_eq!(tenant.all(&format!("{list}{sign}limit=5")).await, whole, "{list}");
        assert_eq!(tenant.all(&format!("{list}{sign}limit=4")).await, whole, "{list}");
    }
}

/// A cursor of each list.
async fn cursors(tenant: &Tenant) -> Vec<(String, String)> {
    let since = "conversations?updated_since=2020-01-01T00:00:00.000Z&";
    let mut found = Vec::new();
    for list in [
        "conversations?",
        "conversations?status=open&",
        since,
        "messages?",
        "messages?direction=inbound&",
        "contacts?",
        "contacts?search=N62&",
    ] {
        let cursor = tenant.get(&format!("{list}limit=1")).await.cursor();
        found.push((list.to_owned(), cursor.unwrap_or_else(|| panic!("{list}"))));
    }
    found
}

#[tokio::test]
async fn a_cursor_with_any_byte_changed_is_refused() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(3).await;
    for (list, cursor) in cursors(&tenant).await {
        for place in 0..cursor.len() {
            let mut bytes = cursor.clone().into_bytes();
            bytes[place] = if bytes[place] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(bytes).unwrap();
            let answer = tenant.get(&format!("{list}cursor={changed}")).await;
            assert_eq!(answer.refused(400, "invalid_cursor")["param"], "cursor", "{place} of {cursor}");
        }
        for bad in [
            "",
            "x",
            &cursor[1..],
            &cursor[..cursor.len() - 1],
            &format!("{cursor}A"),
            &cursor.repeat(9),
            "%00",
            "%ff",
        ] {
            tenant.get(&format!("{list}cursor={bad}")).await.refused(400, "invalid_cursor");
        }
        tenant.get(&format!("{list}cursor={cursor}&cursor={cursor}")).await.refused(400, "invalid_cursor");
    }
}

#[tokio::test]
async fn a_cursor_fits_only_the_list_it_came_from() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let other = server.second_account(&tenant).await;
    tenant.inbox(3).await;
    other.inbox(3).await;
    let all = cursors(&tenant).await;
    for (list, cursor) in &all {
        for (elsewhere, _) in &all {
            let answer = tenant.get(&format!("{elsewhere}limit=2&cursor={cursor}")).await;
            if elsewhere == list {
                assert!(!answer.is(200).rows().is_empty(), "another limit is the same list");
            } else {
                answer.refused(400, "invalid_cursor");
            }
        }
        other.get(&format!("{list}cursor={cursor}")).await.refused(400, "invalid_cursor");
    }
    let cursor = &all[0].1;
    for filter in
        ["status=resolved", "contact_id=ctc_00000000000000000000000000", "updated_since=2020-01-01T00:00:00Z"]
    {
        let answer = tenant.get(&format!("conversations?{filter}&cursor={cursor}")).await;
        answer.refused(400, "invalid_cursor");
    }
}

#[tokio::test]
async fn cursors_survive_a_restart_and_fit_no_other_server() {
    let mut server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.inbox(3).await;
    let all = cursors(&tenant).await;
    let mut pages = Vec::new();
    for (list, cursor) in &all {
        pages.push(tenant.get(&format!("{list}limit=1&cursor={cursor}")).await.rows());
    }
    server.restart().await;
    for ((list, cursor), rows) in all.iter().zip(pages) {
        assert_eq!(tenant.get(&format!("{list}limit=1&cursor={cursor}")).await.rows(), rows, "{list}");
    }
    let elsewhere = TestServer::start().await;
    let stranger = elsewhere.tenant().await;
    for (list, cursor) in &all {
        stranger.get(&format!("{list}cursor={cursor}")).await.refused(400, "invalid_cursor");
    }
}

#[tokio::test]
async fn the_operators_lists_and_users_and_accounts_page_too() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for nth in 0..4 {
        server.user(&tenant.organisation, &format!("U{nth}")).await;
        server.account(&tenant.organisation).await;
        server.key(&tenant.organisation).await;
        server.organisation(&json!({"name": format!("O{nth}")})).await;
    }
    let keys = format!("/admin/v1/organizations/{}/api_keys", tenant.organisation);
    for (client, path, count) in [
        (&tenant.api, "/v1/users", 4),
        (&tenant.api, "/v1/accounts", 5),
        (&server.operator, "/admin/v1/organizations", 5),
        (&server.operator, &keys, 5),
    ] {
        let whole = client.get(&format!("{path}?limit=100")).await.rows();
        assert_eq!(whole.len(), count, "{path}");
        let mut walked = Vec::new();
        let mut page = client.get(&format!("{path}?limit=2")).await;
        loop {
            walked.extend(page.rows());
            let Some(cursor) = page.cursor() else { break };
            page = client.get(&format!("{path}?limit=2&cursor={cursor}")).await;
        }
        assert_eq!(walked, whole, "{path}");
        client.get(&format!("{path}?cursor=x")).await.refused(400, "invalid_cursor");
    }
}
