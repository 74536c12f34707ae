//! Contract, section 4, "Account clock": what a client that asks for changes may rely on.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::harness::{Tenant, TestServer, from, text};

/// A client's copy of the inbox, kept up to date by deltas alone.
#[derive(Default)]
struct Copy {
    rows: BTreeMap<String, Value>,
    newest: Option<String>,
}

impl Copy {
    async fn sync(&mut self, tenant: &Tenant) -> usize {
        let since = self.newest.clone().unwrap_or_else(|| "1970-01-01T00:00:00.000Z".into());
        let rows = tenant.all(&format!("conversations?updated_since={since}&limit=3")).await;
        for row in &rows {
            let stamp = text(&row["updated_at"]);
            assert!(stamp > since, "{stamp} is not after {since}");
            self.newest = self.newest.take().max(Some(stamp));
            self.rows.insert(text(&row["id"]), row.clone());
        }
        rows.len()
    }

    async fn assert_whole(&self, tenant: &Tenant) {
        let rows = tenant.all("conversations?limit=100").await;
        let fresh: BTreeMap<String, Value> = rows.into_iter().map(|row| (text(&row["id"]), row)).collect();
        assert_eq!(self.rows, fresh);
    }
}

#[tokio::test]
async fn deltas_add_up_after_every_kind_of_change() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    let rows = tenant.inbox(8).await;
    let user = server.user(&tenant.organisation, "Rani").await;
    let mut copy = Copy::default();
    assert_eq!(copy.sync(&tenant).await, 8);
    assert_eq!(copy.sync(&tenant).await, 0, "nothing new is an empty page");
    let path = |nth: usize| format!("conversations/{}", text(&rows[nth]["id"]));

    tenant.patch(&path(2), &json!({"status": "resolved"})).await.is(200);
    assert_eq!(copy.sync(&tenant).await, 1);
    tenant.patch(&path(3), &json!({"assigned_to": user["id"]})).await.is(200);
    assert_eq!(copy.sync(&tenant).await, 1);
    let wamid = tenant.hears(&from(4), "again").await;
    assert_eq!(copy.sync(&tenant).await, 1);
    tenant.sent(&from(5)).await;
    assert_eq!(copy.sync(&tenant).await, 1);
    let read = json!({"messaging_product": "whatsapp", "status": "read", "message_id": wamid});
    tenant.post("messages", &read).await.is(200);
    assert_eq!(copy.sync(&tenant).await, 1);
    let contact = format!("contacts/{}", text(&rows[6]["contact"]["id"]));
    tenant.patch(&contact, &json!({"name": "Renamed"})).await.is(200);
    assert_eq!(copy.sync(&tenant).await, 1);
    tenant.hears(&from(20), "new here").await;
    assert_eq!(copy.sync(&tenant).await, 1);
    // Many changes between two syncs, over several pages.
    for nth in 0..8 {
        tenant.hears(&from(nth), "rush").await;
    }
    assert_eq!(copy.sync(&tenant).await, 8);
    copy.assert_whole(&tenant).await;
}

#[tokio::test]
async fn the_bound_is_strict_and_understands_offsets_precision_and_a_lost_plus() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    tenant.inbox(1).await;
    server.clock.advance_manual(std::time::Duration::from_millis(3_600_500));
    tenant.hears(&from(0), "an hour later").await;
    let stamp = text(&tenant.conversation_with(&from(0)).await["updated_at"]);
    // 2026-06-19T12:00:00.0xxZ
    let (whole, ms) = (&stamp[..19], &stamp[19..23]);
    let jakarta = format!("2026-06-19T19{}{ms}", &whole[13..]);
    let newfoundland = format!("2026-06-19T09:30{}{ms}", &whole[16..]);
    let digit = |text: &str, by: i64| {
        let millis = text[1..].parse::<i64>().unwrap() + by;
        format!(".{millis:03}")
    };
    let (before, after) = (digit(ms, -1), digit(ms, 1));
    for (since, rows) in [
        (stamp.clone(), 0),
        (format!("{whole}{before}Z"), 1),
        (format!("{whole}{before}999999Z"), 1),
        (format!("{whole}{ms}0Z"), 0),
        (format!("{whole}{ms}000001Z"), 0),
        (format!("{whole}{after}Z"), 0),
        (format!("{jakarta}%2B07:00"), 0),
        (format!("{jakarta}+07:00"), 0),
        (format!("{jakarta}%2007:00"), 0),
        (format!("{newfoundland}-02:30"), 0),
        (format!("{}%2B07:00", jakarta.replace(ms, &before)), 1),
        (format!("{}+07:00", jakarta.replace(ms, &before)), 1),
        (format!("{whole}{before}z"), 1),
        ("2026-06-19T11:59:59Z".to_owned(), 1),
        ("2026-06-19T11:59:59.9Z".to_owned(), 1),
        ("2026-06-19t11:59:59Z".to_owned(), 1),
        ("1969-12-31T23:59:59Z".to_owned(), 1),
        ("0001-01-01T00:00:00Z".to_owned(), 1),
        ("9999-12-31T23:59:59.999Z".to_owned(), 0),
    ] {
        let page = tenant.get(&format!("conversations?updated_since={since}")).await;
        assert_eq!(page.is(200).rows().len(), rows, "{since} of {stamp}");
    }
}

#[tokio::test]
async fn what_is_no_instant_is_refused() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    for bad in [
        "",
        "now",
        "2026-06-19",
        "2026-06-19T11:00:00",
        "1781866800",
        "2026-02-30T00:00:00Z",
        "2026-06-19T25:00:00Z",
        "2026-06-19T11:00:00%2B99:00",
        "-1",
        "null",
        "%00",
        "2026-06-19T11:00:00ZZ",
        "20260619T110000Z",
    ] {
        let error = tenant
            .get(&format!("conversations?updated_since={bad}"))
            .await
            .refused(400, "invalid_field_value");
        assert_eq!(error["param"], "updated_since", "{bad}");
    }
}

#[tokio::test]
async fn every_commit_has_its_own_millisecond_and_none_lies_in_the_future() {
    let server = TestServer::manual().await;
    let tenant = server.tenant().await;
    let mut stamps = Vec::new();
    for nth in 0..20 {
        tenant.hears(&from(nth), "hello").await;
        let row = tenant.conversation_with(&from(nth)).await;
        let now = server.clock.read_now().to_string();
        assert!(text(&row["updated_at"]) <= now, "{row} is ahead of {now}");
        stamps.push(text(&row["updated_at"]));
    }
    assert!(stamps.windows(2).all(|pair| pair[0] < pair[1]), "{stamps:?}");
}

#[tokio::test]
async fn rows_that_change_together_have_one_instant() {
    let server = TestServer::start().await;
    let tenant = server.tenant().await;
    tenant.hears(&from(1), "hello").await;
    let conversation = tenant.conversation_with(&from(1)).await;
    let message = tenant.get("messages").await.rows().remove(0);
    let contact = tenant.get("contacts").await.rows().remove(0);
    for row in [&message, &contact] {
        assert_eq!(row["created_at"], conversation["created_at"], "{row}");
    }
    let path = format!("contacts/{}", text(&contact["id"]));
    let renamed = tenant.patch(&path, &json!({"name": "Renamed"})).await.data();
    let conversation = tenant.conversation_with(&from(1)).await;
    assert_eq!(conversation["contact"]["name"], "Renamed");
    assert_eq!(conversation["updated_at"], renamed["updated_at"]);
}
