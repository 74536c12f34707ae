//! The list of deliveries, its filters and its pages.

use std::time::Duration;

use serde_json::json;

use super::{deliveries, stage, subscribe, until_deliveries};
use crate::harness::{Receiver, Turn, check_object, from, is_timestamp, text};

#[tokio::test]
async fn the_list_is_filtered_and_paged_newest_first() {
    let (server, tenant) = stage().await;
    let (fine, broken) = (Receiver::start().await, Receiver::start().await);
    broken.plays(|_| Turn::status(400));
    let (one, _) = subscribe(&tenant, &fine).await;
    let (two, _) = subscribe(&tenant, &broken).await;
    for nth in 0..3 {
        tenant.hears(&from(nth), "hello").await;
        until_deliveries(&tenant, "status=delivered", nth + 1).await;
        until_deliveries(&tenant, "status=dead", nth + 1).await;
        server.clock.advance_manual(Duration::from_secs(10));
    }
    let all = deliveries(&tenant, "").await;
    assert_eq!(all.len(), 6);
    all.iter().for_each(check_object);
    let ids: Vec<String> = all.iter().map(|row| text(&row["id"])).collect();
    assert!(ids.is_sorted_by(|newer, older| newer > older));
    assert!(all.iter().all(|row| is_timestamp(row["created_at"].as_str().unwrap())));
    assert_eq!(deliveries(&tenant, &format!("subscription_id={one}")).await.len(), 3);
    assert_eq!(deliveries(&tenant, &format!("subscription_id={two}&status=dead")).await.len(), 3);
    assert!(deliveries(&tenant, &format!("subscription_id={one}&status=dead")).await.is_empty());
    assert_eq!(deliveries(&tenant, "event_type=message.received").await.len(), 6);
    assert!(deliveries(&tenant, "event_type=message.status").await.is_empty());
    let middle = text(&all[2]["created_at"]);
    let after = deliveries(&tenant, &format!("created_after={middle}")).await;
    let before = deliveries(&tenant, &format!("created_before={middle}")).await;
    assert_eq!((after.len(), before.len()), (2, 2), "both bounds are strict");
    let mut page = tenant.api.get("/v1/webhook_deliveries?limit=4").await;
    let mut seen = page.column("id");
    while let Some(cursor) = page.cursor() {
        page = tenant.api.get(&format!("/v1/webhook_deliveries?limit=4&cursor={cursor}")).await;
        seen.extend(page.column("id"));
        let other = tenant.api.get(&format!("/v1/webhook_deliveries?status=dead&cursor={cursor}")).await;
        other.refused(400, "invalid_cursor");
    }
    assert_eq!(seen, ids.iter().map(|id| json!(id)).collect::<Vec<_>>());
    for row in &all {
        let path = format!("/v1/webhook_deliveries/{}", text(&row["id"]));
        assert_eq!(tenant.api.get(&path).await.is(200).data(), *row);
    }
}

#[tokio::test]
async fn strangers_and_nonsense_are_refused() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    let (id, _) = subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "hello").await;
    let row = until_deliveries(&tenant, "status=delivered", 1).await.remove(0);
    let path = format!("/v1/webhook_deliveries/{}", text(&row["id"]));
    let stranger = server.tenant().await;
    assert!(deliveries(&stranger, "").await.is_empty());
    assert!(deliveries(&stranger, &format!("subscription_id={id}")).await.is_empty());
    for answer in [
        stranger.api.get(&path).await,
        stranger.api.post(&format!("{path}/replay"), &json!({})).await,
        stranger.api.post("/v1/webhook_deliveries/bulk_replay", &json!({"subscription_id": id})).await,
        tenant.api.get("/v1/webhook_deliveries/wbd_01J0QF3Z5W8V9T4KXN2M6PBRHC").await,
    ] {
        answer.refused(404, "resource_not_found");
    }
    tenant.api.get("/v1/webhook_deliveries/x").await.refused(400, "invalid_field_value");
    for (filter, code) in [
        ("status=gone", "invalid_field_value"),
        ("subscription_id=x", "invalid_field_value"),
        ("event_type=message", "invalid_field_value"),
        ("created_after=today", "invalid_field_value"),
        ("limit=101", "invalid_limit"),
    ] {
        let refused = tenant.api.get(&format!("/v1/webhook_deliveries?{filter}")).await.refused(400, code);
        assert_eq!(refused["param"], filter.split_once('=').unwrap().0);
    }
    assert_eq!(receiver.count(), 1);
}

#[tokio::test]
async fn rows_go_after_thirty_days() {
    let (server, tenant) = stage().await;
    let receiver = Receiver::start().await;
    subscribe(&tenant, &receiver).await;
    tenant.hears(&from(0), "hello").await;
    until_deliveries(&tenant, "status=delivered", 1).await;
    server.clock.advance_manual(Duration::from_hours(30 * 24 - 1));
    tenant.hears(&from(0), "again").await;
    until_deliveries(&tenant, "status=delivered", 2).await;
    server.clock.advance_manual(Duration::from_hours(2));
    let rows = until_deliveries(&tenant, "", 1).await;
    assert_eq!(receiver.calls()[1].header("X-Kirim-Delivery-Id"), text(&rows[0]["id"]));
}
