//! Rows that any node may change: two changes at two nodes at the same moment both stand.

use serde_json::{Value, json};

use crate::harness::nodes::{heard_of, nodes};
use crate::harness::{Client, Tenant, TestServer, text};

/// Both changes of a row, made at the same moment, stand at both nodes afterwards.
async fn both_stand(path: &str, (one, first): (&Client, Value), (two, second): (&Client, Value)) {
    let (a, b) = tokio::join!(one.patch(path, &first), two.patch(path, &second));
    a.is(200);
    b.is(200);
    for api in [one, two] {
        let row = api.get(path).await.is(200).data();
        for change in [&first, &second] {
            for (field, value) in change.as_object().unwrap() {
                assert_eq!(&row[field], value, "{field} of {row}");
            }
        }
    }
}

async fn stage() -> ([TestServer; 2], [Tenant; 2]) {
    let [one, two] = nodes(&[]).await;
    let here = one.tenant().await;
    let there = heard_of(&two, &here).await;
    ([one, two], [here, there])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_changes_of_an_organisation_at_one_moment_both_stand() {
    let ([one, two], _) = stage().await;
    let id = one.organisation(&json!({"name": "Warung", "tier": "enterprise"})).await;
    let path = format!("/admin/v1/organizations/{id}");
    for round in 0..30 {
        let name = json!({"name": format!("Toko {round}")});
        let limit = json!({"write_per_minute": 100 + round});
        both_stand(&path, (&one.operator, name), (&two.operator, limit)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_changes_of_a_subscription_at_one_moment_both_stand() {
    let (_nodes, [here, there]) = stage().await;
    let body = json!({"url": "https://example.com/", "events": ["message.received"]});
    let made = here.api.post("/v1/webhook_subscriptions", &body).await.is(201).data();
    let path = format!("/v1/webhook_subscriptions/{}", text(&made["id"]));
    for round in 0..30 {
        let url = json!({"url": format!("https://example.com/{round}")});
        let status = if round % 2 == 0 { "paused" } else { "active" };
        let status = json!({"status": status, "description": round.to_string()});
        both_stand(&path, (&here.api, url), (&there.api, status)).await;
    }
    // A secret and a change; and a secret at each node.
    let secrets = format!("{path}/secrets");
    for round in 0..3 {
        let url = json!({"url": format!("https://example.org/{round}")});
        let empty = json!({});
        let (added, changed, other) = tokio::join!(
            here.api.post(&secrets, &empty),
            there.api.patch(&path, &url),
            there.api.post(&secrets, &empty),
        );
        changed.is(200);
        let row = here.api.get(&path).await.is(200).data();
        assert_eq!(row["url"], url["url"]);
        assert_eq!(row["secrets"].as_array().unwrap().len(), 1 + 2 * (round + 1));
        assert_eq!(there.api.get(&path).await.is(200).data(), row);
        assert_ne!(added.is(201).data(), other.is(201).data());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_changes_of_a_plugin_at_one_moment_both_stand() {
    let (_nodes, [here, there]) = stage().await;
    let body = json!({"name": "test", "events": ["message.received"]});
    let made = here.api.post("/v1/plugins", &body).await.is(201).data();
    let path = format!("/v1/plugins/{}", text(&made["id"]));
    for round in 0..30 {
        let name = json!({"name": format!("test {round}")});
        let config = json!({"config": {"round": round.to_string()}, "enabled": round % 2 == 0});
        both_stand(&path, (&here.api, name), (&there.api, config)).await;
    }
    for round in 0..10 {
        let (a, b) = (format!("A_{round}"), format!("B_{round}"));
        let (first, second) = (json!({"secrets": {&a: "x"}}), json!({"secrets": {&b: "y"}}));
        let (one, two) = tokio::join!(here.api.patch(&path, &first), there.api.patch(&path, &second));
        one.is(200);
        two.is(200);
        let row = here.api.get(&path).await.is(200).data();
        let names = row["secrets"].as_array().unwrap();
        assert_eq!(names.len(), 2 * (round + 1), "{names:?}");
        assert!(names.contains(&json!(a)) && names.contains(&json!(b)), "{names:?}");
    }
}
